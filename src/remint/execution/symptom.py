"""What doctor finds: a kind from a fixed list, where, what was expected and found, and the next command."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from remint.model.dataset import Dataset


class Health(StrEnum):
    """How bad a symptom is."""

    OK = "ok"
    NOTE = "note"
    """Nothing is wrong with published data."""
    BAD = "bad"


class Kind(StrEnum):
    """What was found."""

    WELL = "well"
    OUTSTANDING_RUN = "outstanding_run"
    HALF_PUBLISHED = "half_published"
    """What is live is compared once the run has ended."""
    TABLE_GONE = "table_gone"
    FILE_MISSING = "file_missing"
    FILE_TRUNCATED = "file_truncated"
    FILE_EXTENDED = "file_extended"
    FILE_FLIPPED = "file_flipped"
    """As long as it was published, with other bytes."""
    FILE_REPLACED = "file_replaced"
    """Another published file stands in its place."""
    FILE_UNREADABLE = "file_unreadable"
    FOREIGN_FILE = "foreign_file"
    """Live, and not published by remint."""
    NOT_LIVE = "not_live"
    """Published, and taken out of the table by somebody else."""
    REWRITTEN = "rewritten"
    """Somebody else's files hold the very rows that were published: compaction."""
    WRONG_ENTRY = "wrong_entry"
    """The log says another size, partition or number of rows of a file than the ledger."""
    TABLE_UNUSABLE = "table_unusable"
    """What remint does not keep, a lost column, or another cut than declared: no run can write to the table."""
    FILE_OF_TWO = "file_of_two"
    """Two ledger records claim one file."""
    LOG_EMPTY = "log_empty"
    LOG_TORN = "log_torn"
    LOG_CUT = "log_cut"
    LOG_GAP = "log_gap"
    LOG_DUPLICATE = "log_duplicate"
    LOG_CHECKPOINT = "log_checkpoint"
    LOG_UNREADABLE = "log_unreadable"
    COMMIT_LOST = "commit_lost"
    """A run committed, and its commit is not in the log."""
    COMMIT_CHANGED = "commit_changed"
    """A run's commit does not say what the run journalled."""
    COMMIT_UNKNOWN = "commit_unknown"
    """A commit of a run that the state database does not know, or that never meant to make it."""
    LEFTOVER = "leftover"
    """Written by a run, and named by no table version and no ledger record."""
    STRANGERS_FILE = "strangers_file"
    HEADS_WRONG = "heads_wrong"
    ARRIVED_WRONG = "arrived_wrong"
    STANDINGS_WRONG = "standings_wrong"
    PROJECTION_UNKNOWN = "projection_unknown"
    """A digest over columns of a content that no ledger record has."""
    PROJECTION_WRONG = "projection_wrong"
    DATABASE_DAMAGED = "database_damaged"
    AUDIT_LOG_BROKEN = "audit_log_broken"
    """Somebody changed the audit log."""
    STATE_BEHIND = "state_behind"
    """Tables hold commits of runs that the state database does not know: it is older than they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """One thing that doctor looked at."""

    subject: str
    """A dataset, a run or the state database."""
    health: Health
    detail: str
    hint: str = ""
    """The next command."""
    kind: Kind = Kind.WELL
    place: str = ""
    """A file below the table's folder, an entry of its log, or a partition."""
    expected: str = ""
    found: str = ""


def bad(dataset: Dataset, kind: Kind, detail: str, hint: str = "", *, place: str = "") -> Symptom:
    """Return something that is wrong with a dataset."""
    return Symptom(subject=dataset.name, health=Health.BAD, kind=kind, detail=detail, hint=hint, place=place)


def note(dataset: Dataset, kind: Kind, detail: str, hint: str = "", *, place: str = "") -> Symptom:
    """Return something that is to be known of a dataset and harms nobody."""
    return Symptom(subject=dataset.name, health=Health.NOTE, kind=kind, detail=detail, hint=hint, place=place)


def mending(dataset: Dataset) -> str:
    """Return the command that shows what can be mended of a dataset."""
    return f"remint repair {dataset.name}    # shows what can be mended"
