"""What work costs: what past runs took, what things are priced at, and what a plan is expected to take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from remint.model.dataset import DatasetName

_SECONDS_PER_HOUR = 3600
_BYTES_PER_TB = 1_000_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What staging one dataset's units of one batch took."""

    run_id: str
    dataset: DatasetName
    batch: int
    units: int
    rows_read: int
    """Rows of the input partitions that the units read; a partition that two inputs read counts twice."""
    rows_written: int
    bytes_scanned: int
    """Size of the files that were opened."""
    bytes_written: int
    seconds: float
    """Wall clock time of the query, the read-back and the checks."""
    engine: str
    recorded_at: str


Timings = Mapping[DatasetName, tuple[Timing, ...]]
"""By dataset, newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What the project pays, as its settings say; a price that nobody set is None."""

    currency: str = "EUR"
    per_hour: float | None = None
    """For an hour of the machine that stages."""
    per_tb_scanned: float | None = None
    """For 10**12 bytes that are opened."""

    def money(self, seconds: float | None, bytes_scanned: int | None) -> float | None:
        """Return what that costs; None where no price is set, or where what it multiplies is not known."""
        parts = ((self.per_hour, seconds, _SECONDS_PER_HOUR), (self.per_tb_scanned, bytes_scanned, _BYTES_PER_TB))
        priced = [(price, amount, unit) for price, amount, unit in parts if price is not None]
        if not priced or any(amount is None for _, amount, _ in priced):
            return None
        return round(sum(price * (amount or 0) / unit for price, amount, unit in priced), 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a plan is expected to take at most: everything that will and may run."""

    seconds: float | None = None
    """Staging time of the actions that history tells something about; None when it tells of none."""
    money: float | None = None
    currency: str = "EUR"
    bytes_scanned: int | None = None
    runs: int = 0
    """Past runs that it was learned from."""
    unknown_actions: int = 0
    """Actions without an estimate: what they take is not in the figures."""
