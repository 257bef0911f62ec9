"""A project does the same wherever its tables lie: on a disk of this machine, or in a bucket of an S3 server."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from remint.cli.main import cli
from remint.errors import FilesDamaged, StorageRefused
from remint.execution.symptom import Health, Kind
from remint.execution.verify import Proof
from remint.storage.s3 import S3Storage
from tests.buckets import Bucket
from tests.e2e import projects
from tests.e2e.crashes import Fuse, Killed, When, armed
from tests.e2e.projects import Project, built, event, history, write_project
from tests.proof import full_size, proof

pytestmark = pytest.mark.slow


ON_ICEBERG = pytest.param("s3-iceberg", marks=[proof, full_size])


@pytest.fixture(params=[pytest.param("local", marks=[proof, full_size]), "s3", ON_ICEBERG])
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose history of three days is built, with its tables on a disk or in a bucket."""
    place, _, kept_in = request.param.partition("-")
    if place == "s3":
        request.getfixturevalue("on_s3")
    monkeypatch.setattr(projects, "tables_in", kept_in or "delta")
    return built(tmp_path / "p", 3)


def bad(project: Project) -> list[tuple[str, str]]:
    """Return what doctor finds, with every byte read."""
    found = project.open().upkeep.doctor((), read_data=True)
    return [(s.kind, s.subject) for s in found if s.health is Health.BAD and s.kind]


def sweep(project: Project) -> list[str]:
    """Clean up, and return what went."""
    found = project.open().upkeep.find_litter((), timedelta(0))
    if found:
        project.open().upkeep.clean(found, "test")
    return [litter.dataset for litter in found]


def test_late_rows_are_built_rolled_back_expired_and_proved(project: Project) -> None:
    before, first = project.tables(), project.parts()
    assert before == project.expected()

    project.land("late", [event(900, 1, 77)])
    project.ingest()
    run = project.run()
    assert project.tables() == project.expected()
    assert project.stale() == {}

    project.rollback(run.run_id)
    held = project.tables()
    assert {t: held[t] for t in held if t != "bronze.events"} == {t: before[t] for t in held if t != "bronze.events"}
    assert first < project.parts()

    project.run(rebuild=True)
    assert project.tables() == project.expected()
    replaced = project.parts()
    assert project.open().retention.expire((), project.ask(), 0) is not None
    live = {path for paths in project.live().values() for path in paths}
    assert project.parts() == live < replaced

    proofs = project.open().verify((), size=3)
    assert {p.proof for p in proofs} == {Proof.PROVEN}
    assert project.parts() == live
    assert bad(project) == []


def test_what_a_killed_run_left_is_finished_or_cleaned_up(project: Project) -> None:
    project.land("late", [event(900, 1, 77)])
    project.ingest()
    calm = project.files().keys()
    workspace = armed(project.open(), Fuse(5, When.AFTER))
    with pytest.raises(Killed):
        workspace.apply(project.plan())
    left = project.files().keys() - calm
    assert left
    assert sweep(project) == []

    (run,) = project.outstanding()
    project.open().resume(run.run_id)

    assert project.tables() == project.expected()
    assert project.outstanding() == []
    assert sweep(project) == []


def test_a_run_that_is_given_up_leaves_no_file(project: Project) -> None:
    project.land("late", [event(900, 1, 77)])
    project.ingest()
    calm = project.parts()
    workspace = armed(project.open(), Fuse(5, When.AFTER))
    with pytest.raises(Killed):
        workspace.apply(project.plan())
    assert project.parts() > calm

    project.give_up()

    assert project.parts() == calm


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("flip", Kind.FILE_FLIPPED),
        pytest.param("truncate", Kind.FILE_TRUNCATED, marks=[proof, full_size]),
        pytest.param("delete", Kind.FILE_MISSING, marks=[proof, full_size]),
    ],
)
def test_a_file_that_somebody_changed_is_found_refused_and_mended(project: Project, change: str, kind: Kind) -> None:
    victim = min(p for p in project.parts() if p.startswith("/bronze/events/"))[1:]
    held = project.files()[victim]
    content = bytearray(held)
    content[random.Random(1).randrange(len(content))] ^= 1
    project.put(victim, {"flip": bytes(content), "truncate": held[:-9], "delete": None}[change])

    assert bad(project) == [(kind, "bronze.events")]
    with pytest.raises(FilesDamaged):
        project.run(rebuild=True)
    project.give_up()

    upkeep = project.open().upkeep
    upkeep.repair(upkeep.find_repair(()), project.ask())
    assert project.files()[victim] == held
    assert bad(project) == []
    project.run(rebuild=True)
    assert project.tables() == project.expected()


def test_a_commit_that_somebody_removed_is_written_again(project: Project) -> None:
    if project.format == "iceberg":
        pytest.skip("what it names is no entry of a log: tests/e2e/test_repair_on_iceberg.py")
    entry = max(p for p in project.files() if p.startswith("gold/daily/_delta_log/") and p.endswith(".json"))
    project.put(entry, None)
    assert bad(project) != []

    upkeep = project.open().upkeep
    upkeep.repair(upkeep.find_repair(()), project.ask())

    assert bad(project) == []
    assert project.tables() == project.expected()


def test_a_release_is_read_as_it_was_published(project: Project) -> None:
    cut = project.open().reader.at()

    assert cut.sql("SELECT count(*) AS n FROM silver.events").to_pylist() == [{"n": 9}]
    assert all(f.path.startswith(project.top) for f in cut.files("gold.daily"))
    found = cut.duckdb().sql("SELECT CAST(sum(amount) AS BIGINT) FROM gold.daily").fetchall()
    assert found == [(sum(row[3] for row in project.expected()["gold.daily"]),)]


# -- what only a bucket has --------------------------------------------------------------------------------------------


def test_an_object_put_again_with_the_same_bytes_is_the_one_that_was_published(
    on_s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = built(tmp_path / "p", 2)
    for path in project.parts():
        project.put(path[1:], project.files()[path[1:]])
    asked: list[str] = []
    stream = S3Storage._stream

    def noting(self: S3Storage, place: str, start: Any) -> str:
        asked.append(place)
        return stream(self, place, start)

    monkeypatch.setattr(S3Storage, "_stream", noting)

    project.run(rebuild=True)

    live = {path for paths in project.live().values() for path in paths}
    assert asked
    assert [place for place in asked if place.removeprefix(project.lake) in live] == []
    assert project.tables() == project.expected()


def test_no_secret_is_written_anywhere(on_s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = write_project(tmp_path / "p")
    project.land("a", history(2))
    said = []

    def remint(*arguments: str) -> int:
        result = CliRunner().invoke(cli, ["-C", str(project.root), *arguments])
        said.append(result.output + result.stderr)
        return result.exit_code

    assert remint("ingest", "--reason", "test") == 0
    assert remint("plan", "--json") == 0
    assert remint("run", "--reason", "test") == 0
    project.land("b", [event(900, 1, 77)])
    right = on_s3.secret
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", wrong := "wrong" + right[5:])
    for command in (
        ("ingest", "--reason", "test"),
        ("doctor",),
        ("run", "--reason", "test", "--all", "--rebuild", "--no-override-state"),
    ):
        assert remint(*command) != 0
    assert "RM444" in said[-1]
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert remint("doctor") != 0
    assert "no credentials" in said[-1]

    written = [path.read_bytes() for path in project.root.rglob("*") if path.is_file()]
    written += [text.encode() for text in said] + [*on_s3.objects(project.lake).values()]
    for secret in (on_s3.key, right, wrong):
        assert not any(secret.encode() in content for content in written)


def test_credentials_of_a_profile_are_found(on_s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = built(tmp_path / "p", 1)
    kept = tmp_path / "credentials"
    kept.write_text(f"[shop]\naws_access_key_id = {on_s3.key}\naws_secret_access_key = {on_s3.secret}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(StorageRefused, match="no credentials"):
        project.run(rebuild=True)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(kept))
    monkeypatch.setenv("AWS_PROFILE", "shop")

    project.run(rebuild=True)

    assert project.rows("gold.daily") == project.expected()["gold.daily"]
