"""Volume anomalies: partitions whose rows are far from those of the same dataset's earlier partitions. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from remint.model.dataset import DatasetName
from remint.model.partition import PartitionKey

LEAST = 7
"""Earlier partitions that a judgement needs."""
NEWEST = 30
"""Earlier partitions that are looked at."""
_DEVIATIONS = 5
_FLOOR = 0.02
"""Least spread that is assumed, as part of the median: where all days are alike, one row more is no anomaly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """One partition with too many or too few rows."""

    dataset: DatasetName
    key: PartitionKey
    rows: int
    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.dataset} {self.key} has {self.rows:,} rows; {self.low:,} to {self.high:,} are usual"


def anomalies(
    dataset: DatasetName, made: Mapping[PartitionKey, int], earlier: Mapping[PartitionKey, int]
) -> tuple[Anomaly, ...]:
    """Return the partitions of ``made`` whose rows are outside of the median ± 5 median absolute deviations.

    Args:
        dataset: whose partitions.
        made: rows by key, as a run published them.
        earlier: rows by key before that run; a partition is judged by the newest others.
    """
    found = []
    for key, rows in sorted(made.items()):
        others = [earlier[k] for k in sorted(earlier, reverse=True) if k != key][:NEWEST]
        bounds = usual(others)
        if bounds and not bounds[0] <= rows <= bounds[1]:
            found.append(Anomaly(dataset=dataset, key=key, rows=rows, low=bounds[0], high=bounds[1]))
    return tuple(found)


def usual(rows: Sequence[int]) -> tuple[int, int] | None:
    """Return the least and the most rows that are usual, or None where ``rows`` are too few to tell."""
    if len(rows) < LEAST:
        return None
    middle = median(rows)
    spread = max(median(abs(r - middle) for r in rows), _FLOOR * middle, 1.0)
    return max(0, int(middle - _DEVIATIONS * spread)), int(middle + _DEVIATIONS * spread)
