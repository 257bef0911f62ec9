"""The registry of logic versions: which are current, kept, deprecated or replaced, and who reads what they changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from remint.model.dataset import Dataset, DatasetName, Disposition
from remint.model.graph import DatasetGraph
from remint.model.observation import LogicChange
from remint.model.provenance import LogicRecord
from remint.model.standing import Standing


class VersionState(StrEnum):
    """What a version is good for now."""

    DECLARED = "declared"
    """Not published yet."""
    CURRENT = "current"
    """The newest one that has partitions; consumers read it."""
    KEPT = "kept"
    """Its partitions stay beside those of the current one."""
    DEPRECATED = "deprecated"
    """They stay, and should not be used any more."""
    REPLACED = "replaced"
    """Newer versions took the place of its partitions; those that it still has are stale."""
    WITHDRAWN = "withdrawn"
    """Newer than the current one, and rolled back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a dataset's logic."""

    dataset: DatasetName
    number: int
    state: VersionState
    partitions: int
    """That it made and that are live."""
    digest: str
    first_run: str
    """Empty where it was never published."""
    published_at: str
    change: str
    """Against the version before, in words."""
    read_by: tuple[str, ...]
    """Datasets that read what it changed against the version before."""


def versions(
    graph: DatasetGraph,
    dataset: Dataset,
    published: Sequence[LogicRecord],
    standing: Standing,
    changes: Mapping[int, LogicChange],
) -> list[Version]:
    """Return the versions of ``dataset`` in order, the declared one too.

    Args:
        graph: as declared; says who reads the dataset.
        dataset: has a transform.
        published: its versions, in order of number.
        standing: how it stands.
        changes: by number, what a version changes against the one before.
    """
    records = {r.number: r for r in published}
    live = {number: _live(dataset, published, standing, number) for number in records}
    numbers = sorted({*records, dataset.version.number})
    current = max((n for n, count in live.items() if count), default=0)
    old = _disposition(dataset, published)
    found = []
    for number in numbers:
        record, change = records.get(number), changes.get(number)
        found.append(
            Version(
                dataset=dataset.name,
                number=number,
                state=_state(number, current, old, is_published=record is not None),
                partitions=live.get(number, 0),
                digest=record.digest if record else dataset.logic_digest,
                first_run=record.run_id if record else "",
                published_at=record.recorded_at if record else "",
                change=change.words if change else "",
                read_by=tuple(readers(graph, dataset.name, change)) if change else (),
            )
        )
    return found


def readers(graph: DatasetGraph, name: DatasetName, change: LogicChange | None) -> list[DatasetName]:
    """Return the datasets that read what ``change`` changes in ``name``; without one, all that read it."""
    entries = ((d.name, e) for d in graph for e in d.inputs if e.dataset == name and d.name != name)
    return sorted({reader for reader, entry in entries if change is None or change.concerns(entry)})


def live_version(dataset: Dataset, standing: Standing) -> int:
    """Return the newest version that a dataset cut by its version has partitions of; 0 without any."""
    return max((int(v.removeprefix("v")) for v in standing.present.values if v[1:].isdigit()), default=0)


def deprecated(dataset: Dataset, published: Sequence[LogicRecord], standing: Standing) -> dict[int, int]:
    """Return, by number, how many partitions there are of versions that should not be used any more."""
    if _disposition(dataset, published) is not Disposition.DEPRECATE:
        return {}
    current = live_version(dataset, standing)
    counts = {r.number: _live(dataset, published, standing, r.number) for r in published if r.number < current}
    return {number: count for number, count in counts.items() if count}


def _disposition(dataset: Dataset, published: Sequence[LogicRecord]) -> Disposition:
    """Return what becomes of older partitions: as declared now, or by the newest version where that is not out yet."""
    newest = max(published, key=lambda r: r.number, default=None)
    if newest is None or newest.number >= dataset.version.number:
        return dataset.version.old
    return Disposition(newest.old)


def _live(dataset: Dataset, published: Sequence[LogicRecord], standing: Standing, number: int) -> int:
    if dataset.version.column:
        return len(standing.present.only([f"v{number}"]))
    # Two versions with one logic (there and back again): what is live belongs to the newer.
    digest = next(r.digest for r in published if r.number == number)
    if any(r.digest == digest and r.number > number for r in published):
        return 0
    held = standing.made_by.get(digest)
    return len(held) if held else 0


def _state(number: int, current: int, old: Disposition, *, is_published: bool) -> VersionState:
    if not is_published:
        return VersionState.DECLARED
    if number == current:
        return VersionState.CURRENT
    if number > current:
        return VersionState.WITHDRAWN
    match old:
        case Disposition.KEEP:
            return VersionState.KEPT
        case Disposition.DEPRECATE:
            return VersionState.DEPRECATED
        case _:
            return VersionState.REPLACED
