"""Compare two cuts of the ledger: which partitions differ at all, then rows by key, then the named metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from remint.engines.base import Comparison, Scan, quoted
from remint.execution.expired import refuse_expired
from remint.model.dataset import Dataset, DatasetName
from remint.model.partition import PartitionKey, PartitionSet
from remint.model.provenance import DataFile, ProvenanceRecord
from remint.publishing.scheme import in_own_scheme, is_of_another_scheme
from remint.publishing.tools import Tools

_SAMPLE = 5


class Content(Protocol):
    """What one unit holds: a ledger record, or a unit that was staged."""

    @property
    def digest(self) -> str:
        """Content digest."""
        ...

    @property
    def files(self) -> tuple[DataFile, ...]:
        """Its files."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricChange:
    """A dataset's named metric over the partitions that differ."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetDiff:
    """What differs in one dataset between two cuts."""

    dataset: DatasetName
    partitions_same: int
    """Equal by digest: no row of them was read."""
    differing: PartitionSet
    rows_before: int
    """Rows of the differing partitions."""
    rows_after: int
    comparison: Comparison | None
    """None when no partition differs."""
    metrics: tuple[MetricChange, ...]


def diff_cuts(
    tools: Tools, datasets: Iterable[Dataset], before: int, after: int, keys: Mapping[DatasetName, PartitionSet]
) -> list[DatasetDiff]:
    """Return what differs between the ledger as of ``before`` and as of ``after``, by dataset.

    Args:
        tools: reads the ledger and the files.
        datasets: whose units are compared, in this order.
        before: ledger sequence number of the earlier cut.
        after: ledger sequence number of the later cut.
        keys: restricts the units of a dataset; a dataset that is no key is compared whole.
    """
    return [_diff(tools, d, before, after, keys.get(d.name)) for d in datasets]


def _diff(tools: Tools, dataset: Dataset, before: int, after: int, keys: PartitionSet | None) -> DatasetDiff:
    wanted = None if keys is None else list(keys)
    old = present(tools.store.records(dataset.name, wanted, before))
    new = present(tools.store.records(dataset.name, wanted, after))
    return diff_contents(tools, dataset, old, new)


def diff_contents(
    tools: Tools, dataset: Dataset, old: Mapping[PartitionKey, Content], new: Mapping[PartitionKey, Content]
) -> DatasetDiff:
    """Return what differs between two states of a dataset, given as what each of its units holds."""
    differ = sorted(k for k in {*old, *new} if _digest(old, k) != _digest(new, k))
    same = _same_across_schemes(tools, dataset, old, new)
    differ = [k for k in differ if k not in same]
    held, made = scan_of(tools, dataset, old, differ), scan_of(tools, dataset, new, differ)
    refuse_expired(tools, dataset.name, (*held.paths, *made.paths), f"{dataset.name} cannot be compared")
    return DatasetDiff(
        dataset=dataset.name,
        partitions_same=len({*old, *new}) - len(differ),
        differing=PartitionSet.of(dataset.partition.grain, differ),
        rows_before=_rows(old, differ),
        rows_after=_rows(new, differ),
        comparison=tools.engine.compare(held, made, row_key(dataset), _SAMPLE) if differ else None,
        metrics=tuple(_metrics(tools, dataset, held, made)) if differ else (),
    )


def _same_across_schemes(
    tools: Tools, dataset: Dataset, old: Mapping[PartitionKey, Content], new: Mapping[PartitionKey, Content]
) -> set[PartitionKey]:
    """Return the units that are known by digests of two schemes, and hold the same."""
    across = [k for k in sorted({*old} & {*new}) if is_of_another_scheme(old[k].digest, new[k].digest)]
    sides = [in_own_scheme(tools, dataset, {k: side[k] for k in across}) for side in (old, new)]
    return {k for k in across if sides[0].get(k, "") == sides[1].get(k)}


def present(records: Mapping[PartitionKey, ProvenanceRecord]) -> dict[PartitionKey, ProvenanceRecord]:
    """Return the records of the units that hold something."""
    return {key: record for key, record in records.items() if record.fingerprint}


def _digest(contents: Mapping[PartitionKey, Content], key: PartitionKey) -> str | None:
    return contents[key].digest if key in contents else None


def _rows(contents: Mapping[PartitionKey, Content], keys: Iterable[PartitionKey]) -> int:
    return sum(f.rows for k in keys if k in contents for f in contents[k].files)


def row_key(dataset: Dataset) -> tuple[str, ...]:
    """Return the columns that identify a row of the whole table; none for a dataset without a key."""
    if not dataset.key or dataset.partition.column in dataset.key:
        return dataset.key
    return (dataset.partition.column, *dataset.key)


def scan_of(
    tools: Tools, dataset: Dataset, records: Mapping[PartitionKey, Content], keys: Iterable[PartitionKey]
) -> Scan:
    """Return the files of some units as one relation."""
    return tools.scan(dataset, (f for k in keys if k in records for f in records[k].files))


def _metrics(tools: Tools, dataset: Dataset, before: Scan, after: Scan) -> Iterable[MetricChange]:
    if not dataset.metrics:
        return
    chosen = ", ".join(f"{m.sql} AS {quoted(m.name)}" for m in dataset.metrics)
    old, new = (
        tools.engine.query(f"SELECT {chosen} FROM compared", {"compared": scan}, 1).rows[0]  # noqa: S608 - checked at load
        for scan in (before, after)
    )
    for metric, was, now in zip(dataset.metrics, old, new, strict=True):
        yield MetricChange(name=metric.name, before=was, after=now)
