"""Extraction from an API: what lands, when the cursor moves, what a backfill may do, which days are absent.

Source: the norm of TradeX, sections 4.1, 6 and 7.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from remint.cli.main import cli
from remint.errors import InvalidRange, MissingCredential, RemintError, SourceAbsent, SourceUnavailable, UsageError
from remint.model.partition import DateRange
from remint.model.request import Ask, Extraction, Mode
from remint.model.run import RunState
from remint.store.values import CoverageKind
from tests.e2e.crashes import Fuse, Killed, When, armed
from tests.e2e.extracting import (
    CANARY,
    POSTS,
    SMALL,
    Extracting,
    Feed,
    Moods,
    Server,
    World,
    expected,
    extracting,
    told,
)
from tests.e2e.projects import FILES, Project, line_of, write_project
from tests.e2e.projects import event as an_event
from tests.e2e.test_ingest import counts
from tests.proof import proof, report, size

HALF = date(2026, 10, 25)
DOWN = date(2026, 10, 23)


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_TOKEN", CANARY)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Extracting]:
    """A project before its first extraction, and the whole feed."""
    with extracting(tmp_path / "p") as found:
        yield found


@contextmanager
def failing(server: Server, after: int) -> Iterator[None]:
    """Let the server refuse every page after the next ``after`` ones."""
    whole = server.trouble
    left = [after]

    def trouble() -> None:
        left[0] -= 1
        server.moods = Moods(limited_every=0, error_every=1 if left[0] < 0 else 0, slow_every=0)
        whole()

    server.requests = 10  # the first request is never refused
    server.trouble = trouble  # type: ignore[method-assign]
    try:
        yield
    finally:
        server.trouble = whole  # type: ignore[method-assign]
        server.moods = Moods(limited_every=0, error_every=0, slow_every=0)


def remint(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "remint", "-C", str(project.root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def call(project: Project, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["-C", str(project.root), *arguments])
    return result.exit_code, result.stdout, result.stderr


class TestIncremental:
    def test_the_whole_feed_lands_once(self, api: Extracting) -> None:
        run = api.ingest()

        read, added, known, rejected = counts(run)
        assert api.rows() == expected(told())
        assert (read, added) == (len(told()), len(expected(told())))
        assert known > 0
        assert rejected > 0

    def test_every_page_is_recorded_as_what_it_was_asked_as(self, api: Extracting) -> None:
        run = api.ingest()

        sources = api.project.open().store.source_files(POSTS)
        assert len(sources) == -(-len(told()) // 40) == json.loads(run.summary)["pages"]
        assert f"{api.server.url}?limit=40" in sources
        assert all(s.size_bytes and len(s.sha256) == 64 for s in sources.values())
        assert sum(s.rows_read for s in sources.values()) == len(told())

    def test_success_moves_the_cursor_and_says_so(self, api: Extracting) -> None:
        run = api.ingest()

        sources = api.project.open().store.source_files(POSTS)
        assert f"{api.server.url}?limit=40&cursor={api.watermark()}" in sources
        assert api.moves() == [(api.watermark(), run.run_id)]
        assert str(api.watermark()) in call(api.project, "show", POSTS)[1]
        assert run.run_id in call(api.project, "show", POSTS, "--watermarks")[1]

    def test_the_next_run_reads_on_from_the_cursor(self, tmp_path: Path) -> None:
        feed = Feed(SMALL, told_until=HALF)
        with extracting(tmp_path / "p", feed) as api:
            api.ingest()
            first, pages = api.watermark(), api.server.requests
            feed.advance(date.max)
            api.reset_requests()

            run = api.ingest()

            assert api.server.requests == -(-len(told()) // 40) - pages + 1
            assert api.rows() == expected(told())
            assert counts(run)[1] < len(expected(told()))
            assert [value for value, _ in api.moves()] == [first, api.watermark()]
            assert first != api.watermark()

    def test_nothing_new_adds_nothing_and_is_a_run_all_the_same(self, api: Extracting) -> None:
        api.ingest()
        before = api.project.versions(), api.project.parts(), api.moves()

        run = api.ingest()

        assert counts(run)[1] == 0
        assert run.state is RunState.SUCCEEDED
        assert (api.project.versions(), api.project.parts(), api.moves()) == before
        assert len(api.project.open().store.coverage(POSTS)) == 2

    def test_a_moody_server_changes_nothing_of_the_result(self, tmp_path: Path) -> None:
        moods = Moods(limited_every=7, retry_after_s=1, error_every=5, slow_every=2, slow_s=0.01)
        with extracting(tmp_path / "p", moods=moods, retries=6) as api:
            api.ingest()

            assert api.rows() == expected(told())

    def test_a_failed_run_does_not_move_the_cursor(self, tmp_path: Path) -> None:
        with extracting(tmp_path / "p", retries=0) as api:
            with failing(api.server, after=3), pytest.raises(SourceUnavailable, match="resume"):
                _hinted(api.ingest)

            assert api.watermark() is None
            assert not (api.project.folder(POSTS) / "_delta_log").exists()
            assert api.project.open().store.coverage(POSTS) == []
            assert [r.state for r in api.project.outstanding()] == [RunState.FAILED]

    def test_resume_reads_the_pages_that_are_missing_and_no_other(self, tmp_path: Path) -> None:
        with extracting(tmp_path / "p", retries=0) as api:
            with failing(api.server, after=3), pytest.raises(SourceUnavailable):
                api.ingest()
            api.reset_requests()

            run = api.project.open().resume(api.project.outstanding()[0].run_id)

            assert api.server.requests == -(-len(told()) // 40) - 3
            assert api.rows() == expected(told())
            assert api.moves() == [(api.watermark(), run.run_id)]
            assert counts(run)[0] == len(told())

    def test_a_page_that_changed_before_the_resume_is_no_matter(self, tmp_path: Path) -> None:
        """The last page read had not ended; it has grown when the run goes on."""
        feed = Feed(SMALL, told_until=HALF)
        with extracting(tmp_path / "p", feed, retries=0) as api:
            with failing(api.server, after=2), pytest.raises(SourceUnavailable):
                api.ingest()
            feed.advance(date.max)

            api.project.open().resume(api.project.outstanding()[0].run_id)

            assert api.rows() == expected(told())

    def test_a_failed_run_that_is_given_up_leaves_nothing(self, tmp_path: Path) -> None:
        with extracting(tmp_path / "p", retries=0) as api:
            with failing(api.server, after=3), pytest.raises(SourceUnavailable):
                api.ingest()

            api.project.give_up()

            assert api.project.parts() == set()
            assert api.watermark() is None
            assert api.ingest().state is RunState.SUCCEEDED

    def test_a_cursor_that_another_run_moved_meanwhile_stays(self, tmp_path: Path) -> None:
        """A run that stopped before, and ends after, must not take the cursor back."""
        feed = Feed(SMALL, told_until=HALF)
        with extracting(tmp_path / "p", feed, retries=0) as api:
            api.ingest()
            api.server.requests = 1
            with failing(api.server, after=0), pytest.raises(SourceUnavailable):
                api.ingest()
            stopped = api.project.outstanding()[0].run_id
            feed.advance(date.max)
            last = api.ingest()

            api.project.open().resume(stopped)

            assert api.moves()[-1][1] == last.run_id
            assert api.rows() == expected(told())


def _hinted(act: Callable[[], Any]) -> None:
    """Raise what ``act`` raises with its hint in the message, so that a match sees both."""
    try:
        act()
    except RemintError as error:
        error.args = (f"{error.message} {error.hint}",)
        raise


@proof
@pytest.mark.slow
@pytest.mark.parametrize("when", When)
def test_a_run_killed_at_any_step_is_resumed_to_the_same_end(tmp_path: Path, when: When) -> None:
    """Between any two pages, within one, and while the tables are published; no page is skipped."""
    world = World(days=3, posts_a_day=30, first_day=SMALL.first_day)
    pages = -(-len(told(world)) // 40)
    points = range(0, len(calls_of(tmp_path / "whole", world)), size(3, 1))
    for at in points:
        with extracting(tmp_path / f"{at}", Feed(world)) as api:
            fuse = Fuse(at, when)
            with pytest.raises(Killed):
                armed(api.project.open(), fuse).ingest((), Ask(reason="test"))
            for run in api.project.outstanding():
                api.project.open().resume(run.run_id)
            if not api.moves():
                api.ingest()  # killed before the run was recorded

            assert api.rows() == expected(told(world)), fuse.calls[at:]
            assert len(api.moves()) == 1
            assert pages <= api.server.requests <= pages + 1
            assert not api.project.outstanding()
    report("steps", cases=len(points), part=f"extraction-{when}")


def calls_of(root: Path, world: World) -> list[str]:
    """Return what an ingest changes, call by call."""
    with extracting(root, Feed(world)) as api:
        fuse = Fuse(10_000, When.BEFORE)
        armed(api.project.open(), fuse).ingest((), Ask(reason="test"))
    assert fuse.calls.count("ingest") == 3, fuse.calls
    return fuse.calls


@pytest.mark.slow
def test_a_process_killed_between_pages_is_resumed(tmp_path: Path) -> None:
    moods = Moods(limited_every=0, error_every=0, slow_every=1, slow_s=0.3)
    with extracting(tmp_path / "p", moods=moods) as api:
        command = [sys.executable, "-m", "remint", "-C", str(api.project.root), "ingest"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while api.server.requests < 4:
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert api.watermark() is None
        (run,) = api.project.outstanding()

        answer = remint(api.project, "resume", run.run_id)

        assert answer.returncode == 0, answer.stderr
        assert api.rows() == expected(told())
        assert api.moves() == [(api.watermark(), run.run_id)]


class TestBackfill:
    def test_it_is_a_formal_run_that_moves_no_cursor(self, api: Extracting) -> None:
        first = api.ingest()
        before = api.moves()

        code, out, err = call(
            api.project, "ingest", POSTS, "--range", "2026-10-21..2026-10-22", "--no-override-state", "--reason", "lag"
        )

        assert (code, err.count("staged")) == (0, 2), err
        assert "0 added" in out
        assert api.moves() == before
        store = api.project.open().store
        run = store.runs(1)[0]
        assert run.run_id != first.run_id
        assert (run.mode, run.override_state, run.reason) == ("backfill", False, "lag")
        entry = store.audit(1)[0].entry
        assert (entry.mode, entry.override_state, entry.run_id) == ("backfill", False, run.run_id)

    def test_a_range_brings_every_version_of_its_days_and_no_other(self, api: Extracting) -> None:
        run = api.backfill(range="2026-10-21..2026-10-22")

        days = {date(2026, 10, 21), date(2026, 10, 22)}
        assert api.rows() == expected(e.item for e in SMALL.entries if e.day in days)
        assert api.watermark() is None
        assert json.loads(run.summary)["pages"] >= 2

    def test_again_it_adds_nothing_twice(self, api: Extracting) -> None:
        read, added, _, rejected = counts(api.backfill(range="2026-10-21..2026-10-24"))
        before = api.rows(), api.project.parts()

        again = api.backfill(range="2026-10-21..2026-10-24")

        assert counts(again) == (read, 0, read, 0)
        assert added > 0
        assert rejected > 0
        assert (api.rows(), api.project.parts()) == before

    def test_it_does_not_disturb_the_increments_that_follow(self, tmp_path: Path) -> None:
        feed = Feed(SMALL, told_until=HALF)
        with extracting(tmp_path / "p", feed) as api:
            api.ingest()
            feed.advance(date.max)
            api.backfill(range="2026-10-20..2026-10-27")

            api.ingest()

            assert api.rows() == expected(told())

    def test_cursors_name_where_it_begins_and_stops(self, api: Extracting, tmp_path: Path) -> None:
        with extracting(tmp_path / "other") as other:
            other.ingest()
            cursors = self.cursors(other)

        run = api.backfill(from_cursor=cursors[1], to_cursor=cursors[3])

        assert api.server.requests == 2
        assert api.rows() == expected(told()[40:120])
        assert api.watermark() is None
        (asked,) = api.project.open().store.coverage(POSTS)
        assert (asked.kind, asked.start, asked.end) == (CoverageKind.CURSORS, cursors[1], cursors[3])
        assert asked.run_id == run.run_id

    def test_it_may_begin_at_the_state_without_moving_it(self, tmp_path: Path) -> None:
        feed = Feed(SMALL, told_until=HALF)
        with extracting(tmp_path / "p", feed) as api:
            api.ingest()
            before = api.moves()
            feed.advance(date.max)

            api.backfill(from_state=True)

            assert api.rows() == expected(told())
            assert api.moves() == before

    def test_declared_it_sets_the_cursor_back_and_the_next_run_reads_on_from_there(self, api: Extracting) -> None:
        api.ingest()
        cursors = self.cursors(api)

        run = api.backfill(to_cursor=cursors[2], override_state=True)

        assert run.override_state
        assert api.watermark() == cursors[2]
        assert api.moves()[-1] == (cursors[2], run.run_id)
        api.reset_requests()
        api.ingest()
        assert api.server.requests == len(cursors) - 2
        assert [value for value, _ in api.moves()] == [cursors[-1], cursors[2], cursors[-1]]

    def cursors(self, api: Extracting) -> list[str]:
        """Return the cursor of every page, in order; that of the first one is empty."""
        entries = api.project.open().store.journal(api.project.open().store.runs(1)[0].run_id)
        return [e.payload["place"]["cursor"] or "" for e in entries if "place" in e.payload]


def _files_of(project: Project) -> dict[str, str | None]:
    kept = ("datasets.py", "sql/posts.sql", "contracts/bronze.x_posts.yaml", "contracts/silver.x_posts.yaml")
    return {**dict.fromkeys(FILES), "remint.toml": None} | {
        name: (project.root / name).read_text() for name in ("remint.toml", *kept)
    }


class TestRefusals:
    @pytest.mark.parametrize(
        ("asked", "found"),
        [
            (["--range", "2026-10-21", "--from-cursor", "x"], "exclude each other"),
            (["--range", "2026-10-21", "--override-state"], "exclude each other"),
            (["--mode", "incremental", "--range", "2026-10-21"], "belong to a backfill"),
            (["--mode", "incremental", "--from-cursor", "x"], "belong to a backfill"),
            (["--override-state"], "belong to a backfill"),
            (["--from-state", "--from-cursor", "x"], "both say where to begin"),
            (["--from-cursor", "x", "--to-cursor", "x"], "name no page"),
            (["--range", "2026-10-22..2026-10-21"], "runs backwards"),
            (["--range", "2026-10-21..2099-01-01"], "ends after today"),
        ],
    )
    def test_what_cannot_be_meant_starts_no_run(self, api: Extracting, asked: list[str], found: str) -> None:
        code, _, err = call(api.project, "ingest", *asked, "--reason", "test")

        assert code == 2
        assert found in err
        assert "next:" in err
        assert api.project.open().store.runs(1) == []
        assert api.server.requests == 0

    def test_a_backfill_needs_a_reason(self, api: Extracting) -> None:
        code, _, err = call(api.project, "ingest", "--range", "2026-10-21")

        assert code == 2
        assert "needs a reason" in err

    def test_cursors_of_files_and_of_two_sources_are_refused(self, api: Extracting) -> None:
        workspace = write_project(api.project.root.parent / "files").open()

        with pytest.raises(UsageError, match=r"belong to one source of pages; selected: bronze\.events"):
            workspace.ingest((), Ask(reason="test"), Extraction(mode=Mode.BACKFILL, from_cursor="x"))
        with pytest.raises(UsageError, match="does not go by days"):
            workspace.ingest((), Ask(reason="test"), _ranged("2026-10-21"))

    def test_an_unknown_cursor_is_refused_by_the_api_in_words(self, api: Extracting) -> None:
        code, _, err = call(api.project, "ingest", "--from-cursor", "nonsense", "--reason", "test")

        assert code == 2
        assert "400 Bad Request" in err
        assert "cursor may be unknown" in err

    def test_today_is_not_covered_before_it_has_ended(self, api: Extracting) -> None:
        """The clock of the test stands at noon of 2 November."""
        api.backfill(range="2026-11-01..2026-11-02")

        days = [c for c in api.project.open().store.coverage(POSTS) if c.kind is CoverageKind.DAYS]
        assert [(c.start, c.end, c.rows) for c in days] == [("2026-11-01", "2026-11-02", 0)]
        with pytest.raises(InvalidRange, match="ends after today"):
            api.backfill(range="2026-11-03")


def _ranged(text: str) -> Extraction:
    return Extraction(mode=Mode.BACKFILL, range=DateRange.parse(text))


class TestCredentials:
    def test_a_missing_one_starts_no_run(self, api: Extracting, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("X_TOKEN")

        with pytest.raises(MissingCredential, match="X_TOKEN, which headers_env= names, is not set"):
            api.ingest()

        assert api.project.open().store.runs(1) == []
        assert api.server.requests == 0

    def test_none_is_written_or_shown_whatever_happens(
        self, api: Extracting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG")
        shown = [call(api.project, "ingest", "--json"), call(api.project, "run", "--json")]
        with failing(api.server, after=0):
            shown.append(call(api.project, "ingest"))
        api.server.token = "another"
        shown.append(call(api.project, "resume", api.project.outstanding()[0].run_id))
        shown += [call(api.project, verb, "--json") for verb in ("status", "audit", "runs")]
        shown.append(call(api.project, "show", POSTS, "--json"))

        assert [code for code, _, _ in shown] == [0, 0, 1, 2, 0, 0, 0, 0]
        assert CANARY not in str(shown) + caplog.text
        files = [p for p in api.project.root.rglob("*") if p.is_file()]
        assert len(files) > 20
        assert [p for p in files if CANARY.encode() in p.read_bytes()] == []
        assert any(p.name == "state.db" for p in files)
        dump = "".join(sqlite3.connect(api.project.root / ".remint" / "state.db").iterdump())
        assert "x_posts" in dump
        assert CANARY not in dump


class TestAbsence:
    def test_a_day_that_never_came_is_absent_until_it_does(self, tmp_path: Path) -> None:
        feed = Feed(SMALL, outage=[DOWN])
        with extracting(tmp_path / "p", feed, retries=0) as api:
            api.ingest()
            api.project.run()
            assert "source absent: bronze.x_posts 2026-10-23" in call(api.project, "status")[1]
            with pytest.raises(SourceUnavailable, match="503"):
                api.backfill(range="2026-10-22..2026-10-24")
            api.project.give_up()

            with pytest.raises(SourceAbsent, match=r"never delivered: bronze\.x_posts 2026-10-23") as caught:
                api.project.plan(span="2026-10-22..2026-10-24", rebuild=True)
            assert caught.value.code == "RM304"
            span = ("--range", "2026-10-22..2026-10-24", "--no-override-state")
            code, out, _ = call(api.project, "plan", *span, "--rebuild", "--allow-absent", "--reason", "x")
            assert code == 0, out

            feed.release(DOWN)
            run = api.ingest()

            assert counts(run)[1] > 15
            assert api.rows() == expected(told())
            assert "source absent" not in call(api.project, "status")[1]
            late = next(a for a in api.project.plan().actions if a.dataset == "silver.x_posts")
            assert "2026-10-23" in late.keys

    def test_a_day_without_rows_that_was_asked_for_is_empty_and_not_absent(self, api: Extracting) -> None:
        """Before the first post there are none; asked by name, those days are known to be empty."""
        api.ingest()

        code, out, _ = call(api.project, "ingest", "--range", "2026-10-15..2026-10-16", "--reason", "check", "--json")

        assert code == 0
        assert json.loads(out)["source_absent"] == {POSTS: ["2026-10-17..2026-10-19"]}
        days = [c for c in api.project.open().store.coverage(POSTS) if c.kind is CoverageKind.DAYS]
        assert [(c.start, c.end, c.rows) for c in days] == [
            ("2026-10-15", "2026-10-16", 0),
            ("2026-10-16", "2026-10-17", 0),
        ]

    def test_an_empty_file_is_an_empty_day_and_no_file_an_absent_one(self, tmp_path: Path) -> None:
        project = _daily(tmp_path)
        _land(project, "2026-10-01", 3)
        _land(project, "2026-10-02", 0)
        _land(project, "2026-10-05", 2)

        code, out, _ = call(project, "ingest")

        assert code == 0
        assert "source absent: bronze.events 2026-10-03..2026-10-04" in out
        days = project.open().store.coverage("bronze.events")
        assert [(c.start, c.end, c.rows) for c in days] == [
            ("2026-10-01", "2026-10-02", 3),
            ("2026-10-02", "2026-10-03", 0),
            ("2026-10-05", "2026-10-06", 2),
        ]

    def test_the_file_that_was_missing_fills_the_gap(self, tmp_path: Path) -> None:
        project = _daily(tmp_path)
        _land(project, "2026-10-01", 3)
        _land(project, "2026-10-03", 3)
        project.ingest()
        _land(project, "2026-10-02", 0)

        code, out, _ = call(project, "ingest", "--json")

        assert code == 0
        assert json.loads(out)["source_absent"] == {}

    def test_a_range_takes_the_files_of_its_days(self, tmp_path: Path) -> None:
        project = _daily(tmp_path)
        for day in ("2026-10-01", "2026-10-02", "2026-10-03"):
            _land(project, day, 2)

        run = project.open().ingest((), Ask(reason="test"), _ranged("2026-10-02"))

        assert run is not None
        assert counts(run) == (2, 2, 0, 0)
        assert run.mode == "backfill"

    def test_a_file_of_a_day_that_is_not_in_the_calendar_is_refused(self, tmp_path: Path) -> None:
        project = _daily(tmp_path)
        _land(project, "2026-02-30", 1)

        code, _, err = call(project, "ingest")

        assert code == 2
        assert "landing/2026-02-30/a.jsonl: expected a day of the calendar" in err


def _daily(root: Path) -> Project:
    project = write_project(root)
    project.edit("datasets.py", "landing/*.jsonl*", "landing/{date}/*.jsonl")
    return project


def _land(project: Project, day: str, rows: int) -> None:
    folder = project.root / "landing" / day
    folder.mkdir(parents=True)
    number = int(day.replace("-", "")) * 100
    (folder / "a.jsonl").write_text("".join(f"{line_of(an_event(number + n, 0))}\n" for n in range(rows)))
