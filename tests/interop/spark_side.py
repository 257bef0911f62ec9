"""The other program: Apache Spark with the official runtimes of Delta and Iceberg, told what to do line by line.

It runs in a process of its own, with a PySpark of its own, and imports nothing of remint.

    python spark_side.py FOLDER            answers each line of standard input, a JSON object, with one
    python spark_side.py FOLDER --fetch    brings the jars of the runtimes into FOLDER/jars, and ends
"""

import json
import shutil
import sys
import time
from pathlib import Path

PACKAGES = (
    "io.delta:delta-spark_4.1_2.13:4.4.0",
    "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0",
    "org.xerial:sqlite-jdbc:3.50.3.0",
)
OURS = ("io.delta_", "io.unitycatalog_", "org.apache.iceberg_", "org.xerial_sqlite")
"""What else they name is among Spark's own jars."""
QUIET = {
    "spark.master": "local[1]",
    # Many short jobs: compiling well, and code made for each of them, cost more than they save.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.codegen.wholeStage": "false",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.log.level": "ERROR",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.session.timeZone": "UTC",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.default.parallelism": "1",
}
FORMATS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension,"
    "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}


def session(folder: Path, settings: dict[str, str]):
    from pyspark.sql import SparkSession

    builder = SparkSession.builder
    for name, value in {**QUIET, "spark.sql.warehouse.dir": str(folder / "warehouse"), **settings}.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def fetch(folder: Path) -> None:
    """Bring the jars, and what they need, as Spark itself does."""
    session(folder, {"spark.jars.packages": ",".join(PACKAGES), "spark.jars.ivy": str(folder / "ivy")}).stop()
    half = folder / "jars.half"
    shutil.rmtree(half, ignore_errors=True)
    shutil.copytree(folder / "ivy" / "jars", half)
    half.rename(folder / "jars")


def answer(spark, said: dict) -> dict:
    """Run one statement; write its rows, where they are asked for, as an Arrow file."""
    import pyarrow as pa

    for name, value in said.get("settings", {}).items():
        spark.conf.set(name, value)
    frame = spark.sql(said["sql"])
    if "rows" in said:
        table = frame.toArrow()
        with pa.OSFile(said["rows"], "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    return {"types": dict(frame.dtypes)}


def say(found: dict) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def main() -> None:
    folder = Path(sys.argv[1])
    if "--fetch" in sys.argv:
        fetch(folder)
        return
    jars = ":".join(sorted(str(jar) for jar in (folder / "jars").glob("*.jar") if jar.name.startswith(OURS)))
    spark = session(folder, {**FORMATS, "spark.driver.extraClassPath": jars})
    say({"version": spark.version})
    for line in sys.stdin:
        began = time.monotonic()
        try:
            found = answer(spark, json.loads(line))
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            found = {"error": f"{type(error).__name__}: {str(error)[:2000]}"}
        sys.stderr.write(f"{time.monotonic() - began:.1f} s {line}")
        say(found)
    spark.stop()


if __name__ == "__main__":
    main()
