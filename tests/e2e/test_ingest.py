"""Ingest from files to Bronze: every file once, every key once, every bad row kept with its reason."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from remint.errors import PublishConflict, SourceRejected
from remint.model.request import Ask
from remint.model.run import Run
from tests.e2e.crashes import Fuse, Killed, Meddled, When, armed, meddling
from tests.e2e.projects import (
    DATASETS,
    FILES,
    FIRST_DAY,
    Project,
    built,
    day_at,
    event,
    history,
    line_of,
    write_project,
)


def counts(run: Run) -> tuple[int, int, int, int]:
    """Return the rows that a run read, added, knew already and rejected."""
    found = json.loads(run.summary)
    return found["rows_read"], found["rows_added"], found["rows_duplicate"], found["rows_rejected"]


def quarantine(project: Project) -> list[tuple[str, int, str, str]]:
    """Return file, line, reason and text of every quarantined row."""
    rows = project.delta("bronze.events_quarantine").to_pyarrow_table().to_pylist()
    return sorted((r["file"], r["line"], r["reason"], r["raw"]) for r in rows)


def test_ingesting_again_without_new_files_starts_no_run(tmp_path: Path) -> None:
    project = built(tmp_path, days=2)
    before = project.fingerprint()

    assert project.open().ingest((), Ask(reason="test")) is None

    assert project.fingerprint() == before
    assert len(project.open().store.runs(10)) == 2


def test_the_same_rows_under_another_name_add_nothing(tmp_path: Path) -> None:
    """Item 85 of the catalogue of bad input."""
    project = built(tmp_path, days=4)
    before = project.rows("bronze.events")
    project.land("copy", [*history(4)[1:], *history(1)])

    run = project.ingest()

    assert counts(run) == (14, 0, 14, 0)
    assert project.rows("bronze.events") == before
    assert project.plan().is_empty


def test_a_file_that_grew_adds_only_what_is_new(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    project.land("a", history(2))
    project.ingest()
    project.land("a", [*history(2), event(900, 3)])

    run = project.ingest()

    assert counts(run) == (7, 1, 6, 0)
    assert project.rows("bronze.events") == project.expected()["bronze.events"]


def test_a_file_that_was_only_touched_adds_nothing(tmp_path: Path) -> None:
    project = built(tmp_path, days=2)
    os.utime(tmp_path / "landing" / "a.jsonl", (1, 1))

    run = project.ingest()

    assert counts(run)[1:] == (0, counts(run)[0], 0)
    assert project.plan().is_empty


def test_every_row_read_is_added_known_or_rejected(tmp_path: Path) -> None:
    project = built(tmp_path, days=2)
    project.land("b", [event(0, 0), event(900, 1), event(900, 1), "no json", '{"event_id": "x"}', "[]", event(901, 9)])

    run = project.ingest()

    assert counts(run) == (7, 2, 2, 3)
    assert project.rows("bronze.events") == project.expected()["bronze.events"]


def test_a_quarantined_row_says_why_and_where_it_stood(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    broken = {**event(2, 1), "event_time": "2026-02-30T00:00:00Z", "payload": "{}"}
    lines = [event(1, 0), "no json", json.dumps(broken), line_of(event(3, 1))[:-20]]
    project.land("a", lines)

    project.ingest()

    found = quarantine(project)
    assert [(file, line) for file, line, _, _ in found] == [("landing/a.jsonl", n) for n in (2, 3, 4)]
    assert "no JSON" in found[0][2]
    assert found[0][3] == "no json"
    assert "event_time" in found[1][2]
    assert "2026-02-30" in found[1][2]


def test_a_key_that_comes_with_other_content_is_quarantined_and_changes_nothing(tmp_path: Path) -> None:
    project = built(tmp_path, days=2)
    project.land("b", [event(0, 0, 9999)])

    run = project.ingest()

    assert counts(run) == (1, 0, 0, 1)
    assert "different content" in quarantine(project)[0][2]
    assert project.plan().is_empty


def test_late_rows_make_the_days_stale_on_which_their_events_happened(tmp_path: Path) -> None:
    project = built(tmp_path, days=10)
    project.land("late", [event(900, 2), event(901, 7), event(902, 7)])
    project.ingest()

    plan = project.plan("silver.events")

    (action,) = [a for a in plan.actions if a.dataset == "silver.events"]
    assert list(action.keys) == [day_at(2), day_at(7)]
    assert [r.detail for r in action.reasons] == ["+3 rows arrived in bronze.events"]


def test_late_rows_are_kept_in_the_partition_of_the_day_they_arrived(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    project.ticks += 3 * 1440
    project.land("late", [event(900, 1)])

    project.ingest()

    assert set(project.digests()["bronze.events"]) == {"2026-11-02", "2026-11-05"}


def test_an_event_is_filed_under_its_day_in_utc(tmp_path: Path) -> None:
    """Item 14."""
    project = write_project(tmp_path)
    moment = f"{FIRST_DAY.isoformat()}T23:30:00-05:00"
    project.land("a", [json.dumps({**json.loads(line_of(event(1, 0))), "event_time": moment})])
    project.ingest()

    project.run()

    assert list(project.digests()["silver.events"]) == [day_at(1)]


def test_gzip_is_read_by_what_it_is_and_not_by_its_name(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    path = project.land("a", history(3))
    packed = gzip.compress(path.read_bytes())
    (tmp_path / "landing" / "a.jsonl.gz").write_bytes(packed[:0] + packed)
    path.write_bytes(gzip.compress(b""))

    run = project.ingest()

    assert counts(run) == (9, 9, 0, 0)
    assert project.rows("bronze.events") == project.expected()["bronze.events"]


def test_a_file_that_feeds_two_datasets_is_ingested_into_both_by_one_run(tmp_path: Path) -> None:
    again = DATASETS.partition('bronze("events"')[2].partition("\n\n")[0]
    copied = {
        "datasets.py": f'{DATASETS}\n\nbronze("copies"{again}\n',
        "contracts/bronze.copies.yaml": FILES["contracts/bronze.events.yaml"],
    }
    project = write_project(tmp_path, copied)
    project.land("a", history(2))

    run = project.ingest()

    assert counts(run) == (12, 12, 0, 0)
    assert project.delta("bronze.copies").to_pyarrow_table().num_rows == 6


def bad_crc(packed: bytes) -> bytes:
    return packed[:-8] + bytes(4) + packed[-4:]


def cut_off(packed: bytes) -> bytes:
    return packed[: len(packed) // 2]


def flipped(packed: bytes) -> bytes:
    middle = len(packed) // 2
    return packed[:middle] + bytes([packed[middle] ^ 0x10]) + packed[middle + 1 :]


@pytest.mark.parametrize("harm", [bad_crc, cut_off, flipped])
def test_a_damaged_gzip_file_is_refused_whole_and_changes_nothing(tmp_path: Path, harm: object) -> None:
    """Item 80; the good file beside it waits, too."""
    assert callable(harm)
    project = built(tmp_path, days=3)
    before, parts = project.fingerprint(), project.parts()
    content = "".join(f"{line_of(event(900 + i, i % 9))}\n" for i in range(200)).encode()
    (tmp_path / "landing" / "b.jsonl").write_text(line_of(event(800, 1)) + "\n")
    (tmp_path / "landing" / "c.jsonl.gz").write_bytes(harm(gzip.compress(content)))

    with pytest.raises(SourceRejected, match=r"landing/c\.jsonl\.gz") as raised:
        project.ingest()

    assert raised.value.exit_code == 2
    assert project.fingerprint() == before
    project.give_up()
    assert project.parts() == parts


def test_after_the_damaged_file_is_replaced_the_ingest_resumes(tmp_path: Path) -> None:
    project = built(tmp_path, days=3)
    project.land("b", [event(800, 1)])
    damaged = tmp_path / "landing" / "c.jsonl.gz"
    damaged.write_bytes(cut_off(gzip.compress(line_of(event(801, 2)).encode())))
    with pytest.raises(SourceRejected):
        project.ingest()

    damaged.write_bytes(gzip.compress(line_of(event(801, 2)).encode()))
    project.lines.append(line_of(event(801, 2)))
    project.open().resume(project.outstanding()[0].run_id)
    project.run()

    assert project.tables() == project.expected()
    assert not project.outstanding()


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    """Item 78."""
    project = write_project(tmp_path)
    path = project.land("a", history(2))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))

    run = project.ingest()

    assert counts(run) == (6, 6, 0, 0)


def test_an_empty_file_is_ingested_once(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    project.land("a", [])

    run = project.ingest()

    assert counts(run) == (0, 0, 0, 0)
    assert project.open().ingest((), Ask(reason="test")) is None


def test_a_failed_ingest_that_is_resumed_after_another_one_adds_nothing_twice(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    project.land("a", history(3))
    with pytest.raises(Killed):
        armed(project.open(), Fuse(3, When.BEFORE)).ingest((), Ask(reason="test"))
    (first,) = project.outstanding()
    assert project.ingest().state == "succeeded"

    project.open().resume(first.run_id)

    assert not project.outstanding()
    assert project.rows("bronze.events") == project.expected()["bronze.events"]
    project.run()
    assert project.tables() == project.expected()


def test_of_two_ingests_at_once_the_second_looks_again(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    project.land("a", history(3))
    meddler = Meddled("intend", project.ingest)

    with pytest.raises(PublishConflict, match="another run added to it"):
        meddling(project.open(), meddler).ingest((), Ask(reason="test"))

    (run,) = project.outstanding()
    project.open().resume(run.run_id)
    assert project.rows("bronze.events") == project.expected()["bronze.events"]
