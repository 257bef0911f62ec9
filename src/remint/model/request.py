"""What was asked of remint."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from remint.errors import UsageError
from remint.model.partition import DateRange, Lookback


class Mode(StrEnum):
    """How a run stands to pipeline state."""

    INCREMENTAL = "incremental"
    """Brings what is stale up to date; success moves watermarks."""
    BACKFILL = "backfill"
    """Works over history; never moves a watermark unless override_state is declared."""


class BackfillType(StrEnum):
    """The four formal types of a backfill."""

    TEMPORAL = "temporal"
    """Reprocesses a range of dates."""
    DATASET = "dataset"
    """Reprocesses whole datasets."""
    LOGICAL = "logical"
    """Reprocesses because logic changed; with or without a range."""
    FORCED = "forced"
    """Exceptional: overrides pipeline state. Needs approval, and is logged at every step."""


class Trigger(StrEnum):
    """Why anybody asked: a fixed list, so that the audit log can be counted."""

    SCHEDULE = "schedule"
    LATE_DATA = "late_data"
    UPSTREAM_CORRECTION = "upstream_correction"
    BUG_FIX = "bug_fix"
    RULE_CHANGE = "rule_change"
    METRIC_CHANGE = "metric_change"
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
    def type(self) -> BackfillType | None:
        """Which type of backfill it is; None for an incremental run."""
        if self.mode is Mode.INCREMENTAL:
            return None
        return BackfillType.FORCED if self.override_state else BackfillType.TEMPORAL

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
    range: Lookback | DateRange | None = None
    """Restricts where work starts; what depends on it follows outside the range too."""
    rebuild: bool = False
    """Recompute fresh units as well."""
    mode: Mode = Mode.INCREMENTAL
    type: BackfillType | None = None
    """Which backfill it is; derived where nobody says it. None: incremental."""
    override_state: bool | None = None
    """Whether a backfill moves watermarks: it must say so, or say that it does not. An incremental run cannot."""
    trigger: Trigger = Trigger.SCHEDULE
    reason: str = "bring stale partitions up to date"
    requested_by: str

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise UsageError("a run needs a reason in words", hint='add --reason "what happened"')
        object.__setattr__(self, "override_state", declared_override(self.mode, self.override_state))
        if self.mode is Mode.INCREMENTAL:
            self._check_incremental()
        else:
            object.__setattr__(self, "type", self.type or self._derived())
            self._check_backfill()

    @property
    def is_forced(self) -> bool:
        """True when it overrides pipeline state."""
        return self.type is BackfillType.FORCED

    def windows(self, days: int) -> tuple[Request, ...]:
        """Return one request for every ``days`` days of the range, in order; the last one may be shorter.

        Raises:
            UsageError: there is no range of days to split.
        """
        if self.range is None or isinstance(self.range, Lookback):
            raise UsageError("--split cuts a range into windows, and there is no range", hint="add --range A..B")
        start, end, width = self.range.start, self.range.end, timedelta(days=days)
        cuts = [start + n * width for n in range(-((start - end) // width))]
        return tuple(replace(self, range=DateRange(start=cut, end=min(cut + width, end))) for cut in cuts)

    def split_command(self, start: date, end: date, days: int) -> str:
        """Return the command that asks the same for the days from ``start`` up to ``end`` in windows of ``days``."""
        words = ["remint", "run", *self.selectors, "--range", f"{start}..{end - timedelta(days=1)}"]
        words += ["--split", str(days), "--mode", self.mode]
        if self.type in (BackfillType.LOGICAL, BackfillType.FORCED):
            words += ["--type", self.type]
        if self.mode is Mode.BACKFILL:
            words += ["--override-state" if self.override_state else "--no-override-state"]
        words += ["--rebuild"] if self.rebuild else []
        words += ["--trigger", self.trigger, "--reason", self.reason]
        return " ".join(map(shlex.quote, words))

    def _derived(self) -> BackfillType:
        if self.override_state:
            raise UsageError(
                "--override-state moves watermarks by hand: that is a forced backfill, which must be called so",
                hint="add --type forced    # it needs the approval of a second person; or say --no-override-state",
            )
        return BackfillType.TEMPORAL if self.range else BackfillType.DATASET

    def _check_incremental(self) -> None:
        if self.type is not None:
            raise UsageError(
                f"--type {self.type} is a type of backfill, and an incremental run is none", hint="add --mode backfill"
            )
        if self.rebuild:
            raise UsageError("--rebuild recomputes fresh partitions, which is a backfill", hint="add --mode backfill")

    def _check_backfill(self) -> None:
        if self.is_forced and not self.override_state:
            raise UsageError(
                "a forced backfill is one that overrides pipeline state, and this one says that it does not",
                hint="say --override-state, or leave --type forced out",
            )
        if self.override_state and not self.is_forced:
            raise UsageError(
                f"a {self.type} backfill does not override pipeline state; only a forced one does",
                hint="say --no-override-state, or --type forced if watermarks are to move",
            )
        if self.type is BackfillType.TEMPORAL and self.range is None:
            raise UsageError("a temporal backfill reprocesses a range of dates, and there is none", hint="add --range")
        if self.type is BackfillType.DATASET and self.range is not None:
            raise UsageError(
                f"a dataset backfill reprocesses whole datasets, and the range {self.range.describe()} limits them",
                hint="leave --range out, or say --type temporal",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoRequest:
    """Which part of a run is to be undone; nothing said means all of it."""

    selectors: tuple[str, ...] = ()
    range: DateRange | None = None
    keys: tuple[str, ...] = ()
    """Partition keys as typed."""
    cascade: bool = False
    """Take along what later runs wrote over it and what was made from it."""

    @property
    def is_whole(self) -> bool:
        """True when it names no part."""
        return not (self.selectors or self.range or self.keys)

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> UndoRequest:
        """Return the request that a journal keeps."""
        span = payload["range"]
        return cls(
            selectors=tuple(payload["selectors"]),
            range=DateRange(**{end: date.fromisoformat(text) for end, text in span.items()}) if span else None,
            keys=tuple(payload["keys"]),
            cascade=payload["cascade"],
        )


def declared_override(mode: Mode, override_state: bool | None) -> bool:
    """Return whether a run overrides pipeline state, which every backfill must declare and no other run may.

    Raises:
        UsageError: a backfill declares nothing, or an incremental run overrides.
    """
    if mode is Mode.BACKFILL and override_state is None:
        raise UsageError(
            "a backfill must declare whether it overrides pipeline state",
            hint="add --no-override-state to leave watermarks where they are; --override-state needs --type forced",
        )
    if mode is Mode.INCREMENTAL and override_state:
        raise UsageError(
            "--override-state lets a backfill move watermarks; an incremental run moves them anyway",
            hint="leave it out, or add --mode backfill --type forced",
        )
    return bool(override_state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a shadow run is asked for."""

    selectors: tuple[str, ...]
    """Datasets whose declared logic is tried, whether or not its version was raised."""
    span: DateRange
    """The window."""
    sample: int | None = None
    """At most so many partitions of each selected dataset."""
    allow_all: bool = False
    """A large window is meant."""
    keep: bool = False
    """Leave the staged files where they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Who asks for a run and why; every formal run carries one."""

    reason: str
    trigger: Trigger = Trigger.MANUAL
    mode: Mode = Mode.INCREMENTAL
