"""A lake in memory: a ledger of row lists that the real observing, folding, planning and staging code works on.

The oracle's tables are translated into declared datasets; what a unit holds is computed by the oracle alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from remint.engines.base import Scan, Staged
from remint.execution.observe import observe, observe_units
from remint.execution.stage import Workpiece
from remint.model.dataset import Arrivals, Column, Dataset, Disposition, Input, Layer, Logic, LogicVersion, Transform
from remint.model.digest import ContentDigest, text_digest
from remint.model.graph import DatasetGraph
from remint.model.mapping import All, ByArrival, FanOut, Latest, RollUp, Same, SelfBefore, Window
from remint.model.mapping import Mapping as PartitionMapping
from remint.model.partition import Grain, PartitionKey, PartitionSet, PartitionSpec
from remint.model.plan import Plan
from remint.model.provenance import ArrivedContent, DataFile, Head, TableState
from remint.model.request import Request
from remint.model.standing import RunChanges, Standing
from remint.planner.build import build_plan
from remint.planner.policy import Policy
from remint.planner.survey import World
from remint.storage.local import LOCAL
from tests.planner.oracle import (
    COLUMNS,
    Cut,
    Landed,
    Oracle,
    Read,
    Reading,
    Row,
    Rows,
    Table,
    keys_read,
    made,
    projected,
)

NOW = datetime(2026, 12, 1, tzinfo=UTC)
SCHEME = "t"
_MASK = (1 << 64) - 1


def content_digest(rows: Iterable[Row]) -> ContentDigest:
    total = parity = count = 0
    for row in rows:
        one = hash(row) & _MASK  # of whole numbers: the same in every process
        total, parity, count = (total + one) & _MASK, parity ^ one, count + 1
    return ContentDigest(SCHEME, count, total, parity)


# -- from the oracle's words to declared datasets ----------------------------------------------------------------------


def mapping_of(read: Read) -> PartitionMapping:
    match read.kind:
        case "window":
            return Window(before=read.before, after=read.after)
        case "self_before":
            return SelfBefore(before=read.before)
        case _:
            kinds = {"same": Same, "by_arrival": ByArrival, "roll_up": RollUp, "fan_out": FanOut, "all": All}
            return {**kinds, "latest": Latest}[read.kind]()  # type: ignore[no-any-return]


def _spec(cut: Cut) -> PartitionSpec:
    return PartitionSpec(column="d", grain=Grain(cut.grain), label=cut.label or None, zone=cut.zone)


def declared(table: Table, readers: Iterable[Read]) -> Dataset:
    """Return the declaration of a table that ``readers`` read."""
    is_versioned = table.cut.label == "version"
    events = table.events
    return Dataset(
        name=table.name,
        layer=Layer(table.name.split(".", maxsplit=1)[0]),
        location=table.name,
        partition=_spec(table.cut),
        columns=tuple(Column(name=c, type="BIGINT") for c in COLUMNS),
        key=(),
        inputs=tuple(
            Input(alias=r.alias, dataset=r.source, mapping=mapping_of(r), columns=r.columns) for r in table.reads
        ),
        transform=Transform(
            sql="", logic=Logic(digest=text_digest(repr(table.meaning)), canonical="", canonicaliser="")
        )
        if table.transform
        else None,
        arrivals=Arrivals(column="at", grain=Grain(events.grain), label=events.label or None) if events else None,
        version=LogicVersion(number=table.version, column="version", old=Disposition.KEEP)
        if is_versioned
        else LogicVersion(number=table.version),
        read_as=tuple(sorted({r.columns for r in readers if r.source == table.name and r.columns is not None})),
    )


# -- the ledger --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Record:
    """One line of the ledger, with what the oracle knows of it."""

    seq: int
    run_id: str
    dataset: str
    key: str
    fingerprint: str
    logic: str
    inputs: Mapping[str, Mapping[str, str]]
    digest: str
    published: bool
    rows: Rows
    meaning: tuple[object, ...]
    """The logic that made it, in the oracle's words."""
    reading: Reading
    """What it was made from."""
    files: tuple[DataFile, ...] = ()

    @property
    def is_missing(self) -> bool:
        return not self.fingerprint

    @property
    def head(self) -> Head:
        return Head(
            seq=self.seq,
            key=self.key,
            run_id=self.run_id,
            fingerprint=self.fingerprint,
            logic=self.logic,
            digest=self.digest,
            rows=len(self.rows),
            size_bytes=100,
        )


@dataclass
class Lake:
    """Tables, what was landed, and the ledger; also stands in for the store, the engine and the table format."""

    tables: dict[str, Table]
    arrived: dict[str, dict[str, Rows]] = field(default_factory=dict)
    ledger: list[Record] = field(default_factory=list)
    arrivals_of: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    """By run, the event keys for which it brought rows."""
    read_seqs: dict[str, int] = field(default_factory=dict)
    heads_now: dict[str, dict[str, Record]] = field(default_factory=dict)
    kept: dict[str, Standing] = field(default_factory=dict)
    rows_of: dict[str, Rows] = field(default_factory=dict)
    """Rows by their digest."""

    # -- declarations --------------------------------------------------------------------------------------------------

    @property
    def graph(self) -> DatasetGraph:
        reads = [r for t in self.tables.values() for r in t.reads]
        return DatasetGraph.build(declared(t, reads) for t in self.tables.values())

    # -- what the oracle sees ------------------------------------------------------------------------------------------

    @property
    def contents(self) -> dict[str, dict[str, Rows]]:
        """Return what is published, by dataset and key."""
        return {
            name: {k: r.rows for k, r in self.heads_now.get(name, {}).items() if not r.is_missing}
            for name in self.tables
        }

    @property
    def oracle(self) -> Oracle:
        bronze = {n: rows for n, rows in self.contents.items() if not self.tables[n].transform}
        return Oracle(self.tables.values(), Landed(arrived=self.arrived, bronze=bronze))

    # -- the store, as observing reads it ------------------------------------------------------------------------------

    @property
    def tools(self) -> Any:
        tables = SimpleNamespace(version=lambda _: None, live_files=lambda _: {})
        return SimpleNamespace(
            store=_Store(self),
            tables=tables,
            table=lambda d: d,
            storage=LOCAL,
            folder=lambda d: d.name,
            engine=_Engine(self),
            stopwatch=lambda: 0.0,
        )

    @property
    def last_seq(self) -> int:
        return len(self.ledger)

    # -- what happens --------------------------------------------------------------------------------------------------

    def plan(self, request: Request, *, batch_rows: int = 4_000_000) -> Plan:
        graph = self.graph
        world = World(project="p", graph=graph, observed=observe(self.tools, graph, request))
        return build_plan(request, world, Policy(batch_rows=batch_rows, allow_all=True, allow_future=True), NOW)

    def ingest(self, run_id: str, dataset: str, rows: Mapping[str, Rows], events: Mapping[str, Rows]) -> None:
        """Append rows to partitions of Bronze; ``events`` are the same rows by the period of their event."""
        held = self.arrived.setdefault(dataset, {})
        for key, more in events.items():
            held[key] = tuple(sorted((*held.get(key, ()), *more)))
        self.arrivals_of[run_id] = {dataset: set(events)}
        for key, more in rows.items():
            before = self.heads_now.get(dataset, {}).get(key)
            self._record(
                Record(
                    seq=0,
                    run_id=run_id,
                    dataset=dataset,
                    key=key,
                    fingerprint="landed",
                    logic="",
                    inputs={},
                    digest="",
                    published=True,
                    rows=tuple(sorted((*(before.rows if before else ()), *more))),
                    meaning=(),
                    reading={},
                )
            )

    def outdated(self, plan: Plan) -> bool:
        """Return whether anything that the plan requires has moved since it was made."""
        later = _Store(self).changes(plan.as_of_seq)
        return any(
            key in need.keys
            for need in plan.requirements
            for run in later
            for key in (run.arrived if need.arrived else run.changed).get(need.dataset, ())
        )

    def record_run(self, run_id: str, plan: Plan, staged: Staging) -> bool:
        """Write the run's records in one go; False where a unit of it was recorded by another run meanwhile."""
        for name, units in staged.piece.staged.items():
            for key in units:
                seen = staged.piece.observed.heads[name].get(key)
                now = self.heads_now.get(name, {}).get(key)
                if (seen.seq if seen else None) != (now.seq if now else None):
                    return False
        self.read_seqs[run_id] = plan.as_of_seq
        for name, units in staged.piece.staged.items():
            for key, unit in units.items():
                self._record(
                    Record(
                        seq=0,
                        run_id=run_id,
                        dataset=name,
                        key=key,
                        fingerprint=unit.fingerprint,
                        logic=staged.piece.graph[name].logic_digest,
                        inputs=unit.inputs,
                        digest=unit.digest,
                        published=not unit.is_confirmed,
                        rows=staged.contents[name][key],
                        meaning=self.tables[name].meaning,
                        reading=staged.readings[name, key],
                    )
                )
        return True

    def roll_back(self, run_id: str, undone: str) -> bool:
        """Put back what each unit of a run held before; False where a later run wrote one of them again."""
        records = [r for r in self.ledger if r.run_id == undone]
        for record in records:
            head = self.heads_now[record.dataset][record.key]
            if (head.fingerprint, head.rows) != (record.fingerprint, record.rows):
                return False
        for record in records:
            earlier = [r for r in self.ledger[: record.seq - 1] if (r.dataset, r.key) == (record.dataset, record.key)]
            before = earlier[-1] if earlier else None
            if before is None or before.is_missing:
                gone = replace(record, fingerprint="", logic="", inputs={}, digest="", rows=(), reading={}, meaning=())
                self._record(replace(gone, run_id=run_id, published=True))
            else:
                self._record(replace(before, run_id=run_id, published=record.published))
        return True

    def _record(self, record: Record) -> None:
        digest = str(content_digest(record.rows)) if record.fingerprint else ""
        self.rows_of[digest] = record.rows
        written = replace(record, seq=self.last_seq + 1, digest=digest)
        self.ledger.append(written)
        self.heads_now.setdefault(record.dataset, {})[record.key] = written


class _Store:
    """The part of the store's interface that observing and staging read."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    def last_record(self) -> tuple[int, str]:
        return (self.lake.last_seq, self.lake.ledger[-1].run_id) if self.lake.ledger else (0, "")

    def standings(self) -> dict[str, Standing]:
        return dict(self.lake.kept)

    def save_standings(self, standings: Mapping[str, Standing]) -> None:
        for name, standing in standings.items():
            if name not in self.lake.kept or self.lake.kept[name].through_seq <= standing.through_seq:
                self.lake.kept[name] = standing

    def changes(self, after_seq: int) -> list[RunChanges]:
        by_run: dict[str, list[Record]] = {}
        for record in self.lake.ledger[after_seq:]:
            by_run.setdefault(record.run_id, []).append(record)
        return [self._changes(run_id, records) for run_id, records in by_run.items()]

    def _changes(self, run_id: str, records: list[Record]) -> RunChanges:
        made_by: dict[str, dict[str, tuple[str, ...]]] = {}
        withdrawn: dict[str, tuple[str, ...]] = {}
        changed: dict[str, tuple[str, ...]] = {}
        for r in records:
            if r.is_missing:
                withdrawn[r.dataset] = (*withdrawn.get(r.dataset, ()), r.key)
            else:
                by_logic = made_by.setdefault(r.dataset, {})
                by_logic[r.logic] = (*by_logic.get(r.logic, ()), r.key)
            if r.published:
                changed[r.dataset] = (*changed.get(r.dataset, ()), r.key)
        return RunChanges(
            run_id=run_id,
            first_seq=records[0].seq,
            last_seq=records[-1].seq,
            read_seq=self.lake.read_seqs.get(run_id),
            made=made_by,
            withdrawn=withdrawn,
            changed=changed,
            arrived={n: tuple(sorted(k)) for n, k in self.lake.arrivals_of.get(run_id, {}).items()},
        )

    def heads(self, names: Collection[str], wanted: Mapping[str, PartitionSet]) -> dict[str, dict[PartitionKey, Head]]:
        return {n: {k: r.head for k, r in self.lake.heads_now.get(n, {}).items() if k in wanted[n]} for n in names}

    def arrivals(self, name: str, keys: PartitionSet) -> dict[PartitionKey, ArrivedContent]:
        held = self.lake.arrived.get(name, {})
        return {k: ArrivedContent(digest=content_digest(rows), files=1) for k, rows in held.items() if k in keys}

    def arrival_files(self, name: str, keys: PartitionSet, *, rivals: bool) -> tuple[str, ...]:
        del name, keys, rivals
        return ()

    def inputs(self, seqs: Collection[int]) -> dict[int, Mapping[str, Mapping[str, str]]]:
        return {seq: self.lake.ledger[seq - 1].inputs for seq in seqs}

    def records(self, name: str, keys: Iterable[PartitionKey] = ()) -> dict[PartitionKey, Record]:
        heads = self.lake.heads_now.get(name, {})
        return {k: heads[k] for k in keys if k in heads}

    def projections(self, name: str, columns: tuple[str, ...], contents: Collection[str]) -> dict[str, str]:
        del name
        return {c: str(content_digest(projected(self.lake.rows_of[c], columns))) for c in contents}

    def logics(self, names: Collection[str]) -> dict[str, tuple[Any, ...]]:
        del names
        return {}

    def outstanding(self) -> list[Any]:
        return []

    def tables_seen(self) -> dict[str, TableState]:
        return {}

    def run(self, run_id: str) -> Any:
        del run_id
        return SimpleNamespace(trigger="manual", reason="test")


class _Engine:
    """No engine is needed: every digest over columns is known to the store."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    def digests(self, scan: Scan, columns: tuple[str, ...]) -> dict[PartitionKey, ContentDigest]:
        raise AssertionError(f"{columns} of {scan.root} should be known")


# -- applying a plan ---------------------------------------------------------------------------------------------------


class OutOfOrder(AssertionError):
    """A unit was staged before something that it reads and that the plan also makes."""


class Staging:
    """A plan being staged: the real early cutoff decides, the oracle computes and watches."""

    def __init__(self, lake: Lake, plan: Plan) -> None:
        graph = DatasetGraph.build(plan.datasets)
        self.lake, self.oracle = lake, lake.oracle
        self.piece = Workpiece(
            tools=lake.tools,
            graph=graph,
            observed=observe_units(lake.tools, graph, plan.units),
            certain=plan.action_units(certain=True),
            run_id="",
        )
        self.contents = lake.contents
        self.before = {name: dict(rows) for name, rows in self.contents.items()}
        self.readings: dict[tuple[str, str], Reading] = {}
        self.waiting = {(name, key) for name, keys in plan.units.items() for key in keys}
        for batch in plan.batches:
            for step in batch.steps:
                self._stage(self.lake.tables[step.dataset], graph[step.dataset], step.keys)
        assert not self.waiting, f"planned and in no batch: {sorted(self.waiting)}"

    def _stage(self, table: Table, dataset: Dataset, keys: PartitionSet) -> None:
        for key in keys:
            self._require_order(table, key)
        due = self.piece.due(dataset, keys)
        assert set(due) == {k for k in keys if self._is_due(table, k)}, f"{table.name}: cutoff"
        found = {}
        for key in due:
            reading = self.oracle.reading(table, key, self.contents)
            self.readings[table.name, key] = reading
            found[key] = made(table, reading)
        self.contents[table.name].update(found)
        staged = Staged(
            files=(),
            digests={k: content_digest(rows) for k, rows in found.items()},
            projections={
                columns: {k: content_digest(projected(rows, columns)) for k, rows in found.items()}
                for columns in dataset.read_as
            },
            violations={},
            strays={},
            rows_read=0,
            rows_rejected=0,
            rows_superseded=0,
            rows_read_by_unit=0,
            rows_elsewhere=0,
        )
        self.piece.add(table.name, self.piece.units(dataset, due, staged))
        self.waiting -= {(table.name, key) for key in keys}

    def _require_order(self, table: Table, key: str) -> None:
        for read in table.reads:
            if read.kind == "by_arrival":
                continue
            waiting = {k for n, k in self.waiting if n == read.source}
            there = self.contents[read.source].keys() | waiting
            late = keys_read(table, read, self.lake.tables[read.source], key, there) & waiting
            if late:
                raise OutOfOrder(f"{table.name} {key} before {read.source} {sorted(late)}")

    def _is_due(self, table: Table, key: str) -> bool:
        """Return whether the unit must run: it is certain, or this run changed what it reads to what it was not."""
        if key in self.piece.certain.get(table.name, ()):
            return True
        now = self.oracle.reading(table, key, self.contents)
        head = self.lake.heads_now.get(table.name, {}).get(key)
        if head and head.meaning == table.meaning and head.reading == now:
            return False
        return now != self.oracle.reading(table, key, self.before)
