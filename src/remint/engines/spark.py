"""Spark: the same transforms, digests and files as DuckDB's, made by a Spark session.

Rules: the SQL is DuckDB's, and DuckDB binds it first, so that what is refused and what a column's type is do not
depend on the engine; what Spark would compute otherwise is refused before anything is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remint.checks.judge import UNIQUE_KEY
from remint.checks.run_now import bind_run_now
from remint.checks.spark_sql import spark_expressions, spark_query, tables_read
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
    parts_text,
    relation,
    scan_frame,
    text_sql,
    type_sql,
)
from remint.engines.spark_session import SparkTarget, first_line, start_spark
from remint.engines.spark_types import require_same_types
from remint.engines.spark_versions import repeated_reads, rival_partitions
from remint.engines.staging import (
    Count,
    Measured,
    Staging,
    meets,
    parse_of,
    parsed_scan,
    refuse_tie,
    transform_of,
    version_key,
    written_scan,
)
from remint.errors import NotOnSpark, RemintError, TransformFailed
from remint.model.dataset import Column, Dataset, Parse
from remint.model.digest import ContentDigest
from remint.model.partition import PartitionKey, PartitionSpec
from remint.model.provenance import DataFile
from remint.storage.base import Storage, below
from remint.storage.local import LOCAL

if TYPE_CHECKING:
    from pyspark.sql import Column as PySparkColumn
    from pyspark.sql import DataFrame, Observation, SparkSession

_PATIENCE_S, _PAUSE_S = 10, 0.01
"""How long a count may come after the rows that were counted, and how often it is looked for."""
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
        self._parsed: dict[tuple[Scan, Parse], tuple[int, int]] = {}
        self._parsing: Callable[[], list[int]] | None = None
        self._resolved: list[StageWork] = []
        self._names = count(1)

    @cached_property
    def _spark(self) -> SparkSession:
        return start_spark(self._target, self._folder / "spill" / "spark")

    def start_for(self, works: Iterable[StageWork]) -> None:
        """Start Spark, or reach it, and let it resolve every SELECT over inputs without rows."""
        _ = self._spark
        for work in works:
            if work in self._resolved:  # a run is looked at twice: before it is on record, and when it begins
                continue
            with _named(work):
                _checks(work.dataset)  # refuses those that Spark has not
                if transform_of(work.dataset).sql:
                    self._made_by(work)
            self._resolved.append(work)

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
        """Drop what is known of parsed inputs."""
        self._parsed.clear()

    @contextmanager
    def _prepared(self, work: StageWork) -> Iterator[DataFrame]:
        """Bind the inputs, check the transform's columns, and yield its rows in table order and types."""
        with _named(work):
            _checks(work.dataset)  # refuses those that Spark has not
            yield self._made_by(work).selectExpr(*_casts(work.dataset))

    def _made_by(self, work: StageWork) -> DataFrame:
        """Return what the transform's SELECT, or its function, makes, its columns checked."""
        transform = transform_of(work.dataset)
        if transform.function:
            if work.function is None:
                raise TransformFailed(f"{work.dataset.name}: {transform.function} is not loaded")
            frames = {alias: self._input(work, alias) for alias in work.inputs}
            return returned_frame(self._spark, work.function, work, frames)
        types = made_types(work)
        sql = bind_run_now(transform.sql, f"TIMESTAMPTZ {literal(work.now)}")
        relations = {alias: relation(self._view(frame), columns) for alias, frame, columns in self._bound(work, sql)}
        made = self._spark.sql(spark_query(sql, relations))
        require_same_types(work.dataset, types, dict(made.dtypes))
        return made

    def _bound(self, work: StageWork, sql: str) -> Iterator[tuple[str, DataFrame, Sequence[Column]]]:
        """Yield what the SQL reads: each input, and the rows that parsing rejected."""
        parse, read = work.dataset.parse, tables_read(sql)
        for alias, scan in work.inputs.items():
            if parse is None or parse.alias != alias:
                yield alias, scan_frame(self._spark, scan), scan.columns
                continue
            shape = {c.name: c for c in (*scan.columns, *parse.fields)}
            if alias.lower() in read:
                yield alias, self._input(work, alias), [shape[name] for name in valid_names(parse, scan.columns)]
            if f"{alias}_rejected".lower() in read:
                columns = [*scan.columns, Column(name=REASON, type="VARCHAR")]
                yield f"{alias}_rejected", self._rejected(work, scan), columns

    def _input(self, work: StageWork, alias: str) -> DataFrame:
        scan, parse = work.inputs[alias], work.dataset.parse
        if parse is None or parse.alias != alias:
            return scan_frame(self._spark, scan)
        valid = self._parsed_frame(work, scan).where(f"{name_sql(REASON)} IS NULL")
        return valid.selectExpr(*map(name_sql, valid_names(parse, scan.columns)))

    def _rejected(self, work: StageWork, scan: Scan) -> DataFrame:
        parse = parse_of(work.dataset)
        chosen = [f"{name_sql(here)} AS {name_sql(own)}" for here, own in rejected_names(parse, scan.columns)]
        parsed = self._parsed_frame(work, scan, only_rejected=(scan, parse) in self._parsed)
        return parsed.where(f"{name_sql(REASON)} IS NOT NULL").selectExpr(*chosen)

    def _view(self, frame: DataFrame) -> str:
        name = f"remint_input_{next(self._names)}"
        frame.createOrReplaceTempView(name)
        return name

    def _parsed_frame(self, work: StageWork, scan: Scan, *, only_rejected: bool = False) -> DataFrame:
        """Return the parsed input; its rows are counted as they pass, unless they were before in this batch.

        It is parsed again for the dataset of the rejected rows, which takes less than to keep it: only those come back.
        """
        parse = parse_of(work.dataset)
        frame = parsed_frame(scan_frame(self._spark, scan), parse, scan.columns, only_rejected=only_rejected)
        if (scan, parse) in self._parsed:
            return frame
        frame, self._parsing = self._observed(frame, "count(*)", f"count({name_sql(REASON)})")
        return frame

    def _observed(self, frame: DataFrame, *aggregates: str) -> tuple[DataFrame, Callable[[], list[int]]]:
        """Return rows, and their aggregates, which are asked for once the rows are made.

        What passes is counted as it does. Spark tells nothing of rows that it found it need not make, nor to who asked
        for them by the name of a view: then they are counted by a job of their own.
        """
        from pyspark.sql import Observation  # noqa: PLC0415 - an extra, and slow
        from pyspark.sql.functions import expr  # noqa: PLC0415 - an extra, and slow

        observation = Observation(f"remint_{next(self._names)}")
        columns = [expr(f"{sql} AS n{i}") for i, sql in enumerate(aggregates)]

        @cache
        def counts() -> list[int]:
            found = _told(observation) or frame.select(*columns).collect()[0].asDict()
            return [int(found[f"n{i}"] or 0) for i in range(len(aggregates))]

        return frame.observe(observation, *columns), counts

    def _parse_counts(self, work: StageWork) -> tuple[int, int, int]:
        """Return the rows read, those rejected of them, and how often rows are read beyond once."""
        scan, parse = parsed_scan(work), parse_of(work.dataset)
        if (scan, parse) not in self._parsed:
            assert self._parsing is not None  # noqa: S101 - it was read
            total, rejected = self._parsing()
            self._parsed[scan, parse] = total, rejected
        return *self._parsed[scan, parse], repeated_reads(self._spark, scan)

    def _rivals(self, work: StageWork) -> list[PartitionKey]:
        """Return the partitions of the rivals that are read."""
        return [key for scan in work.inputs.values() for key in rival_partitions(self._spark, scan)]

    def _latest(self, work: StageWork, rows: DataFrame) -> tuple[DataFrame, Count]:
        """Return the latest row of every key, and how many rows that leaves out, known once the rows are made."""
        dataset, key = work.dataset, _version_text(work)
        order = ", ".join(f"{name_sql(c)} DESC NULLS LAST" for c in dataset.keep)
        over = f"OVER (PARTITION BY {key} ORDER BY {order})"
        place, rank = name_sql(_PLACE), name_sql(_RANK)
        gathered = self._gathered(work, rows)
        ranked = gathered.selectExpr("*", f"row_number() {over} AS {place}", f"rank() {over} AS {rank}")
        passed, lost = self._observed(ranked, f"count_if({place} > 1)", f"count_if({place} > 1 AND {rank} = 1)")

        @cache
        def superseded() -> int:
            number, level = lost()
            if level:
                self._refuse_ties(ranked.where(f"{rank} = 1"), work)
            return number

        return passed.where(f"{place} = 1").select(*map(name_sql, dataset.column_names)), superseded

    def _gathered(self, work: StageWork, rows: DataFrame) -> DataFrame:
        """Return rows put together by partition where that suffices: one shuffle then serves ``keep`` and the files."""
        return rows.repartition(*_partition(work)) if self._is_gathered(work) else rows

    def _is_gathered(self, work: StageWork) -> bool:
        """Return whether there are partitions enough for all tasks, and no version is in another one."""
        tasks = int(self._spark.conf.get("spark.sql.shuffle.partitions") or 0)
        return bool(work.dataset.keep) and not meets(work) and len(work.keys) >= tasks

    def _refuse_ties(self, first: DataFrame, work: StageWork) -> None:
        """Refuse different rows of one key that are all the latest."""
        dataset, key = work.dataset, _version_text(work)
        whole = ", ".join(map(name_sql, dataset.column_names))
        found = self._spark.sql(
            f"SELECT {key}, count(DISTINCT struct({whole})) AS versions FROM {self._view(first)} GROUP BY {key} "
            f"HAVING count(DISTINCT struct({whole})) > 1 ORDER BY {key} LIMIT 1"
        ).collect()
        if found:
            refuse_tie(dataset, version_key(work), found[0])

    def _where(self, dataset: Dataset, rows: DataFrame, condition: str) -> DataFrame:
        """Return the rows that a condition holds of."""
        return rows.where(spark_expressions([condition], relation("r", dataset.columns))[0])

    def _counted(self, dataset: Dataset, rows: DataFrame, condition: str) -> tuple[DataFrame, Count]:
        """Return the rows, and of how many a condition holds, known once they are made."""
        (sql,) = spark_expressions([condition], relation("r", dataset.columns))
        passed, found = self._observed(rows, f"count_if({sql})")
        return passed, lambda: found()[0]

    def _write(self, work: StageWork, rows: DataFrame, settle: Callable[[], object]) -> list[DataFile]:
        """Write rows as partitioned files."""
        self._storage.prepare(work.root)
        if not self._is_gathered(work):
            rows = _balanced(work.dataset.partition, rows)
        return write_partitioned(rows, work.target, self._storage, settle)

    def _digests(self, rows: DataFrame, dataset: Dataset) -> Mapping[PartitionKey, ContentDigest]:
        return self._sums(rows, key_text(dataset.partition), dataset.columns)

    def _sums(self, frame: DataFrame, key: str, columns: Sequence[Column]) -> dict[PartitionKey, ContentDigest]:
        from pyspark.sql.functions import expr  # noqa: PLC0415 - an extra, and slow

        halves = frame.selectExpr(f"{key} AS remint_key", *digest_columns(columns))
        # Not by the name of a view: then Spark never tells what it counted on the way.
        rows = halves.groupBy("remint_key").agg(*map(expr, digest_sums())).collect()
        return {row[0]: digest_of(self.digest_scheme, row[1:]) for row in rows}

    def _measured(self, work: StageWork, files: Sequence[DataFile]) -> Measured:
        """Read the written files back: digests and every check, by partition."""
        dataset, scan = work.dataset, written_scan(work, files)
        over = [dataset.columns, *([c for c in dataset.columns if c.name in names] for names in dataset.read_as)]
        halves = [text for i, columns in enumerate(over) for text in digest_columns(columns, f"_{i}")]
        frame = scan_frame(self._spark, scan).selectExpr("*", f"{key_text(dataset.partition)} AS remint_key", *halves)
        sums = ", ".join([*(sql for i in range(len(over)) for sql in digest_sums(f"_{i}")), *_checks(dataset)])
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
        # Distinct hashes prove distinct keys, and are shuffled as numbers; equal ones are settled by the exact count.
        level = f"SELECT 1 FROM {view} GROUP BY xxhash64(remint_key, {key}) HAVING count(*) > 1 LIMIT 1"
        if not self._spark.sql(level).collect():
            return {}
        rows = self._spark.sql(
            f"SELECT remint_key, sum(n - 1) FROM (SELECT remint_key, count(*) AS n FROM {view} "
            f"GROUP BY remint_key, {key} HAVING count(*) > 1) GROUP BY remint_key"
        ).collect()
        return {key: int(count) for key, count in sorted(map(tuple, rows))}


@contextmanager
def _named(work: StageWork) -> Iterator[None]:
    """Say which dataset it is that Spark cannot make."""
    name = work.dataset.name
    try:
        yield
    except NotOnSpark as error:
        raise type(error)(f"{name}: {error.message}", hint=error.hint) from None
    except RemintError:
        raise
    except Exception as error:
        raise TransformFailed(
            f"{name} {work.keys.describe()}: {first_line(error)}",
            hint=f"the transform of {name} does not run on this data; correct it and plan again",
        ) from error


def _told(observation: Observation) -> dict[str, Any]:
    """Return what Spark counted on the way; nothing where it does not tell, for which ``get`` would wait for ever."""
    handle = getattr(observation, "_jo", None)  # none through Spark Connect, which has told by now or never does
    ends = time.monotonic() + _PATIENCE_S
    while handle is not None and not handle.future().isCompleted():
        if time.monotonic() > ends:
            return {}
        time.sleep(_PAUSE_S)
    return observation.get


def _version_text(work: StageWork) -> str:
    """Return the SQL of that in which the versions of one row are equal."""
    parts = () if meets(work) else parts_text(work.dataset.partition)
    return ", ".join((*parts, *map(name_sql, work.dataset.key)))


def _partition(work: StageWork) -> list[PySparkColumn]:
    """Return the columns by which a dataset is cut."""
    from pyspark.sql.functions import expr  # noqa: PLC0415 - an extra, and slow

    return [expr(text) for text in parts_text(work.dataset.partition)]


def _balanced(spec: PartitionSpec, rows: DataFrame) -> DataFrame:
    """Return rows put together by partition, and large partitions shared out; that takes columns, no expressions."""
    own = [name for name in spec.folders if spec.is_hidden]
    parts = (f"{text} AS {name_sql(name)}" for text, name in zip(parts_text(spec), own, strict=False))
    balanced = rows.selectExpr("*", *parts).hint("rebalance", *map(name_sql, own or spec.columns))
    return balanced.drop(*own)


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
