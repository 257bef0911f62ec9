"""Text for a tired person: aligned columns, counts, one-line totals, the next command. Rendered from values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from remint.model.approval import Approval
from remint.model.cost import Estimate
from remint.model.dataset import DatasetName, Layer
from remint.model.matrix import Cell, Decision, matrix
from remint.model.partition import DateRange, Grain, Lookback, PartitionKey, PartitionSet
from remint.model.plan import Action, ActionKind, Plan
from remint.model.provenance import ProvenanceRecord
from remint.model.run import Run
from remint.model.wording import counted

if TYPE_CHECKING:
    from remint.planner.compare import Fate, PlanDiff
    from remint.planner.undo import Undo

_LISTED = 10
_ROWS = 60
_ERROR_LINES = 6
_UNITS = ("B", "kB", "MB", "GB", "TB")


def size(size_bytes: int | None) -> str:
    """Return bytes as a person reads them; ``?`` when unknown."""
    if size_bytes is None:
        return "?"
    amount = float(size_bytes)
    for unit in _UNITS:
        if amount < 1000 or unit == _UNITS[-1]:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("unreachable")


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return rows under headers, columns as wide as their widest cell, numbers right-aligned."""
    cells = [[_cell(value) for value in row] for row in rows]
    right = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(headers))]
    widths = [max(len(text) for text in column) for column in zip(headers, *cells, strict=True)]

    def line(values: Sequence[str]) -> str:
        placed = (v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True))
        return "  ".join(placed).rstrip()

    return "\n".join([line(headers), line(["-" * width for width in widths]), *map(line, cells)])


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def plan(shown: Plan) -> str:
    """Return a plan as it is reviewed: what will run and why, what may, what is left alone, the total."""
    asked = shown.request
    where = ", ".join(asked.selectors) or "every dataset"
    lines = [
        f"plan {shown.plan_id}",
        f"  mode {asked.mode}{f', type {asked.type}' if asked.type else ''} | override_state "
        f"{'yes' if asked.override_state else 'no'} | trigger {asked.trigger} | asked by {asked.requested_by}",
        f"  reason    {asked.reason}",
        f"  selected  {where}; {_when(asked.range)}",
        *_rounded(shown),
        "",
    ]
    if shown.is_empty:
        lines.append(f"nothing to do: {counted(shown.fresh_units, 'partition')} fresh")
        return "\n".join([*lines, *_untouched(shown)])
    width = max(len(a.dataset) for a in shown.actions)
    for title, certain in (("will run", True), ("may run, only if what it reads comes out different", False)):
        chosen = [a for a in shown.actions if a.certain is certain]
        if chosen:
            lines.append(title)
            lines += [text for a in chosen for text in _action(a, width)]
            lines.append("")
    lines += _untouched(shown)
    lines += ["", *_matrix(shown), "", _total(shown), f"cost: {estimate(shown.estimate)}"]
    return "\n".join(lines)


def _when(span: DateRange | None) -> str:
    if span is None:
        return "all partitions"
    return f"the time {span.describe()}" if isinstance(span, Lookback) else f"{span.describe()} (half-open)"


def _rounded(shown: Plan) -> list[str]:
    """Return which partitions of each grain a lookback stands for."""
    span = shown.request.range
    if not isinstance(span, Lookback):
        return []
    cuts = dict.fromkeys((d.partition.grain, d.partition.zone) for d in shown.datasets if d.transform)
    named = [f"{grain}s {span.keys(grain, zone).describe()}" for grain, zone in cuts if grain is not Grain.IDENTITY]
    return [f"  rounded   outwards to whole partitions: {'; '.join(named)}"] if named else []


def estimate(found: Estimate) -> str:
    """Return what is expected in one line; ``?`` stands for what no past run tells."""
    unknown = counted(found.unknown_actions, "action")
    if found.seconds is None:
        return f"? (no past run tells about {unknown})"
    line = f"about {amounts(found)} (learned from {counted(found.runs, 'run')})"
    return line + (f", and ? for {unknown}" if found.unknown_actions else "")


def amounts(found: Estimate) -> str:
    """Return seconds, money and bytes, as far as they are known."""
    if found.seconds is None:
        return "?"
    parts = [f"{found.seconds:,.0f} s" if found.seconds >= 10 else f"{found.seconds:,.1f} s"]
    if found.money is not None:
        parts.append(f"{found.money:,.{2 if found.money >= 0.01 else 4}f} {found.currency}")
    parts += [] if found.bytes_scanned is None else [f"{size(found.bytes_scanned)} read"]
    return ", ".join(parts)


def approval(given: Approval, now: str) -> str:
    """Return an approval in one line."""
    state = given.state(now)
    more = {"used": f" by {given.used_by}", "open": f" until {given.expires_at}", "expired": f" at {given.expires_at}"}
    return f"approved by {given.approver}: {given.reason} ({state}{more[state]})"


def _action(action: Action, width: int) -> list[str]:
    symbol = "+" if action.kind is ActionKind.BUILD else "~"
    symbol = symbol if action.certain else "?"
    units = counted(action.units, "partition")
    reads = "what is built first" if action.rows_read is None else counted(action.rows_read, "row")
    head = f"  {symbol} {action.dataset:<{width}}  {units:>14}  {action.keys.describe()}  reads {reads}"
    if action.kind is ActionKind.REBUILD:
        head += f", replaces {counted(action.rows_expected or 0, 'row')}, {size(action.size_bytes)}"
    reasons = []
    for reason in action.reasons:
        root = f"  <- {'; '.join(reason.roots)}" if reason.roots else ""
        reasons.append(f"      {reason.cause.upper()} {reason.detail}{root}")
    return [head, *reasons]


def _untouched(shown: Plan) -> list[str]:
    notes = [f"  = {note.dataset}: {note.detail}" for note in shown.untouched]
    return ["not touched", *notes] if notes else []


def _matrix(shown: Plan) -> list[str]:
    rows = [(row.change, *(_decision(row.layers[layer]) for layer in Layer)) for row in matrix(shown)]
    return table(("recompute because of", *Layer), rows).splitlines()


def _decision(cell: Cell) -> str:
    counts = ((Decision.YES, cell.will), (Decision.MAYBE, cell.may))
    return ", ".join(f"{decision} {number:,}" for decision, number in counts if number) or Decision.NO.value


def plan_diff(found: PlanDiff) -> str:
    """Return what planning again changes against a saved plan."""
    if found.is_empty:
        return f"plan {found.saved} still fits: planning again gives the same"
    lines = [f"against plan {found.saved}, planning again"]
    lines += [f"  asks for another {name}" for name in found.asked]
    lines += [f"  moved since: {words}" for words in found.moved]
    for symbol, changes in (("+", found.added), ("-", found.removed), ("~", found.changed)):
        for change in changes:
            units = f"{counted(len(change.keys), 'partition')}  {change.keys.describe()}"
            lines.append(f"  {symbol} {change.dataset}  {units}")
            lines += [f"      was: {_fate(fate)}" for fate in (change.before,) if fate]
            lines += [f"      now: {_fate(fate)}" for fate in (change.after,) if fate]
    return "\n".join(lines)


def _fate(fate: Fate) -> str:
    return f"{fate.words}: " + "; ".join(f"{reason.cause.upper()} {reason.detail}" for reason in fate.reasons)


def _total(shown: Plan) -> str:
    will = sum(a.units for a in shown.actions if a.certain)
    may = sum(a.units for a in shown.actions if not a.certain)
    rows = sum(a.rows_read or 0 for a in shown.actions)
    return (
        f"total: {will:,} will run, {may:,} may run, {shown.fresh_units:,} fresh; reads up to {rows:,} published rows "
        f"in {len(shown.batches)} batch{'' if len(shown.batches) == 1 else 'es'}"
    )


def absent(days: Mapping[DatasetName, PartitionSet]) -> list[str]:
    """Return a line for every source that never delivered days of its history."""
    return [f"source absent: {name} {missing.describe()}" for name, missing in days.items()]


def run_line(run: Run) -> str:
    """Return a run in one line."""
    of = f" of {run.of_run}" if run.of_run else ""
    return f"run {run.run_id}: {run.kind}{of} {run.state}"


def alert(raised: Mapping[str, Any]) -> str:
    """Return an alert in one line; one that is over says so first."""
    return f"{'recovered: ' if raised.get('recovered') else ''}{raised['alert']}"


def error(run: Run) -> str:
    """Return why a run stopped, of a long list the first lines."""
    lines = (run.error or "").splitlines()
    more = len(lines) - _ERROR_LINES
    if more <= 1:
        return "\n".join(lines)
    return "\n".join([*lines[:_ERROR_LINES], f"  ... and {more} more lines: remint show {run.run_id}"])


def undo(found: Undo) -> list[str]:
    """Return what an undo touches: for each partition, what it holds by which run and what it goes back to."""
    lines: list[str] = []
    for title, moves, is_back in (("goes back", found.moves, True), ("becomes stale", found.stale, False)):
        rows = [
            (
                *move.unit,
                move.role.value,
                _held(move.now.record),
                _held(move.back.record if move.back else None) if is_back else "stays",
            )
            for move in moves
        ]
        if rows:
            lines += [""] if lines else []
            lines.append(table((title, "partition", "because", "holds now", "goes back to"), rows[:_ROWS]))
            lines += [f"... and {len(rows) - _ROWS} more; --json lists all"] if len(rows) > _ROWS else []
    if found.undone:
        lines.append(f"taken back before: {counted(len(found.undone), 'partition')}")
    return lines


def undone(found: Mapping[tuple[DatasetName, PartitionKey], str]) -> list[str]:
    """Return which partitions of a run were taken back by which rollback, a line for each dataset and rollback."""
    groups: dict[tuple[str, DatasetName], list[PartitionKey]] = {}
    for (dataset, key), run_id in sorted(found.items()):
        groups.setdefault((run_id, dataset), []).append(key)
    return [
        f"{counted(len(keys), 'partition')} of {dataset} by {run_id}: {', '.join(keys[:_LISTED])}"
        + (", ..." if len(keys) > _LISTED else "")
        for (run_id, dataset), keys in sorted(groups.items())
    ]


def _held(record: ProvenanceRecord | None) -> str:
    if record is None or not record.fingerprint:
        return "nothing"
    return f"{counted(record.rows, 'row')} by {record.run_id}"


def deprecated(found: Mapping[str, Mapping[int, int]]) -> list[str]:
    """Return in words which partitions are of deprecated versions, one line a version."""
    return [
        f"{counted(partitions, 'partition')} of {name} v{number} are deprecated: do not build on them"
        for name, by_number in found.items()
        for number, partitions in by_number.items()
    ]
