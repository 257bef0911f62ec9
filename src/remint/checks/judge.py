"""Counted violations become verdicts: which check failed where, by how many rows, and whether that blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from remint.model.dataset import Dataset, DatasetName, Severity
from remint.model.partition import PartitionKey

STRAY = "rows stay in their partition"
"""Name of the check that is always on: a row whose partition was not asked for would be lost or published twice."""
UNIQUE_KEY = "the key is unique"
"""Name under which engines report rows that share a key; their check, because only they see a key's rows together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One check that failed on one partition."""

    check: str
    dataset: DatasetName
    partition: PartitionKey
    rows: int
    """Rows that break it; 1 where the check is about the partition as a whole."""
    severity: Severity

    def __str__(self) -> str:
        broken = "1 row breaks it" if self.rows == 1 else f"{self.rows:,} rows break it"
        return f"{self.dataset} {self.partition}: {self.check}: {broken}"


def judge(
    dataset: Dataset,
    violations: Mapping[str, Mapping[PartitionKey, int]],
    strays: Mapping[PartitionKey, int],
    rows: Mapping[PartitionKey, int],
) -> tuple[Verdict, ...]:
    """Return a verdict for every check that failed; none when all hold.

    Args:
        dataset: whose checks were run.
        violations: by check name and partition, the rows that break it. A name that the contract does not have is
            the engine's own check, and blocks.
        strays: rows written under a partition that was not asked for.
        rows: rows staged, for every partition asked for; without it an empty one would go unjudged.

    Returns:
        Blocking verdicts first, then by check name and partition.
    """
    severities = {check.name: check.severity for check in dataset.checks}
    found = [
        Verdict(
            check=name,
            dataset=dataset.name,
            partition=key,
            rows=count,
            severity=severities.get(name, Severity.BLOCK),
        )
        for name, by_key in violations.items()
        for key, count in by_key.items()
        if count > 0
    ]
    found += [
        Verdict(check=STRAY, dataset=dataset.name, partition=key, rows=count, severity=Severity.BLOCK)
        for key, count in strays.items()
        if count > 0
    ]
    found += [
        Verdict(check=check.name, dataset=dataset.name, partition=key, rows=1, severity=check.severity)
        for check in dataset.checks
        for key, count in rows.items()
        if check.fails_empty and count == 0
    ]
    return tuple(sorted(found, key=lambda v: (v.severity is not Severity.BLOCK, v.check, v.partition)))


def blocking(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Return those that end the run before anything is published."""
    return tuple(v for v in verdicts if v.severity is Severity.BLOCK)
