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
class Extraction:
    """Which part of its sources an ingest is to read."""

    range: DateRange | None = None
    """Days that are asked for by name."""
    from_cursor: str | None = None
    """Cursor of the first page."""
    to_cursor: str | None = None
    """Cursor at which to stop; its page is not read."""
    from_state: bool = False
    """Begin where the watermark stands."""
    mode: Mode = Mode.INCREMENTAL
    override_state: bool = False

    @property
    def names_part(self) -> bool:
        """True when it says itself what is to be read."""
        return self.range is not None or self.has_cursors

    @property
    def has_cursors(self) -> bool:
        """True when it begins or ends at a cursor."""
        return self.from_state or self.from_cursor is not None or self.to_cursor is not None

    def __post_init__(self) -> None:
        if self.mode is Mode.INCREMENTAL and (self.names_part or self.override_state):
            raise UsageError(
                "an incremental ingest reads on from the watermark; --range, cursors and --override-state belong to a "
                "backfill",
                hint="add --mode backfill",
            )
        if self.range is not None and (self.has_cursors or self.override_state):
            raise UsageError(
                "--range and cursors exclude each other: the cursors of a range lead through that range alone",
                hint="leave out --range, or the cursors and --override-state",
            )
        if self.from_state and self.from_cursor is not None:
            raise UsageError("--from-state and --from-cursor both say where to begin", hint="leave one of them out")
        if "" in (self.from_cursor, self.to_cursor) or (self.to_cursor and self.from_cursor == self.to_cursor):
            raise UsageError(
                "the cursors name no page: one is empty, or both are the same",
                hint="a backfill reads from --from-cursor up to, and without, --to-cursor",
            )


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
