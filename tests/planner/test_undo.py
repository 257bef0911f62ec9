"""Which units an undo touches, against an oracle that keeps a plain stack for every unit and replays the ledger."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import pytest

from remint.errors import InvalidKey
from remint.model.dataset import Dataset, DatasetName, Input, Layer
from remint.model.graph import DatasetGraph
from remint.model.mapping import Same
from remint.model.partition import DateRange, Grain, PartitionSpec
from remint.model.provenance import DataFile, ProvenanceRecord
from remint.model.request import UndoRequest
from remint.planner.staleness import WHOLE
from remint.planner.undo import Past, Role, Undo, Unit, chosen, plan_undo, undone_by
from tests.proof import proof, report, size

DAY = PartitionSpec(column="day", grain=Grain.DAY)
KEYS = ("2026-10-01", "2026-10-02", "2026-10-03")


def a_dataset(name: str, *reads: str, columns: tuple[str, ...] | None = None) -> Dataset:
    inputs = tuple(Input(alias=r.split(".")[1], dataset=r, mapping=Same(), columns=columns) for r in reads)
    layer = Layer(name.split(".", maxsplit=1)[0])
    return Dataset(name=name, layer=layer, location=name, columns=(), partition=DAY, key=(), inputs=inputs)


GRAPH = DatasetGraph.build(
    [
        a_dataset("silver.a"),
        a_dataset("silver.b"),
        a_dataset("gold.c", "silver.a", columns=("x",)),
        a_dataset("gold.d", "silver.a", "silver.b"),
        a_dataset("gold.e", "gold.c", "gold.d"),
    ]
)


@dataclass(frozen=True)
class Entry:
    """A ledger record with its place."""

    seq: int
    record: ProvenanceRecord


@dataclass
class Lake:
    """A ledger in memory, and beside it what the oracle knows: a stack of contents for every unit."""

    rng: random.Random
    ledger: list[Entry] = field(default_factory=list)
    firsts: dict[str, int] = field(default_factory=dict)
    undone_run: dict[str, str] = field(default_factory=dict)
    """By rollback, the run that it undid."""
    held: list[dict[Unit, str]] = field(default_factory=lambda: [{}])
    """What every unit held after each run: digests, as the oracle remembers them."""
    runs: list[str] = field(default_factory=list)
    projected: dict[str, str] = field(default_factory=dict)
    """Of contents of silver.a, the digest over the one column that gold.c reads."""

    def head(self, unit: Unit) -> ProvenanceRecord | None:
        found = [e.record for e in self.ledger if (e.record.dataset, e.record.key) == unit]
        return found[-1] if found and found[-1].fingerprint else None

    def build(self) -> None:
        """Make some units, upstream first, from what is there then."""
        run_id = f"r-{len(self.runs):03}"
        made: dict[Unit, ProvenanceRecord] = {}
        for dataset in GRAPH:
            for key in KEYS:
                if self.rng.random() < 0.45:
                    made[dataset.name, key] = self._made(dataset, key, run_id, made)
        self._record(run_id, made)

    def _made(self, dataset: Dataset, key: str, run_id: str, made: Mapping[Unit, ProvenanceRecord]) -> ProvenanceRecord:
        inputs = {}
        for entry in dataset.inputs:
            read = made.get((entry.dataset, key)) or self.head((entry.dataset, key))
            digest = self.projected.get(read.digest, read.digest) if read and entry.columns else read and read.digest
            inputs[entry.alias] = {key: digest} if digest else {}
        content = f"{dataset.name}:{key}:{self.rng.randrange(4)}"
        if dataset.name == "silver.a":
            self.projected[content] = (
                f"x{self.rng.randrange(2)}" if content not in self.projected else self.projected[content]
            )
        was = self.head((dataset.name, key))
        same = was is not None and was.digest == content
        path = (
            was.files
            if same and was
            else (DataFile(path=f"{run_id}-{dataset.name}-{key}", key=key, rows=1, size_bytes=1, sha256="", stats=""),)
        )
        return ProvenanceRecord(
            dataset=dataset.name,
            key=key,
            run_id=run_id,
            fingerprint=f"{content}<{sorted((a, sorted(d.items())) for a, d in inputs.items())}",
            logic="l",
            inputs=inputs,
            digest=content,
            files=path,
            table_version=0,
            published=not same,
        )

    def _record(self, run_id: str, made: Mapping[Unit, ProvenanceRecord]) -> None:
        self.runs.append(run_id)
        if made:
            self.firsts[run_id] = len(self.ledger) + 1
        for record in made.values():
            self.ledger.append(Entry(len(self.ledger) + 1, record))
        after = {u: d for u, d in self.held[-1].items() if u not in made}
        self.held.append(after | {u: r.digest for u, r in made.items() if r.fingerprint})

    def past(self, run_id: str) -> Past:
        cut = self.firsts[run_id]
        since: dict[Unit, tuple[Entry, ...]] = {}
        for e in self.ledger[cut - 1 :]:
            unit = (e.record.dataset, e.record.key)
            since[unit] = (*since.get(unit, ()), e)
        before = {(e.record.dataset, e.record.key): e for e in self.ledger[: cut - 1]}
        ids = {e.record.run_id for e in self.ledger}
        return Past(
            run_id=run_id,
            cut=cut,
            since=since,
            before={u: before[u] for u in since if u in before},
            undoes={k: self.firsts[r] for k, r in self.undone_run.items()},
            graphs=dict.fromkeys(ids, GRAPH),
            projections={("silver.a", ("x",)): self.projected},
        )

    def roll_back(self, run_id: str, found: Undo) -> None:
        """Do what the planner said."""
        name = f"r-{len(self.runs):03}"
        made = {}
        for move in found.moves:
            old = (
                move.back.record
                if move.back
                else replace(move.now.record, fingerprint="", inputs={}, digest="", files=())
            )
            made[move.unit] = replace(old, run_id=name)
        self.undone_run[name] = run_id
        self._record(name, made)

    # -- the oracle: replays the ledger, with nothing of the planner ------------------------------------------------

    def layers(self, unit: Unit, subject: str) -> list[tuple[int, ProvenanceRecord]]:
        """Return the contents that a unit stands on, oldest first, with where each was put on."""
        shelf: list[tuple[int, ProvenanceRecord]] = []
        for seq, record in ((e.seq, e.record) for e in self.ledger if (e.record.dataset, e.record.key) == unit):
            undid = self.undone_run.get(record.run_id)
            if undid is not None and record.run_id != subject:
                shelf = self._shelf_before(unit, self.firsts[undid], subject)
            elif record.run_id == subject or not shelf or _content(shelf[-1][1]) != _content(record):
                shelf = [*shelf, (seq, record)]
        return shelf

    def _shelf_before(self, unit: Unit, seq: int, subject: str) -> list[tuple[int, ProvenanceRecord]]:
        earlier = replace_ledger(self, [e for e in self.ledger if e.seq < seq])
        return earlier.layers(unit, subject)

    def expected(
        self, run_id: str, selected: Iterable[Unit], *, cascade: bool
    ) -> tuple[set[Unit], set[Unit], set[Unit]]:
        """Return the units that go back, those that become stale, and those that were written again."""
        cut = self.firsts[run_id]
        shelves = {u: [r for seq, r in self.layers(u, run_id) if seq >= cut] for u in self.units()}
        left = {u for u in selected if any(r.run_id == run_id for r in shelves[u])}
        covered = {u for u in left if shelves[u][-1].run_id != run_id}
        back = set(left) if cascade else left - covered
        reached: set[Unit] = set()
        while True:
            more = {
                u
                for u in self.units() - left - reached
                if shelves[u] and self._reads_any(shelves, u, back | reached, cut)
            }
            if not more:
                break
            reached |= more
        return (back | reached, set(), covered) if cascade else (back, reached, covered)

    def _reads_any(self, shelves: Mapping[Unit, list[ProvenanceRecord]], unit: Unit, gone: set[Unit], cut: int) -> bool:
        made = shelves[unit][-1]
        for entry in GRAPH[unit[0]].inputs:
            source = (entry.dataset, unit[1])
            if source not in gone:
                continue
            read = made.inputs.get(entry.alias, {}).get(unit[1])
            earlier = [e.record for e in self.ledger if e.seq < cut and (e.record.dataset, e.record.key) == source]
            then = earlier[-1].digest if earlier and earlier[-1].fingerprint else None
            seen = [r.digest for r in shelves[source] if r.fingerprint]
            if entry.columns:
                then = self.projected.get(then, then) if then else None
                seen = [self.projected.get(d, d) for d in seen]
            if read in seen and read != then:
                return True
        return False

    def units(self) -> set[Unit]:
        return {(e.record.dataset, e.record.key) for e in self.ledger}


def replace_ledger(lake: Lake, ledger: list[Entry]) -> Lake:
    return replace(lake, ledger=ledger)


def _content(record: ProvenanceRecord) -> tuple[str, tuple[DataFile, ...]]:
    return record.fingerprint, record.files


def a_history(seed: int, steps: int) -> Iterable[tuple[Lake, str, Undo, bool, list[Unit]]]:
    """Yield every undo that is looked at in a random history, before it is carried out."""
    rng = random.Random(seed)
    lake = Lake(rng)
    lake.build()
    for _ in range(steps):
        if rng.random() < 0.5 or not lake.firsts:
            lake.build()
            continue
        run_id = rng.choice(list(lake.firsts)[-6:])
        past = lake.past(run_id)
        selected = rng.sample(past.units, rng.randint(1, len(past.units)))
        cascade = rng.random() < 0.5
        found = plan_undo(past, selected, cascade=cascade)
        yield lake, run_id, found, cascade, selected
        if found.moves and (cascade or not found.covered):
            lake.roll_back(run_id, found)


@proof
@pytest.mark.slow
def test_what_an_undo_touches_is_what_the_oracle_says_in_random_ledgers() -> None:
    looked_at = taken = wrong = 0
    for seed in range(size(300, 8_000)):
        for lake, run_id, found, cascade, selected in a_history(seed, 10):
            moves, stale, covered = lake.expected(run_id, selected, cascade=cascade)
            got = ({m.unit for m in found.moves}, {m.unit for m in found.stale}, {m.unit for m in found.covered})
            cut = lake.firsts[run_id]
            ahead = lake.held[lake.runs.index(run_id)]
            goes_back = {m.unit: m.back.record.digest for m in found.moves if m.back}
            exact = goes_back == {u: ahead[u] for u in moves if u in ahead} and all(
                m.now.seq >= cut for m in found.moves
            )
            is_refused = bool(covered) and not cascade
            is_same = got[2] == covered and (is_refused or (got == (moves, stale, covered) and exact))
            wrong += not is_same
            assert is_same, (
                f"seed {seed}: {run_id} {selected} cascade {cascade}: {got} instead of {moves, stale, covered}"
            )
            looked_at += 1
            taken += sum(m.role is not Role.SELECTED for m in found.moves)
    assert taken > 0
    report("undo", cases=looked_at, wrong=wrong, part="ledgers", units_taken_along=taken)


def test_a_run_has_ended_when_nothing_of_it_stands_and_a_part_that_was_undone_is_named() -> None:
    lake = Lake(random.Random(1))
    lake._record("r-000", {("silver.a", k): _a_record("silver.a", k, "r-000", "one") for k in KEYS})
    first = plan_undo(lake.past("r-000"), [("silver.a", KEYS[0])], cascade=False)
    lake.roll_back("r-000", first)
    rest = plan_undo(lake.past("r-000"), [("silver.a", k) for k in KEYS], cascade=False)

    assert first.ended == ()
    assert undone_by(lake.past("r-000")) == {("silver.a", KEYS[0]): "r-001"}
    assert rest.undone == (("silver.a", KEYS[0]),)
    assert "r-000" in rest.ended


def test_a_unit_that_reads_too_much_to_be_listed_is_found_by_its_mapping() -> None:
    lake = Lake(random.Random(1))
    lake._record("r-000", {("silver.a", KEYS[0]): _a_record("silver.a", KEYS[0], "r-000", "one")})
    reader = replace(_a_record("gold.d", KEYS[0], "r-001", "two"), inputs={"a": {WHOLE: "many:1:501"}, "b": {}})
    other = replace(_a_record("gold.d", KEYS[1], "r-001", "two"), inputs={"a": {WHOLE: "many:1:501"}, "b": {}})
    lake._record("r-001", {("gold.d", KEYS[0]): reader, ("gold.d", KEYS[1]): other})

    found = plan_undo(lake.past("r-000"), [("silver.a", KEYS[0])], cascade=True)

    assert [m.unit for m in found.moves] == [("gold.d", KEYS[0]), ("silver.a", KEYS[0])]


def _a_record(name: DatasetName, key: str, run_id: str, content: str) -> ProvenanceRecord:
    file = DataFile(path=f"{run_id}-{name}-{key}", key=key, rows=1, size_bytes=1, sha256="", stats="")
    return ProvenanceRecord(
        dataset=name,
        key=key,
        run_id=run_id,
        fingerprint=f"{run_id}{key}",
        logic="l",
        inputs={},
        digest=f"{name}{key}{content}",
        files=(file,),
        table_version=0,
    )


UNITS = [(name, key) for name in ("silver.a", "gold.d") for key in KEYS]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (UndoRequest(), UNITS),
        (UndoRequest(selectors=("d",)), [("gold.d", k) for k in KEYS]),
        (UndoRequest(range=DateRange.parse("2026-10-02..2026-10-09")), [(n, k) for n, k in UNITS if k > KEYS[0]]),
        (UndoRequest(selectors=("gold.d",), keys=("2026-10-03",)), [("gold.d", KEYS[2])]),
        (UndoRequest(selectors=("gold.e",)), []),
    ],
)
def test_the_units_of_a_request(request_: UndoRequest, expected: list[Unit]) -> None:
    assert chosen(request_, GRAPH, UNITS) == expected


def test_a_key_that_no_dataset_can_have_is_refused() -> None:
    with pytest.raises(InvalidKey, match="yesterday"):
        chosen(UndoRequest(keys=("yesterday",)), GRAPH, UNITS)


def test_a_request_reads_back_from_a_journal() -> None:
    from remint.model.digest import canonical

    asked = UndoRequest(selectors=("gold.d",), range=DateRange.parse("2026-10"), keys=("2026-10-03",), cascade=True)

    assert UndoRequest.from_payload(canonical(asked)) == asked
    assert UndoRequest.from_payload(canonical(UndoRequest())) == UndoRequest()
