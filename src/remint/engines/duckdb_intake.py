"""Reading of one source file into two tables: typed rows with their line, and rejected rows with the reason.

Rules: sets first, Python for what they do not recognise. A set accepts a value only when its text is the one spelling
that the type has, so the two can never accept different values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from remint.engines.base import IngestWork, literal, quoted
from remint.engines.strict_rows import (
    has_good_shape,
    read_line,
    read_record,
)
from remint.errors import ProjectError
from remint.model.dataset import Column, Dataset
from remint.model.partition import Grain

ROWS = '"__ingest_rows"'
"""Typed rows: ``__line``, ``__raw`` (NULL for Parquet), the dataset's columns, ``__ok``."""
REJECTED = '"__ingest_rejected"'
"""Rejected rows: ``__line``, ``__reason``, ``__raw``."""
_LINES = '"__ingest_lines"'
_CHUNK_BYTES = 64 * 1024 * 1024
_RECORDS = 100_000
_TIME_OF_INGESTION = "ingestion_timestamp"

_BLANK = r"[ \t\r]*"
_TEXT = (
    r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u(?:000[1-9a-fA-F]|00[1-9a-fA-F][0-9a-fA-F]|0[1-9a-fA-F][0-9a-fA-F]{2}|'
    r"[1-9a-cA-Ce-fE-F][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}|"
    r'[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))*"'
)
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_KEY = r'"[^"\\,\x00-\x1f]*"'
_MEMBER = f"{_BLANK}{_KEY}{_BLANK}:{_BLANK}(?:{_TEXT}|{_NUMBER}|true|false|null){_BLANK}"
_FLAT_OBJECT = f"{_BLANK}\\{{(?:{_MEMBER}(?:,{_MEMBER})*|{_BLANK})\\}}{_BLANK}"
"""One JSON object of texts, numbers and constants, by the letter of RFC 8259; DuckDB's own reader takes NaN, trailing
commas and repeated keys. No NUL, no half surrogate, no comma in a key (keys are joined by commas below)."""
_INSTANT = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
    r"(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])"
)

_WIDENS = {
    "BOOLEAN": ("BOOLEAN",),
    "INTEGER": ("INTEGER", "SMALLINT", "TINYINT", "USMALLINT", "UTINYINT"),
    "BIGINT": ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UINTEGER", "USMALLINT", "UTINYINT"),
    "DOUBLE": ("DOUBLE", "FLOAT", "INTEGER", "SMALLINT", "TINYINT", "UINTEGER", "USMALLINT", "UTINYINT"),
    "VARCHAR": ("VARCHAR",),
    "DATE": ("DATE",),
    "TIMESTAMPTZ": ("TIMESTAMP WITH TIME ZONE",),
}
"""Parquet types whose every value a column holds exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the columns of a source file become those of Bronze."""

    columns: tuple[Column, ...]
    """Read from the source; ``required`` also where a key, the arrivals or the partition needs a value."""
    filled: str
    """Column that remint fills with the time of ingest; empty when the source has it."""
    derived: str
    """SQL of the partition where the source gives none; empty when it must give one."""
    partition: str

    @classmethod
    def of(cls, dataset: Dataset, ingested_at: str) -> Layout:
        """Return the layout that a Bronze contract asks for.

        Raises:
            ProjectError: the dataset has no source.
        """
        if dataset.source is None:
            raise ProjectError(f"{dataset.name} has no source", hint="declare it with source=files(...)")
        filled = dataset.source.ingested_at or ""
        spec = dataset.partition
        has_time = any(c.name == _TIME_OF_INGESTION and c.type == "TIMESTAMPTZ" for c in dataset.columns)
        moment = f"TIMESTAMPTZ {literal(ingested_at)}" if filled else quoted(_TIME_OF_INGESTION) if has_time else ""
        derived = "" if spec.grain is Grain.IDENTITY or not moment else f"CAST({moment} AS DATE)"
        if derived and spec.grain is Grain.MONTH:
            derived = f"CAST(date_trunc('month', {derived}) AS DATE)"
        needed = {*dataset.key, *([dataset.arrivals.column] if dataset.arrivals else [])}
        needed.add(_TIME_OF_INGESTION if derived else spec.column)
        columns = tuple(
            replace(c, required=not (derived and c.name == spec.column) and (c.required or c.name in needed))
            for c in dataset.columns
            if c.name != filled
        )
        return cls(columns=columns, filled=filled, derived=derived, partition=spec.column)

    def bronze_sql(self, dataset: Dataset, ingested_at: str) -> str:
        """Return the SELECT list that makes Bronze columns of source columns."""
        made = {c.name: quoted(c.name) for c in self.columns}
        if self.filled:
            made[self.filled] = f"TIMESTAMPTZ {literal(ingested_at)}"
        if self.derived:
            made[self.partition] = f"coalesce({made[self.partition]}, {self.derived})"
        return ", ".join(f"CAST({made[c.name]} AS {c.type}) AS {quoted(c.name)}" for c in dataset.columns)


class Intake:
    """One source file on its way into the tables ``ROWS`` and ``REJECTED``."""

    def __init__(self, con: duckdb.DuckDBPyConnection, work: IngestWork) -> None:
        """Make the two tables, empty."""
        self._con = con
        self._work = work
        self._layout = Layout.of(work.dataset, work.ingested_at)
        self._columns = self._layout.columns
        typed = ", ".join(f"{quoted(c.name)} {c.type}" for c in work.dataset.columns)
        con.execute(f"CREATE OR REPLACE TEMP TABLE {ROWS} (__line BIGINT, __raw VARCHAR, {typed}, __ok BOOLEAN)")
        con.execute(f"CREATE OR REPLACE TEMP TABLE {REJECTED} (__line BIGINT, __reason VARCHAR, __raw VARCHAR)")

    def close(self) -> None:
        """Drop the tables."""
        for table in (ROWS, REJECTED, _LINES):
            self._con.execute(f"DROP TABLE IF EXISTS {table}")

    def read(self) -> int:
        """Read the file and return how many rows it has, counted apart from the tables.

        Raises:
            SourceRejected: the file as a whole is not what its format says.
        """
        assert self._work.dataset.source is not None  # noqa: S101 - Layout.of looked
        match self._work.dataset.source.format:
            case "jsonl":
                return self._read_lines()
            case "csv":
                return self._read_records()
            case _:
                return self._read_parquet()

    # -- JSON lines ----------------------------------------------------------------------------------------------

    def _read_lines(self) -> int:
        read, last = 0, 0
        for lines in _chunks(Path(self._work.path), self._work.uri):
            read += sum(1 for line in lines if line.strip(" \t\r"))
            self._con.execute(
                f"CREATE OR REPLACE TEMP TABLE {_LINES} AS SELECT __line, __raw, {_signature(self._columns)} AS __shape "
                "FROM (SELECT unnest(texts) AS __raw, generate_subscripts(texts, 1) + $2 AS __line "
                "FROM (SELECT $1::VARCHAR[] AS texts)) WHERE trim(__raw, ' \t\r') <> ''",
                [lines, last],
            )
            last += len(lines)
            self._type_lines()
            self._decide(lambda raw, _: read_line(raw, self._columns))
        return read

    def _type_lines(self) -> None:
        """Type the lines whose shape is good; every other line comes out with no value and not ok."""
        samples = self._con.execute(
            f"SELECT __shape, any_value(__raw) FROM {_LINES} WHERE __shape IS NOT NULL GROUP BY __shape"
        ).fetchall()
        good = [shape for shape, sample in samples if has_good_shape(sample, self._columns)]
        wanted = json.dumps({c.name: "VARCHAR" for c in self._columns})
        texts = ", ".join(f"{_line_text(c)} AS {_text_name(i)}" for i, c in enumerate(self._columns))
        # Without the UNNEST barrier DuckDB would parse the line again for every column and predicate.
        self._insert(
            f"SELECT __line, __raw, {texts} FROM (SELECT __line, __raw, unnest([json_transform("
            f"CASE WHEN __shape IN (SELECT unnest($1::VARCHAR[])) THEN __raw END, {literal(wanted)})]) AS __found "
            f"FROM {_LINES})",
            [good],
        )

    # -- CSV -----------------------------------------------------------------------------------------------------

    def _read_records(self) -> int:
        read = 0
        for records in _batches(_records(Path(self._work.path), self._work.uri)):
            if records[0].line == 1:
                places = self._places(records[0].fields)
                width = len(records.pop(0).fields)
            read += len(records)
            ragged = [r for r in records if len(r.fields) != width]
            self._reject((r.line, f"expected {width} fields, found {len(r.fields)}", r.raw) for r in ragged)
            whole = [r for r in records if len(r.fields) == width]
            self._insert_texts([(r.line, r.raw, [_field(r, place) for place in places]) for r in whole])
            texts = {r.line: [_field(r, place) for place in places] for r in whole}
            self._decide(lambda _, line, texts=texts: read_record(texts[line], self._columns))
        return read
