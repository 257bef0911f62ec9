"""What may be planned and started: limits that refuse, or that ask for the approval of a second person. Pure.

Rules: a limit that history tells nothing about is not judged, and the plan says so; a forced backfill always asks;
what depends on the time (peak hours, runs in progress) is judged when a run starts, so a plan can be made at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from enum import StrEnum

from remint.errors import (
    BronzeChanged,
    FilesDamaged,
    InvalidRange,
    PeakHours,
    PlanError,
    PlanUsed,
    PolicyRefused,
    StateBehind,
    TooManyBytes,
    TooManyRows,
    TooManyRuns,
    TooManySeconds,
    TooMuchMoney,
    UsageError,
    VersionNotRaised,
    WholeHistory,
    WindowTooLong,
)
from remint.model.cost import Prices
from remint.model.dataset import DatasetName, Layer
from remint.model.graph import DatasetGraph
from remint.model.observation import LogicChange, Observed, behind
from remint.model.partition import Grain, PartitionSet, days_of
from remint.model.plan import Plan, StaleCause
from remint.model.request import BackfillType, Mode, Request
from remint.model.run import OUTSTANDING, Run, RunState
from remint.model.wording import counted
from remint.planner import peak_hours
from remint.planner.versions import readers

_SHOWN = 5
"""Of what is alike, so much is named in a message."""


class Rule(StrEnum):
    """Rules that refuse, or ask where ``[policy] ask`` names them."""

    MAX_SECONDS = "max_seconds"
    MAX_MONEY = "max_money"
    MAX_BYTES_SCANNED = "max_bytes_scanned"
    MAX_ROWS = "max_rows"
    LARGEST_WINDOW_DAYS = "largest_window_days"
    WHOLE_HISTORY = "whole_history"
    PEAK_HOURS = "peak_hours"
    MAX_RUNNING = "max_running"


class Priority(StrEnum):
    """How a backfill stands to other processes of the machine."""

    LOW = "low"
    NORMAL = "normal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Limits that the project or the caller sets; None: there is no such limit."""

    batch_rows: int = 4_000_000
    """Rows that one staging query may read."""
    allow_future: bool = False
    allow_absent: bool = False
    """The caller knows that a source never delivered some of the days."""
    allow_all: bool = False
    """The caller said ``--all``: recomputing the whole history is meant."""
    max_seconds: float | None = None
    max_money: float | None = None
    max_bytes_scanned: int | None = None
    max_rows: int | None = None
    """Rows read."""
    largest_window_days: int | None = None
    peak_hours: tuple[peak_hours.PeakHours, ...] = ()
    """When no backfill may start."""
    max_running: int | None = None
    """Runs in progress, with the one that starts."""
    ask: frozenset[Rule] = frozenset()
    """Rules whose breach needs an approval instead of being refused."""
    priority: Priority = Priority.LOW
    """Of backfills."""
    sla_seconds: float | None = None
    """A run that takes longer raises an alert."""
    lease_seconds: float = 60
    """A run belongs so long to a process that gives no sign of life."""
    prices: Prices = field(default_factory=Prices)


def refuse(
    request: Request,
    graph: DatasetGraph,
    domains: Mapping[DatasetName, PartitionSet],
    *,
    policy: Policy,
    now: datetime,
) -> tuple[str, ...]:
    """Refuse a request that no plan should be made of; return what its plan needs an approval for, in words.

    Raises:
        InvalidRange: the range lies in the future, or names no partition of the selection.
        WholeHistory: a rebuild of the whole history without ``--all``.
    """
    if request.range and request.range.end.toordinal() - 1 > now.date().toordinal() and not policy.allow_future:
        raise InvalidRange(
            f"the range {request.range.describe()} ends after today, {now.date().isoformat()}",
            hint="add --allow-future if that is meant",
        )
    held = {n: domains[n] for n in graph.select(request.selectors)}
    zones = {n: graph[n].partition.zone for n in held}
    chosen = {n: request.range.within(keys, zones[n]) if request.range else keys for n, keys in held.items()}
    units, known = sum(map(len, chosen.values())), sum(map(len, held.values()))
    if request.range and known and not units:
        raise InvalidRange(
            f"the range {request.range.describe()} names 0 partitions of what is selected",
            hint="remint status    # shows which partitions there are",
        )
    breaches: list[tuple[Rule, PolicyRefused]] = []
    # Bronze is never recomputed, so it is no part of what a range must leave out to be less than everything.
    made = {n: len(keys) for n, keys in chosen.items() if graph[n].transform and keys}
    is_all = sum(made.values()) > 1 and all(chosen[n] == keys for n, keys in held.items() if graph[n].transform)
    if request.rebuild and is_all and (Rule.WHOLE_HISTORY in policy.ask or not policy.allow_all):
        breaches.append((Rule.WHOLE_HISTORY, _whole_history(made, request)))
    return _answer(breaches, policy)


def _whole_history(made: Mapping[DatasetName, int], request: Request) -> WholeHistory:
    shown = ", ".join(f"{name} {number:,}" for name, number in list(made.items())[:_SHOWN])
    more = f", and {len(made) - _SHOWN} more datasets" if len(made) > _SHOWN else ""
    within = f", all of it within {request.range.describe()}" if request.range else ""
    words = f"this would recompute the whole history of what is selected{within}: {sum(made.values()):,} partitions"
    limit = "a smaller --range" if request.range else "limit it: --range 2026-10-14..2026-10-16"
    return WholeHistory(f"{words} ({shown}{more})", hint=f"add --all if that is meant, or {limit}")


def windows(
    request: Request,
    graph: DatasetGraph,
    domains: Mapping[DatasetName, PartitionSet],
    days: int,
    *,
    policy: Policy,
    now: datetime,
) -> tuple[Request, ...]:
    """Return one request for every ``days`` days of the range that name any partition, in order.

    Raises:
        InvalidRange: the range as a whole lies in the future, or names nothing.
        WholeHistory: as a whole it would recompute everything, and nobody said that this is meant.
        UsageError: there is no range.
    """
    cut = request.windows(days)
    refuse(request, graph, domains, policy=replace(policy, ask=frozenset()), now=now)
    names = graph.select(request.selectors)
    return tuple(w for w in cut if any(w.range.within(domains[n]) for n in names if w.range))


def judge(plan: Plan, policy: Policy) -> tuple[str, ...]:
    """Return what the plan needs an approval for, in words; a forced backfill always does.

    Raises:
        PolicyRefused: the plan breaks a limit that does not ask; the class says which, the message by how much.
        UsageError: a logical backfill of data that no change of logic made stale.
    """
    if plan.is_empty:
        return ()
    _check_logical(plan)
    forced = ("a forced backfill overrides pipeline state",) if plan.request.is_forced else ()
    return forced + _answer([*_over_limit(plan, policy), *_too_long(plan, policy)], policy)


def judge_start(plan: Plan, policy: Policy, now: datetime, running: int) -> tuple[str, ...]:
    """Return what a start at ``now`` needs an approval for, in words.

    Args:
        plan: what is about to be applied.
        policy: limits.
        now: aware of its zone.
        running: runs in progress.

    Raises:
        PeakHours: it is peak time, and the plan is a backfill.
        TooManyRuns: the quota is used up.
    """
    return _answer([*_in_peak(plan, policy, now), *_over_quota(policy, running)], policy)


def unjudged(plan: Plan, policy: Policy) -> tuple[str, ...]:
    """Return the limits that could not be judged for lack of history, in words."""
    if not plan.estimate.unknown_actions:
        return ()
    limits = (
        (Rule.MAX_SECONDS, policy.max_seconds),
        (Rule.MAX_MONEY, policy.max_money),
        (Rule.MAX_BYTES_SCANNED, policy.max_bytes_scanned),
    )
    missing = counted(plan.estimate.unknown_actions, "action")
    return tuple(f"{rule} is not judged for {missing} that no past run tells about" for rule, limit in limits if limit)


def _answer(breaches: Iterable[tuple[Rule, PolicyRefused]], policy: Policy) -> tuple[str, ...]:
    """Raise the first breach that refuses; return the others in words."""
    found = list(breaches)
    for rule, error in found:
        if rule not in policy.ask:
            raise error
    return tuple(f"{error.message} ({rule})" for rule, error in found)


def _check_logical(plan: Plan) -> None:
    elsewhere = {StaleCause.MISSING, StaleCause.DATA, StaleCause.FOREIGN}
    causes = {reason.cause for action in plan.actions for reason in action.reasons}
    if plan.request.type is BackfillType.LOGICAL and causes <= elsewhere:
        shown = ", ".join(sorted(causes))
        raise UsageError(
            f"a logical backfill is due to a change of logic; what is selected is stale only for: {shown}",
            hint="say --type temporal or --type dataset, or select what changed",
        )


def _over_limit(plan: Plan, policy: Policy) -> Iterable[tuple[Rule, PolicyRefused]]:
    found, currency = plan.estimate, plan.estimate.currency
    rows = sum(a.rows_read or 0 for a in plan.actions)
    limits: tuple[tuple[Rule, type[PolicyRefused], float | None, float | None, str], ...] = (
        (Rule.MAX_SECONDS, TooManySeconds, policy.max_seconds, found.seconds, "stage for about {:,.1f} s"),
        (Rule.MAX_MONEY, TooMuchMoney, policy.max_money, found.money, "cost about {:,.4f} " + currency),
        (Rule.MAX_BYTES_SCANNED, TooManyBytes, policy.max_bytes_scanned, found.bytes_scanned, "open {:,.0f} bytes"),
        (Rule.MAX_ROWS, TooManyRows, policy.max_rows, rows, "read {:,} rows"),
    )
    for rule, kind, limit, amount, words in limits:
        if limit is not None and amount is not None and amount > limit:
            said = f"the plan would {words.format(amount)}; [policy] {rule} allows {limit:,}"
            yield rule, kind(said, hint=_smaller(plan, limit / amount))


def _too_long(plan: Plan, policy: Policy) -> Iterable[tuple[Rule, PolicyRefused]]:
    limit, days = policy.largest_window_days, _window_days(plan)
    if limit is not None and days > limit:
        said = f"the plan covers {days:,} days; [policy] largest_window_days allows {limit:,}"
        yield Rule.LARGEST_WINDOW_DAYS, WindowTooLong(said, hint=_split(plan, limit))


def _window_days(plan: Plan) -> int:
    """Return the days of the range; of a backfill without one, the days that what will run spans; else 0."""
    span = _span(plan) if plan.request.range or plan.request.mode is Mode.BACKFILL else None
    return (span[1] - span[0]).days if span else 0


def _span(plan: Plan) -> tuple[date, date] | None:
    """Return the range asked for, or else the days that what will run spans, half-open; None without any."""
    if plan.request.range:
        return plan.request.range.start, plan.request.range.end
    days = [found for a in plan.actions if a.certain and (found := days_of(a.keys))]
    return (min(d[0] for d in days), max(d[1] for d in days)) if days else None


def _smaller(plan: Plan, part: float) -> str:
    """Return the command that does the same in windows that keep to a limit, as far as a window can."""
    first, end = _span(plan) or (date.min, date.min)
    return _split(plan, max(1, int((end - first).days * part)))


def _split(plan: Plan, days: int) -> str:
    span = _span(plan)
    return plan.request.split_command(*span, days) if span else "select fewer datasets"


def _in_peak(plan: Plan, policy: Policy, now: datetime) -> Iterable[tuple[Rule, PolicyRefused]]:
    window = peak_hours.peak_at(now, policy.peak_hours)
    if window is None or plan.request.mode is not Mode.BACKFILL:
        return
    ends = peak_hours.peak_end(now, policy.peak_hours)
    when = f"after {ends:%Y-%m-%dT%H:%MZ}" if ends else "when peak_hours leave a time for it"
    yield (
        Rule.PEAK_HOURS,
        PeakHours(
            f"it is {now.astimezone(UTC):%Y-%m-%dT%H:%MZ}, in the peak hours {window}: no backfill starts then",
            hint=f"{when}: remint apply {plan.plan_id}",
        ),
    )


def _over_quota(policy: Policy, running: int) -> Iterable[tuple[Rule, PolicyRefused]]:
    if policy.max_running is not None and running >= policy.max_running:
        yield Rule.MAX_RUNNING, too_many_runs(running, policy.max_running)


def plan_used(used: Run) -> PlanUsed:
    """Return the refusal of a plan that ``used`` applied."""
    return PlanUsed(
        f"plan {used.plan_id} was applied by run {used.run_id}, which is {used.state}",
        hint=f"remint resume {used.run_id}" if used.state in OUTSTANDING else "remint plan",
    )


def too_many_runs(running: int, limit: int) -> TooManyRuns:
    """Return the error of a run that would be one too many."""
    return TooManyRuns(
        f"{counted(running, 'run')} in progress; [policy] max_running allows {limit:,}",
        hint="remint status    # lists them: wait, or end those that were interrupted",
    )


def refuse_unversioned(graph: DatasetGraph, observed: Observed, selection: tuple[DatasetName, ...]) -> None:
    """Refuse logic that changed under a version that was published, or a version that went backwards.

    Raises:
        VersionNotRaised: says which output columns changed and which consumers read them.

    Source: TradeX norm, section 12: changing logic without a version is forbidden.
    """
    for name in selection:
        dataset = graph[name]
        published = {r.number: r for r in observed.logics.get(name, ())}
        if dataset.transform is None or dataset.quarantine_of or not published:
            continue
        live = observed.standings[name].made_by
        newest = max((n for n, r in published.items() if r.digest in live), default=0)
        declared = dataset.version.number
        if declared < newest:
            raise VersionNotRaised(
                f"{name} declares logic version {declared}, but partitions of version {newest} are published",
                hint=f"raise it to {newest + 1}, also to go back to an older logic; to undo a run: remint rollback RUN",
            )
        held = published.get(declared)
        if held is not None and held.digest != dataset.logic_digest:
            change = observed.logic_changes.get(name, {}).get(held.digest)
            raise VersionNotRaised(
                f"the logic of {name} changed, and its version {declared} was published with another: "
                f"{change.words if change else 'what changed is not known'}; {_read_by(graph, name, change)}",
                hint=f"raise it: version={declared + 1}; to see what it does first: remint shadow {name} --range A..B",
            )


def refuse_recut(graph: DatasetGraph, observed: Observed, selection: tuple[DatasetName, ...]) -> None:
    """Refuse a dataset whose published partitions are cut by other columns than it declares.

    Raises:
        PlanError: names both.
    """
    for name in selection:
        partition, present = graph[name].partition, observed.standings[name].present
        if partition.grain is Grain.IDENTITY or all(bool(v) is bool(partition.label) for v in present.values):
            continue
        raise PlanError(
            f"{name} declares partitions by {' and '.join(partition.columns)}, but those that are published are cut "
            f"{'by the time alone' if partition.label else 'by a further column too'}",
            hint="a table is not cut anew: declare it under another name, and drop the old one when nothing reads it",
        )


def _read_by(graph: DatasetGraph, name: DatasetName, change: LogicChange | None) -> str:
    """Return in words who reads what changed, and how far that goes."""
    direct = readers(graph, name, change)
    if not direct:
        others = readers(graph, name, None)
        return f"nothing declared reads that, though {', '.join(others)} reads {name}" if others else "read by nothing"
    further = sorted({more for reader in direct for more in graph.downstream(reader)} - set(direct))
    return f"read by {', '.join(direct)}" + (f", and through them by {', '.join(further)}" if further else "")


def refuse_unsettled(graph: DatasetGraph, observed: Observed) -> None:
    """Refuse to plan or stage while a run is half published, or on Bronze that somebody else changed.

    Raises:
        PlanError: a run has begun to commit and was interrupted; names it.
        StateBehind: tables hold runs that the state database does not know.
        BronzeChanged: anything but remint's appends happened; names the table and the partitions.
        FilesDamaged: a file of Bronze that would be read is gone or of another size; names each.
    """
    for run in observed.outstanding:
        if run.state is RunState.PUBLISHING:
            raise PlanError(
                f"run {run.run_id} was interrupted while it published: some tables hold its partitions, some do not",
                hint=f"finish it first: remint resume {run.run_id}",
            )
    lost = {name: foreign.unrecorded for name, foreign in observed.foreign.items() if foreign.unrecorded}
    if lost:
        raise StateBehind(behind(lost), hint="remint doctor    # says which tables, and how to go on")
    for dataset in graph:
        changed = observed.foreign.get(dataset.name)
        if dataset.layer is Layer.BRONZE and changed:
            raise BronzeChanged(
                f"{dataset.name} is append-only, but its files in {changed.keys.describe()} are not those that "
                f"remint ingested ({changed.by})",
                hint=f"remint doctor {dataset.name}    # lists the files; restore them before planning",
            )
    for name, lines in sorted(observed.damaged.items()):
        shown = "\n  ".join(lines[:5])
        raise FilesDamaged(
            f"{name}: {counted(len(lines), 'file')} of it not as published\n  {shown}",
            hint=f"remint doctor {name} --read-data    # finds all; remint repair {name} mends what it can",
        )
