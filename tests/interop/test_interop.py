"""Tables go both ways between remint and programs that nobody here wrote, row by row and type by type."""

from __future__ import annotations

from pathlib import Path

import pytest

from remint.errors import AdoptRefused
from tests.e2e.projects import Project
from tests.interop.programs import Duck, Spark, comparable, readers
from tests.interop.worlds import TABLES, in_spark, project_of, written_by_spark

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("interop")]


def compare(project: Project, spark: Spark, duck: Duck, *tables: str) -> None:
    """Hold that every program reads the tables as remint does."""
    cut = project.open().reader.at()
    for table in tables:
        expected = comparable(cut.arrow(table))
        for name, read in readers(project, spark, duck).items():
            assert comparable(read(table)) == expected, f"{name}: {table}"


@pytest.mark.parametrize("table_format", ["delta", "iceberg"])
def test_tables_of_spark_are_adopted_replayed_and_read_by_all(
    tmp_path: Path, table_format: str, spark: Spark, duck: Duck
) -> None:
    project = project_of(tmp_path / table_format, table_format)
    written_by_spark(project, spark)
    theirs = spark.rows(f"SELECT * FROM {in_spark(project, 'bronze.readings')}")
    with pytest.raises(AdoptRefused, match="do not hold just their rows"):
        project.open().adopt("bronze.readings", project.ask())
    run = project.open().adopt("bronze.readings", project.ask(), compact=True)
    assert run is not None
    assert comparable(project.open().reader.at().arrow("bronze.readings")) == comparable(theirs)
    compare(project, spark, duck, "bronze.readings")
    project.run()
    compare(project, spark, duck, *TABLES[1:])
