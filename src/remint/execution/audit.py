"""Judge what was staged before anybody can see it."""

from __future__ import annotations

from collections.abc import Mapping

from remint.checks.judge import Verdict, blocking, judge
from remint.engines.base import Staged
from remint.errors import ChecksFailed
from remint.model.dataset import Dataset
from remint.model.partition import PartitionKey, PartitionSet


def audit(dataset: Dataset, keys: PartitionSet, staged: Staged, rows_arrived: int | None) -> tuple[Verdict, ...]:
    """Return the warnings about what was staged; arguments as for ``verdicts_on``.

    Raises:
        ChecksFailed: a blocking check is broken; the message lists every broken check with its partitions.
    """
    verdicts = verdicts_on(dataset, keys, staged, rows_arrived)
    stopping = blocking(verdicts)
    if stopping:
        lines = "\n  ".join(map(str, stopping))
        raise ChecksFailed(
            f"{dataset.name}: {len(stopping)} blocking check(s) failed; nothing was published\n  {lines}",
            hint='remint rollback RUN --reason "..."    # gives it up; correct source or transform, plan again',
        )
    return verdicts


def verdicts_on(dataset: Dataset, keys: PartitionSet, staged: Staged, rows_arrived: int | None) -> tuple[Verdict, ...]:
    """Return every check that what was staged breaks, blocking or not.

    Args:
        dataset: whose contract is judged.
        keys: the units that were asked for.
        staged: what was written, measured by reading it back.
        rows_arrived: rows that ingest recorded for these units, where the dataset parses Bronze; else None.
    """
    broken = {**staged.violations, **_reconcile(dataset, keys, staged, rows_arrived)}
    return judge(dataset, broken, staged.strays, {key: d.rows for key, d in staged.digests.items()})


def _reconcile(
    dataset: Dataset, keys: PartitionSet, staged: Staged, rows_arrived: int | None
) -> Mapping[str, Mapping[PartitionKey, int]]:
    """Return row counts that do not add up: rows that arrived = rows kept + superseded + quarantined."""
    if dataset.parse is None:
        return {}
    broken: dict[str, Mapping[PartitionKey, int]] = {}
    where = keys.describe()
    rows_read = staged.rows_read_by_unit
    if rows_arrived is not None and rows_read != rows_arrived:
        name = f"every row that arrived is read (arrived {rows_arrived:,}, read {rows_read:,})"
        broken[name] = {where: abs(rows_arrived - rows_read)}
    rows = sum(f.rows for f in staged.files)
    if dataset.quarantine_of:
        expected, words = staged.rows_rejected, "rejected"
    else:
        expected, words = staged.rows_read - staged.rows_rejected - staged.rows_superseded, "valid and not superseded"
    expected -= staged.rows_elsewhere
    if rows != expected:
        name = f"every row is accounted for ({expected:,} {words}, {rows:,} written)"
        broken[name] = {where: abs(rows - expected)}
    return broken
