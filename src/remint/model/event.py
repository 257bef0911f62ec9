"""Everything that a run announces while it works."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """Steps in the order in which a run takes them."""

    STARTED = "started"
    STAGED = "staged"
    AUDITED = "audited"
    SKIPPED = "skipped"
    RESTAGED = "restaged"
    """What was staged before counts no more, and is made again."""
    MENDED = "mended"
    """What a loss of power tore was moved out of a table's log."""
    PUBLISHED = "published"
    RECORDED = "recorded"
    WAITING = "waiting"
    """A request to where the tables lie failed and is made again."""
    FAILED = "failed"
    ALERT = "alert"
    """Something that a person should look at: a failure, a run over its SLA, an anomalous volume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One announcement; never a decision."""

    kind: EventKind
    run_id: str
    dataset: str = ""
    detail: str = ""
    """In words: partitions, rows, seconds."""
    units_done: int = 0
    units_total: int = 0
