"""Keep earlier states, pin them, and remove the replaced files that nothing holds any more, as a formal run.

Rules: nothing goes before the journal names it and everybody can see that it counts as gone; the choice is made again
when anything that it rests on moved; a file that the newest version of its table names is never touched. Bronze is not
looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta

from remint.errors import AmbiguousPin, ExpireRefused, UnknownRelease, UnknownRun
from remint.execution.releases import named_release
from remint.model.dataset import Dataset, DatasetName, Layer
from remint.model.digest import canonical
from remint.model.graph import DatasetGraph
from remint.model.provenance import DataFile, Pin, Release
from remint.model.request import Ask
from remint.model.run import Run, RunKind, RunState, StepKind
from remint.planner.retention import Choice, Holds, choose, moved_tables, replaced_files
from remint.publishing.publish import record_success
from remint.publishing.record import Scope, audit_entry, stopped
from remint.publishing.tools import Tools, timestamp
from remint.store.values import Admission, AuditEntry, AuditStatus, Outcome, StoredRecord

AT_ONCE = 200
"""Files that are deleted in one step."""
_TRIES = 3
"""Choices that are made before other runs are asked to come to rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseEntry:
    """A release as it is listed."""

    number: int
    release: Release
    moved: Mapping[DatasetName, int]
    """The tables that its run moved, with their versions."""
    pins: tuple[Pin, ...]
    """Open pins."""
    files_replaced: int
    """Files of its cut that later runs replaced: those that retention could take."""
    files_expired: int
    """How many of them it took: with any, the release cannot be read as it was."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Keeps earlier states as long as somebody needs them, and no longer."""

    tools: Tools
    graph: DatasetGraph
    keep_days: int
    user: str
    begun: Callable[[RunKind, Ask, str | None, Admission], AbstractContextManager[Run]]
    """Records a new run of a kind, and holds it for the body of a ``with``."""
    new_id: Callable[[], str]

    def releases(self, limit: int) -> list[ReleaseEntry]:
        """Return the newest releases, newest first."""
        store = self.tools.store
        found = store.releases()
        records = {d.name: store.records_after(0, d.name) for d in self._datasets(())}
        moved, replaced = moved_tables(found), replaced_files(records, found)
        expired = replaced_files(_only(records, {name: set(store.expired(name)) for name in records}), found)
        pins = [p for p in store.pins() if p.is_open]
        entries = [
            ReleaseEntry(
                number=number,
                release=release,
                moved=moved[release.release_id],
                pins=tuple(p for p in pins if p.release_id == release.release_id),
                files_replaced=replaced[release.release_id],
                files_expired=expired[release.release_id],
            )
            for number, release in enumerate(found, 1)
        ]
        return entries[::-1][:limit]

    def pin(self, name: str, reason: str) -> Pin:
        """Keep every file of a release until the pin is given up.

        Args:
            name: a release or its number, or the run that made it.
            reason: why, in words.

        Raises:
            UnknownRelease, UnknownRun: there is none of that name.
            PinRefused: files of it were removed.
        """
        release = named_release(self.tools.store, name)
        now = self.tools.clock()
        pin = Pin(
            pin_id=f"pin-{now:%Y%m%d-%H%M%S}-{self.new_id()}",
            release_id=release.release_id,
            reason=reason,
            pinned_by=self.user,
            pinned_at=timestamp(now),
        )
        needs: dict[DatasetName, Collection[str]] = {}
        for dataset in self._datasets(()):
            records = self.tools.store.records(dataset.name, None, release.last_seq)
            needs[dataset.name] = [f.path for r in records.values() for f in r.files]
        self.tools.store.pin(pin, needs, self._entry("pin", pin, reason))
        return pin

    def unpin(self, name: str, reason: str) -> Pin:
        """Give a pin up; the files stay until the next expiry.

        Args:
            name: the pin's id; or what it keeps, named as for ``pin``, where one pin alone keeps it.
            reason: why, in words.

        Raises:
            UnknownRelease: no open pin has this id, or not one alone keeps this release.
        """
        found = self._open_pin(name)
        self.tools.store.unpin(found.pin_id, reason, self._entry("unpin", found, reason))
        return next(p for p in self.tools.store.pins() if p.pin_id == found.pin_id)

    def _open_pin(self, name: str) -> Pin:
        pins = [p for p in self.tools.store.pins() if p.is_open]
        try:
            release = named_release(self.tools.store, name).release_id
        except (UnknownRelease, UnknownRun):
            release = ""
        found = [p for p in pins if name == p.pin_id] or [p for p in pins if release == p.release_id]
        if not found:
            known = ", ".join(f"{p.pin_id} of {p.release_id}" for p in pins) or "none"
            raise UnknownRelease(f"no open pin is {name!r} or keeps it; open pins: {known}", hint="remint pins")
        if len(found) > 1:
            raise AmbiguousPin(
                f"{release} is kept by {len(found)} open pins: {', '.join(p.pin_id for p in found)}",
                hint=f'remint unpin {found[0].pin_id} --reason "..."    # gives up that one; the others still keep it',
            )
        return found[0]

    def choose(self, selectors: Sequence[str], keep_days: int | None = None, run_id: str = "") -> Choice:
        """Return which replaced files of the selected datasets may go, and why the others stay; changes nothing."""
        store = self.tools.store
        chosen = self._datasets(selectors)
        records = {d.name: store.records_after(0, d.name) for d in chosen}
        return choose(records, store.releases(), self._holds(chosen, self._days(keep_days), run_id))

    def expire(self, selectors: Sequence[str], ask: Ask, keep_days: int | None = None) -> Run | None:
        """Remove the files that nothing holds, as a run; None when there is none.

        Raises:
            ExpireRefused: other runs begin or end all the time; nothing was removed.
        """
        if not self.choose(selectors, keep_days).gone:
            return None
        asked = {"selectors": list(selectors), "keep_days": self._days(keep_days)}
        with self.begun(RunKind.EXPIRE, ask, None, Admission(begun=asked)) as run:
            self.resume(run.run_id)
        return self.tools.store.run(run.run_id)

    def resume(self, run_id: str) -> None:
        """Carry out an expiry under an existing run; may be called again after a crash."""
        tools = self.tools
        if tools.store.run(run_id).state is RunState.FAILED:
            tools.store.set_state(run_id, RunState.STAGING)
        try:
            if not self._intended(run_id):
                self._intend(run_id)
            files: Mapping[DatasetName, list[str]] = self._intended(run_id)[-1]["files"]
            stayed = 0
            for name, paths in sorted(files.items()):
                table = tools.table(self.graph[name])
                for start in range(0, len(paths), AT_ONCE):
                    stayed += len(tools.tables.remove(table, paths[start : start + AT_ONCE]))
            self._record(run_id, files, stayed)
        except Exception as error:
            raise stopped(tools, run_id, error) from error

    def _intended(self, run_id: str) -> list[Mapping[str, Mapping[DatasetName, list[str]]]]:
        return [e.payload for e in self.tools.store.journal(run_id) if e.kind is StepKind.EXPIRE_INTENT]

    def _intend(self, run_id: str) -> None:
        """Choose, and mark what was chosen as gone in the transaction that finds the choice to hold still."""
        begun = next(e.payload for e in self.tools.store.journal(run_id) if e.kind is StepKind.EXPIRE_BEGUN)
        for left in reversed(range(_TRIES)):
            base = self.tools.store.retention_base(run_id)
            found = self.choose(begun["selectors"], begun["keep_days"], run_id)
            try:
                self.tools.store.expire(run_id, {n: [f.path for f in fs] for n, fs in found.gone.items()}, base)
            except ExpireRefused:
                if not left:
                    raise
            else:
                return

    def _record(self, run_id: str, files: Mapping[DatasetName, Sequence[str]], stayed: int) -> None:
        tools = self.tools
        gone: dict[DatasetName, list[DataFile]] = {}
        for name, paths in files.items():
            known = {f.path: f for e in tools.store.records_after(0, name) for f in e.record.files}
            gone[name] = [known[path] for path in paths]
        found = [f for listed in gone.values() for f in listed]
        detail = {"files": len(found), "size_bytes": sum(f.size_bytes for f in found), "files_live_again": stayed}
        scope = Scope.of(self.graph, ((n, f.key) for n, listed in gone.items() for f in listed), 0, detail)
        run, ended = tools.store.run(run_id), tools.now()
        entry = audit_entry(run, scope, AuditStatus.SUCCESS, ended)
        record_success(tools, [], Outcome(run_id=run_id, ended_at=ended, audit=entry, summary=scope.summary()))

    def _holds(self, datasets: Iterable[Dataset], keep_days: int, run_id: str) -> Holds:
        store = self.tools.store
        # Outstanding runs come first: one that ends meanwhile has moved the ledger, and the choice is made again.
        others = [r for r in store.outstanding() if r.run_id != run_id]
        releases, firsts = store.releases(), store.first_seqs()
        since = timestamp(self.tools.clock() - timedelta(days=keep_days))
        young = {r.run_id for r in releases if r.created_at > since}
        pinned = {p.release_id for p in store.pins() if p.is_open}
        undoing = {r.of_run for r in others if r.of_run}
        reading = [json.loads(text)["as_of_seq"] for r in others if (text := store.plan_json(r.run_id))]
        names = [d.name for d in datasets]
        return Holds(
            live={d.name: self._live(d) for d in datasets},
            pinned=tuple(r.last_seq for r in releases if r.release_id in pinned),
            cuts=tuple(seq for found, seq in firsts.items() if found in young | undoing),
            read_since=min(reading, default=None),
            named=self._named(others),
            expired={name: frozenset(store.expired(name)) for name in names},
        )

    def _live(self, dataset: Dataset) -> frozenset[str]:
        live = self.tools.tables.live_files(self.tools.table(dataset))
        return frozenset(path for paths in live.values() for path in paths)

    def _named(self, runs: Iterable[Run]) -> dict[DatasetName, frozenset[str]]:
        """Return the files that the journals of runs name as staged, put in or taken out."""
        found: dict[DatasetName, set[str]] = {}
        for run in runs:
            for entry in self.tools.store.journal(run.run_id):
                if entry.kind is StepKind.PUBLISH_INTENT:
                    for table in entry.payload["tables"]:
                        paths = {f["path"] for f in (*table["adds"], *table["removes"])}
                        found.setdefault(table["dataset"], set()).update(paths)
                elif entry.kind is StepKind.STAGED:
                    paths = {f["path"] for unit in entry.payload["units"] for f in unit["files"]}
                    found.setdefault(entry.payload["dataset"], set()).update(paths)
        return {name: frozenset(paths) for name, paths in found.items()}

    def _datasets(self, selectors: Sequence[str]) -> list[Dataset]:
        return [self.graph[n] for n in self.graph.select(selectors) if self.graph[n].layer is not Layer.BRONZE]

    def _days(self, keep_days: int | None) -> int:
        return self.keep_days if keep_days is None else keep_days

    def _entry(self, action: str, pin: Pin, reason: str) -> AuditEntry:
        detail = canonical({"pin_id": pin.pin_id, "release_id": pin.release_id})
        return AuditEntry(
            at=self.tools.now(),
            action=action,
            actor=self.user,
            run_id=None,
            reason=reason,
            status=AuditStatus.SUCCESS,
            detail=detail,
        )


def _only(
    records: Mapping[DatasetName, Sequence[StoredRecord]], paths: Mapping[DatasetName, set[str]]
) -> dict[DatasetName, list[StoredRecord]]:
    """Return the same records with only those files that are among ``paths``."""
    return {
        name: [
            replace(e, record=replace(e.record, files=tuple(f for f in e.record.files if f.path in paths[name])))
            for e in written
        ]
        for name, written in records.items()
    }
