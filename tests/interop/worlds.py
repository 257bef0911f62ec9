"""A project with every type and every cut, whose Bronze table another program wrote, and what is done to it."""

from __future__ import annotations

from pathlib import Path

from tests.e2e import projects
from tests.e2e.projects import Project, contract, write_project
from tests.interop.programs import Spark

REGIONS = ("a/b'é %", "..", "k=v#?&", " x ", '日本"\\:')
TYPES = "ok BOOLEAN\nsmall INTEGER\nbig BIGINT\nshare DOUBLE\nprice DECIMAL(12,3)\nwide DECIMAL(38,4)\nborn DATE"
NOTE = "note VARCHAR"
NAMES = [line.split()[0] for line in TYPES.splitlines()]
TABLES = (
    "bronze.readings",
    "silver.readings",
    "gold.hours",
    "gold.days",
    "gold.weeks",
    "gold.months",
    "gold.regions",
)
DATASETS = f"""\
from remint import (
    arrivals, bronze, by_arrival, day, fan_out, gold, hour, identity, month, roll_up, same, silver, week,
)

bronze("readings", partition=day("ingestion_date", by="region"), arrivals=arrivals("taken", by="region"))


@silver("readings", partition=day("day", by="region"), inputs={{"raw": by_arrival("bronze.readings")}})
def readings() -> str:
    return "SELECT id, taken, region, {", ".join(NAMES)}, note, CAST(taken AS DATE) AS day FROM raw"


@gold("hours", partition=hour("hour"), inputs={{"days": fan_out("silver.readings")}})
def hours() -> str:
    return "SELECT date_trunc('hour', taken) AS hour, id, taken, {", ".join(NAMES)} FROM days"


@gold("days", partition=day("day"), inputs={{"days": same("silver.readings")}})
def days() -> str:
    return "SELECT day, region, count(*) AS readings FROM days GROUP BY day, region"


@gold("weeks", partition=week("week"), inputs={{"days": roll_up("silver.readings")}})
def weeks() -> str:
    return "SELECT CAST(date_trunc('week', day) AS DATE) AS week, region, max(note) AS note, CAST(sum(price) AS " \\
        "DECIMAL(38,3)) AS price FROM days GROUP BY 1, 2"


@gold("months", partition=month("month"), inputs={{"days": roll_up("silver.readings")}}, version=1)
def months() -> str:
    return "SELECT CAST(date_trunc('month', day) AS DATE) AS month, region, min(taken) AS earliest FROM days " \\
        "GROUP BY 1, 2"


@gold("regions", partition=identity("region"), inputs={{"days": roll_up("silver.readings")}})
def regions() -> str:
    return "SELECT region, id, day FROM days"
"""


def _contract(columns: str, more: str = "") -> str:
    """Return a contract; the columns of ``more`` may be NULL."""
    lines = [f"{name} '{kind}'" for name, kind in (line.split() for line in more.splitlines())]
    optional = "".join(f"      - {{name: {line.split()[0]}, physicalType: {line.split()[1]}}}\n" for line in lines)
    return contract(columns) + optional


FILES = {
    "datasets.py": DATASETS,
    "contracts/bronze.readings.yaml": _contract(
        "id VARCHAR *\ntaken TIMESTAMPTZ\nregion VARCHAR\ningestion_date DATE", f"{TYPES}\n{NOTE}"
    ),
    "contracts/silver.readings.yaml": _contract(
        "id VARCHAR *\ntaken TIMESTAMPTZ\nregion VARCHAR\nday DATE", f"{TYPES}\n{NOTE}"
    ),
    "contracts/gold.hours.yaml": _contract("hour TIMESTAMPTZ\nid VARCHAR *\ntaken TIMESTAMPTZ", TYPES),
    "contracts/gold.days.yaml": _contract("day DATE *\nregion VARCHAR *\nreadings BIGINT"),
    "contracts/gold.weeks.yaml": _contract("week DATE *\nregion VARCHAR *", f"price DECIMAL(38,3)\n{NOTE}"),
    "contracts/gold.months.yaml": _contract("month DATE *\nregion VARCHAR *\nearliest TIMESTAMPTZ"),
    "contracts/gold.regions.yaml": _contract("region VARCHAR\nid VARCHAR *\nday DATE"),
}
HIDDEN = {
    "datasets.py": f"""{DATASETS}

@gold("instants", partition=day("taken", hidden=True), inputs={{"days": same("silver.readings")}})
def instants() -> str:
    return "SELECT id, taken, region FROM days"
""",
    "contracts/gold.instants.yaml": _contract("id VARCHAR *\ntaken TIMESTAMPTZ\nregion VARCHAR"),
}
"""A cut that only Iceberg has: by the day of an instant that no column holds the start of."""
UNUSED = ("sql/events.sql", "sql/monthly.sql", "contracts/bronze.events.yaml", "contracts/silver.events.yaml")
UNUSED += ("contracts/gold.daily.yaml", "contracts/gold.trend.yaml", "contracts/gold.monthly.yaml")

_REGION = "element_at(array({}), CAST(id % 5 AS INT) + 1)".format(
    ", ".join("'" + r.replace("\\", "\\\\").replace("'", "\\'") + "'" for r in REGIONS)
)
_FIRST = "TIMESTAMP '2025-12-29 22:30:00.000001 UTC'"
_ROWS = f"""
SELECT concat('id-', id) AS id,
    {_FIRST} + make_dt_interval(0, CAST(id AS INT) * 2, CAST(id AS INT) * 11, 0.000001) AS taken,
    {_REGION} AS region, id % 2 = 0 AS ok, IF(id = 3, NULL, CAST(-id AS INT)) AS small,
    {{big}} AS big,
    CASE id WHEN 4 THEN double('NaN') WHEN 5 THEN double('-Infinity') WHEN 6 THEN -0.0D ELSE id / 7D END AS share,
    CAST(id AS {{price}}) / 8 AS {{cost}}, CAST('12345678901234567890123456789012.0001' AS DECIMAL(38,4)) + id AS wide,
    DATE '1899-12-31' + CAST(id AS INT) AS born,
    DATE '2025-12-30' + CAST(id % 2 AS INT) AS ingestion_date{{more}}
FROM range({{span}})
"""


def rows_sql(span: str, *, big: str = "9223372036854775807 - id", cost: str = "price", more: str = "") -> str:
    """Return Spark's SQL for readings; those of the later ones have a note."""
    price = "DECIMAL(12,3)"
    text = _ROWS.format(span=span, big=big, cost="unrounded", price=price, more=more)
    kept = f"CAST(unrounded AS {'DECIMAL(10,3)' if cost != 'price' else price}) AS {cost}"
    names = ["id", "taken", "region", "ok", "small", "big", "share", kept, "wide", "born", "ingestion_date"]
    return f"SELECT {', '.join(names + (['note'] if more else []))} FROM ({text})"


def project_of(root: Path, table_format: str) -> Project:
    """Return the project, in which nothing is published yet."""
    held, projects.tables_in = projects.tables_in, table_format
    try:
        more = HIDDEN if table_format == "iceberg" else {}
        project = write_project(root, {**dict.fromkeys(UNUSED), **FILES, **more})
    finally:
        projects.tables_in = held
    return project


def tables_of(project: Project) -> tuple[str, ...]:
    """Return every table of the project."""
    return (*TABLES, "gold.instants") if project.format == "iceberg" else TABLES


def in_spark(project: Project, table: str) -> str:
    """Return how Spark names a table."""
    return f"delta.`{project.folder(table)}`" if project.format == "delta" else f"remint.{table}"


def written_by_spark(project: Project, spark: Spark) -> None:
    """Let Spark make the Bronze table: several files, another schema on the way, rows deleted beside their files."""
    table = in_spark(project, "bronze.readings")
    if project.format == "delta":
        made = "USING delta PARTITIONED BY (ingestion_date, region)"
        made += " TBLPROPERTIES ('delta.enableDeletionVectors'='true')"
        spark(f"CREATE TABLE {table} {made} AS {rows_sql('40')}")
        spark(f"ALTER TABLE {table} ADD COLUMNS (note STRING)")
    else:
        spark.open_catalog(project.root / "lake")
        spark("CREATE NAMESPACE remint.bronze")
        made = f"""USING iceberg PARTITIONED BY (days(ingestion_date), region)
            LOCATION '{project.folder("bronze.readings")}'
            TBLPROPERTIES ('format-version'='2', 'write.delete.mode'='merge-on-read')"""
        first = rows_sql("40", big="CAST(id * 1000 AS INT)", cost="cost")
        spark(f"CREATE TABLE {table} {made} AS {first}")
        spark(f"ALTER TABLE {table} ADD COLUMNS (note STRING)")
        spark(f"ALTER TABLE {table} RENAME COLUMN cost TO price")
        spark(f"ALTER TABLE {table} ALTER COLUMN price TYPE DECIMAL(12,3)")
        spark(f"ALTER TABLE {table} ALTER COLUMN big TYPE BIGINT")
    spark(f"INSERT INTO {table} {rows_sql('40, 60', more=', concat(chr(39), id) AS note')}")
    spark(f"DELETE FROM {table} WHERE id IN ('id-0', 'id-7', 'id-13', 'id-41')")


def with_later_column(project: Project) -> None:
    """Let the contract of the months promise a column that they did not have, by a new version of the logic."""
    contract_file = project.root / "contracts/gold.months.yaml"
    contract_file.write_text(f"{contract_file.read_text()}      - {{name: latest, physicalType: TIMESTAMPTZ}}\n")
    project._replace("datasets.py", "min(taken) AS earliest", "min(taken) AS earliest, max(taken) AS latest")
    project._replace("datasets.py", "version=1", "version=2")
