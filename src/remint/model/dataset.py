"""Declared tables: columns, keys, inputs, transform, checks; all that a plan must know of a dataset."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from remint.model.mapping import Mapping
from remint.model.partition import Grain, PartitionSet, PartitionSpec

DatasetName = str
"""``layer.name``, for example ``silver.api_usage``."""

COLUMN_TYPES = ("BOOLEAN", "INTEGER", "BIGINT", "DOUBLE", "VARCHAR", "DATE", "TIMESTAMPTZ")
"""Types a column can have, beside DECIMAL(p,s): those that DuckDB, Delta Lake and Iceberg all hold exactly."""


class Layer(StrEnum):
    """Stage of refinement; Bronze is append-only."""

    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column that a contract promises."""

    name: str
    type: str
    """One of ``COLUMN_TYPES`` or ``DECIMAL(p,s)``."""
    required: bool = False
    """NULL is a violation."""


class Severity(StrEnum):
    """What a failed check does."""

    BLOCK = "block"
    """Nothing of the run is published."""
    WARN = "warn"
    """Published, and reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One rule of a contract, compiled to an aggregate over a partition's rows."""

    name: str
    """In words, with the column: ``status_code is between 100 and 599``."""
    sql: str
    """Aggregate that counts violations: 0 means it holds."""
    severity: Severity = Severity.BLOCK
    fails_empty: bool = False
    """A partition without rows breaks it (a smallest row count): grouping by partition never shows one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A condition that a parsed row must meet; rows that do not go to quarantine with the name as reason."""

    name: str
    condition: str
    """SQL over the parsed columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parse:
    """A raw JSON payload turned into typed columns, the rest kept apart with a reason."""

    alias: str
    """Input whose rows are parsed; the transform reads valid rows under this name."""
    column: str
    """Text column that holds one JSON object."""
    fields: tuple[Column, ...]
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """An edge of the graph: what a transform reads, and which of its partitions."""

    alias: str
    """Name by which the transform reads it: a relation of its SQL, a parameter of its function."""
    dataset: DatasetName
    mapping: Mapping
    columns: tuple[str, ...] | None = None
    """Columns of it that the transform reads, sorted: only a change of these makes a unit stale; None: all of them."""


class Disposition(StrEnum):
    """What becomes of the partitions that an older logic version made."""

    REPLACE = "replace"
    """They are made again by the new version, in their place."""
    KEEP = "keep"
    """They stay beside those of the new version, both queryable."""
    DEPRECATE = "deprecate"
    """They stay, marked as not to be used any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicVersion:
    """The number under which a logic is published; a changed logic must raise it.

    Source: TradeX norm, section 8: no past version is ever corrected silently.
    """

    number: int = 1
    column: str | None = None
    """Column that holds the version (``v2``) and cuts every partition by it; None where old ones are replaced."""
    old: Disposition = Disposition.REPLACE

    @property
    def label(self) -> str:
        """The version as the column spells it."""
        return f"v{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Logic:
    """What a transform means, apart from how it is written."""

    digest: str
    """Changes when the meaning changes: canonical SQL or Python, payload parsing, keep order."""
    canonical: str
    """The canonical SQL that was hashed; of a function, the source of all that it reaches."""
    canonicaliser: str
    """Library and version that made the canonical form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """The SELECT or function that makes a dataset, written as if over whole tables."""

    sql: str
    """Empty where a function makes it."""
    logic: Logic
    function: str = ""
    """File and name of the Python function that makes it: ``datasets.py:score``; empty for SQL."""
    single_thread: bool = False
    """True when the SQL sums floating point numbers, whose result depends on the order of addition."""
    warnings: tuple[str, ...] = ()


DATE_PLACEHOLDER = "{date}"
"""Stands in a URL pattern for the day, YYYY-MM-DD, that a file is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """Bronze rows come from files of one format under one URL pattern."""

    url: str
    """Path or fsspec URL; ``*``, ``**`` and ``{date}`` match; relative to the project."""
    format: str
    """``jsonl``, ``csv`` or ``parquet``; ``.gz`` is recognised by the file's first bytes."""
    ingested_at: str | None = None
    """TIMESTAMPTZ column that remint fills with the time of the ingest run; None when the source has it."""
    kind: Literal["files"] = "files"

    @property
    def says_days(self) -> bool:
        """True when a file's name says which day it is for, so that an absent day can be told from an empty one."""
        return DATE_PLACEHOLDER in self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSource:
    """Bronze rows come from the pages of a JSON API, one cursor after another."""

    url: str
    """http or https, without query."""
    records: str
    """Dotted path of the list of records in a page."""
    next_cursor: str
    """Dotted path of the cursor of the next page; null or absent on the last one."""
    has_more: str | None
    """Dotted path of the boolean that says whether another page follows; None where only ``next_cursor`` says it."""
    cursor_param: str
    since_param: str | None
    """Query parameter of a window's first instant; None where the API takes no windows."""
    until_param: str | None
    """Query parameter of the instant at which a window ends; that instant is outside of it."""
    window_days: int
    """Days that one window of a range spans at most."""
    page_size: int | None
    page_size_param: str
    params: tuple[tuple[str, str], ...]
    """Query parameters that every request has; never credentials."""
    headers: tuple[tuple[str, str], ...]
    """Header and its value, in which ``{NAME}`` stands for an environment variable."""
    timeout_s: float
    """For a connection, and for a pause within a reply."""
    retries: int
    """Further attempts at one page."""
    budget_s: float
    """For everything that one run reads of this source, waiting included."""
    ingested_at: str | None = None
    """TIMESTAMPTZ column that remint fills with the time of the ingest run; None when the source has it."""
    kind: Literal["pages"] = "pages"

    @property
    def format(self) -> str:
        """What a page is handed to the engine as: one JSON object a line."""
        return "jsonl"


Source = FileSource | PageSource
"""Where Bronze rows come from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """How late rows are found: which column says when a Bronze row's event happened."""

    column: str
    grain: Grain
    label: str | None = None
    """Further column of the Bronze rows by whose value events are told apart: a tenant."""
    key: tuple[str, ...] = ()
    """Rows that are equal in these columns are versions of one thing, whichever event partitions they name; empty:
    no row is a version of another."""

    @property
    def spec(self) -> PartitionSpec:
        """How arrived rows are cut by their event."""
        return PartitionSpec(column=self.column, grain=self.grain, label=self.label)

    @property
    def in_words(self) -> str:
        """How rows are counted: those counted in another way say nothing about this one."""
        parts = [f"by {self.grain} of {self.column}", f"and {self.label}" if self.label else ""]
        parts.append(f"with every version of a {', '.join(self.key)}" if self.key else "")
        return " ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A named aggregate that ``diff`` compares before and after."""

    name: str
    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A declared table."""

    name: DatasetName
    layer: Layer
    location: str
    """Folder of the table, relative to the lake's root."""
    partition: PartitionSpec
    columns: tuple[Column, ...]
    """In table order, the partition column among them."""
    key: tuple[str, ...]
    """Columns that identify a row; for Bronze, the dedup key."""
    inputs: tuple[Input, ...] = ()
    transform: Transform | None = None
    parse: Parse | None = None
    keep: tuple[str, ...] = ()
    """Order by which the latest row of a key wins: within its partition, or across all where the arrivals that are
    read have a key; empty when the transform leaves none twice."""
    checks: tuple[Check, ...] = ()
    source: Source | None = None
    arrivals: Arrivals | None = None
    metrics: tuple[Metric, ...] = ()
    quarantine_of: DatasetName | None = None
    """The dataset whose rejected rows this one holds."""
    description: str = ""
    version: LogicVersion = field(default_factory=LogicVersion)
    read_as: tuple[tuple[str, ...], ...] = ()
    """The sets of columns that its consumers read: its content is digested over each of them too."""

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names in table order."""
        return tuple(c.name for c in self.columns)

    def column(self, name: str) -> Column:
        """Return the column called ``name``.

        Raises:
            KeyError: there is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def fixed_value(self) -> str:
        """Value of the label column that every unit has now: the logic version; empty when it holds no version."""
        return self.version.label if self.version.column else ""

    def no_units(self) -> PartitionSet:
        """Return the empty set of this dataset's keys."""
        return PartitionSet(self.partition.grain)

    @property
    def logic_digest(self) -> str:
        """Digest of the logic; empty for Bronze, which has none."""
        return self.transform.logic.digest if self.transform else ""


def quarantine_name(name: DatasetName) -> DatasetName:
    """Return the name of the dataset that holds the rejected rows of ``name``."""
    return f"{name}_quarantine"
