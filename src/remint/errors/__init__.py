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
    │   ├── UnknownRelease    RM427  (also a KeyError)
    │   └── AmbiguousPin      RM457
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
    │   │   └── NotOnSpark        RM450  exit 5   Spark computes a piece of the SQL otherwise
    │   │       └── TypesDiffer       RM451       Spark gives a column another kind of type
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
    │   ├── Unfinishable      RM454  exit 6   what an interrupted run was about to publish is gone
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
    │   ├── OutOfMemory       RM443  exit 1   not enough memory
    │   ├── StorageRefused    RM444  exit 1   the bucket of the tables may not be used so
    │   └── StorageUnavailable RM445 exit 1   the bucket could not be reached, after all tries (retryable)
    │   ├── CatalogRefused    RM446  exit 1   the catalog of the tables may not be used so
    │   ├── CatalogUnavailable RM447 exit 1   the catalog could not be reached, after all tries (retryable)
    │   ├── TableUnusable     RM449  exit 6   a table is not one any more that runs can write to
    │   ├── EngineUnavailable RM452  exit 2   an engine is not installed, or does not start
    │   └── EngineRefused     RM453  exit 2   something else answers in an engine's place
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

from remint.errors.base import InternalError as InternalError
from remint.errors.base import RemintError as RemintError
from remint.errors.plan import ApprovalBySamePerson as ApprovalBySamePerson
from remint.errors.plan import ApprovalError as ApprovalError
from remint.errors.plan import ApprovalExpired as ApprovalExpired
from remint.errors.plan import ApprovalMissing as ApprovalMissing
from remint.errors.plan import ApprovalUsed as ApprovalUsed
from remint.errors.plan import ArrivalsRedeclared as ArrivalsRedeclared
from remint.errors.plan import BronzeChanged as BronzeChanged
from remint.errors.plan import PeakHours as PeakHours
from remint.errors.plan import PlanError as PlanError
from remint.errors.plan import PlanOutdated as PlanOutdated
from remint.errors.plan import PlanUsed as PlanUsed
from remint.errors.plan import PolicyRefused as PolicyRefused
from remint.errors.plan import PythonChanged as PythonChanged
from remint.errors.plan import SourceAbsent as SourceAbsent
from remint.errors.plan import TooManyBytes as TooManyBytes
from remint.errors.plan import TooManyRows as TooManyRows
from remint.errors.plan import TooManyRuns as TooManyRuns
from remint.errors.plan import TooManySeconds as TooManySeconds
from remint.errors.plan import TooMuchMoney as TooMuchMoney
from remint.errors.plan import VersionNotRaised as VersionNotRaised
from remint.errors.plan import WholeHistory as WholeHistory
from remint.errors.plan import WindowTooLong as WindowTooLong
from remint.errors.project import InvalidKey as InvalidKey
from remint.errors.project import InvalidRange as InvalidRange
from remint.errors.project import MissingCredential as MissingCredential
from remint.errors.project import ProjectError as ProjectError
from remint.errors.project import ProjectInvalid as ProjectInvalid
from remint.errors.project import RefusedQuery as RefusedQuery
from remint.errors.project import UnknownDataset as UnknownDataset
from remint.errors.project import UnknownPlan as UnknownPlan
from remint.errors.project import UnknownRun as UnknownRun
from remint.errors.project import UsageError as UsageError
from remint.errors.run import AdoptRefused as AdoptRefused
from remint.errors.run import AmbiguousPin as AmbiguousPin
from remint.errors.run import CatalogRefused as CatalogRefused
from remint.errors.run import CatalogUnavailable as CatalogUnavailable
from remint.errors.run import ChecksFailed as ChecksFailed
from remint.errors.run import DiskFailed as DiskFailed
from remint.errors.run import DiskFull as DiskFull
from remint.errors.run import EngineRefused as EngineRefused
from remint.errors.run import EngineUnavailable as EngineUnavailable
from remint.errors.run import ExpireRefused as ExpireRefused
from remint.errors.run import FilesDamaged as FilesDamaged
from remint.errors.run import FilesExpired as FilesExpired
from remint.errors.run import HalfPublished as HalfPublished
from remint.errors.run import LogDamaged as LogDamaged
from remint.errors.run import NothingToUndo as NothingToUndo
from remint.errors.run import NotOnSpark as NotOnSpark
from remint.errors.run import NotPermitted as NotPermitted
from remint.errors.run import NotResumable as NotResumable
from remint.errors.run import OutOfMemory as OutOfMemory
from remint.errors.run import PinRefused as PinRefused
from remint.errors.run import PublishConflict as PublishConflict
from remint.errors.run import PublishUnverified as PublishUnverified
from remint.errors.run import RepairRefused as RepairRefused
from remint.errors.run import RollbackRefused as RollbackRefused
from remint.errors.run import RunAtWork as RunAtWork
from remint.errors.run import RunError as RunError
from remint.errors.run import SchemaMismatch as SchemaMismatch
from remint.errors.run import SourceRejected as SourceRejected
from remint.errors.run import SourceUnavailable as SourceUnavailable
from remint.errors.run import StorageRefused as StorageRefused
from remint.errors.run import StorageUnavailable as StorageUnavailable
from remint.errors.run import Superseded as Superseded
from remint.errors.run import TableBusy as TableBusy
from remint.errors.run import TableUnusable as TableUnusable
from remint.errors.run import TieInKeep as TieInKeep
from remint.errors.run import TransformFailed as TransformFailed
from remint.errors.run import TypesDiffer as TypesDiffer
from remint.errors.run import Unfinishable as Unfinishable
from remint.errors.run import UnknownRelease as UnknownRelease
from remint.errors.run import WaiveRefused as WaiveRefused
from remint.errors.run import WrittenAgain as WrittenAgain
from remint.errors.store import AuditLogBroken as AuditLogBroken
from remint.errors.store import CheckpointForged as CheckpointForged
from remint.errors.store import CheckpointInvalid as CheckpointInvalid
from remint.errors.store import KeyRefused as KeyRefused
from remint.errors.store import NothingPublished as NothingPublished
from remint.errors.store import OutcomeUnknown as OutcomeUnknown
from remint.errors.store import ReadError as ReadError
from remint.errors.store import ReleaseIncomplete as ReleaseIncomplete
from remint.errors.store import SigningMissing as SigningMissing
from remint.errors.store import StateBehind as StateBehind
from remint.errors.store import StoreBusy as StoreBusy
from remint.errors.store import StoreError as StoreError
from remint.errors.store import StoreFull as StoreFull
from remint.errors.store import StoreMoved as StoreMoved
from remint.errors.store import StoreNewer as StoreNewer
from remint.errors.store import StoreReadOnly as StoreReadOnly
from remint.errors.store import StoreUnreachable as StoreUnreachable
