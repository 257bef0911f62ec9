"""Spark: the same transforms, digests and files as DuckDB's, made by a Spark session.

Rules: the SQL is DuckDB's, and DuckDB binds it first, so that what is refused and what a column's type is do not
depend on the engine; what Spark would compute otherwise is refused before anything is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from remint.checks.judge import UNIQUE_KEY
from remint.checks.run_now import bind_run_now
from remint.checks.spark_sql import spark_expressions, spark_query
from remint.engines.base import Scan, StageWork, literal
from remint.engines.duckdb_types import made_types
from remint.engines.portable_digest import PORTABLE_SCHEME
from remint.engines.spark_files import write_partitioned
from remint.engines.spark_function import returned_frame
from remint.engines.spark_parse import REASON, parsed_frame, rejected_names, valid_names
from remint.engines.spark_rows import (
    FILE,
    digest_columns,
    digest_of,
    digest_sums,
    event_key_text,
    file_uri,
    key_text,
    name_sql,
    relation,
    scan_frame,
    text_sql,
    type_sql,
)
from remint.engines.spark_session import SparkTarget, first_line, start_spark
from remint.engines.spark_types import require_same_types
from remint.engines.spark_versions import repeated_reads, rival_partitions
from remint.engines.staging import (
    Measured,
    Staging,
    parsed_scan,
    refuse_tie,
    transform_of,
    version_key,
    written_scan,
)
from remint.errors import NotOnSpark, RemintError, TransformFailed
from remint.model.dataset import Column, Dataset, DatasetName, Parse
from remint.model.digest import ContentDigest
from remint.model.partition import PartitionKey
from remint.model.provenance import DataFile
from remint.storage.base import Storage, below
from remint.storage.local import LOCAL

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_PLACE, _RANK = "remint place", "remint rank"


class SparkEngine(Staging["DataFrame"]):
    """One session for the life of a command."""

    name = "spark"
    digest_scheme = PORTABLE_SCHEME

    def __init__(self, target: SparkTarget, folder: Path, storage: Storage = LOCAL) -> None:
        """Prepare an engine; Spark is started by the first work that needs it.

        Args:
            target: where Spark is.
            folder: for what Spark spills, where it is started here.
            storage: where the tables lie.
        """
        self._target, self._folder, self._storage = target, folder, storage
        self._parsed: dict[tuple[Scan, Parse], DataFrame] = {}
        self._kept: list[DataFrame] = []
        self._views = 0

    @cached_property
    def _spark(self) -> SparkSession:
        return start_spark(self._target, self._folder / "spill" / "spark")

    def start_for(self, datasets: Iterable[DatasetName]) -> None:
        """Start Spark, or reach it."""
        del datasets
        _ = self._spark

    def digests(self, scan: Scan, columns: Sequence[str] | None = None) -> Mapping[PartitionKey, ContentDigest]:
        """Return the digest of each partition of published files, over some columns or all."""
        over = [c for c in scan.columns if columns is None or c.name in columns]
        return self._sums(scan_frame(self._spark, scan), key_text(scan.partition), over)

    def file_digests(
        self, dataset: Dataset, scan: Scan, *, by_event: bool
    ) -> Mapping[tuple[str, PartitionKey], ContentDigest]:
        """Return the digest of each file, by path and partition or event key."""
        part = key_text(scan.partition)
        if by_event:
            arrivals = dataset.arrivals
            part = event_key_text(arrivals.column, arrivals.label, arrivals.grain) if arrivals else "''"
        uris = {file_uri(below(scan.root, path)): path for path in scan.paths}
        place = f"concat({name_sql(FILE)}, '\\n', coalesce({part}, ''))"
        try:
            found = self._sums(scan_frame(self._spark, scan, with_file=True), place, scan.columns)
        except Exception as error:
            raise TransformFailed(f"{dataset.name}: its files cannot be read: {first_line(error)}") from error
        split = {tuple(place.split("\n", 1)): digest for place, digest in found.items()}
        return {(uris[uri], key): digest for (uri, key), digest in split.items()}

    def forget(self) -> None:
        """Drop what was kept between the steps of a batch."""
        for frame in (*self._parsed.values(), *self._kept):
            frame.unpersist()
        self._parsed.clear()
        self._kept.clear()

    @contextmanager
    def _prepared(self, work: StageWork) -> Iterator[DataFrame]:
        """Bind the inputs, check the transform's columns, and yield its rows in table order and types."""
        dataset = work.dataset
        transform_of(dataset)
        try:
            _checks(dataset)
            yield self._made_by(work).selectExpr(*_casts(dataset))
        except NotOnSpark as error:
            raise type(error)(f"{dataset.name}: {error.message}", hint=error.hint) from None
        except RemintError:
            raise
        except Exception as error:
            raise TransformFailed(
                f"{dataset.name} {work.keys.describe()}: {first_line(error)}",
                hint=f"the transform of {dataset.name} does not run on this data; correct it and plan again",
            ) from error
        finally:
            for frame in self._kept:
                frame.unpersist()
            self._kept.clear()

    def _made_by(self, work: StageWork) -> DataFrame:
        """Return what the transform's SELECT, or its function, makes, its columns checked."""
        transform = transform_of(work.dataset)
        if transform.function:
            if work.function is None:
                raise TransformFailed(f"{work.dataset.name}: {transform.function} is not loaded")
            frames = {alias: self._input(work, alias) for alias in work.inputs}
            return returned_frame(self._spark, work.function, work, frames)
        types = made_types(work)
        relations = {alias: relation(self._view(frame), columns) for alias, frame, columns in self._bound(work)}
        sql = bind_run_now(transform.sql, f"TIMESTAMPTZ {literal(work.now)}")
        made = self._spark.sql(spark_query(sql, relations))
        require_same_types(work.dataset, types, dict(made.dtypes))
        return made

    def _bound(self, work: StageWork) -> Iterator[tuple[str, DataFrame, Sequence[Column]]]:
        """Yield what the SQL reads: each input, and the rows that parsing rejected."""
        parse = work.dataset.parse
        for alias, scan in work.inputs.items():
            frame = self._input(work, alias)
            if parse is None or parse.alias != alias:
                yield alias, frame, scan.columns
                continue
            shape = {c.name: c for c in (*scan.columns, *parse.fields)}
            yield alias, frame, [shape[name] for name in valid_names(parse, scan.columns)]
            names = rejected_names(parse, scan.columns)
            columns = [*scan.columns, Column(name=REASON, type="VARCHAR")]
            chosen = [f"{name_sql(here)} AS {name_sql(own)}" for here, own in names]
            rejected = self._parsed_frame(work, scan).where(f"{name_sql(REASON)} IS NOT NULL").selectExpr(*chosen)
            yield f"{alias}_rejected", rejected, columns

    def _input(self, work: StageWork, alias: str) -> DataFrame:
        scan, parse = work.inputs[alias], work.dataset.parse
        if parse is None or parse.alias != alias:
            return scan_frame(self._spark, scan)
        valid = self._parsed_frame(work, scan).where(f"{name_sql(REASON)} IS NULL")
        return valid.selectExpr(*map(name_sql, valid_names(parse, scan.columns)))

    def _view(self, frame: DataFrame) -> str:
        self._views += 1
        name = f"remint_input_{self._views}"
        frame.createOrReplaceTempView(name)
        return name

    def _parsed_frame(self, work: StageWork, scan: Scan) -> DataFrame:
        """Return the parsed input, kept, unless a dataset of this batch already had it parsed."""
        parse = work.dataset.parse
        assert parse is not None  # noqa: S101 - the caller looked
        if (scan, parse) not in self._parsed:
            for frame in self._parsed.values():
                frame.unpersist()
            self._parsed.clear()
            self._parsed[scan, parse] = parsed_frame(scan_frame(self._spark, scan), parse, scan.columns).persist()
        return self._parsed[scan, parse]

    def _parse_counts(self, work: StageWork) -> tuple[int, int, int]:
        """Return the rows read, those rejected of them, and how often rows are read beyond once."""
        scan = parsed_scan(work)
        counts = self._parsed_frame(work, scan).selectExpr("count(*)", f"count({name_sql(REASON)})")
        total, rejected = counts.collect()[0]
        return total, rejected, repeated_reads(self._spark, scan)

    def _rivals(self, work: StageWork) -> list[PartitionKey]:
        """Return the partitions of the rivals that are read."""
        return [key for scan in work.inputs.values() for key in rival_partitions(self._spark, scan)]

    def _latest(self, work: StageWork, rows: DataFrame) -> tuple[DataFrame, int]:
        """Return the latest row of every key, and how many rows that leaves out."""
        dataset = work.dataset
        names = version_key(work)
        key = ", ".join(map(name_sql, names))
        order = ", ".join(f"{name_sql(c)} DESC NULLS LAST" for c in dataset.keep)
        over = f"OVER (PARTITION BY {key} ORDER BY {order})"
        ranked = rows.selectExpr(
            "*", f"row_number() {over} AS {name_sql(_PLACE)}", f"rank() {over} AS {name_sql(_RANK)}"
        ).persist()
        self._kept.append(ranked)
        place, rank = name_sql(_PLACE), name_sql(_RANK)
        lost, level = ranked.selectExpr(f"count_if({place} > 1)", f"count_if({place} > 1 AND {rank} = 1)").collect()[0]
        if level:
            self._refuse_ties(ranked.where(f"{rank} = 1"), dataset, names)
        return ranked.where(f"{name_sql(_PLACE)} = 1").select(*map(name_sql, dataset.column_names)), lost

    def _refuse_ties(self, first: DataFrame, dataset: Dataset, names: Sequence[str]) -> None:
        """Refuse different rows of one key that are all the latest."""
        key, whole = ", ".join(map(name_sql, names)), ", ".join(map(name_sql, dataset.column_names))
        found = self._spark.sql(
            f"SELECT {key}, count(DISTINCT struct({whole})) AS versions FROM {self._view(first)} GROUP BY {key} "
            f"HAVING count(DISTINCT struct({whole})) > 1 ORDER BY {key} LIMIT 1"
        ).collect()
        if found:
            refuse_tie(dataset, names, found[0])

    def _where(self, dataset: Dataset, rows: DataFrame, condition: str) -> DataFrame:
        """Return the rows that a condition holds of."""
        return rows.where(spark_expressions([condition], relation("r", dataset.columns))[0])

    def _count(self, rows: DataFrame) -> int:
        """Return how many rows there are."""
        return int(rows.count())

    def _write(self, work: StageWork, rows: DataFrame) -> list[DataFile]:
        """Write rows as partitioned files."""
        self._storage.prepare(work.root)
        return write_partitioned(rows, work.target, self._storage)

    def _digests(self, rows: DataFrame, dataset: Dataset) -> Mapping[PartitionKey, ContentDigest]:
        return self._sums(rows, key_text(dataset.partition), dataset.columns)

    def _sums(self, frame: DataFrame, key: str, columns: Sequence[Column]) -> dict[PartitionKey, ContentDigest]:
        halves = frame.selectExpr(f"{key} AS remint_key", *digest_columns(columns))
        view = self._view(halves)
        rows = self._spark.sql(f"SELECT remint_key, {digest_sums()} FROM {view} GROUP BY remint_key").collect()
        return {row[0]: digest_of(self.digest_scheme, row[1:]) for row in rows}

    def _measured(self, work: StageWork, files: Sequence[DataFile]) -> Measured:
        """Read the written files back: digests and every check, by partition."""
        dataset, scan = work.dataset, written_scan(work, files)
        over = [dataset.columns, *([c for c in dataset.columns if c.name in names] for names in dataset.read_as)]
        halves = [text for i, columns in enumerate(over) for text in digest_columns(columns, f"_{i}")]
        frame = scan_frame(self._spark, scan).selectExpr("*", f"{key_text(dataset.partition)} AS remint_key", *halves)
        sums = ", ".join([*(digest_sums(f"_{i}") for i in range(len(over))), *_checks(dataset)])
        view = self._view(frame)
        rows = self._spark.sql(f"SELECT remint_key, {sums} FROM {view} GROUP BY remint_key").collect()
        digests = [
            {r[0]: digest_of(self.digest_scheme, r[1 + 5 * i : 6 + 5 * i]) for r in rows} for i in range(len(over))
        ]
        first = 1 + 5 * len(over)
        violations: dict[str, dict[PartitionKey, int]] = {}
        for index, check in enumerate(dataset.checks):
            broken = {r[0]: int(r[first + index]) for r in rows if r[first + index]}
            if broken:
                violations[check.name] = broken
        duplicates = self._duplicates(view, dataset) if dataset.key else {}
        if duplicates:
            violations[UNIQUE_KEY] = duplicates
        projections = dict(zip(dataset.read_as, digests[1:], strict=True))
        return Measured(digests=digests[0], projections=projections, violations=violations)

    def _duplicates(self, view: str, dataset: Dataset) -> dict[PartitionKey, int]:
        key = ", ".join(map(name_sql, dataset.key))
        rows = self._spark.sql(
            f"SELECT remint_key, sum(n - 1) FROM (SELECT remint_key, count(*) AS n FROM {view} "
            f"GROUP BY remint_key, {key} HAVING count(*) > 1) GROUP BY remint_key"
        ).collect()
        return {key: int(count) for key, count in sorted(map(tuple, rows))}


def _checks(dataset: Dataset) -> list[str]:
    """Return the dataset's checks as Spark's SQL."""
    return spark_expressions([c.sql for c in dataset.checks], relation("r", dataset.columns))


def _casts(dataset: Dataset) -> list[str]:
    """Return the table's columns, cast to their types; the version column holds the declared version."""
    version = dataset.version
    return [
        f"{text_sql(version.label)} AS {name_sql(c.name)}"
        if c.name == version.column
        else f"CAST({name_sql(c.name)} AS {type_sql(c.type)}) AS {name_sql(c.name)}"
        for c in dataset.columns
    ]
