"""Reading of one source file into two tables: typed rows with their line, and rejected rows with the reason.

Rules: sets first, Python for what they do not recognise. A set accepts a value only when its text is the one spelling
that the type has, so the two can never accept different values.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import duckdb

from remint.engines.base import IngestWork, literal, quoted
from remint.engines.duckdb_rows import period_sql
from remint.engines.strict_rows import (
    FIRST_YEAR,
    LAST_YEAR,
    LINE_CHARACTERS,
    BadRow,
    has_good_shape,
    read_line,
    read_record,
)
from remint.errors import ProjectError, RunError, SourceRejected
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
_Record = tuple[int, str, list[str]]
"""A CSV record: its first line, its text, its fields."""

_BLANK = r"[ \t\r]*"
_TEXT = (
    r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u(?:000[1-9a-fA-F]|00[1-9a-fA-F][0-9a-fA-F]|0[1-9a-fA-F][0-9a-fA-F]{2}|'
    r"[1-9a-cA-Ce-fE-F][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}|"
    r'[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))*"'
)
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_KEY = r'"[^"\\,\x00-\x1f]*"'
_NESTING = 2
"""Levels of arrays and objects that the sets recognise; a third makes the pattern ten times slower."""
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
        derived = "" if spec.grain is Grain.IDENTITY or not moment else period_sql(spec, moment)
        needed = {*dataset.key, *([dataset.arrivals.column, *dataset.arrivals.key] if dataset.arrivals else [])}
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
                f"CREATE OR REPLACE TEMP TABLE {_LINES} AS SELECT *, {_shape(self._columns)} AS __shape FROM ("
                "SELECT unnest(texts) AS __raw, generate_subscripts(texts, 1) + $2 AS __line "
                "FROM (SELECT $1::VARCHAR[] AS texts)) WHERE regexp_matches(__raw, '[^ \t\r]')",
                [lines, last],
            )
            last += len(lines)
            self._type_lines()
            self._decide(lambda raw: read_line(raw, self._columns))
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
        records = _records(Path(self._work.path), self._work.uri)
        header = next(records, None)
        if header is None:
            raise SourceRejected(
                f"{self._work.uri}: expected a header line, found an empty file", hint="ask its writer for the header"
            )
        places = self._places(header[2])
        width, read = len(header[2]), 0
        while batch := list(islice(records, _RECORDS)):
            read += len(batch)
            self._reject(
                [(n, f"expected {width} fields, found {len(f)}", raw) for n, raw, f in batch if len(f) != width]
            )
            self._insert_records([record for record in batch if len(record[2]) == width], places)
            self._decide(lambda raw: read_record(_pick(next(csv.reader([raw], strict=True)), places), self._columns))
        return read

    def _insert_records(self, records: Sequence[_Record], places: Sequence[int | None]) -> None:
        if records:
            lines, raws, fields = zip(*records, strict=True)
            columns = list(zip(*fields, strict=True))
            none = [None] * len(lines)
            # An empty field is NULL, and no word is.
            picked = [none if place is None else [text or None for text in columns[place]] for place in places]
            self._insert_texts(list(lines), list(raws), picked)

    def _places(self, header: Sequence[str]) -> list[int | None]:
        """Return where each column stands in a record; None for a partition that is derived."""
        folded = [name.lower() for name in header]
        twice = sorted({name for name in header if folded.count(name.lower()) > 1})
        if twice:
            raise SourceRejected(
                f"{self._work.uri}: line 1: expected every column once, found {', '.join(twice)} more than once",
                hint="rename the columns in the file; names that differ only by case are the same",
            )
        self._require_names(header)
        return [header.index(c.name) if c.name in header else None for c in self._columns]

    def _require_names(self, found: Sequence[str]) -> None:
        derived = self._layout.partition if self._layout.derived else None
        missing = [c.name for c in self._columns if c.name not in found and c.name != derived]
        if missing:
            raise SourceRejected(
                f"{self._work.uri}: expected the columns {', '.join(missing)}, found {', '.join(found) or 'none'}",
                hint="columns are matched by name, case included; extra ones are ignored",
            )

    # -- Parquet -------------------------------------------------------------------------------------------------

    def _read_parquet(self) -> int:
        scan = f"read_parquet([{literal(self._work.path)}], hive_partitioning = false, file_row_number = true)"
        try:
            found = {r[0]: r[1] for r in self._con.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()}
            self._require_types(found)
            fields = ", ".join(
                f"CAST({quoted(c.name) if c.name in found else 'NULL'} AS {c.type}) AS {quoted(c.name)}"
                for c in self._columns
            )
            reason = f"CASE {' '.join(_typed_problem(c) for c in self._columns)} END"
            shown = f"CAST(to_json(struct_pack({', '.join(quoted(c.name) for c in self._columns)})) AS VARCHAR)"
            typed = f"SELECT file_row_number + 1 AS __line, {fields} FROM {scan}"
            bronze = self._layout.bronze_sql(self._work.dataset, self._work.ingested_at)
            self._con.execute(
                f"INSERT INTO {ROWS} SELECT __line, NULL, {bronze}, true FROM ({typed}) WHERE {reason} IS NULL"
            )
            self._con.execute(
                f"INSERT INTO {REJECTED} SELECT * FROM (SELECT __line, {reason} AS __reason, {shown} FROM ({typed})) "
                "WHERE __reason IS NOT NULL"
            )
            counted = f"SELECT sum(num_rows) FROM parquet_file_metadata({literal(self._work.path)})"
            return int(self._con.execute(counted).fetchall()[0][0])
        except duckdb.PermissionException:
            raise
        except duckdb.Error as error:
            raise SourceRejected(
                f"{self._work.uri}: expected Parquet, found a damaged file: {str(error).splitlines()[0]}",
                hint="fetch the file again from where it was made",
            ) from error

    def _require_types(self, found: dict[str, str]) -> None:
        names = [name for name in found if name != "file_row_number"]
        self._require_names(names)
        wrong = [
            f"{c.name}: expected {c.type}, found {found[c.name]}"
            for c in self._columns
            if c.name in found and not _widens(found[c.name], c.type)
        ]
        fine = self._con.execute(
            f"SELECT name FROM parquet_schema({literal(self._work.path)}) WHERE logical_type LIKE '%NANOS=Nano%'"
        ).fetchall()
        wrong += [f"{c.name}: expected {c.type}, found nanoseconds" for c in self._columns if (c.name,) in fine]
        if wrong:
            raise SourceRejected(
                f"{self._work.uri}: columns have other types than the contract\n  " + "\n  ".join(wrong),
                hint="nothing is converted that could lose a value; write the declared types, or change the contract",
            )

    # -- Tables --------------------------------------------------------------------------------------------------

    def _insert_texts(self, lines: list[int], raws: list[str], columns: Sequence[Sequence[str | None]]) -> None:
        """Type rows that are given as a list of texts a column."""
        named = "".join(f", unnest(${i + 3}::VARCHAR[]) AS {_text_name(i)}" for i in range(len(columns)))
        self._insert(
            f"SELECT unnest($1::BIGINT[]) AS __line, unnest($2::VARCHAR[]) AS __raw{named}", [lines, raws, *columns]
        )

    def _insert(self, texts_sql: str, parameters: Sequence[object]) -> None:
        """Add rows of texts to the table of typed rows; one whose texts are not all understood is added as not ok."""
        names = ", ".join(_text_name(i) for i in range(len(self._columns)))
        values = ", ".join(f"{_value(c, _text_name(i))} AS {quoted(c.name)}" for i, c in enumerate(self._columns))
        checks = (
            f"({quoted(c.name)} IS NOT NULL{'' if c.required else f' OR {_text_name(i)} IS NULL'})"
            for i, c in enumerate(self._columns)
        )
        typed = f"SELECT __line, __raw, {names}, {values} FROM ({texts_sql})"
        bronze = self._layout.bronze_sql(self._work.dataset, self._work.ingested_at)
        self._con.execute(
            f"INSERT INTO {ROWS} SELECT __line, __raw, {bronze}, {' AND '.join(checks)} FROM ({typed})", parameters
        )

    def _decide(self, read_row: Callable[[str], list[str | None]]) -> None:
        """Read in Python the rows that are not ok: each comes back as a row, or is rejected with the reason."""
        doubtful = self._con.execute(f"SELECT __line, __raw FROM {ROWS} WHERE NOT __ok ORDER BY __line").fetchall()
        if not doubtful:
            return
        self._con.execute(f"DELETE FROM {ROWS} WHERE NOT __ok")
        accepted, rejected = [], []
        for line, raw in doubtful:
            try:
                accepted.append((line, raw, read_row(raw)))
            except BadRow as error:
                rejected.append((line, str(error), raw))
        if accepted:
            lines, raws, texts = zip(*accepted, strict=True)
            self._insert_texts(list(lines), list(raws), [list(column) for column in zip(*texts, strict=True)])
        self._reject(rejected)
        left = self._con.execute(f"SELECT min(__line) FROM {ROWS} WHERE NOT __ok").fetchall()[0][0]
        if left is not None:
            raise RunError(f"{self._work.uri}: line {left}: read in two ways with two results; please report it")

    def _reject(self, rows: Sequence[tuple[int, str, str]]) -> None:
        if rows:
            lines, reasons, raws = (list(column) for column in zip(*rows, strict=True))
            self._con.execute(
                f"INSERT INTO {REJECTED} SELECT unnest($1::BIGINT[]), unnest($2::VARCHAR[]), unnest($3::VARCHAR[])",
                [lines, reasons, raws],
            )


def _chunks(path: Path, uri: str) -> Iterator[list[str]]:
    """Give the file's lines, about ``_CHUNK_BYTES`` at a time, without their ends."""
    rest = b""
    with path.open("rb") as file:
        while block := file.read(_CHUNK_BYTES):
            whole, newline, rest_of_block = block.rpartition(b"\n")
            if not newline:
                rest += block
                continue
            yield _decoded(rest + whole, uri).split("\n")
            rest = rest_of_block
    if rest:
        yield [_decoded(rest, uri)]


def _decoded(text: bytes, uri: str) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise _no_utf8(uri, error) from None


def _no_utf8(uri: str, error: UnicodeDecodeError) -> SourceRejected:
    return SourceRejected(
        f"{uri}: expected UTF-8 text, found other bytes: {error.reason}",
        hint="write it in UTF-8; a file in Latin-1 looks so: iconv -f LATIN1 -t UTF-8",
    )


def _records(path: Path, uri: str) -> Iterator[_Record]:
    """Give the file's records; blank lines are none.

    Raises:
        SourceRejected: a quote is not closed, text follows a closing one, or the text is no UTF-8.
    """
    with path.open(encoding="utf-8", newline="") as file:
        taken: list[str] = []
        reader = csv.reader(_noted(file, taken), strict=True)
        first = 1
        try:
            for fields in reader:
                if fields:
                    yield first, "".join(taken).rstrip("\r\n"), fields
                taken.clear()
                first = reader.line_num + 1
        except csv.Error as error:
            raise SourceRejected(
                f"{uri}: line {first}: expected a CSV record, found {error}",
                hint="most often a quote that is not closed, or one within a field that is not doubled",
            ) from None
        except UnicodeDecodeError as error:
            raise _no_utf8(uri, error) from None


def _noted(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    for line in lines:
        taken.append(line)
        yield line


def _pick(fields: Sequence[str], places: Sequence[int | None]) -> list[str | None]:
    """Return the columns' texts; an empty field is NULL, and no word is."""
    return [None if place is None else fields[place] or None for place in places]


def _object_pattern(nesting: int) -> str:
    """Return the pattern of one JSON object by the letter of RFC 8259, whose values nest so many levels.

    DuckDB's own reader takes NaN, trailing commas and repeated keys as well. Left to Python are a NUL, half a surrogate
    pair, and an escape or comma in a key, because keys are compared joined by commas.
    """
    member = f"{_BLANK}{_KEY}{_BLANK}:{_value_pattern(nesting)}"
    return f"{_BLANK}\\{{(?:{member}(?:,{member})*|{_BLANK})\\}}{_BLANK}"


def _value_pattern(nesting: int) -> str:
    scalar = f"{_TEXT}|{_NUMBER}|true|false|null"
    if not nesting:
        return f"{_BLANK}(?:{scalar}){_BLANK}"
    inner = _value_pattern(nesting - 1)
    member = f"{_BLANK}{_TEXT}{_BLANK}:{inner}"
    array = rf"\[(?:{inner}(?:,{inner})*|{_BLANK})\]"
    return rf"{_BLANK}(?:{scalar}|{array}|\{{(?:{member}(?:,{member})*|{_BLANK})\}}){_BLANK}"


def _shape(columns: Sequence[Column]) -> str:
    """Return SQL for a line's keys and the kinds of its columns' values; NULL where Python must look."""
    pointers = ", ".join(literal("/" + c.name.replace("~", "~0").replace("/", "~1")) for c in columns)
    shape = f"array_to_string(json_keys(__raw), ',') || CAST(json_type(__raw, [{pointers}]) AS VARCHAR)"
    # A decimal is cut out of the line by its key, which a nested object may hold as well.
    nesting = 0 if any(c.type.startswith("DECIMAL") for c in columns) else _NESTING
    pattern = literal(_object_pattern(nesting))
    is_plain = f"strlen(__raw) <= {LINE_CHARACTERS} AND regexp_full_match(__raw, {pattern})"
    return f"CASE WHEN {is_plain} THEN {shape} END"


def _text_name(index: int) -> str:
    return quoted(f"__text_{index}")


def _line_text(column: Column) -> str:
    """Return SQL for a column's text in a parsed line; a decimal as it is written, since parsing makes it a double."""
    found = f"__found.{quoted(column.name)}"
    if not column.type.startswith("DECIMAL"):
        return found
    key = re.escape(json.dumps(column.name, ensure_ascii=False))
    pattern = rf"[{{,]{_BLANK}{key}{_BLANK}:{_BLANK}({_NUMBER})"
    return f"CASE WHEN {found} IS NOT NULL THEN regexp_extract(__raw, {literal(pattern)}, 1) END"


def _value(column: Column, text: str) -> str:
    """Return SQL that types a text whose spelling leaves no question, and is NULL for any other."""
    cast = f"TRY_CAST({text} AS {column.type})"
    match column.type:
        case "VARCHAR":
            return text
        case "INTEGER" | "BIGINT":
            return f"CASE WHEN CAST({cast} AS VARCHAR) = {text} THEN {cast} END"
        case "DOUBLE":
            return f"CASE WHEN regexp_full_match({text}, {literal(_NUMBER)}) AND NOT isinf({cast}) THEN {cast} END"
        case "BOOLEAN":
            return f"CASE {text} WHEN 'true' THEN true WHEN 'false' THEN false END"
        case "DATE":
            return f"CASE WHEN CAST({cast} AS VARCHAR) = {text} AND {_in_calendar(cast, 'DATE')} THEN {cast} END"
        case "TIMESTAMPTZ":
            is_plain = f"regexp_full_match({text}, {literal(_INSTANT)})"
            return f"CASE WHEN {is_plain} AND {_in_calendar(cast, 'TIMESTAMPTZ')} THEN {cast} END"
        case _:
            precision, scale = (int(n) for n in column.type[8:-1].split(","))
            decimals = rf"(?:\.[0-9]{{1,{scale}}})?" if scale else ""
            plain = f"-?(?:0|[1-9][0-9]{{0,{max(precision - scale, 1) - 1}}}){decimals}"
            return f"CASE WHEN regexp_full_match({text}, {literal(plain)}) THEN {cast} END"


def _in_calendar(value: str, type_name: str) -> str:
    zone = " 00:00:00+00" if type_name == "TIMESTAMPTZ" else ""
    first, end = (f"{type_name} {literal(f'{year}-01-01{zone}')}" for year in (FIRST_YEAR, LAST_YEAR + 1))
    return f"{value} >= {first} AND {value} < {end}"


def _typed_problem(column: Column) -> str:
    """Return the branches of a CASE that say what is wrong with a typed value."""
    name = quoted(column.name)
    expected = f"{column.name}: expected {column.type}, found "
    branches = [f"WHEN {name} IS NULL THEN {literal(expected + 'null')}"] if column.required else []
    if column.type in ("DATE", "TIMESTAMPTZ"):
        why = f" (outside the years {FIRST_YEAR}..{LAST_YEAR})"
        branches.append(
            f"WHEN NOT ({_in_calendar(name, column.type)}) "
            f"THEN {literal(expected)} || CAST({name} AS VARCHAR) || {literal(why)}"
        )
    return " ".join(branches)


def _widens(found: str, declared: str) -> bool:
    if not declared.startswith("DECIMAL"):
        return found in _WIDENS[declared]
    if not found.startswith("DECIMAL"):
        return False
    (precision, scale), (wide, fine) = ([int(n) for n in t[8:-1].split(",")] for t in (found, declared))
    return fine >= scale and wide - fine >= precision - scale
