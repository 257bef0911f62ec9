"""The oracle after each step: what must hold of ledger, tables, files, watermarks and log, whatever happened.

It keeps a model of its own of what was seen so far, so that nothing of the past can change unnoticed. To hold a further
invariant, add a method and call it from ``after``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from remint.formats.base import Replacement
from remint.loading.plan_file import read_plan
from remint.model.plan import Plan
from remint.model.provenance import ProvenanceRecord
from remint.model.request import Request, UndoRequest
from remint.model.run import Run, RunKind, RunState, StepKind
from remint.publishing.publish import stuck_tables
from remint.publishing.tools import timestamp
from remint.store.values import AuditRecord, AuditStatus, StoredRecord
from remint.workspace import Workspace

ALL = 1_000_000
RECENT = 40
"""Audit entries that are looked at after every step; all of them at the end."""
ENDED_WELL = (RunState.SUCCEEDED, RunState.ROLLED_BACK)
Unit = tuple[str, str]


class Violation(AssertionError):
    """Something that must never happen did."""

    def __init__(self, rule: str, words: str) -> None:
        super().__init__(f"{rule}: {words}")
        self.rule = rule


class World(Protocol):
    """What the driver and the oracle need of a project, in memory or on disk."""

    made: Any

    def open(self) -> Workspace: ...
    def folder(self, name: str) -> Any: ...
    def broken(self, record: ProvenanceRecord) -> str: ...
    def differences(self) -> list[str]: ...
    def all_ingested(self) -> bool: ...
    def sound(self) -> list[str]: ...


def require(holds: object, rule: str, words: str) -> None:
    """Raise a violation of ``rule`` unless ``holds``."""
    if not holds:
        raise Violation(rule, words)


@dataclass
class Watch:
    """What was seen of one history."""

    world: Any
    heads: dict[Unit, StoredRecord] = field(default_factory=dict)
    last_seq: int = 0
    before: dict[str, dict[Unit, StoredRecord | None]] = field(default_factory=dict)
    """By run, what each unit held before it."""
    audit: list[AuditRecord] = field(default_factory=list)
    moves: dict[str, str] = field(default_factory=dict)
    """Watermarks as they stood."""
    touched: dict[str, set[str]] = field(default_factory=dict)
    """By table, partitions that strangers wrote to and remint has not replaced since."""
    set_aside: dict[tuple[str, str, int], set[str]] = field(default_factory=dict)
    """What was touched of a commit's partitions: its withdrawal brings that back."""
    files: set[tuple[str, str]] = field(default_factory=set)
    """Every file that the ledger ever named, by dataset and path."""
    stranger_files: set[tuple[str, str]] = field(default_factory=set)
    """What strangers wrote, and what a waived run left live."""
    past: dict[Unit, list[StoredRecord]] = field(default_factory=dict)
    """Every record of a unit, oldest first."""
    cuts: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    """By run, the files that the ledger named right after it."""
    expired: set[tuple[str, str]] = field(default_factory=set)
    """Files that were removed because nothing held them."""
    waived: set[str] = field(default_factory=set)
    undoing: set[str] = field(default_factory=set)
    """Rollbacks."""
    found: Violation | None = None
    """What a commit violated: remint would turn it into an error of the run."""

    # -- at every commit -----------------------------------------------------------------------------------------------

    def committing(self, name: str, replacement: Replacement) -> None:
        """Look at the journal and the log right before a table is committed to: intent comes before effect."""
        try:
            self._committing(name, replacement)
        except Violation as violation:
            self.found = self.found or violation
            raise

    def _committing(self, name: str, replacement: Replacement) -> None:
        store, run_id = self.world.open().store, replacement.run_id
        kinds = [e.kind for e in store.journal(run_id)]
        if replacement.attempt % 2 == 0:
            return require(StepKind.WITHDRAW_INTENT in kinds, "I17", f"{run_id} withdraws {name} without intent")
        require(StepKind.PUBLISH_INTENT in kinds, "I17", f"{run_id} commits to {name} without intent")
        intent = [e for e in store.journal(run_id) if e.kind is StepKind.PUBLISH_INTENT][-1]
        named = next((t for t in intent.payload["tables"] if t["dataset"] == name), {"adds": [], "removes": []})
        wanted = [sorted(f["path"] for f in named[side]) for side in ("adds", "removes")]
        found = [sorted(f.path for f in side) for side in (replacement.adds, replacement.removes)]
        require(wanted == found, "I17", f"{run_id} commits other files to {name} than it intended")
        require(store.run(run_id).state is RunState.PUBLISHING, "I17", f"{run_id} commits while it is not publishing")
        statuses = [a.entry.status for a in store.audit_of(run_id)]
        require(AuditStatus.STARTED in statuses, "I17", f"{run_id} commits before the log says that it started")
        done = {e.payload["dataset"] for e in store.journal(run_id) if e.kind is StepKind.PUBLISHED}
        again = StepKind.WITHDRAWN not in kinds and name in done
        return require(not again, "I10", f"{run_id} commits to {name} again")

    def committed(self, name: str, replacement: Replacement) -> None:
        """Remember which partitions are remint's again."""
        keys, held = set(replacement.keys), self.touched.setdefault(name, set())
        if replacement.attempt % 2:
            self.set_aside[name, replacement.run_id, replacement.attempt] = held & keys
            held -= keys
        else:
            held |= self.set_aside.get((name, replacement.run_id, replacement.attempt - 1), set())

    def meddled(self, name: str, key: str, files: frozenset[str]) -> None:
        """Remember what a stranger did."""
        self.touched.setdefault(name, set()).add(key)
        self.stranger_files |= {(name, path) for path in files}

    # -- after every step ----------------------------------------------------------------------------------------------

    def after(self) -> None:
        """Hold every invariant against what there is now."""
        if self.found:
            raise self.found
        workspace = self.world.open()
        tools = workspace._tools
        new = self._folded(tools)
        outstanding = tools.store.outstanding()
        self._log(tools, new)
        self._watermarks(tools, new)
        for run_id in new:
            self._run(tools, tools.store.run(run_id), new[run_id])
        self._waived(tools)
        self._tables(tools, workspace, [r for r in outstanding if r.state is RunState.PUBLISHING])
        self._expired(tools, outstanding)
        self._files(tools, outstanding)

    def _folded(self, tools: Any) -> dict[str, list[StoredRecord]]:
        """Return the new ledger records by run, laid over what was seen before."""
        last, _ = tools.store.last_record()
        require(last >= self.last_seq, "I5", f"the ledger lost records: {self.last_seq} -> {last}")
        new: dict[str, list[StoredRecord]] = {}
        for changes in tools.store.changes(self.last_seq) if last > self.last_seq else ():
            records = tools.store.records_of_run(changes.run_id)
            require(changes.run_id not in self.before, "I1", f"{changes.run_id} recorded twice")
            new[changes.run_id] = records
            self.before[changes.run_id] = {}
            for stored in records:
                unit = (stored.record.dataset, stored.record.key)
                require(unit not in self.before[changes.run_id], "I5", f"{changes.run_id} recorded {unit} twice")
                self.before[changes.run_id][unit] = self.heads.get(unit)
                self.heads[unit] = stored
                self.past.setdefault(unit, []).append(stored)
                self.files |= {(unit[0], f.path) for f in stored.record.files}
            self.cuts[changes.run_id] = self._held()
        self.last_seq = last
        return new

    def _log(self, tools: Any, new: dict[str, list[StoredRecord]]) -> None:
        newest = list(reversed(tools.store.audit(RECENT)))
        first = newest[0].seq if newest else 1
        known = [a for a in self.audit if a.seq >= first]
        require(newest[: len(known)] == known, "I17", "an entry of the audit log changed or is gone")
        self.audit += newest[len(known) :]
        found = self.audit
        kinds = {kind.value for kind in RunKind}
        for run_id in new:
            said = [a.entry.status for a in found if a.entry.run_id == run_id and a.entry.action in kinds]
            require(said.count(AuditStatus.SUCCESS) == 1, "I5", f"{run_id} is in the ledger and not in the log: {said}")
            first = said.index(AuditStatus.SUCCESS)
            require(AuditStatus.STARTED in said[:first], "I17", f"{run_id} succeeded before it started: {said}")
        well = {a.entry.run_id for a in newest if a.entry.status is AuditStatus.SUCCESS and a.entry.action in kinds}
        for run_id in well - self.before.keys():
            require(not tools.store.records_of_run(run_id), "I5", f"{run_id} succeeded and its records are not seen")
            require(tools.store.run(run_id).state in ENDED_WELL, "I5", f"the log says that {run_id} succeeded")

    def _watermarks(self, tools: Any, new: dict[str, list[StoredRecord]]) -> None:
        now = tools.store.watermarks()
        for name, value in now.items():
            if value == self.moves.get(name):
                continue
            run = tools.store.run(tools.store.watermark_history(name)[-1].run_id)
            forced = run.override_state
            require(run.state in ENDED_WELL and run.run_id in new, "I3", f"{name} moved by {run.run_id}, {run.state}")
            require(run.mode == "incremental" or forced, "I3", f"{name} moved by a {run.mode} run")
            require(forced or value > self.moves.get(name, ""), "I3", f"{name} moved back to {value}")
            keys = {s.record.key for s in new[run.run_id] if s.record.dataset == name}
            require(value in keys, "I3", f"{name} moved to {value}, which {run.run_id} did not make")
        require(self.moves.keys() <= now.keys(), "I3", "a watermark is gone")
        self.moves = now

    def _run(self, tools: Any, run: Run, records: list[StoredRecord]) -> None:
        require(run.state in ENDED_WELL, "I1", f"{run.run_id} is {run.state} and its records are visible")
        release = next((r for r in tools.store.releases() if r.run_id == run.run_id), None)
        require(release and release.last_seq == records[-1].seq, "I1", f"the release of {run.run_id} is not its cut")
        units = {(s.record.dataset, s.record.key) for s in records}
        for stored in records:
            words = self.world.broken(stored.record) if stored.record.fingerprint else ""
            rule = "I14" if "check" in words else "I5"
            require(not words, rule, f"{stored.record.dataset} {stored.record.key} by {run.run_id}: {words}")
        if run.kind is RunKind.APPLY:
            plan = read_plan(tools.store.plan_json(run.run_id) or "")
            staged = {
                (e.payload["dataset"], u["key"])
                for e in tools.store.journal(run.run_id)
                if e.kind is StepKind.STAGED
                for u in e.payload["units"]
            }
            planned = {(name, key) for name, keys in plan.units.items() for key in keys}
            require(units <= planned, "I13", f"{run.run_id} touched {sorted(units - planned)}, which nobody planned")
            require(units == staged, "I1", f"{run.run_id} staged {len(staged)} units and shows {len(units)}")
        if run.kind is RunKind.ROLLBACK:
            begun = [e.payload for e in tools.store.journal(run.run_id) if e.kind is StepKind.ROLLBACK_BEGUN]
            request = UndoRequest.from_payload(begun[0])
            self._rolled_back(run, request, {(s.record.dataset, s.record.key): s.record for s in records})

    def _rolled_back(self, run: Run, request: UndoRequest, restored: dict[Unit, ProvenanceRecord]) -> None:
        """Hold that what was asked for holds what it held before, and that nothing else was touched unasked."""
        before = self.before[run.of_run or ""]
        named = {*request.selectors, *(f"{name}_quarantine" for name in request.selectors)}
        asked = {u for u in before if not named or u[0] in named}
        asked = {u for u in asked if not request.keys or u[1] in request.keys}
        held = self.before[run.run_id]
        now = {u: _content(held[u] if u in held else self.heads.get(u)) for u in asked}
        must = {u for u in asked if now[u] != _content(before[u]) and self._stands(run, u, now[u], request)}
        self.undoing.add(run.run_id)
        require(must <= restored.keys(), "I7", f"{run.run_id} left {sorted(must - restored.keys())[:2]} as they were")
        more = restored.keys() - asked
        require(request.cascade or not more, "I7", f"{run.run_id} put back {sorted(more)[:2]}, which nobody asked for")
        for unit, record in restored.items():
            back = (record.digest, record.files) if record.fingerprint else None
            was = [before[unit]] if unit in asked else [None, *self.past[unit][:-1]]
            same = any(back == _content(earlier) for earlier in was)
            require(same, "I7", f"{run.run_id}: {unit} does not hold what it held before {run.of_run}")

    def _stands(self, run: Run, unit: Unit, now: tuple[str, Any] | None, request: UndoRequest) -> bool:
        """Return whether what the run that is undone wrote to a unit is still there, or under what was written over."""
        by = [stored.record.run_id for stored in self.past[unit]]
        first = by.index(run.of_run or "")
        last = by.index(run.run_id) if run.run_id in by else len(by)
        if now == _content(self.past[unit][first]):
            return by[last - 1] == run.of_run or by[last - 1] in self.undoing
        return request.cascade and not self.undoing & set(by[first + 1 : last])

    def _held(self) -> set[tuple[str, str]]:
        """Return the files that the ledger names now."""
        return {(unit[0], f.path) for unit, stored in self.heads.items() for f in stored.record.files}

    def _waived(self, tools: Any) -> None:
        """Take what a waived run left live for a stranger's, which the next plan heals."""
        for run in tools.store.runs(ALL, [RunState.WAIVED]):
            if run.run_id in self.waived:
                continue
            self.waived.add(run.run_id)
            require(run.run_id not in self.before, "I1", f"{run.run_id} is waived and its records are visible")
            stuck = stuck_tables(tools, run.run_id)
            intents = [e for e in tools.store.journal(run.run_id) if e.kind is StepKind.PUBLISH_INTENT]
            for table in intents[-1].payload["tables"] if stuck else ():
                if (name := table["dataset"]) in stuck:
                    keys = {f["key"] for side in ("adds", "removes") for f in table[side]}
                    self.touched.setdefault(name, set()).update(keys)
                    self.stranger_files |= {(name, f["path"]) for f in table["adds"]}

    def _expired(self, tools: Any, outstanding: list[Run]) -> None:
        """Hold that what was removed is nothing that a person, an undo, a run or a reader may need."""
        names = {name for name, _ in self.heads}
        gone = {(name, path): run_id for name in names for path, run_id in tools.store.expired(name).items()}
        require(self.expired <= gone.keys(), "I15", "a file that was removed does not count as removed any more")
        pinned = {p.release_id for p in tools.store.pins() if p.is_open}
        releases = tools.store.releases()
        kept = set().union(*(self.cuts.get(r.run_id, set()) for r in releases if r.release_id in pinned), self._held())
        for run in outstanding:
            for entry in tools.store.journal(run.run_id):
                if entry.kind is StepKind.PUBLISH_INTENT:
                    tables = entry.payload["tables"]
                    kept |= {(t["dataset"], f["path"]) for t in tables for f in (*t["adds"], *t["removes"])}
        for path, run_id in gone.items():
            require(path not in kept, "I15", f"{path} was removed by {run_id} and is needed")
        for run_id in {gone[path] for path in gone.keys() - self.expired}:
            begun = next(e for e in tools.store.journal(run_id) if e.kind is StepKind.EXPIRE_BEGUN)
            since = timestamp(tools.clock() - timedelta(days=begun.payload["keep_days"]))
            for release in releases:
                young = release.created_at > since and release.run_id in self.before
                units = self.before[release.run_id] if young else {}
                needed = {(u[0], f.path) for u, earlier in units.items() if earlier for f in earlier.record.files}
                lost = needed & {path for path, by in gone.items() if by == run_id}
                require(not lost, "I15", f"{run_id} removed {sorted(lost)[:2]}: {release.run_id} cannot be undone")
        self.expired = set(gone)

    def _tables(self, tools: Any, workspace: Workspace, halves: list[Run]) -> None:
        excused: dict[str, set[str]] = {}
        for run in halves:
            intents = [e for e in tools.store.journal(run.run_id) if e.kind is StepKind.PUBLISH_INTENT]
            require(intents, "I17", f"{run.run_id} is publishing without intent")
            for table in intents[-1].payload["tables"]:
                keys = {f["key"] for side in ("adds", "removes") for f in table[side]}
                excused.setdefault(table["dataset"], set()).update(keys)
        by_name: dict[str, dict[str, frozenset[str]]] = {d.name: {} for d in workspace.graph}
        for (name, key), stored in self.heads.items():
            if stored.record.files:
                by_name[name][key] = frozenset(f.path for f in stored.record.files)
        for dataset in workspace.graph:
            table = tools.table(dataset)
            live = tools.tables.live_files(table)
            ledger = by_name[dataset.name]
            free = self.touched.get(dataset.name, set()) | excused.get(dataset.name, set())
            for key in live.keys() | ledger.keys():
                same = live.get(key, frozenset()) == ledger.get(key, frozenset())
                require(same or key in free, "I5", f"{dataset.name} {key}: the table and the ledger differ")

    def _files(self, tools: Any, outstanding: list[Run]) -> None:
        """Hold that no file that anything may still need is gone."""
        for name, path in self.files - self.expired:
            require((self.world.folder(name) / path).exists(), "I15", f"{name}: {path} is gone")
        for run in outstanding:
            for entry in tools.store.journal(run.run_id):
                for unit in entry.payload["units"] if entry.kind is StepKind.STAGED else ():
                    for file in unit["files"]:
                        place = self.world.folder(entry.payload["dataset"]) / file["path"]
                        require(place.exists(), "I15", f"{run.run_id} staged {file['path']}, which is gone")

    # -- at rest -------------------------------------------------------------------------------------------------------

    def run_all(self, workspace: Workspace) -> Plan:
        """Plan everything that is stale, and apply it."""
        plan = workspace.make_plan(Request(requested_by="tester"), allow_all=True, allow_future=True)
        if not plan.is_empty:
            workspace.apply(plan)
        return plan

    def at_rest(self) -> None:
        """Hold that a second plan is empty and that every table is what a full rebuild gives."""
        if not self.world.all_ingested():
            return
        plan = self.world.open().make_plan(Request(requested_by="tester"), allow_all=True, allow_future=True)
        require(plan.is_empty, "I12", f"a plan right after a full run has {len(plan.actions)} actions")
        found = self.world.differences()
        require(not found, "I12", "; ".join(found[:3]))

    def at_the_end(self) -> None:
        """Hold what must be true once every run has ended: the whole ledger, and no file that nothing names.

        Only a run that was given up or waived may have left files, and a clean-up takes them, all of them.
        """
        workspace = self.world.open()
        tools = workspace._tools
        require(list(reversed(tools.store.audit(ALL))) == self.audit, "I17", "the audit log does not say what it said")
        let_be = {r.run_id for r in tools.store.runs(ALL, [RunState.ABANDONED, RunState.WAIVED])}
        for litter in workspace.upkeep.find_litter((), timedelta()):
            ours = any(f"-{run_id}-" in litter.place for run_id in let_be)
            require(not litter.dataset or ours, "I15", f"{litter.place} was left, {litter.words}")
        workspace.upkeep.clean(workspace.upkeep.find_litter((), timedelta()), "the end")
        self._files(tools, [])
        for name in {unit[0] for unit in self.heads}:
            seen = {k: s.record for (n, k), s in self.heads.items() if n == name}
            require(seen == tools.store.records(name), "I5", f"{name}: the ledger does not say what it said")
            folder = self.world.folder(name)
            there = {(name, str(p.relative_to(folder))) for p in folder.glob("**/part-*.parquet")}
            left = there - self.files - self.stranger_files
            require(not left, "I15", f"{name}: nothing names {sorted(left)[:2]}")
        for dataset in self.world.open().graph:
            commits = [(c.run_id, c.attempt) for c in tools.tables.read_log(tools.table(dataset)).commits if c.run_id]
            require(len(commits) == len(set(commits)), "I10", f"{dataset.name} holds a commit of a run twice")
        found = self.world.sound()
        require(not found, "I5", "; ".join(found[:3]))


def _content(stored: StoredRecord | None) -> tuple[str, Any] | None:
    """Return what a unit held; None where it was absent."""
    return (stored.record.digest, stored.record.files) if stored and stored.record.fingerprint else None
