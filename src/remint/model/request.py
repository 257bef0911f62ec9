"""What was asked of remint."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from remint.errors import UsageError
from remint.model.partition import DateRange


class Mode(StrEnum):
    """How a run stands to pipeline state."""

    INCREMENTAL = "incremental"
    """Brings what is stale up to date; success moves watermarks."""
    BACKFILL = "backfill"
    """Works over history; never moves a watermark unless override_state is declared."""


class Trigger(StrEnum):
    """Why anybody asked: a fixed list, so that the audit log can be counted."""

    SCHEDULE = "schedule"
    LATE_DATA = "late_data"
    UPSTREAM_CORRECTION = "upstream_correction"
    BUG_FIX = "bug_fix"
    RULE_CHANGE = "rule_change"
    SCHEMA_CHANGE = "schema_change"
    HISTORICAL_BACKFILL = "historical_backfill"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request for a plan; every field is echoed in the plan."""

    selectors: tuple[str, ...] = ()
    """As typed; empty means every dataset."""
    range: DateRange | None = None
    """Restricts where work starts; what depends on it follows outside the range too."""
    rebuild: bool = False
    """Recompute fresh units as well."""
    mode: Mode = Mode.INCREMENTAL
    override_state: bool = False
    trigger: Trigger = Trigger.SCHEDULE
    reason: str = "bring stale partitions up to date"
    requested_by: str

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise UsageError("a run needs a reason in words", hint='add --reason "what happened"')
        if self.override_state and self.mode is Mode.INCREMENTAL:
            raise UsageError(
                "--override-state lets a backfill move watermarks; an incremental run moves them anyway",
                hint="leave it out, or add --mode backfill",
            )
        if self.rebuild and self.mode is Mode.INCREMENTAL:
            raise UsageError("--rebuild recomputes fresh partitions, which is a backfill", hint="add --mode backfill")
