"""What stops a run, or refuses one: RM4."""

from __future__ import annotations

from remint.errors.base import RemintError
from remint.errors.project import UsageError


class UnknownRelease(UsageError, KeyError):
    """No release or open pin has this id, or the run made no release."""

    code = "RM427"


class AmbiguousPin(UsageError):
    """A pin was named by what it keeps, and other open pins keep the same."""

    code = "RM457"


class RunError(RemintError):
    """A run stopped."""

    code = "RM400"
    leaves = "no table changed"


class ChecksFailed(RunError):
    """A blocking check failed, so nothing of the run was published."""

    code = "RM401"
    exit_code = 5


class TransformFailed(RunError):
    """The engine refused or failed to run a transform."""

    code = "RM402"


class SchemaMismatch(RunError):
    """The columns that a transform makes are not those that its contract promises."""

    code = "RM403"
    exit_code = 5


class TieInKeep(RunError):
    """Different rows share a key and the ``keep`` order, so none of them is the latest."""

    code = "RM404"
    exit_code = 5


class PublishConflict(RunError):
    """A table moved between plan and publish in a partition that the run replaces."""

    code = "RM405"
    exit_code = 6
    leaves = "nothing of the run is live; what it had committed was taken back"


class HalfPublished(RunError):
    """A conflict stopped the publish, and a commit that the run had made could not be taken back."""

    code = "RM410"
    leaves = "some tables hold the run's partitions, others do not; the run stays outstanding until it is waived"


class PublishUnverified(RunError):
    """The table does not show what was just committed."""

    code = "RM406"
    leaves = "the commit may have landed; the run stays outstanding until resume or rollback"


class NotResumable(RunError):
    """The run is not in a state that resume continues."""

    code = "RM407"
    leaves = "nothing changed"


class RollbackRefused(RunError):
    """The rollback could not restore exactly what was there."""

    code = "RM408"
    exit_code = 6
    leaves = "nothing changed"


class WrittenAgain(RollbackRefused):
    """Later runs wrote partitions again that are to be undone, and they were not to be taken along."""

    code = "RM418"


class NothingToUndo(RollbackRefused):
    """Nothing that the run made is left in the partitions that were named."""

    code = "RM417"
    exit_code = 2


class FilesExpired(RunError):
    """Files of an earlier state are needed, and retention removed them."""

    code = "RM419"
    exit_code = 6
    leaves = "nothing changed"


class ExpireRefused(RunError):
    """Runs began or ended, or a release was pinned, while the files to remove were chosen."""

    code = "RM425"
    exit_code = 6
    retryable = True
    leaves = "no file was removed; the run is outstanding"


class PinRefused(FilesExpired):
    """A release cannot be pinned, because files of it were removed."""

    code = "RM426"


class AdoptRefused(RunError):
    """What somebody else wrote cannot be taken as it is."""

    code = "RM412"
    exit_code = 6
    leaves = "nothing changed"


class Superseded(RunError):
    """Another process has taken the run over: this one may not write for it any more."""

    code = "RM413"
    exit_code = 6
    leaves = "the run goes on in the process that took it over; this one wrote nothing after that"


class RunAtWork(RunError):
    """A process is carrying the run out right now."""

    code = "RM414"
    exit_code = 6
    retryable = True
    leaves = "nothing changed"


class WaiveRefused(RunError):
    """The run has ended, or can be ended by resume."""

    code = "RM415"
    exit_code = 6
    leaves = "nothing changed"


class Unfinishable(RunError):
    """A run that was interrupted while it published needs files, or a table of Bronze, that are gone or damaged."""

    code = "RM454"
    exit_code = 6
    leaves = "some tables may hold the run's partitions already; the run is outstanding until it is resumed or waived"


class FilesDamaged(RunError):
    """A published file that would be read is gone, or is not the one that was published."""

    code = "RM420"
    exit_code = 6
    leaves = "no table changed"


class LogDamaged(RunError):
    """The log of a table cannot be read."""

    code = "RM421"
    exit_code = 6
    leaves = "no table changed"


class RepairRefused(RunError):
    """What is damaged cannot be mended, or not now."""

    code = "RM422"
    exit_code = 6
    leaves = "nothing changed"


class TableBusy(RunError):
    """Writers of other partitions of a table were faster at every try to commit to it."""

    code = "RM416"
    exit_code = 6
    retryable = True


class DiskFailed(RunError):
    """The disk, or the system, refused to read or write a file."""

    code = "RM441"


class DiskFull(DiskFailed):
    """There is no room left on the disk, or in the user's share of it."""

    code = "RM440"
    retryable = True


class NotPermitted(DiskFailed):
    """A file or folder may not be read or written by this user."""

    code = "RM442"


class StorageRefused(RunError):
    """The bucket that the tables lie in may not be used so, or there are no credentials for it."""

    code = "RM444"


class StorageUnavailable(RunError):
    """The bucket that the tables lie in could not be reached, or went on failing, after all tries."""

    code = "RM445"
    retryable = True


class CatalogRefused(RunError):
    """The catalog that names the tables lets nobody in, does not do what it is asked, or keeps a table elsewhere."""

    code = "RM446"


class CatalogUnavailable(RunError):
    """The catalog that names the tables could not be reached, or went on failing, after all tries."""

    code = "RM447"
    retryable = True


class TableUnusable(RunError):
    """A table is not one any more that runs can write to: of its features, columns that it lost, or its cut."""

    code = "RM449"
    exit_code = 6
    leaves = "nothing changed"


class OutOfMemory(RunError):
    """The process or the engine may not have the memory that the step needs."""

    code = "RM443"


class SourceRejected(RunError):
    """A source file or page was refused as a whole."""

    code = "RM409"
    exit_code = 2
    leaves = "nothing of the run was ingested"


class SourceUnavailable(RunError):
    """A source could not be reached, was too slow, or went on refusing, after all attempts."""

    code = "RM411"
    retryable = True
    leaves = "nothing of the run was ingested; pages that arrived are kept for resume"


class NotOnSpark(TransformFailed):
    """SQL holds what Spark computes otherwise than DuckDB, or what is not known to be the same."""

    code = "RM450"
    exit_code = 5
    leaves = "no table changed; nothing was staged"


class TypesDiffer(NotOnSpark):
    """Spark gives a column another kind of type than DuckDB does for the same SQL."""

    code = "RM451"


class EngineUnavailable(RunError):
    """An engine that the project names is not installed, does not start or cannot be reached."""

    code = "RM452"
    exit_code = 2
    leaves = "nothing changed"


class EngineRefused(RunError):
    """What answers in the engine's place is not the engine, and computes some things otherwise."""

    code = "RM453"
    exit_code = 2
    leaves = "nothing changed"
