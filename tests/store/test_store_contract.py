"""What a store does on every database: runs, journal, ledger, arrivals, watermarks, audit log, approvals, timings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from store_values import (
    AT,
    USAGE,
    a_record,
    a_run,
    a_source_file,
    a_timing,
    an_approval,
    an_arrival,
    an_entry,
    an_outcome,
    succeed,
)

from remint.errors import (
    ApprovalExpired,
    ApprovalMissing,
    ApprovalUsed,
    NotResumable,
    PlanUsed,
    PublishConflict,
    RemintError,
    RunAtWork,
    StoreBusy,
    StoreError,
    Superseded,
    TooManyRuns,
    UnknownRun,
)
from remint.model.dataset import Logic, LogicVersion
from remint.model.digest import ContentDigest
from remint.model.lease import Holder
from remint.model.provenance import TableState
from remint.model.run import RunKind, RunState, StepKind
from remint.store.sql_store import open_store
from remint.store.values import Admission, AuditStatus, Claim, Coverage, CoverageKind, CursorMove


class TestRuns:
    def test_a_run_reads_back_as_it_was_created(self, store):
        run = a_run(summary='{"datasets": 2}', override_state=True, error="no", ended_at=AT)

        store.create_run(run, '{"plan": 1}')

        assert store.run("run-1") == run
        assert store.plan_json("run-1") == '{"plan": 1}'
        assert store.run_of_plan("plan-of-run-1") == run

    def test_a_run_without_a_plan_has_none(self, store):
        store.create_run(a_run(plan_id=None))

        assert store.plan_json("run-1") is None
        assert store.run_of_plan("plan-of-run-1") is None

    def test_a_run_is_created_once(self, store):
        store.create_run(a_run(plan_id=None))

        with pytest.raises(StoreError):
            store.create_run(a_run(plan_id=None), audit=an_entry())

        assert store.audit(10) == []

    def test_a_prefix_that_only_one_id_has_is_enough(self, store):
        store.create_run(a_run("20261014-abc"))
        store.create_run(a_run("20261014-xyz"))

        assert store.run("20261014-a").run_id == "20261014-abc"

    def test_an_id_that_is_the_prefix_of_another_is_found(self, store):
        store.create_run(a_run("run-1"))
        store.create_run(a_run("run-11"))

        assert store.run("run-1").run_id == "run-1"

    def test_a_prefix_of_several_ids_is_refused(self, store):
        store.create_run(a_run("20261014-abc"))
        store.create_run(a_run("20261014-xyz"))

        with pytest.raises(UnknownRun, match="20261014-abc, 20261014-xyz"):
            store.run("20261014")

    @pytest.mark.parametrize("typed", ["RUN-1", "run_1", "run%", "run-9", ""])
    def test_an_unknown_run_names_the_nearest(self, store, typed):
        store.create_run(a_run("run-1"))

        with pytest.raises(UnknownRun, match="the nearest are run-1"):
            store.run(typed)

    def test_in_an_empty_store_no_run_is_near(self, store):
        with pytest.raises(UnknownRun, match="there are no runs yet"):
            store.run("run-1")

    def test_runs_come_newest_first_and_by_state(self, store):
        for day in ("12", "14", "13"):
            store.create_run(a_run(f"run-{day}", started_at=f"2026-10-{day}T00:00:00Z"))
        store.set_state("run-13", RunState.FAILED, error="checks failed", ended_at=AT)

        assert [r.run_id for r in store.runs(2)] == ["run-14", "run-13"]
        assert [r.run_id for r in store.runs(9, [RunState.FAILED])] == ["run-13"]
        assert store.runs(9, []) == []

    def test_what_nobody_ended_is_outstanding_oldest_first(self, store):
        states = [RunState.FAILED, RunState.PUBLISHING, RunState.STAGING, RunState.ABANDONED]
        for number, state in enumerate(states):
            store.create_run(a_run(f"run-{number}", started_at=f"2026-10-1{9 - number}T00:00:00Z"))
            if state is not RunState.STAGING:
                store.set_state(f"run-{number}", state)
        succeed(store, "run-4")

        assert [r.run_id for r in store.outstanding()] == ["run-2", "run-1", "run-0"]

    def test_a_state_change_sets_error_and_end(self, store):
        store.create_run(a_run())

        store.set_state("run-1", RunState.FAILED, error="checks failed", ended_at=AT, audit=an_entry())
        failed = store.run("run-1")
        store.set_state("run-1", RunState.STAGING)

        assert (failed.state, failed.error, failed.ended_at) == (RunState.FAILED, "checks failed", AT)
        assert store.run("run-1") == a_run()
        assert len(store.audit(10)) == 1

    def test_a_step_that_is_not_allowed_changes_nothing(self, store, rows_of):
        store.create_run(a_run())
        store.set_state("run-1", RunState.PUBLISHING)
        before = rows_of()

        with pytest.raises(NotResumable, match="it cannot become abandoned"):
            store.abandon("run-1", an_entry(action="abandon"), AT)

        assert rows_of() == before

    def test_abandoning_is_audited(self, store):
        store.create_run(a_run())

        store.abandon("run-1", an_entry(action="abandon", status=AuditStatus.ABANDONED), AT)

        assert store.run("run-1").state is RunState.ABANDONED
        assert store.run("run-1").ended_at == AT
        assert store.audit(1)[0].entry.status is AuditStatus.ABANDONED

    def test_a_time_that_would_not_sort_is_refused(self, store):
        with pytest.raises(StoreError, match="is not UTC text"):
            store.create_run(a_run(started_at="2026-10-14 08:30:00+02:00"))


class TestJournal:
    def test_steps_read_back_in_order(self, store):
        store.create_run(a_run("run-1"))
        store.create_run(a_run("run-2"))

        store.journal_append("run-1", StepKind.STAGED, {"files": [a_record()], "rows": 3})
        store.journal_append("run-2", StepKind.STAGED, {})
        seq = store.journal_append("run-1", StepKind.PUBLISHED, {"version": 4})

        first, second = store.journal("run-1")
        assert (first.seq, first.kind, first.payload["rows"]) == (1, StepKind.STAGED, 3)
        assert first.payload["files"][0]["digest"] == a_record().digest
        assert (second.seq, second.kind, second.payload) == (2, StepKind.PUBLISHED, {"version": 4})
        assert seq == 2

    def test_an_unknown_run_has_no_journal(self, store):
        with pytest.raises(UnknownRun):
            store.journal_append("run-1", StepKind.STAGED, {})

        assert store.journal("run-1") == []

    def test_threads_may_share_a_store(self, store):
        store.create_run(a_run())

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda n: store.journal_append("run-1", StepKind.STAGED, {"n": n}), range(40)))

        assert [step.seq for step in store.journal("run-1")] == list(range(1, 41))


class TestLedger:
    def test_a_record_reads_back_as_it_was_published(self, store):
        record = a_record(inputs={"b": {"2": "y", "1": "x"}, "a": {}}, published=False)

        succeed(store, "run-1", record)

        assert store.records(USAGE) == {"2026-10-14": record}
        [stored] = store.records_of_run("run-1")
        assert (stored.seq, stored.recorded_at, stored.record) == (1, AT, record)
        assert store.inputs([1, 99]) == {1: record.inputs}

    def test_the_head_is_the_newest_record_of_a_unit(self, store):
        succeed(store, "run-1", a_record(), a_record("2026-10-15"))
        succeed(store, "run-2", a_record(run_id="run-2", digest="other", files=()))

        heads = store.heads([USAGE, "gold.none"])

        assert heads["gold.none"] == {}
        assert {key: (h.seq, h.run_id) for key, h in heads[USAGE].items()} == {
            "2026-10-14": (3, "run-2"),
            "2026-10-15": (2, "run-1"),
        }
        head, record = heads[USAGE]["2026-10-15"], a_record("2026-10-15")
        assert (head.key, head.fingerprint, head.logic) == (record.key, record.fingerprint, record.logic)
        assert (head.digest, head.rows, head.size_bytes) == (record.digest, 10, 1000)
        assert heads[USAGE]["2026-10-14"].rows == 0

    def test_two_records_of_one_unit_in_one_run_keep_their_order(self, store):
        succeed(store, "run-1", a_record(digest="first"), a_record(digest="second"))

        assert store.heads([USAGE])[USAGE]["2026-10-14"].digest == "second"

    def test_the_past_is_read_as_it_was(self, store):
        for number in (1, 2, 3):
            run = f"run-{number}"
            succeed(store, run, a_record(run_id=run, digest=run), a_record("2026-10-15", run, digest=run))

        then = store.records(USAGE, as_of_seq=store.last_seq_of_run("run-2"))

        assert {key: r.digest for key, r in then.items()} == {"2026-10-14": "run-2", "2026-10-15": "run-2"}
        assert store.records(USAGE, ["2026-10-15"], 3)["2026-10-15"].digest == "run-1"
        assert store.records(USAGE, as_of_seq=0) == {}

    def test_records_of_some_units_are_only_theirs(self, store):
        succeed(store, "run-1", *(a_record(str(n)) for n in range(1200)))

        found = store.records(USAGE, [str(n) for n in range(0, 1200, 2)])

        assert found == {str(n): a_record(str(n)) for n in range(0, 1200, 2)}
        assert store.records(USAGE, []) == {}

    def test_the_previous_record_of_a_unit(self, store):
        succeed(store, "run-1", a_record(), a_record("2026-10-15"))
        succeed(store, "run-2", a_record(run_id="run-2"))

        previous = store.previous_record(USAGE, "2026-10-14", 3)

        assert (previous.seq, previous.record) == (1, a_record())
        assert store.previous_record(USAGE, "2026-10-14", 1) is None

    def test_each_logic_version_is_entered_once(self, store):
        old = Logic(digest="d1", canonical="SELECT 1", canonicaliser="sqlglot 30")
        new = replace(old, digest="d2", canonical="SELECT 2")
        for run, (logic, version) in enumerate(((old, 1), (new, 2), (old, 1), (old, 3))):
            succeed(store, f"run-{run}", logics={USAGE: (logic, LogicVersion(number=version))})

        found = store.logics([USAGE, "gold.none"])

        assert [(r.number, r.digest, r.sql, r.canonicaliser) for r in found[USAGE]] == [
            (1, "d1", "SELECT 1", "sqlglot 30"),
            (2, "d2", "SELECT 2", "sqlglot 30"),
            (3, "d1", "SELECT 1", "sqlglot 30"),
        ]
        assert found["gold.none"] == ()

    def test_a_version_is_never_given_another_logic(self, store):
        first = Logic(digest="d1", canonical="SELECT 1", canonicaliser="sqlglot 30")
        succeed(store, "run-1", logics={USAGE: (first, LogicVersion())})

        with pytest.raises(StoreError, match="version 1 was published with another logic"):
            succeed(store, "run-2", logics={USAGE: (replace(first, digest="d2"), LogicVersion())})

        assert store.run("run-2").state is RunState.STAGING


class TestFinish:
    def test_a_finished_run_has_succeeded_and_made_a_release(self, store):
        release = succeed(store, "run-1", a_record(), summary='{"rows": 10}', versions={USAGE: 3})

        run = store.run("run-1")
        assert (run.state, run.summary, run.ended_at) == (RunState.SUCCEEDED, '{"rows": 10}', AT)
        assert store.releases() == [release]
        assert (release.run_id, release.last_seq, release.versions, release.created_at) == ("run-1", 1, {USAGE: 3}, AT)

    def test_finishing_twice_gives_the_same_release_and_writes_once(self, store, rows_of):
        first = succeed(store, "run-1", a_record(), versions={USAGE: 3})
        before = rows_of()

        again = store.finish(an_outcome(records=(a_record(),), fence={(USAGE, "2026-10-14"): None}))

        assert again == first
        assert rows_of() == before

    def test_a_release_carries_other_tables_on_and_never_steps_back(self, store):
        succeed(store, "run-1", versions={USAGE: 3, "gold.a": 7})
        release = succeed(store, "run-2", versions={USAGE: 4, "gold.a": 6})

        assert release.versions == {USAGE: 4, "gold.a": 7}
        assert release.release_id != store.releases()[0].release_id

    def test_a_table_that_was_made_anew_has_the_version_that_it_really_has(self, store):
        succeed(store, "run-1", a_record(), versions={USAGE: 9, "gold.a": 7})

        first = succeed(store, "run-2", versions={USAGE: 2}, began_again={USAGE: 9})
        slower = succeed(store, "run-3", versions={USAGE: 1}, began_again={USAGE: 9})

        assert first.versions == slower.versions == {USAGE: 2, "gold.a": 7}

    def test_the_state_of_a_table_that_was_seen_is_the_last_one_of_any_version(self, store):
        first, again, other = (TableState(version=v, table_id="t", mark=m) for v, m in ((9, "a"), (2, "b"), (7, "c")))
        succeed(store, "run-1", tables_seen={USAGE: first, "gold.a": other})

        store.account_for({USAGE: again})
        store.account_for({})

        assert store.tables_seen() == {USAGE: again, "gold.a": other}

    def test_a_run_without_a_release_has_no_last_seq(self, store):
        succeed(store, "run-1", a_record())
        succeed(store, "run-2")
        store.create_run(a_run("run-3"))

        assert [store.last_seq_of_run(f"run-{n}") for n in (1, 2, 3)] == [1, 1, None]

    @pytest.mark.parametrize("expected", [None, 2, 17])
    def test_a_head_that_moved_is_a_conflict_and_nothing_is_written(self, store, rows_of, expected):
        succeed(store, "run-1", a_record())
        store.create_run(a_run("run-2"))
        before = rows_of()

        with pytest.raises(PublishConflict, match=r"silver.api_usage 2026-10-14: expected .*, found ledger record 1"):
            store.finish(
                an_outcome("run-2", records=(a_record(run_id="run-2"),), fence={(USAGE, "2026-10-14"): expected})
            )

        assert rows_of() == before

    def test_a_conflict_names_twenty_units_and_counts_the_rest(self, store):
        store.create_run(a_run())

        with pytest.raises(PublishConflict, match=r"25 partition\(s\)[\s\S]*found no record[\s\S]*and 5 more"):
            store.finish(an_outcome(fence={(USAGE, f"{n:02d}"): 1 for n in range(25)}))

    def test_heads_as_expected_are_no_conflict(self, store):
        succeed(store, "run-1", a_record())
        fence = {(USAGE, "2026-10-14"): 1, (USAGE, "2026-10-15"): None}

        succeed(store, "run-2", a_record(run_id="run-2"), fence=fence)

        assert store.heads([USAGE])[USAGE]["2026-10-14"].run_id == "run-2"

    @pytest.mark.parametrize(
        "bad",
        [
            {"records": (a_record("2026-10-15"), a_record("2026-10-16", digest=None))},
            {"logics": {USAGE: (Logic(digest="d", canonical=None, canonicaliser="c"), LogicVersion())}},
            {"arrivals": {"bronze.raw": (an_arrival("a", "k"), an_arrival("a", "k"))}},
            {"source_files": (a_source_file(sha256=None),)},
            {"tables_seen": {USAGE: TableState(version=3, table_id="t", mark=None)}},
            {"rolled_back": (an_entry("run-0"),)},
            {"audit": an_entry(reason=None)},
            {"audit": an_entry(at="yesterday")},
        ],
        ids="-".join,
    )
    def test_one_bad_part_leaves_everything_as_it_was(self, store, rows_of, bad):
        store.create_run(a_run())
        good = an_outcome(
            records=(a_record(),),
            arrivals={"bronze.raw": (an_arrival("b", "k"),)},
            source_files=(a_source_file(),),
            versions={USAGE: 3},
            tables_seen={USAGE: TableState(version=3, table_id="t", mark="m")},
            watermarks={USAGE: "2026-10-14"},
        )
        before = rows_of()

        with pytest.raises(RemintError):
            store.finish(replace(good, **bad))

        assert rows_of() == before
        assert store.finish(good).run_id == "run-1"

    def test_an_outcome_speaks_for_one_run(self):
        with pytest.raises(ValueError, match="speaks for other runs"):
            an_outcome("run-1", records=(a_record(run_id="run-2"),))

    def test_only_a_run_that_may_succeed_is_finished(self, store):
        store.create_run(a_run())
        store.set_state("run-1", RunState.FAILED)

        with pytest.raises(NotResumable):
            store.finish(an_outcome())
        with pytest.raises(UnknownRun):
            store.finish(an_outcome("run-2"))

    def test_a_rollback_marks_what_it_undid(self, store):
        succeed(store, "run-1", a_record())

        gone = a_record(run_id="run-2", fingerprint="", files=())
        store.create_run(a_run("run-2", of_run="run-1"))
        store.finish(
            an_outcome("run-2", records=(gone,), rolled_back=(an_entry("run-1", status=AuditStatus.ROLLED_BACK),))
        )

        assert store.run("run-1").state is RunState.ROLLED_BACK
        assert store.run("run-2").of_run == "run-1"
        assert [(r.entry.run_id, r.entry.status) for r in store.audit(2)][1] == ("run-1", AuditStatus.ROLLED_BACK)
        assert store.heads([USAGE])[USAGE]["2026-10-14"].is_missing


class TestWriters:
    def test_one_that_waited_too_long_says_so_and_reading_goes_on(self, store, url, tmp_path):
        with open_store(url, tmp_path, busy_timeout_s=0.1) as other, store._writing():
            with pytest.raises(StoreBusy, match="another process is writing") as raised:
                other.create_run(a_run())
            assert other.runs(1) == []

        assert raised.value.retryable
        store.create_run(a_run())


class TestArrivals:
    def test_arrivals_add_up_over_files_and_runs(self, store):
        top = 2**64 - 1
        succeed(store, "run-1", arrivals={"bronze.raw": (an_arrival("a", "k1", top), an_arrival("b", "k1", 5))})
        succeed(store, "run-2", arrivals={"bronze.raw": (an_arrival("c", "k1", 9), an_arrival("c", "k2", 1))})

        found = store.arrivals("bronze.raw")

        assert {key: content.files for key, content in found.items()} == {"k1": 3, "k2": 1}
        parts = [ContentDigest("s", 2, n, n) for n in (top, 5, 9)]
        assert found["k1"].digest == ContentDigest.combine("s", parts)

    def test_what_was_counted_under_two_schemes_is_known_under_the_names_of_both(self, store):
        both = (an_arrival("a", "k", 3, "s"), an_arrival("b", "k", 4, "t"))
        succeed(store, "run-1", arrivals={"bronze.raw": both, "bronze.other": both[:1]})

        assert store.arrivals("bronze.raw")["k"].digest == ContentDigest("s+t", 4, 7, 7)
        assert store.arrivals("bronze.raw")["k"].files == 2
        assert store.arrivals("bronze.other")["k"].digest == ContentDigest("s", 2, 3, 3)

    def test_rows_count_for_other_event_keys_in_any_later_run(self, store):
        succeed(store, "run-1", arrivals={"bronze.raw": (an_arrival("a", "k1", 3),)})
        for run, file in ("run-2", "b"), ("run-3", "c"):
            new = (
                an_arrival(file, "k2", 5),
                an_arrival(file, "k1", 5, is_rival=True),
                an_arrival("a", "k2", 3, is_rival=True),
            )
            succeed(store, run, arrivals={"bronze.raw": new})

        found = store.arrivals("bronze.raw")

        assert {key: (content.digest.rows, content.files) for key, content in found.items()} == {
            "k1": (6, 1),
            "k2": (8, 2),
        }
        assert store.arrival_files("bronze.raw", ["k2"]) == ["b", "c"]
        assert store.arrival_files("bronze.raw", ["k2"], rivals=True) == ["a"]
        assert store.arrival_files("bronze.raw", ["k1"], rivals=True) == ["b", "c"]

    def test_every_path_that_was_ever_published_is_known(self, store):
        succeed(store, "run-1", a_record())
        succeed(store, "run-2", a_record(run_id="run-2", files=()))

        assert store.paths_ever(USAGE) == {f.path for f in a_record().files}

    def test_files_that_hold_rows_of_event_keys(self, store):
        arrived = (an_arrival("b", "k1"), an_arrival("a", "k1"), an_arrival("c", "k2"), an_arrival("a", "k2"))
        succeed(store, "run-1", arrivals={"bronze.raw": arrived})

        assert store.arrival_files("bronze.raw", ["k1"]) == ["a", "b"]
        assert store.arrival_files("bronze.raw", ["k1", "k2", "k3"]) == ["a", "b", "c"]
        assert store.arrival_files("bronze.raw", []) == []

    def test_a_source_file_that_comes_again_shows_its_newest_record(self, store):
        succeed(store, "run-1", source_files=(a_source_file(), a_source_file("inbox/b.jsonl")))
        again = a_source_file(run_id="run-2", rows_added=0)
        succeed(store, "run-2", source_files=(again,))

        found = store.source_files("bronze.raw")

        assert found == {"inbox/a.jsonl": again, "inbox/b.jsonl": a_source_file("inbox/b.jsonl")}


class TestWatermarks:
    def move(self, store, run_id, value, **changes):
        store.create_run(a_run(run_id, **changes))
        store.finish(an_outcome(run_id, watermarks={USAGE: value}))

    def test_success_of_an_incremental_run_moves_it_forward(self, store):
        self.move(store, "run-1", "2026-10-14")
        self.move(store, "run-2", "2026-10-15")

        assert store.watermarks() == {USAGE: "2026-10-15"}
        moves = store.watermark_history(USAGE)
        assert [(m.dataset, m.value, m.run_id, m.moved_at) for m in moves] == [
            (USAGE, "2026-10-14", "run-1", AT),
            (USAGE, "2026-10-15", "run-2", AT),
        ]

    @pytest.mark.parametrize("value", ["2026-10-13", "2026-10-14"])
    def test_late_work_leaves_it_where_it_stands(self, store, value):
        self.move(store, "run-1", "2026-10-14")
        self.move(store, "run-2", value)

        assert [m.run_id for m in store.watermark_history(USAGE)] == ["run-1"]

    def test_a_backfill_moves_none(self, store, rows_of):
        store.create_run(a_run(mode="backfill"))
        before = rows_of()

        with pytest.raises(StoreError, match="may not move watermarks"):
            store.finish(an_outcome(records=(a_record(),), watermarks={USAGE: "2026-10-14"}))

        assert rows_of() == before

    def test_an_override_moves_it_back(self, store):
        self.move(store, "run-1", "2026-10-14")
        self.move(store, "run-2", "2026-10-01", mode="backfill", override_state=True)

        assert store.watermarks() == {USAGE: "2026-10-01"}


class TestCursors:
    def move(self, store, run_id, began_at, value, **changes):
        store.create_run(a_run(run_id, **changes))
        store.finish(an_outcome(run_id, cursors={USAGE: CursorMove(began_at=began_at, value=value)}))

    def test_they_are_set_and_not_compared(self, store):
        self.move(store, "run-1", None, "zzz")
        self.move(store, "run-2", "zzz", "aaa")

        assert store.watermarks() == {USAGE: "aaa"}
        assert [m.value for m in store.watermark_history(USAGE)] == ["zzz", "aaa"]

    def test_one_that_moved_since_the_run_began_stays(self, store):
        self.move(store, "run-1", None, "b")
        self.move(store, "run-2", None, "a")

        assert [m.run_id for m in store.watermark_history(USAGE)] == ["run-1"]

    def test_one_that_stays_where_it_is_does_not_count_as_a_move(self, store):
        self.move(store, "run-1", None, "a")
        self.move(store, "run-2", "a", "a")

        assert [m.run_id for m in store.watermark_history(USAGE)] == ["run-1"]

    def test_a_backfill_sets_none(self, store, rows_of):
        store.create_run(a_run(mode="backfill"))
        before = rows_of()

        with pytest.raises(StoreError, match="may not move watermarks"):
            store.finish(an_outcome(cursors={USAGE: CursorMove(began_at=None, value="a")}))

        assert rows_of() == before

    def test_an_override_sets_it_from_wherever_it_stands(self, store):
        self.move(store, "run-1", None, "b")
        self.move(store, "run-2", None, "a", mode="backfill", override_state=True)

        assert store.watermarks() == {USAGE: "a"}


class TestCoverage:
    def test_what_was_asked_for_reads_back_without_rows_too(self, store):
        found = [
            Coverage(
                dataset=USAGE, kind=CoverageKind.DAYS, start="2026-10-14", end="2026-10-15", rows=n, run_id="run-1"
            )
            for n in (0, 7)
        ]
        store.create_run(a_run())
        store.finish(an_outcome(coverage=tuple(found)))

        assert store.coverage(USAGE) == found
        assert store.coverage("silver.other") == []

    def test_what_an_ingest_asks_for_stands_in_the_journal_from_the_first_moment(self, store):
        store.create_run(a_run(kind=RunKind.INGEST), admission=Admission(begun={"datasets": ["bronze.raw"]}))

        (step,) = store.journal("run-1")
        assert (step.seq, step.kind, step.payload) == (1, StepKind.INGEST_BEGUN, {"datasets": ["bronze.raw"]})
        assert store.journal_append("run-1", StepKind.INGEST_STAGED, {}) == 2


class TestAuditLog:
    def test_entries_read_back_newest_first(self, store):
        first = an_entry(status=AuditStatus.STARTED, override_state=True)
        store.create_run(a_run(), audit=first)
        store.finish(an_outcome())

        newest, oldest = store.audit(10)

        assert (newest.seq, newest.entry) == (2, an_entry())
        assert (oldest.seq, oldest.entry) == (1, first)
        assert len(store.audit(1)) == 1

    def test_the_entries_about_one_run_come_oldest_first(self, store):
        for run_id in ("run-1", "run-2"):
            store.create_run(a_run(run_id), audit=an_entry(run_id, status=AuditStatus.STARTED))
        store.log(an_entry(action="alert"))

        assert [r.entry.action for r in store.audit_of("run-1")] == ["apply", "alert"]
        assert store.audit_of("run-3") == []


class TestApprovals:
    needed = Admission(needs_approval=("it is forced",))

    def test_a_grant_reads_back_with_its_entry(self, store):
        entry = an_entry(None, action="approve", actor="bea")
        store.grant(an_approval(), entry)
        store.grant(an_approval("p-2"), an_entry(None))

        assert store.approvals_of("plan-of-run-1") == [an_approval()]
        assert [a.plan_id for a in store.approvals(10)] == ["p-2", "plan-of-run-1"]
        assert store.approvals(1)[0].plan_id == "p-2"
        assert store.audit(2)[1].entry == entry

    def test_a_run_uses_it_up_and_carries_the_approver(self, store):
        store.grant(an_approval(), an_entry(None))

        made = store.create_run(a_run(), audit=an_entry(status=AuditStatus.STARTED), admission=self.needed)

        assert made == store.run("run-1")
        assert (made.approved_by, made.approval_reason) == ("bea", "agreed")
        assert store.approvals_of("plan-of-run-1")[0].used_by == "run-1"
        assert store.audit(1)[0].entry.detail == {"files": 3, "approved_by": "bea", "approval_reason": "agreed"}

    def test_the_intent_of_a_forced_run_is_logged_before_its_start(self, store):
        store.grant(an_approval(), an_entry(None))
        forced = a_run(type="forced", mode="backfill", override_state=True)

        store.create_run(forced, audit=an_entry(status=AuditStatus.STARTED), admission=self.needed)

        logged = [r.entry for r in store.audit_of("run-1")]
        assert [e.action for e in logged] == ["intend", "apply"]
        assert {e.detail["approved_by"] for e in logged} == {"bea"}

    @pytest.mark.parametrize(
        ("given", "error"),
        [
            ([], ApprovalMissing),
            ([an_approval("plan-of-run-2")], ApprovalMissing),
            ([an_approval(expires_at=AT)], ApprovalExpired),
        ],
    )
    def test_without_an_open_one_nothing_is_written(self, store, rows_of, given, error):
        for approval in given:
            store.grant(approval, an_entry(None))
        before = rows_of()

        with pytest.raises(error):
            store.create_run(a_run(), audit=an_entry(), admission=self.needed)

        assert rows_of() == before

    def test_of_many_runs_that_want_one_approval_one_gets_it(self, store):
        store.grant(an_approval("p"), an_entry(None))

        def begin(number):
            try:
                return store.create_run(a_run(f"run-{number}", plan_id="p"), admission=self.needed).run_id
            except ApprovalUsed as error:
                return error

        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(begin, range(8)))

        won = [run_id for run_id in found if isinstance(run_id, str)]
        assert len(won) == 1
        assert [r.run_id for r in store.runs(10)] == won
        assert store.approvals_of("p")[0].used_by == won[0]


class TestQuota:
    def test_runs_in_progress_count_and_others_do_not(self, store, rows_of):
        two = Admission(max_running=2)
        store.create_run(a_run("run-1"), admission=two)
        store.create_run(a_run("run-2"), admission=two)
        store.set_state("run-2", RunState.FAILED)
        store.create_run(a_run("run-3"), admission=two)
        before = rows_of()

        with pytest.raises(TooManyRuns, match="2 runs in progress"):
            store.create_run(a_run("run-4"), audit=an_entry("run-4"), admission=two)

        assert rows_of() == before


class TestTimings:
    def test_they_come_newest_first_by_dataset(self, store):
        store.create_run(a_run())
        for number in range(4):
            store.journal_append("run-1", StepKind.STAGED, {}, timing=a_timing(batch=number))
        store.journal_append("run-1", StepKind.STAGED, {}, timing=a_timing(dataset="gold.x"))
        store.journal_append("run-1", StepKind.STAGED, {})

        found = store.timings([USAGE, "gold.x", "gold.none"], 3)

        assert [t.batch for t in found[USAGE]] == [3, 2, 1]
        assert found == {USAGE: found[USAGE], "gold.x": (a_timing(dataset="gold.x"),)}
        assert [t.batch for t in store.timings_of("run-1")] == [0, 1, 2, 3, 0]

    def test_a_timing_goes_with_its_step_or_not_at_all(self, store, rows_of):
        before = rows_of()

        with pytest.raises(RemintError):
            store.journal_append("run-9", StepKind.STAGED, {}, timing=a_timing("run-9"), audit=an_entry(None))

        assert rows_of() == before


class TestLeases:
    UNTIL = "2026-10-14T08:31:00Z"

    def claim(self, after=0, nonce="n"):
        holder = Holder(host="h:1", space="4026", pid=7, began="99", nonce=nonce)
        return Claim(holder=holder, at=AT, until=self.UNTIL, after_epoch=after)

    def test_a_run_is_held_from_its_first_moment(self, store):
        store.create_run(a_run(), admission=Admission(claim=self.claim()))

        (lease,) = store.leases().values()
        assert (lease.run_id, lease.epoch, lease.holder) == ("run-1", 1, self.claim().holder)
        assert (lease.taken_at, lease.renewed_at, lease.until) == (AT, AT, self.UNTIL)
        assert store.held("run-1") == 1

    def test_an_earlier_holder_writes_nothing(self, store, url, tmp_path, rows_of):
        store.create_run(a_run(), admission=Admission(claim=self.claim()))
        with open_store(url, tmp_path) as other:
            assert other.claim("run-1", self.claim(after=1, nonce="m")) == 2
        before = rows_of()

        for write in (
            lambda: store.journal_append("run-1", StepKind.STAGED, {}),
            lambda: store.intend("run-1", {"tables": []}, {}, {}),
            lambda: store.set_state("run-1", RunState.FAILED),
            lambda: store.finish(an_outcome()),
            lambda: store.expire("run-1", {"gold.daily": ["f"]}, store.retention_base("run-1")),
            lambda: store.abandon("run-1", an_entry(), AT),
            lambda: store.log(an_entry()),
            lambda: store.require_held("run-1"),
        ):
            with pytest.raises(Superseded):
                write()
        assert not store.renew("run-1", AT, "2026-10-14T09:00:00Z")
        assert rows_of() == before

    def test_who_never_claimed_a_held_run_writes_nothing_for_it(self, store, url, tmp_path):
        store.create_run(a_run(), admission=Admission(claim=self.claim()))

        with open_store(url, tmp_path) as other, pytest.raises(Superseded):
            other.set_state("run-1", RunState.FAILED)

    def test_a_claim_of_a_run_that_somebody_took_meanwhile_is_refused(self, store, rows_of):
        store.create_run(a_run(), admission=Admission(claim=self.claim()))
        before = rows_of()

        for after in (0, 2):
            with pytest.raises(RunAtWork):
                store.claim("run-1", self.claim(after=after))
        assert rows_of() == before

    def test_a_renewed_lease_ends_later_and_that_of_a_run_that_stopped_has_lapsed(self, store):
        store.create_run(a_run(), admission=Admission(claim=self.claim()))

        assert store.renew("run-1", "2026-10-14T08:30:20Z", "2026-10-14T08:31:20Z")

        assert not store.leases()["run-1"].has_lapsed("2026-10-14T08:31:19Z")
        store.set_state("run-1", RunState.FAILED)
        assert store.leases()["run-1"].has_lapsed("2026-10-14T08:30:20Z")

    def test_two_runs_of_one_plan_are_refused(self, store):
        store.create_run(a_run("run-1", plan_id="p-1"))

        with pytest.raises(PlanUsed, match="run-1"):
            store.create_run(a_run("run-2", plan_id="p-1"))

    def test_one_run_at_a_time_publishes_to_a_dataset_of_which_every_unit_matters(self, store, rows_of):
        succeed(store, "run-1", a_record())
        store.create_run(a_run("run-2"))
        store.create_run(a_run("run-3"))
        intent = {"tables": [{"dataset": USAGE}]}
        with pytest.raises(PublishConflict, match="another run added to it"):
            store.intend("run-3", intent, {}, {USAGE: 0})
        store.intend("run-2", intent, {}, {USAGE: 1})
        before = rows_of()

        with pytest.raises(PublishConflict, match="run-2 is publishing"):
            store.intend("run-3", intent, {}, {USAGE: 1})
        assert rows_of() == before
