"""One Spark session: started here, taken as it is, or reached through Spark Connect, and set to mean what DuckDB means.

Rules: what decides about values is set in every session, whoever started it; what answers through Spark Connect must
give the known answers before it is given any work.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remint.engines.spark_needs import require_connect, require_spark_here
from remint.engines.spark_rows import spark_uri
from remint.errors import EngineRefused, EngineUnavailable

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_NEW_PANDAS = "PySpark does not yet fully support pandas"
"""Spark warns of a library that remint does not use with it."""
_MEANING = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.caseSensitive": "false",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    "spark.sql.decimalOperations.allowPrecisionLoss": "false",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.writeLegacyFormat": "false",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.binaryAsString": "false",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "20000",
    # Below it the files of a scan are listed by the driver, at once; above it by a job of its own.
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "1000",
}
_LOCAL = re.compile(r"local(?:\[(\*|\d+)[^]]*\])?$")
_PARTS_A_THREAD = 4
_S3A = "org.apache.hadoop.fs.s3a.S3AFileSystem"
_DATES = "VALUES (DATE '2026-01-01', 1), (DATE '2026-01-05', 2), (DATE '2026-02-05', 4) AS t(d, n)"
_RANGE = "sum(n) OVER (ORDER BY d RANGE BETWEEN INTERVAL '7' DAY PRECEDING AND CURRENT ROW)"
_PROBES = {
    "a RANGE of days before a DATE": (f"SELECT max(v) FROM (SELECT {_RANGE} AS v FROM {_DATES})", "4"),
    "a whole number that overflows": ("SELECT n * 2 FROM VALUES (9223372036854775807) AS t(n)", "OVERFLOW"),
    "a sum that overflows": ("SELECT sum(n) FROM VALUES (9223372036854775807), (1) AS t(n)", "OVERFLOW"),
    "the digits of a DECIMAL": ("SELECT CAST(CAST(0 AS DECIMAL(38,10)) AS STRING)", "0.0000000000"),
    "the year of a week": ("SELECT CAST(extract(YEAROFWEEK FROM DATE '2027-01-01') AS INT)", "2026"),
    "the day of a week": ("SELECT CAST(extract(DAYOFWEEK_ISO FROM DATE '2026-01-04') AS INT)", "7"),
    "microseconds before 1970": ("SELECT unix_micros(TIMESTAMP '1969-12-31 23:59:59.5Z')", "-500000"),
    "a quotient by NULL": ("SELECT 1D / nullif(0D, 0D)", "None"),
}
"""Known answers, or what an error says, by what they are about: each is wrong in something that calls itself Spark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketAccess:
    """What Spark must know of a lake on S3; credentials it finds by the standard chain of AWS, and is given none."""

    lake: str
    """``s3://bucket/prefix``."""
    endpoint: str
    region: str

    @property
    def settings(self) -> dict[str, str]:
        """Settings of the S3A file system."""
        return {
            "fs.s3a.endpoint": self.endpoint,
            "fs.s3a.endpoint.region": self.region,
            "fs.s3a.path.style.access": "true",
            "fs.s3a.connection.ssl.enabled": str(self.endpoint.startswith("https://")).lower(),
            "fs.s3a.aws.credentials.provider": "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkTarget:
    """Where Spark is."""

    remote: str = ""
    """``sc://host:port`` of a Spark Connect server; empty: a session of this process."""
    master: str = ""
    """As Spark spells it; empty: this machine, unless the process was submitted to a cluster."""
    submitted: bool = False
    """This process was started by spark-submit, which says where Spark is."""
    java_home: str = ""
    """Where the environment says that Java is."""
    memory_limit: str = ""
    """Of the driver, when it is started here: ``4GB``."""
    threads: int = 0
    """0: all cores."""
    bucket: BucketAccess | None = None
    """How a lake in a bucket is reached."""


def start_spark(target: SparkTarget, folder: Path) -> SparkSession:
    """Return a session of its own, in which SQL means what remint says it means.

    Raises:
        EngineUnavailable: Spark is not installed, does not start, or does not answer.
        EngineRefused: what answers gives other answers than Spark.
    """
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", _NEW_PANDAS, FutureWarning)
    try:
        session = _session(target, folder)
        for name, value in _MEANING.items():
            session.conf.set(name, value)
        if target.remote:
            _require_spark(session, target.remote)
        if target.bucket:
            _require_bucket(session, target.bucket.lake)
    except (EngineRefused, EngineUnavailable):
        raise
    except Exception as error:
        where = target.remote or target.master or "on this machine"
        raise EngineUnavailable(
            f"Spark does not start ({where}): {first_line(error)}",
            hint="correct [engine.spark] in remint.toml; or: --engine duckdb",
        ) from error
    return session


def _session(target: SparkTarget, folder: Path) -> SparkSession:
    if target.remote:
        require_connect()
    elif not (target.submitted or _active()):
        require_spark_here(target.java_home)
    from pyspark.sql import SparkSession  # noqa: PLC0415 - an extra, and slow

    builder: Any = SparkSession.builder
    if target.remote:
        return builder.remote(target.remote).getOrCreate()  # type: ignore[no-any-return]
    taken = _active()
    if taken is not None:
        return taken.newSession()
    if not target.submitted:
        folder.mkdir(parents=True, exist_ok=True)
        master = target.master or f"local[{target.threads or '*'}]"
        builder = builder.master(master)
        quiet = Path(__file__).with_name("spark_log4j2.properties")
        for name, value in {
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={quiet.as_uri()} -Dfile.encoding=UTF-8",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.local.dir": str(folder),
            "spark.sql.warehouse.dir": str(folder / "warehouse"),
            "spark.driver.memory": _memory(target.memory_limit),
            **_shuffles(master),
            **({f"spark.hadoop.{k}": v for k, v in target.bucket.settings.items()} if target.bucket else {}),
        }.items():
            builder = builder.config(name, value)
    started: SparkSession = builder.appName("remint").getOrCreate()
    if not target.submitted:
        started.sparkContext.pythonExec = sys.executable
    return started.newSession()


def _shuffles(master: str) -> dict[str, str]:
    """Return into how many parts rows are shuffled on this machine: 200, as Spark has it, is for a cluster."""
    threads = _LOCAL.match(master)
    if threads is None:
        return {}
    number = os.cpu_count() or 1 if threads[1] == "*" else int(threads[1] or 1)
    return {"spark.sql.shuffle.partitions": str(_PARTS_A_THREAD * number)}


def _active() -> SparkSession | None:
    """Return the session that this process has already."""
    loaded = sys.modules.get("pyspark.sql")
    return loaded.SparkSession.getActiveSession() if loaded else None


def _memory(limit: str) -> str:
    """Return an amount as the JVM spells it; Spark does not start with less than half a gigabyte."""
    number, unit = limit[:-2].strip().rstrip("iI"), limit[-2:].upper().lstrip("I")
    megabytes = {"KB": 1 / 1024, "MB": 1, "GB": 1024, "TB": 1024 * 1024}.get(unit, 0) * float(number or 0)
    return f"{max(int(megabytes), 512)}m" if limit else "1g"


def _require_spark(session: SparkSession, remote: str) -> None:
    wrong = []
    for about, (sql, known) in _PROBES.items():
        try:
            found = str(session.sql(sql).collect()[0][0])
        except Exception as error:  # noqa: BLE001 - whatever it cannot do, it is not Spark
            found = first_line(error)
        if found != known and not (known.isupper() and known in found):
            wrong.append(f"{about}: expected {known}, found {found}")
    if wrong:
        raise EngineRefused(
            f"{remote} is not Apache Spark, or not version 4: it would give other rows\n  " + "\n  ".join(wrong),
            hint="point [engine.spark] remote at a Spark 4 Connect server; or: --engine duckdb",
        )


def _require_bucket(session: SparkSession, lake: str) -> None:
    """Refuse a session that does not reach the lake: it looks for a file that nobody has written."""
    try:
        session.read.schema("n INT").parquet(spark_uri(f"{lake}/_remint_is_reached"))
    except Exception as error:  # noqa: BLE001 - whatever it says, it does not reach the lake
        said = str(error)
        if "PATH_NOT_FOUND" in said:
            return
        if _S3A in said or 'No FileSystem for scheme "s3a"' in said:
            raise EngineUnavailable(
                f"Spark reaches {lake} through the S3A file system, and this session has none",
                hint=f"export PYSPARK_SUBMIT_ARGS='--packages org.apache.hadoop:hadoop-aws:{_hadoop(session)} "
                "pyspark-shell' (docs/engines.md has a smaller set of jars); or: --engine duckdb",
            ) from None
        raise EngineUnavailable(
            f"Spark does not reach {lake}: {first_line(error)}",
            hint="give Spark the credentials and the endpoint that remint has: AWS_PROFILE, AWS_ENDPOINT_URL",
        ) from None


def _hadoop(session: SparkSession) -> str:
    """Return the version of Spark's Hadoop, which the jars must have; of a server it cannot be asked."""
    machine: Any = None if session.conf.get("spark.remote", "") else getattr(session, "_jvm", None)
    return str(machine.org.apache.hadoop.util.VersionInfo.getVersion()) if machine else "VERSION-OF-ITS-HADOOP"


def first_line(error: Exception) -> str:
    """Return what an error of Spark's says, without its stack; of a Python worker's, what was raised there."""
    lines = [line.strip() for line in str(error).strip().split("\n") if line.strip()] or [type(error).__name__]
    is_worker = len(lines) > 1 and "Python worker" in lines[0]
    return next((x for x in reversed(lines) if "Error: " in x), lines[0])[:500] if is_worker else lines[0][:500]
