"""Every error that remint raises.

The tree::

    RemintError
    ├── UsageError            RM1xx  exit 2   what was typed cannot be meant
    │   ├── InvalidRange      RM101
    │   ├── InvalidKey        RM102
    │   ├── UnknownDataset    RM103  (also a KeyError)
    │   ├── UnknownRun        RM104  (also a KeyError)
    │   ├── UnknownPlan       RM105  (also a KeyError)
    │   ├── RefusedQuery      RM106
    │   ├── MissingCredential RM107           a declared environment variable is not set
    │   └── UnknownRelease    RM427  (also a KeyError)
    ├── ProjectError          RM2xx  exit 2   one mistake in a project, with file and line
    │   └── ProjectInvalid    RM200           all mistakes of a project at once
    ├── PlanError             RM3xx
    │   ├── PlanOutdated      RM301  exit 6   the world moved where the plan reads or writes
    │   ├── PlanUsed          RM302  exit 6   a plan is applied once
    │   ├── BronzeChanged     RM303  exit 6   something other than an append happened to Bronze
    │   ├── SourceAbsent      RM304  exit 2   the range names days that a source never delivered
    │   ├── ArrivalsRedeclared RM305 exit 2   the rows of Bronze were counted under other arrivals
    │   ├── PythonChanged     RM306  exit 6   a function is not what the plan was made for
    │   ├── VersionNotRaised  RM320  exit 2   logic changed and its version did not
    │   ├── PolicyRefused     RM310  exit 4   a rule of the project's policy refuses it
    │   │   ├── TooManySeconds        RM311
    │   │   ├── TooMuchMoney          RM312
    │   │   ├── TooManyBytes          RM313
    │   │   ├── TooManyRows           RM314
    │   │   ├── WindowTooLong         RM315
    │   │   ├── WholeHistory          RM316  exit 2
    │   │   ├── PeakHours             RM317          (retryable)
    │   │   └── TooManyRuns           RM318          (retryable)
    │   └── ApprovalError     RM330  exit 4   a second person must consent
    │       ├── ApprovalMissing       RM331
    │       ├── ApprovalExpired       RM332
    │       ├── ApprovalUsed          RM333
    │       └── ApprovalBySamePerson  RM334
    ├── RunError              RM4xx
    │   ├── ChecksFailed      RM401  exit 5   a blocking check failed; nothing was published
    │   ├── TransformFailed   RM402  exit 1   the transform's own SQL failed
    │   ├── SchemaMismatch    RM403  exit 5   the transform's columns are not the contract's
    │   ├── TieInKeep         RM404  exit 5   two rows compete for one key and nothing orders them
    │   ├── PublishConflict   RM405  exit 6   the table moved between plan and publish
    │   ├── PublishUnverified RM406  exit 1   read-back after a commit did not show what was committed
    │   ├── NotResumable      RM407  exit 1   the run is in a state that resume cannot continue
    │   ├── RollbackRefused   RM408  exit 6   it could not be exact
    │   │   ├── NothingToUndo     RM417  exit 2   nothing of the run is left in what was named
    │   │   └── WrittenAgain      RM418           later runs wrote it again
    │   ├── FilesExpired      RM419  exit 6   retention removed what is asked for
    │   │   └── PinRefused        RM426           files of the release were removed already
    │   ├── ExpireRefused     RM425  exit 6   what holds files moved while they were chosen (retryable)
    │   ├── HalfPublished     RM410  exit 1   a conflict, and a commit that could not be taken back
    │   ├── SourceRejected    RM409  exit 2   a source file or page was refused as a whole
    │   ├── SourceUnavailable RM411  exit 1   a source did not answer in time (retryable)
    │   ├── AdoptRefused      RM412  exit 6   what somebody else wrote cannot be taken as it is
    │   ├── Superseded        RM413  exit 6   another process has taken the run over
    │   ├── RunAtWork         RM414  exit 6   a process is carrying the run out (retryable)
    │   ├── WaiveRefused      RM415  exit 6   the run can be ended otherwise, or has ended
    │   ├── TableBusy         RM416  exit 6   other writers of a table were faster every time (retryable)
    │   ├── FilesDamaged      RM420  exit 6   a published file is not on disk as it was published
    │   ├── LogDamaged        RM421  exit 6   a table's log cannot be read
    │   ├── RepairRefused     RM422  exit 6   a repair would not be exact, or may not be made now
    │   ├── DiskFailed        RM441  exit 1   the disk or the system refused a file
    │   │   ├── DiskFull      RM440  exit 1   no room left on the disk (retryable)
    │   │   └── NotPermitted  RM442  exit 1   a file or folder may not be read or written
    │   └── OutOfMemory       RM443  exit 1   not enough memory
    ├── StoreError            RM5xx
    │   ├── StoreNewer        RM501  exit 1   state written by a newer remint
    │   ├── StoreBusy         RM502  exit 1   another process holds the database (retryable)
    │   ├── AuditLogBroken    RM520  exit 1   the audit log is not as it was written
    │   ├── CheckpointInvalid RM521  exit 2   a file is not a checkpoint of an audit log
    │   ├── CheckpointForged  RM522  exit 1   a checkpoint is not signed as it must be
    │   ├── SigningMissing    RM523  exit 1   the package that signs is not installed
    │   ├── KeyRefused        RM524  exit 2   a key cannot be read, or would be overwritten
    │   ├── StoreFull         RM503  exit 1   the database cannot grow: the disk is full (retryable)
    │   ├── StoreReadOnly     RM504  exit 1   the database, or its folder, may not be written
    │   ├── StoreUnreachable  RM506  exit 1   no connection, or it was lost (retryable)
    │   ├── OutcomeUnknown    RM507  exit 1   it was lost while it committed
    │   └── StateBehind       RM508  exit 6   tables hold runs that the state database does not know
    │       └── StoreMoved    RM534           somebody wrote while it was read without locks (retryable)
    ├── ReadError             RM530  exit 1   a release cannot be read, or its views not be written
    │   ├── NothingPublished  RM531  exit 1   there is no release yet
    │   └── ReleaseIncomplete RM533  exit 6   files that the release names are gone
    └── InternalError         RM900  exit 1   a defect of remint itself

Rules: the message says what, where, expected and found; ``hint`` says the next command.
Every class states in ``leaves`` what is left behind when it is raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class RemintError(Exception):
    """Base of all errors that remint raises on purpose."""

    code: ClassVar[str] = "RM000"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    leaves: str = "nothing changed"
    """What is left behind when it is raised; a run that had begun to commit says so for itself."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def as_dict(self) -> dict[str, object]:
        """Return the error as ``--json`` prints it: code, message, hint, leaves, exit_code."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "leaves": self.leaves,
            "exit_code": self.exit_code,
        }


class UsageError(RemintError):
    """What was typed cannot be meant."""

    code = "RM100"
    exit_code = 2


class InvalidRange(UsageError):
    """A range that does not parse, is empty, runs backwards or leaves the supported calendar."""

    code = "RM101"


class InvalidKey(UsageError):
    """A partition key that its dataset cannot have."""

    code = "RM102"


class UnknownDataset(UsageError, KeyError):
    """A selector names no dataset."""

    code = "RM103"


class UnknownRun(UsageError, KeyError):
    """No run has this id."""

    code = "RM104"


class UnknownPlan(UsageError, KeyError):
    """No saved plan has this id, or its file does not hold what its id says."""

    code = "RM105"


class RefusedQuery(UsageError):
    """``remint sql`` runs one read-only SELECT over declared tables."""

    code = "RM106"


class MissingCredential(UsageError):
    """An environment variable that a source's headers name is not set, or cannot be sent."""

    code = "RM107"


class UnknownRelease(UsageError, KeyError):
    """No release or open pin has this id, or the run made no release."""

    code = "RM427"


class ProjectError(RemintError):
    """One mistake in a project directory."""

    code = "RM201"
    exit_code = 2

    def __init__(
        self, message: str, *, file: str | None = None, line: int | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.file = file
        self.line = line

    @property
    def where(self) -> str:
        """``file:line`` as editors open it; empty when the mistake has no place."""
        if self.file is None:
            return ""
        return self.file if self.line is None else f"{self.file}:{self.line}"


class ProjectInvalid(RemintError):
    """Every mistake of a project, reported at once."""

    code = "RM200"
    exit_code = 2

    def __init__(self, mistakes: Sequence[ProjectError]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda m: (m.file or "", m.line or 0, m.message)))
        lines = [f"{m.where + ': ' if m.where else ''}{m.message}" for m in self.mistakes]
        noun = "mistake" if len(lines) == 1 else "mistakes"
        super().__init__(f"{len(lines)} {noun} in the project\n  " + "\n  ".join(lines))

    def as_dict(self) -> dict[str, object]:
        """Return the error with one entry a mistake: message, file, line, hint."""
        shown = [{"message": m.message, "file": m.file, "line": m.line, "hint": m.hint} for m in self.mistakes]
        return {**super().as_dict(), "mistakes": shown}


class PlanError(RemintError):
    """A plan cannot be made or cannot be applied."""

    code = "RM300"
    exit_code = 2


class PlanOutdated(PlanError):
    """The plan's requirements no longer hold."""

    code = "RM301"
    exit_code = 6

    def __init__(self, plan_id: str, moved: Sequence[str]) -> None:
        shown = "\n  ".join(moved[:20])
        more = f"\n  ... and {len(moved) - 20} more" if len(moved) > 20 else ""
        super().__init__(
            f"plan {plan_id} no longer fits; moved since it was made: {len(moved)}\n  {shown}{more}",
            hint="remint plan    # plan again on what is there now",
        )
        self.moved = tuple(moved)


class PlanUsed(PlanError):
    """A plan is applied once."""

    code = "RM302"
    exit_code = 6


class BronzeChanged(PlanError):
    """Something other than an append by remint happened to a Bronze table."""

    code = "RM303"
    exit_code = 6


class ArrivalsRedeclared(PlanError):
    """The rows of a Bronze dataset were counted by event partition in another way than it declares."""

    code = "RM305"


class PythonChanged(PlanError):
    """The Python function that makes a dataset is not the one that the plan was made for."""

    code = "RM306"
    exit_code = 6


class SourceAbsent(PlanError):
    """The range names days that a source never delivered: not empty days, but days that nobody knows of."""

    code = "RM304"


class VersionNotRaised(PlanError):
    """Logic changed under a version that was published, or the version went backwards."""

    code = "RM320"


class PolicyRefused(PlanError):
    """A rule of the project's policy refuses the plan, or its start at this time."""

    code = "RM310"
    exit_code = 4


class TooManySeconds(PolicyRefused):
    """The plan is expected to stage longer than ``[policy] max_seconds``."""

    code = "RM311"


class TooMuchMoney(PolicyRefused):
    """The plan is expected to cost more than ``[policy] max_money``."""

    code = "RM312"


class TooManyBytes(PolicyRefused):
    """The plan is expected to open more bytes than ``[policy] max_bytes_scanned``."""

    code = "RM313"


class TooManyRows(PolicyRefused):
    """The plan reads more rows than ``[policy] max_rows``."""

    code = "RM314"


class WindowTooLong(PolicyRefused):
    """The plan covers more days than ``[policy] largest_window_days``."""

    code = "RM315"


class WholeHistory(PolicyRefused):
    """A rebuild without a range covers everything that is selected, and nobody said that it is meant."""

    code = "RM316"
    exit_code = 2


class PeakHours(PolicyRefused):
    """A backfill would start in ``[policy] peak_hours``."""

    code = "RM317"
    retryable = True


class TooManyRuns(PolicyRefused):
    """As many runs are in progress as ``[policy] max_running`` allows."""

    code = "RM318"
    retryable = True


class ApprovalError(PlanError):
    """The plan needs the approval of a second person, and there is none that counts."""

    code = "RM330"
    exit_code = 4


class ApprovalMissing(ApprovalError):
    """Nobody approved the plan."""

    code = "RM331"


class ApprovalExpired(ApprovalError):
    """The approval ran out before the plan was applied."""

    code = "RM332"


class ApprovalUsed(ApprovalError):
    """The approval was used by an earlier run: it is good for one."""

    code = "RM333"


class ApprovalBySamePerson(ApprovalError):
    """The approver is the person who asked for the plan."""

    code = "RM334"


class RunError(RemintError):
    """A run stopped."""

    code = "RM400"
    leaves = "no table changed; staged files are kept for inspection"


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


class InternalError(RemintError):
    """A defect of remint itself: something that no error above foresees."""

    code = "RM900"
    leaves = "unknown; remint status shows every run that is outstanding"
