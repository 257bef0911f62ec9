"""Parts of runs, what was built on them, pinned releases and expiries: exact, or refused before anything changes."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from remint.errors import (
    FilesExpired,
    InvalidKey,
    NothingToUndo,
    PinRefused,
    ReleaseIncomplete,
    RollbackRefused,
    UnknownRelease,
    WrittenAgain,
)
from remint.model.partition import DateRange
from remint.model.request import UndoRequest
from remint.model.run import Run, RunKind, RunState
from remint.planner.retention import Hold
from remint.planner.undo import Undo
from tests.e2e import strangers
from tests.e2e.crashes import Fuse, Meddled, When, armed, meddling
from tests.e2e.projects import MADE, NOON, Project, built, day_at, event, history, remint, write_project
from tests.proof import proof, report, size

Digests = dict[str, dict[str, str]]


def undo(project: Project, run: Run, **asked: Any) -> tuple[Run, Undo]:
    return project.open().rollback(run.run_id, project.ask(), UndoRequest(**asked))


def expire(project: Project, days: int = 0, **asked: Any) -> Run | None:
    project.ticks += 1
    return project.open().retention.expire((), project.ask(), days, **asked)


def state_of(project: Project, run: Run) -> RunState:
    return project.open().store.run(run.run_id).state


def twice_changed(root: Path) -> tuple[Project, Run, Digests]:
    """Return a built project, the run that then changed every amount of gold, and what was there before it."""
    project = built(root, days=6)
    before = project.digests()
    project.set_factor(2)
    return project, project.run(), before


class TestAPart:
    def test_one_dataset_of_a_run_goes_back_and_the_others_stay(self, tmp_path: Path) -> None:
        project, run, before = twice_changed(tmp_path)
        after = project.digests()

        _, found = undo(project, run, selectors=("gold.monthly",))

        assert project.digests() == {**after, "gold.monthly": before["gold.monthly"]}
        assert {m.unit[0] for m in found.moves} == {"gold.monthly"}
        assert state_of(project, run) == "succeeded"

    def test_some_partitions_go_back_and_what_was_made_from_them_is_named(self, tmp_path: Path) -> None:
        project, run, before = twice_changed(tmp_path)
        after = project.digests()

        _, found = undo(project, run, selectors=("gold.daily",), range=DateRange.parse(day_at(4)))

        assert project.digests()["gold.daily"] == {**after["gold.daily"], day_at(4): before["gold.daily"][day_at(4)]}
        assert {m.unit for m in found.stale} == {
            ("gold.trend", day_at(4)),
            ("gold.trend", day_at(5)),
            ("gold.monthly", day_at(4)[:7]),
        }

    def test_a_run_is_rolled_back_once_nothing_of_it_is_left(self, tmp_path: Path) -> None:
        project, run, before = twice_changed(tmp_path)

        undo(project, run, selectors=("gold.daily",))
        first = state_of(project, run)
        second, found = undo(project, run)

        assert (first, state_of(project, run)) == ("succeeded", "rolled_back")
        assert len(found.undone) == 6
        assert project.digests() == before
        entries = [r.entry for r in project.open().store.audit_of(run.run_id) if r.entry.status == "rolled_back"]
        assert [e.detail["by"] for e in entries] == [second.run_id]

    def test_the_rollback_of_a_part_is_rolled_back(self, tmp_path: Path) -> None:
        project, run, _ = twice_changed(tmp_path)
        after = project.digests(), project.live()
        part, _ = undo(project, run, keys=(day_at(1), day_at(2)))

        undo(project, part)

        assert (project.digests(), project.live()) == after
        assert project.open().rollbacks.undone_by(project.open().store.run(run.run_id)) == {}

    def test_what_a_rollback_put_back_was_made_by_the_run_that_made_it_first(self, tmp_path: Path) -> None:
        project, run, _ = twice_changed(tmp_path)
        first = project.open().store.runs(2)[1]
        back = project.rollback(run.run_id)

        shown = remint(project, "rollback", back.run_id, "--dataset", "gold.daily", "--reason", "the factor was right")

        assert first.run_id != run.run_id
        assert f"what was made from it is stale now: 7 partitions, made by {first.run_id}\n" in shown.output

    def test_a_part_that_was_undone_is_named_with_the_run_that_did_it(self, tmp_path: Path) -> None:
        project, run, _ = twice_changed(tmp_path)
        part, _ = undo(project, run, selectors=("gold.daily",), keys=(day_at(1),))

        found = project.open().rollbacks.undone_by(run)

        assert found == {("gold.daily", day_at(1)): part.run_id}
        with pytest.raises(NothingToUndo, match="taken back before"):
            undo(project, run, selectors=("gold.daily",), keys=(day_at(1),))

    @pytest.mark.parametrize(
        ("asked", "error"),
        [
            ({"selectors": ("silver.events",)}, NothingToUndo),
            ({"keys": ("2031-01-01",)}, NothingToUndo),
            ({"keys": ("yesterday",)}, InvalidKey),
        ],
    )
    def test_a_part_that_the_run_does_not_have_is_refused(
        self, tmp_path: Path, asked: dict[str, Any], error: type[Exception]
    ) -> None:
        project, run, _ = twice_changed(tmp_path)
        before = project.fingerprint()

        with pytest.raises(error):
            undo(project, run, **asked)

        assert project.fingerprint() == before
        assert not project.outstanding()


class TestCascade:
    def test_all_that_was_built_on_a_run_goes_back_in_one_release(self, tmp_path: Path) -> None:
        project = built(tmp_path, days=5)
        before = project.digests(), project.live()
        project.set_factor(2)
        first = project.run("gold.daily")
        project.run()
        project.set_factor(3)
        third = project.run("gold.daily", span=day_at(1))
        with pytest.raises(WrittenAgain, match=third.run_id):
            undo(project, first)

        done, found = undo(project, first, cascade=True)

        assert (project.digests(), project.live()) == before
        assert {m.role.value for m in found.moves} == {"selected", "written again", "made from it"}
        assert len([r for r in project.open().store.releases() if r.run_id == done.run_id]) == 1
        assert {state_of(project, r) for r in (first, third)} == {"rolled_back"}

    def test_what_has_nothing_to_do_with_it_stays(self, tmp_path: Path) -> None:
        project, run, _ = twice_changed(tmp_path)
        project.land("b", [event(900, 30)])
        project.ingest()
        later = project.run(span=f"{day_at(29)}..{day_at(31)}")
        kept = {k: v for k, v in project.digests()["gold.daily"].items() if k >= day_at(29)}

        undo(project, run, selectors=("gold.daily",), cascade=True)

        assert {k: v for k, v in project.digests()["gold.daily"].items() if k >= day_at(29)} == kept
        assert state_of(project, later) == "succeeded"

    def test_the_rollback_of_a_cascade_brings_everything_back(self, tmp_path: Path) -> None:
        project, run, _ = twice_changed(tmp_path)
        project.set_factor(3)
        project.run()
        after = project.digests(), project.live()
        done, _ = undo(project, run, cascade=True)

        undo(project, done)

        assert (project.digests(), project.live()) == after

    def test_what_somebody_vouched_for_is_not_taken_along(self, tmp_path: Path) -> None:
        project, run, _ = twice_changed(tmp_path)
        strangers.append(project, "gold.trend", like=day_at(3))
        adopted = project.open().adopt("gold.trend", project.ask())
        assert adopted
        before = project.fingerprint()

        with pytest.raises(RollbackRefused, match=adopted.run_id):
            undo(project, run, selectors=("gold.daily",), cascade=True)

        assert project.fingerprint() == before

    def test_a_preview_says_what_is_done_then_and_changes_nothing(self, tmp_path: Path) -> None:
        project, run, _ = twice_changed(tmp_path)
        request = UndoRequest(selectors=("gold.daily",), keys=(day_at(2),), cascade=True)
        before = project.fingerprint(), len(project.open().store.runs(100))

        shown = project.open().rollbacks.preview(run.run_id, request)

        assert (project.fingerprint(), len(project.open().store.runs(100))) == before
        _, found = project.open().rollback(run.run_id, project.ask(), request)
        assert [(m.unit, m.back and m.back.seq) for m in found.moves] == [
            (m.unit, m.back and m.back.seq) for m in shown.moves
        ]


class TestRetention:
    def test_only_what_nothing_holds_goes_and_what_that_costs_is_said_before(self, tmp_path: Path) -> None:
        project, run, _ = twice_changed(tmp_path)
        project.ticks += 1
        before = project.fingerprint()
        shown = project.open().retention.choose((), 0)
        on_disk = project.parts()

        done = expire(project)

        assert done is not None
        assert done.kind is RunKind.EXPIRE
        assert (done.state, project.fingerprint()) == ("succeeded", before)
        assert len(on_disk - project.parts()) == shown.amount.files > 0
        assert project.parts() == set().union(*project.live().values())
        assert shown.no_undo == (run.run_id,)
        assert "bad" not in {s.health for s in project.open().upkeep.doctor((), read_data=True)}
        assert expire(project) is None

    def test_a_young_run_stays_undoable(self, tmp_path: Path) -> None:
        project, run, before = twice_changed(tmp_path)

        assert expire(project, days=1) is None
        undo(project, run)

        assert project.digests() == before

    def test_what_needs_removed_files_is_refused_with_the_run_that_removed_them(self, tmp_path: Path) -> None:
        project, run, _ = twice_changed(tmp_path)
        first = project.open().store.releases()[1]
        done = expire(project)
        assert done is not None
        workspace = project.open()

        for act in (
            lambda: undo(project, run),
            lambda: workspace.reader.diff(first.last_seq, run_end(project, run), [workspace.graph["gold.daily"]]),
        ):
            with pytest.raises(FilesExpired, match=done.run_id):
                act()
        with pytest.raises(ReleaseIncomplete, match=done.run_id):
            workspace.reader.sql("SELECT * FROM gold.daily", as_of=first.run_id)
        found = workspace.reader.sql("SELECT count(*) FROM silver.events", as_of=first.run_id)
        assert [tuple(row) for row in found.rows] == [(18,)]
        with pytest.raises(PinRefused, match=done.run_id):
            workspace.retention.pin(first.release_id, "test")
        assert not project.outstanding()

    def test_a_pinned_release_stays_readable_until_it_is_unpinned(self, tmp_path: Path) -> None:
        project, run, before = twice_changed(tmp_path)
        first = project.open().store.releases()[1]
        pin = project.open().retention.pin(first.run_id, "the annual report")

        assert expire(project) is None
        assert project.open().retention.choose((), 0).held[Hold.PINNED].files > 0
        project.open().retention.unpin(pin.pin_id, "it is out")
        assert expire(project) is not None

        with pytest.raises(UnknownRelease):
            project.open().retention.unpin(pin.pin_id, "again")
        actions = [r.entry.action for r in project.open().store.audit(10)]
        assert {"pin", "unpin", "expire"} <= set(actions)
        assert before != project.digests()
        assert state_of(project, run) == "succeeded"

    def test_a_pin_is_given_up_by_the_name_of_what_it_keeps(self, tmp_path: Path) -> None:
        project = built(tmp_path, days=2)
        release = project.open().store.releases()[-1]
        pins = [project.open().retention.pin(name, "test").pin_id for name in (release.release_id, release.run_id)]

        both = remint(project, "unpin", release.release_id, "--reason", "it is out")
        project.open().retention.unpin(pins[0], "one of two")
        given_up = [project.open().retention.unpin(release.run_id, "it is out").pin_id]
        none = remint(project, "unpin", release.release_id, "--reason", "again")

        assert both.exit_code == 2
        assert f"{release.release_id} is kept by 2 open pins: {', '.join(pins)}" in both.output
        assert f"next: remint unpin {pins[0]} --reason" in both.output
        assert given_up == pins[1:]
        assert f"no open pin is '{release.release_id}' or keeps it; open pins: none" in none.output

    def test_releases_say_what_pins_them_and_what_expired(self, tmp_path: Path) -> None:
        project, run, _ = twice_changed(tmp_path)
        pin = project.open().retention.pin(run.run_id, "test")
        expire(project)

        newest = {e.release.run_id: e for e in project.open().retention.releases(10)}

        assert [p.pin_id for p in newest[run.run_id].pins] == [pin.pin_id]
        assert newest[run.run_id].files_expired == 0
        built_by = project.open().store.releases()[1].run_id
        assert newest[built_by].files_expired == newest[built_by].files_replaced > 0
        assert set(newest[run.run_id].moved) == {"gold.daily", "gold.trend", "gold.monthly"}

    def test_a_file_that_the_newest_table_version_names_stays_whatever_the_ledger_says(self, tmp_path: Path) -> None:
        project, _, _ = twice_changed(tmp_path)
        old = project.live()["gold.daily"]
        project.set_factor(3)
        project.run()
        project.delta("gold.daily").restore(project.versions()["gold.daily"] - 1)
        assert project.live()["gold.daily"] == old

        expire(project)

        assert old <= project.parts()

    def test_an_expiry_that_began_to_remove_is_not_given_up(self, tmp_path: Path) -> None:
        project, _, _ = twice_changed(tmp_path)
        fuse = Fuse(3, When.BEFORE)
        with suppress(BaseException):
            armed(project.open(), fuse).retention.expire((), project.ask(), 0)
        left = project.outstanding()[0]

        with pytest.raises(RollbackRefused, match="cannot be taken back"):
            project.rollback(left.run_id)

        assert project.open().resume(left.run_id).state == "succeeded"
        assert project.parts() == set().union(*project.live().values())

    @proof
    def test_an_expiry_at_any_moment_of_a_run_or_a_rollback_takes_nothing_that_it_needs(self, tmp_path: Path) -> None:
        base, run, _ = twice_changed(tmp_path / "base")
        base.set_factor(3)
        plan = base.plan()
        wholes = {"apply": lambda w: w.apply(plan), "rollback": lambda w: w.rollback(run.run_id, base.ask())}
        tried = 0
        for verb, act in wholes.items():
            whole = base.clone(tmp_path / f"whole-{verb}")
            fuse = Fuse(10_000, When.AFTER)
            act(armed(whole.open(), fuse))
            moments = sorted({(name, fuse.calls[:n].count(name)) for n, name in enumerate(fuse.calls)})
            for name, number in moments if size(0, 1) else moments[:: max(1, len(moments) // 3)]:
                project = base.clone(tmp_path / f"{verb}-{name}-{number}")
                meddler = Meddled(name, lambda p=project: expire(p), number=number)  # type: ignore[misc]
                try:
                    act(meddling(project.open(), meddler))
                except FilesExpired:
                    assert (verb, name) == ("rollback", "create_run")
                    project.give_up()
                else:
                    assert project.digests() == whole.digests()
                live = set().union(*project.live().values())
                assert live <= project.parts()
                assert "bad" not in {s.health for s in project.open().upkeep.doctor((), read_data=True)}
                tried += 1
        report("retention", cases=tried, part="barriers")


def run_end(project: Project, run: Run) -> int:
    return project.open().store.last_seq_of_run(run.run_id) or 0


@dataclass
class Skewed(Project):
    """A project on a machine whose clock is set anew now and then."""

    skew: int = 0
    """Minutes."""

    def now(self) -> datetime:
        """Return what the clock says."""
        self.ticks += 1
        return NOON + timedelta(minutes=self.ticks + self.skew)


@dataclass
class Story:
    """A project and what the oracle knows of it: what every unit held after each run, and which files must be there."""

    project: Skewed
    rng: random.Random
    after: dict[str, Digests] = field(default_factory=dict)
    """What every unit held when a run had ended, in the order of the ledger."""
    counts: dict[str, int] = field(default_factory=lambda: {"rollbacks": 0, "cascades": 0, "expiries": 0, "files": 0})

    def ended(self, run: Run) -> None:
        self.after[run.run_id] = {t: d for t, d in self.project.digests().items() if t in MADE}

    def before(self, run_id: str) -> Digests:
        order = list(self.after)
        place = order.index(run_id)
        return self.after[order[place - 1]] if place else {}

    def build(self) -> None:
        factor = self.rng.choice([f for f in (1, 2, 3) if f != self.project.factor])
        self.project.set_factor(factor)
        day = self.rng.randrange(4)
        span = self.rng.choice([None, f"{day_at(day)}..{day_at(day + 1)}"])
        selectors = self.rng.choice([(), ("gold.daily",), ("gold.daily+",)])
        plan = self.project.plan(*selectors, span=span)
        if not plan.is_empty:
            self.ended(self.project.apply(plan))

    def land(self) -> None:
        number = 1000 + self.project.ticks
        self.project.land(f"late-{number}", [event(number, self.rng.randrange(5), 7)])
        self.ended(self.project.ingest())
        plan = self.project.plan()
        self.ended(self.project.apply(plan))

    def roll_back(self) -> None:
        runs = [r for r in self.project.open().store.runs(8, [RunState.SUCCEEDED]) if r.run_id in self.after]
        run = self.rng.choice(runs)
        day = self.rng.randrange(5)
        request = UndoRequest(
            selectors=self.rng.choice([(), (), ("gold.daily",), ("gold.trend",)]),
            range=self.rng.choice([None, None, DateRange.parse(f"{day_at(day)}..{day_at(day + 1)}")]),
            cascade=self.rng.random() < 0.6,
        )
        before, held = self.project.fingerprint(), self.project.digests()
        try:
            done, found = self.project.open().rollback(run.run_id, self.project.ask(), request)
        except (RollbackRefused, FilesExpired):
            assert self.project.fingerprint() == before
            assert not self.project.outstanding()
            return
        then = self.before(run.run_id)
        for table, key in (m.unit for m in found.moves):
            held.setdefault(table, {}).pop(key, None)
            if key in then.get(table, {}):
                held[table][key] = then[table][key]
        assert self.project.digests() == held
        self.counts["rollbacks"] += 1
        self.counts["cascades"] += request.cascade
        self.ended(done)

    def pin(self) -> None:
        retention = self.project.open().retention
        pins = [p for p in self.project.open().store.pins() if p.is_open]
        if pins and self.rng.random() < 0.5:
            retention.unpin(self.rng.choice(pins).pin_id, "test")
            return
        with suppress(PinRefused):
            retention.pin(self.rng.choice(self.project.open().store.releases()).release_id, "test")

    def expire(self) -> None:
        before = self.project.fingerprint()
        self.project.skew = self.rng.choice([self.project.skew, 6000])
        done = expire(self.project, self.rng.choice([0, 0, 1]))
        assert self.project.fingerprint() == before
        if done:
            self.counts["expiries"] += 1
            self.counts["files"] += sum(len(self.project.open().store.expired(t)) for t in self.project.versions())

    def needed(self) -> set[str]:
        """Return the files that must be on disk: those that are live, and those of every pinned release."""
        store = self.project.open().store
        ends = {r.release_id: r.last_seq for r in store.releases()}
        found = set().union(*self.project.live().values())
        for pin in (p for p in store.pins() if p.is_open):
            for table in self.project.versions():
                records = store.records(table, None, ends[pin.release_id])
                found |= {f"/{table.replace('.', '/')}/{f.path}" for r in records.values() for f in r.files}
        return found


@proof
@pytest.mark.slow
def test_histories_of_rollbacks_pins_and_expiries_hold_what_the_oracle_says(tmp_path: Path) -> None:
    """The clock jumps about, a day forth or back: what is young is a matter of the clock, what is exact is not."""
    steps = {Story.build: 5, Story.land: 2, Story.roll_back: 6, Story.pin: 2, Story.expire: 3}
    cases = 0
    totals = {"rollbacks": 0, "cascades": 0, "expiries": 0, "files": 0}
    for seed in range(size(1, 40)):
        rng = random.Random(seed)
        project = Skewed(write_project(tmp_path / f"{seed}").root)
        project.land("a", history(5, each=1))
        story = Story(project, rng)
        story.ended(project.ingest())
        story.ended(project.run())
        for step in rng.choices(list(steps), list(steps.values()), k=size(9, 14)):
            project.skew = rng.choice([0, 0, 1440, -1440, 2880])
            step(story)
            assert story.needed() <= project.parts(), f"seed {seed}: {step.__name__}"
            assert not project.outstanding(), f"seed {seed}: {step.__name__}"
            cases += 1
        assert "bad" not in {s.health for s in project.open().upkeep.doctor((), read_data=True)}
        project.skew = 10_000
        story.counts["expiries"] += expire(project) is not None
        expire(project)
        assert project.parts() == story.needed(), f"seed {seed}: files that nothing holds are still there"
        totals = {name: n + story.counts[name] for name, n in totals.items()}
    assert 0 not in (totals["rollbacks"], totals["expiries"]), totals
    report("undo", cases=cases, part="histories", **totals)
