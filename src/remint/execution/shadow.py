"""Shadow run: stage declared logic beside the tables and compare it with what is published; nothing is published.

Rules: nothing is written below the lake; of the store only what can be derived from the ledger again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from remint.checks.judge import Verdict
from remint.errors import RemintError
from remint.execution.audit import verdicts_on
from remint.execution.diff import DatasetDiff, diff_contents, present
from remint.execution.observe import observe_units
from remint.execution.stage import Workpiece, discard_beside
from remint.model.dataset import DatasetName
from remint.model.event import Event, EventKind
from remint.model.graph import DatasetGraph
from remint.model.partition import PartitionSet
from remint.model.plan import Batch, Step
from remint.model.request import Trial
from remint.model.wording import counted
from remint.planner.policy import Policy
from remint.planner.shadow import ShadowWork, as_published, shadow_batches, shadow_work
from remint.planner.survey import World
from remint.publishing.tools import Tools


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """What the declared logic would publish in a window, against what is published."""

    diffs: tuple[DatasetDiff, ...]
    """Of every dataset that was computed, and of those downstream that the window holds; upstream first."""
    computed: dict[DatasetName, int]
    """Partitions computed, by dataset."""
    breaches: tuple[Verdict, ...]
    """Checks that the declared logic breaks; a run of it would stop at the blocking ones."""
    beyond: dict[DatasetName, PartitionSet]
    """Partitions outside of the window that a run would reach too."""
    folder: str
    """Where the files were staged; they are gone, unless they were to be kept."""


def shadow(tools: Tools, declared: DatasetGraph, trial: Trial, folder: Path, *, batch_rows: int) -> Shadow:
    """Compute declared logic in a window, below ``folder``, and return how it differs from what is published.

    Raises:
        PlanError: the window is no small one, or names nothing.
        RunError: a transform fails; nothing changed.
    """
    known = observe_units(tools, declared, {})
    graph = as_published(declared, known.logics)
    far = World(project="", graph=graph, observed=observe_units(tools, graph, {}))
    work = shadow_work(far, graph.select(trial.selectors), trial.span, trial.sample)
    near = replace(far, observed=observe_units(tools, graph, work.units))
    batches = shadow_batches(near, work, trial.span, Policy(batch_rows=batch_rows, allow_all=trial.allow_all))
    try:
        return _computed(tools, near, work, batches, folder)
    finally:
        if not trial.keep:
            discard_beside(folder)


def _computed(tools: Tools, near: World, work: ShadowWork, batches: Sequence[Batch], folder: Path) -> Shadow:
    graph = near.graph
    piece = Workpiece(
        tools=tools,
        graph=graph,
        observed=near.observed,
        certain=work.certain,
        run_id=folder.name,
        beside=folder,
        now=tools.now(),
    )
    breaches: list[Verdict] = []
    total, done = sum(len(s.keys) for b in batches for s in b.steps), 0
    try:
        for index, batch in enumerate(batches):
            for number, step in enumerate(batch.steps):
                breaches += _stage(piece, step, f"{folder.name}-{index}-{number}")
                done += len(step.keys)
                _announce(piece, step, done, total)
            tools.engine.forget()
        diffs = tuple(_diff(piece, name, keys) for name in graph.datasets if (keys := work.units.get(name)))
    except RemintError as error:
        error.leaves = "nothing changed: a shadow run publishes nothing"
        raise
    return Shadow(
        diffs=diffs,
        computed={name: len(units) for name, units in piece.staged.items() if units},
        breaches=tuple(breaches),
        beyond=dict(work.beyond),
        folder=str(folder),
    )


def _stage(piece: Workpiece, step: Step, token: str) -> Iterable[Verdict]:
    dataset = piece.graph[step.dataset]
    due = piece.due(dataset, step.keys)
    if not due:
        return []
    staged = piece.tools.engine.stage(piece.work(dataset, due, token))
    verdicts = verdicts_on(dataset, due, staged, piece.rows_arrived(dataset, due))
    # Rows that left their partition are a breach already; no unit of the window has them.
    inside = replace(staged, files=tuple(f for f in staged.files if f.key in due))
    piece.add(dataset.name, piece.units(dataset, due, inside))
    return verdicts


def _announce(piece: Workpiece, step: Step, done: int, total: int) -> None:
    made = [u for k, u in piece.staged.get(step.dataset, {}).items() if k in step.keys]
    words = f"{step.keys.describe()}: {counted(len(made), 'partition')} computed"
    kind = EventKind.STAGED if made else EventKind.SKIPPED
    piece.tools.emit(
        Event(kind=kind, run_id="", dataset=step.dataset, detail=words, units_done=done, units_total=total)
    )


def _diff(piece: Workpiece, name: DatasetName, keys: PartitionSet) -> DatasetDiff:
    old = present(piece.tools.store.records(name, list(keys)))
    made = piece.staged.get(name, {})
    return diff_contents(piece.tools, piece.graph[name], old, {**old, **{k: made[k] for k in made if k in keys}})
