"""A project whose tables a REST server or Glue names does what it does by a catalog of its own."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog import Catalog

from remint.formats.iceberg_catalog import IcebergCatalog, Pending
from remint.workspace.catalogs import catalog_of
from tests.buckets import Bucket
from tests.e2e import lakehouses, projects, tampering_iceberg, test_lake_on_s3
from tests.e2e.crashes import Killed
from tests.e2e.lakehouses import Iceberg
from tests.e2e.projects import Project, built, event, remint
from tests.e2e.test_lake_on_s3 import bad
from tests.proof import full_size, proof

pytestmark = pytest.mark.slow

CHANGED = {"silver.events", "gold.daily", "gold.trend", "gold.monthly"}
"""Tables that a late event changes."""


class Named(Iceberg):
    """Tables that a server names."""

    def __init__(self, kind: str, url: str, top: str) -> None:
        self._kind, self.url, self._top = kind, url, top
        said = f'[catalog]\ntype = "{kind}"\nurl = "{url}"\nwarehouse = "{top}"\n'
        self.settings = f"{Iceberg.settings}{said}"

    def catalog(self) -> Catalog:
        """Return the server as pyiceberg knows it."""
        return self._found

    @cached_property
    def _found(self) -> Catalog:
        found: Catalog = catalog_of(self._kind, "remint", self.url, self._top).library
        return found

    def _is_made(self) -> bool:
        return True


@pytest.fixture(params=["rest", "glue"])
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who names the tables of the project of this test."""
    kind = str(request.param)
    if kind == "rest":
        bucket: Bucket = request.getfixturevalue("on_s3")
        top = bucket.new_warehouse()
        monkeypatch.setattr(bucket, "new_lake", lambda: top)
        named = Named(kind, bucket.catalog, top)
    else:
        named = Named(kind, request.getfixturevalue("at_glue"), f"{tmp_path}/p/lake")
    monkeypatch.setitem(lakehouses.LAKEHOUSES, "iceberg", lambda *_: named)
    monkeypatch.setattr(projects, "tables_in", "iceberg")
    return kind


@pytest.fixture
def project(kind: str, tmp_path: Path) -> Project:
    """A project whose history of three days is built."""
    del kind
    return built(tmp_path / "p", 3)


@pytest.mark.parametrize(
    "lands", [pytest.param(False, id="before", marks=[proof, full_size]), pytest.param(True, id="after")]
)
def test_a_run_killed_at_its_first_commit_is_finished(
    project: Project, kind: str, monkeypatch: pytest.MonkeyPatch, lands: bool
) -> None:
    project.land("late", [event(900, 1, 77)])
    project.ingest()
    before, plan = project.versions(), project.plan()
    commit = IcebergCatalog.commit

    def dying(self: IcebergCatalog[Any], changes: Sequence[Pending]) -> bool:
        if lands:
            commit(self, changes)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(IcebergCatalog, "commit", dying)
        with pytest.raises(Killed):
            project.apply(plan)
    landed = [table for table, version in project.versions().items() if version != before[table]]
    assert len(landed) == (0 if not lands else 1 if kind == "glue" else len(CHANGED))
    assert CHANGED.issuperset(landed)
    killed = project.versions()

    (run,) = project.outstanding()
    project.open().resume(run.run_id)

    assert project.tables() == project.expected()
    assert project.outstanding() == []
    assert {table: killed[table] for table in landed} == {table: project.versions()[table] for table in landed}
    assert bad(project) == []


@proof
@full_size
def test_late_rows_are_built_rolled_back_expired_and_proved(project: Project) -> None:
    test_lake_on_s3.test_late_rows_are_built_rolled_back_expired_and_proved(project)


@proof
@full_size
def test_a_release_is_read_as_it_was_published(project: Project) -> None:
    test_lake_on_s3.test_a_release_is_read_as_it_was_published(project)


@pytest.mark.parametrize("kind", ["glue"], indirect=True)
@pytest.mark.parametrize("damage", ["metadata", pytest.param("manifest list", marks=[proof, full_size])])
def test_damaged_metadata_is_made_anew_where_glue_names_it(project: Project, damage: str) -> None:
    project.set_factor(2)
    project.run()
    before = project.live(), project.versions(), project.tables()
    tampering_iceberg.METADATA[damage](project, "gold.daily", random.Random(1))
    assert {subject for _, subject in bad(project)} == {"gold.daily"}

    told = remint(project, "repair", "--apply", "--reason", "a sector was lost")

    assert told.exit_code == 0, told.output
    assert (project.live(), project.versions(), project.tables()) == before
    assert bad(project) == []


@pytest.mark.parametrize("kind", ["glue"], indirect=True)
def test_a_table_whose_folder_is_gone_is_made_anew_where_glue_names_it(project: Project) -> None:
    shutil.rmtree(project.folder("gold.daily"))

    told = remint(project, "repair", "--apply", "--reason", "rm -rf in the wrong window")
    project.run()

    assert "repair succeeded" in told.output
    assert project.tables() == project.expected()
    assert bad(project) == []
