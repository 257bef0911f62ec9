"""What a catalog of Iceberg tables must do, held on each kind: an SQL database, a REST server, Glue."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.exceptions import CommitStateUnknownException

from remint.errors import CatalogRefused, CatalogUnavailable, PublishConflict
from remint.formats.base import Table
from remint.formats.iceberg import IcebergFormat
from remint.workspace.catalogs import catalog_of
from tests.buckets import Bucket
from tests.databases import Server
from tests.formats.kinds import SERVER, Kind, iceberg_by_glue, iceberg_by_rest, iceberg_by_server, iceberg_in

TOGETHER = ["sql", pytest.param("postgres", marks=pytest.mark.slow), pytest.param("rest", marks=pytest.mark.slow)]
TOGETHER += ["server"] if SERVER else []
ALL = [*TOGETHER, pytest.param("glue", marks=pytest.mark.slow)]


@pytest.fixture(params=ALL)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    """Tables that a catalog of each kind names."""
    if request.param == "sql":
        return iceberg_in(tmp_path)
    if request.param == "postgres":
        server: Server = request.getfixturevalue("postgres")
        return iceberg_in(tmp_path, url=server.url(server.new_database()))
    if request.param == "rest":
        bucket: Bucket = request.getfixturevalue("at_bucket")
        return iceberg_by_rest(tmp_path, bucket)
    if request.param == "server":
        return iceberg_by_server(tmp_path)
    return iceberg_by_glue(tmp_path, request.getfixturevalue("at_glue"))


def two(kind: Kind) -> list[Table]:
    first = kind.created()
    second = replace(first, name="gold.u", location=first.location.removesuffix("t") + "u")
    kind.format.create(second)
    return [first, second]


@pytest.mark.parametrize("kind", TOGETHER, indirect=True)
def test_several_tables_are_committed_as_one(kind: Kind) -> None:
    tables = two(kind)

    landed = kind.format.publish([kind.replacement(t, "r1", (1, "a")) for t in tables])

    assert kind.format.commits_together(tables)
    assert [found.version for found in landed] == [1, 1]
    assert [kind.rows(t) for t in tables] == [[(1, "a")], [(1, "a")]]


@pytest.mark.parametrize("kind", TOGETHER, indirect=True)
def test_a_conflict_in_one_table_commits_to_none(kind: Kind) -> None:
    tables = two(kind)
    changes = [kind.replacement(t, "r1", (1, "a")) for t in tables]
    kind.stranger.append(tables[1], [{"n": 9, "region": "a"}])

    with pytest.raises(PublishConflict, match=r"gold\.u a"):
        kind.format.publish(changes)

    assert [kind.rows(t) for t in tables] == [[], [(9, "a")]]


@pytest.mark.parametrize("kind", TOGETHER, indirect=True)
def test_a_race_for_one_table_is_run_again_for_all(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = two(kind)
    changes = [kind.replacement(t, "r1", (1, "a")) for t in tables]
    kind.before_commit(monkeypatch, lambda: kind.stranger.append(tables[1], [{"n": 9, "region": "b"}]))

    kind.format.publish(changes)

    assert [kind.rows(t) for t in tables] == [[(1, "a")], [(1, "a"), (9, "b")]]
    assert [len(kind.format.read_log(t).commits) for t in tables] == [1, 2]


def test_a_commit_whose_answer_is_lost_is_made_once(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    table = kind.created()
    assert isinstance(kind.format, IcebergFormat)
    catalog = kind.format._catalog
    send = catalog._send

    def unanswered(*args: Any) -> None:
        catalog._send = send  # type: ignore[method-assign]
        send(*args)
        raise CommitStateUnknownException("the answer was lost")

    monkeypatch.setattr(catalog, "_send", unanswered)
    landed = kind.format.publish([kind.replacement(table, "r1", (1, "a"))])

    assert [(found.version, found.after) for found in landed] == [(1, None)]
    assert kind.rows(table) == [(1, "a")]


def test_a_commit_that_was_expired_is_still_known(kind: Kind) -> None:
    table = kind.created()
    change = kind.replacement(table, "r1", (1, "a"))
    kind.format.publish([change])
    kind.stranger.append(table, [{"n": 9, "region": "b"}])
    loaded = kind.library().load_table(table.name)
    loaded.manage_snapshots().remove_tag("remint-r1").commit()
    loaded.maintenance.expire_snapshots().by_id(loaded.metadata.snapshots[0].snapshot_id).commit()

    assert kind.format.published_version(table, "r1", 1) == 2
    assert kind.format.publish([change])[0].version == 2
    assert kind.rows(table) == [(1, "a"), (9, "b")]


def test_a_table_that_somebody_set_back_has_its_older_version(kind: Kind) -> None:
    table = kind.created()
    kind.format.publish([kind.replacement(table, "r1", (1, "a"))])
    kind.format.publish([kind.replacement(table, "r2", (2, "b"))])
    loaded = kind.library().load_table(table.name)
    loaded.manage_snapshots().rollback_to_snapshot(loaded.metadata.snapshots[0].snapshot_id).commit()

    assert kind.format.version(table) == 1
    (landed,) = kind.format.publish([kind.replacement(table, "r3", (3, "c"))])
    assert (landed.version, landed.after) == (3, 1)
    assert kind.rows(table) == [(1, "a"), (3, "c")]


def test_the_state_after_each_run_has_a_name_until_its_files_go(kind: Kind) -> None:
    table = kind.created()
    changes = [kind.replacement(table, "r1", (1, "a"), (2, "b")), kind.replacement(table, "r2", (3, "a"))]
    kind.format.publish([changes[0]])
    (gone,) = (f for f in changes[0][1].adds if f.key == "a")
    kind.format.publish([(table, replace(changes[1][1], removes=(gone,)))])
    loaded = kind.library().load_table(table.name)
    assert loaded.metadata.refs.keys() == {"main", "remint-r1", "remint-r2"}
    assert sorted(loaded.scan().use_ref("remint-r1").to_arrow()["n"].to_pylist()) == [1, 2]
    with pytest.raises(ValueError, match="protected"):
        loaded.maintenance.expire_snapshots().by_id(loaded.metadata.snapshots[0].snapshot_id)

    assert kind.format.remove(table, [gone.path]) == []

    assert kind.library().load_table(table.name).metadata.refs.keys() == {"main", "remint-r2"}
    assert kind.rows(table) == [(2, "b"), (3, "a")]


def test_a_catalog_that_never_answers_a_commit_is_given_up(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    table = kind.created()
    monkeypatch.setattr("remint.formats.iceberg_catalog._PAUSE_S", 0)
    asked = []

    def silent(*_: Any) -> None:
        asked.append(1)
        raise CommitStateUnknownException("no answer")

    assert isinstance(kind.format, IcebergFormat)
    monkeypatch.setattr(kind.format._catalog, "_send", silent)
    with pytest.raises(CatalogUnavailable, match="catalog remint: it does not answer: no answer"):
        kind.format.publish([kind.replacement(table, "r1", (1, "a"))])

    assert len(asked) == 5
    assert kind.rows(table) == []


def test_a_table_that_the_catalog_keeps_elsewhere_is_refused(kind: Kind) -> None:
    table = kind.created()
    elsewhere = replace(table, location=f"{table.location}2")

    with pytest.raises(CatalogRefused, match=r"gold\.t: the catalog keeps it in .*gold/t, declared is .*gold/t2"):
        kind.format.version(elsewhere)


@pytest.mark.parametrize("kind", ["glue"], indirect=True)
@pytest.mark.slow
def test_glue_commits_to_one_table_at_a_time(kind: Kind) -> None:
    tables = two(kind)

    landed = [kind.format.publish([kind.replacement(t, "r1", (1, "a"))])[0] for t in tables]

    assert not kind.format.commits_together(tables)
    assert [found.version for found in landed] == [1, 1]
    assert [kind.rows(t) for t in tables] == [[(1, "a")], [(1, "a")]]


@pytest.mark.parametrize(
    ("url", "words"),
    [("http://127.0.0.1:{free}", "it does not answer"), ("http://127.0.0.1:{s3}", "it refuses|it does not answer")],
)
@pytest.mark.slow
def test_what_is_no_catalog_is_named(at_bucket: Bucket, url: str, words: str) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        free = held.getsockname()[1]
    catalog = catalog_of("rest", "remint", url.format(free=free, s3=at_bucket.port))

    with pytest.raises((CatalogUnavailable, CatalogRefused), match=f"catalog remint: {words}"):
        catalog.load(("gold", "t"))


@pytest.mark.slow
def test_who_may_not_enter_is_told_so(at_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    catalog = catalog_of("rest", "remint", at_bucket.catalog, at_bucket.new_warehouse())

    with pytest.raises(CatalogRefused, match="catalog remint: it refuses") as caught:
        catalog.load(("gold", "t"))

    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(("kind_of", "package"), [("glue", "boto3"), ("rest", "boto3")])
@pytest.mark.slow
def test_what_is_not_installed_is_named(
    at_bucket: Bucket, monkeypatch: pytest.MonkeyPatch, kind_of: str, package: str
) -> None:
    for name in [name for name in sys.modules if name.startswith((package, "remint.formats.iceberg_glue"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "pyiceberg.catalog.glue", raising=False)
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(CatalogRefused, match=f"it needs {package}, which is not installed") as caught:
        catalog_of(kind_of, "remint", at_bucket.catalog).load(("gold", "t"))

    assert caught.value.hint == 'pip install "remint[glue]"'


@pytest.mark.slow
def test_a_database_that_went_away_is_named(postgres: Server, tmp_path: Path) -> None:
    database = postgres.new_database()
    kind = iceberg_in(tmp_path, url=postgres.url(database))
    table = kind.created()
    postgres.drop(database)

    with pytest.raises(CatalogUnavailable, match="catalog remint: it does not answer"):
        kind.format.version(table)
