"""Small graphs and ledgers in two lines."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from remint.model.dataset import Arrivals, Column, Dataset, Input, Layer, Logic, Transform
from remint.model.digest import ContentDigest, fingerprint
from remint.model.graph import DatasetGraph
from remint.model.mapping import ByArrival, RollUp
from remint.model.mapping import Mapping as PartitionMapping
from remint.model.observation import Observed
from remint.model.partition import Grain, PartitionSet, PartitionSpec
from remint.model.plan import Plan
from remint.model.provenance import ArrivedContent, Head
from remint.model.request import Mode, Request
from remint.model.standing import RunChanges
from remint.planner.build import World, build_plan
from remint.planner.folding import fold
from remint.planner.policy import Policy
from remint.planner.staleness import Contents, changed_heads, unit_inputs

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SCHEME = "test-1"


def digest(seed: int, rows: int = 10) -> ContentDigest:
    return ContentDigest(SCHEME, rows, seed, seed)


def bronze(name: str = "bronze.raw") -> Dataset:
    return Dataset(
        name=name,
        layer=Layer.BRONZE,
        location=name.replace(".", "/"),
        partition=PartitionSpec(column="loaded", grain=Grain.DAY),
        columns=(Column(name="loaded", type="DATE"),),
        key=("loaded",),
        arrivals=Arrivals(column="at", grain=Grain.DAY),
    )


def derived(name: str, *inputs: tuple[str, PartitionMapping], logic: str = "v1") -> Dataset:
    grain = Grain.MONTH if any(isinstance(m, RollUp) for _, m in inputs) else Grain.DAY
    return Dataset(
        name=name,
        layer=Layer(name.split(".", maxsplit=1)[0]),
        location=name.replace(".", "/"),
        partition=PartitionSpec(column="d", grain=grain),
        columns=(Column(name="d", type="DATE"),),
        key=(),
        inputs=tuple(Input(alias=f"i{n}", dataset=up, mapping=m) for n, (up, m) in enumerate(inputs)),
        transform=Transform(sql="SELECT 1", logic=Logic(digest=logic, canonical="", canonicaliser="")),
    )


class Lake:
    """A graph with a ledger; recomputing a unit is a function of its fingerprint, unless told otherwise."""

    def __init__(self, *datasets: Dataset) -> None:
        self.graph = DatasetGraph.build(datasets)
        self.arrived: dict[str, dict[str, ContentDigest]] = {d.name: {} for d in datasets if d.arrivals}
        self.heads: dict[str, dict[str, Head]] = {d.name: {} for d in datasets}
        self.made_from: dict[int, Mapping[str, Mapping[str, str]]] = {}
        self.outputs: dict[tuple[str, str], int] = {}
        """Fixed content seeds: units whose recompute gives the same rows whatever they are made from."""
        self.runs: list[RunChanges] = []
        self.seq = 0

    def arrive(self, days: Iterable[str], dataset: str = "bronze.raw", rows: int = 10) -> None:
        for day in days:
            held = self.arrived[dataset].get(day, ContentDigest.empty(SCHEME))
            self.seq += 1
            self.arrived[dataset][day] = held + digest(self.seq * 7919, rows)
            self._record(self.seq, arrived={dataset: (day,)})

    def relogic(self, name: str, logic: str) -> None:
        old = self.graph[name]
        assert old.transform
        new = replace(old, transform=replace(old.transform, logic=replace(old.transform.logic, digest=logic)))
        self.graph = DatasetGraph.build([new if d.name == name else d for d in self.graph])

    def forget(self) -> None:
        """Lose everything that was published, as before the first run."""
        self.heads = {name: {} for name in self.heads}
        self.runs = [run for run in self.runs if run.arrived]

    def observed(self) -> Observed:
        standings = fold(self.graph, {}, self.runs)
        arrivals = {n: {k: ArrivedContent(digest=d, files=1) for k, d in by.items()} for n, by in self.arrived.items()}
        seen = Observed(standings=standings, last_seq=self.seq, heads=self.heads, arrivals=arrivals)
        return replace(seen, inputs={s: self.made_from[s] for s in changed_heads(self.graph, seen)})

    def plan(self, *selectors: str, allow_all: bool = False, **fields: object) -> Plan:
        if fields.get("range") or fields.get("rebuild"):
            fields.setdefault("mode", Mode.BACKFILL)
            fields.setdefault("override_state", False)
        request = Request(selectors=selectors, requested_by="ana", **fields)  # type: ignore[arg-type]
        world = World(project="p", graph=self.graph, observed=self.observed())
        return build_plan(request, world, Policy(allow_all=allow_all), NOW)

    def apply(self, plan: Plan) -> dict[str, list[str]]:
        """Recompute what the plan says, in its order, cutting off early; return what was recomputed, by dataset."""
        ran: dict[str, list[str]] = {}
        changed: dict[str, list[str]] = {}
        sure = plan.action_units(certain=True)
        contents = Contents.of(self.observed())
        first = self.seq + 1
        for step in (step for batch in plan.batches for step in batch.steps):
            for key in step.keys:
                head = self._recompute(step.dataset, key, contents, sure=key in sure.get(step.dataset, ()))
                if head is None:
                    continue
                before = self.heads[step.dataset].get(key)
                self.heads[step.dataset][key] = head
                ran.setdefault(step.dataset, []).append(key)
                if before is None or before.digest != head.digest:
                    changed.setdefault(step.dataset, []).append(key)
                keys = PartitionSet.of(step.grain, [key])
                contents = contents.overlaid({step.dataset: {key: head.digest}}, {}, {step.dataset: keys})
        made = {n: {self.graph[n].logic_digest: tuple(keys)} for n, keys in ran.items()}
        self._record(first, read_seq=first - 1, made=made, changed={n: tuple(keys) for n, keys in changed.items()})
        return ran

    def _recompute(self, name: str, key: str, contents: Contents, *, sure: bool) -> Head | None:
        dataset = self.graph[name]
        inputs = unit_inputs(self.graph, dataset, key, contents)
        expected = fingerprint(dataset.logic_digest, inputs)
        head = self.heads[name].get(key)
        if not sure and head and head.fingerprint == expected:
            return None
        self.seq += 1
        self.made_from[self.seq] = inputs
        seed = self.outputs.get((name, key), int(expected[:8], 16))
        return Head(
            seq=self.seq,
            key=key,
            run_id=f"r{self.seq}",
            fingerprint=expected,
            logic=dataset.logic_digest,
            digest=str(digest(seed)),
            rows=10,
            size_bytes=100,
        )

    def _record(self, first: int, **facts: Any) -> None:
        self.seq = max(self.seq, first)
        changes = {"read_seq": None, **facts}
        self.runs.append(RunChanges(run_id=f"r{self.seq}", first_seq=first, last_seq=self.seq, **changes))


BY_ARRIVAL = ByArrival()
