"""What is wrong with the state database, the audit log, or a release: RM5."""

from __future__ import annotations

from remint.errors.base import RemintError


class StoreError(RemintError):
    """The state database cannot be used."""

    code = "RM500"


class StoreNewer(StoreError):
    """The state was written by a newer remint than this one."""

    code = "RM501"


class StoreBusy(StoreError):
    """Another process holds the state database."""

    code = "RM502"
    retryable = True


class AuditLogBroken(StoreError):
    """The audit log is not as it was written: somebody changed it."""

    code = "RM520"


class CheckpointInvalid(StoreError):
    """A file is not a checkpoint of an audit log."""

    code = "RM521"
    exit_code = 2


class CheckpointForged(StoreError):
    """A checkpoint is not signed, its signature does not fit it, or the key is not the one that was expected."""

    code = "RM522"


class SigningMissing(StoreError):
    """The package that signs checkpoints and checks signatures is not installed."""

    code = "RM523"


class KeyRefused(StoreError):
    """A key file cannot be read, is of another kind, or is there already and would be overwritten."""

    code = "RM524"
    exit_code = 2


class StoreUnreachable(StoreError):
    """The server of the state database does not answer, or the connection to it was lost; nothing was written."""

    code = "RM506"
    retryable = True


class OutcomeUnknown(StoreError):
    """The connection was lost while the state database committed, and what became of it could not be found out."""

    code = "RM507"
    leaves = "the last step is recorded as a whole or not at all; the next command sees which"


class StateBehind(StoreError):
    """Tables hold commits of runs that the state database does not know: it is older than they are."""

    code = "RM508"
    exit_code = 6


class StoreMoved(StoreBusy):
    """Somebody wrote to the state database while it was read by who may not take its locks."""

    code = "RM534"


class ReadError(RemintError):
    """A release cannot be read, or its views cannot be written."""

    code = "RM530"


class NothingPublished(ReadError):
    """No run has ended well yet, so there is no release to read."""

    code = "RM531"


class ReleaseIncomplete(ReadError):
    """Files that a release names are gone or are not as they were published."""

    code = "RM533"
    exit_code = 6


class StoreFull(StoreError):
    """The state database cannot grow."""

    code = "RM503"
    retryable = True


class StoreReadOnly(StoreError):
    """The state database or its folder may not be written."""

    code = "RM504"
