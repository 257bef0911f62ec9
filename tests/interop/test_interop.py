"""Tables go both ways between remint and programs that nobody here wrote, row by row and type by type."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from deltalake import DeltaTable

from remint.errors import AdoptRefused, RollbackRefused
from remint.execution.symptom import Health
from remint.execution.verify import Proof
from remint.model.partition import DateRange
from tests.e2e.projects import Project
from tests.interop.programs import Duck, Spark, comparable, readers
from tests.interop.worlds import TABLES, in_spark, project_of, tables_of, with_later_column, written_by_spark

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("interop")]


def same_for_all(project: Project, spark: Spark, duck: Duck, *tables: str) -> None:
    """Hold that every program reads the newest version of the tables as remint reads its newest release."""
    cut = project.open().reader.at()
    for table in tables:
        expected = comparable(cut.arrow(table))
        for name, read in readers(project, spark, duck).items():
            assert comparable(read(table)) == expected, f"{name}: {table}"


@pytest.mark.parametrize("table_format", ["delta", "iceberg"])
def test_what_is_done_to_tables_in_turn_all_programs_read_alike(
    tmp_path: Path, table_format: str, spark: Spark, duck: Duck
) -> None:
    project = project_of(tmp_path / table_format, table_format)
    written_by_spark(project, spark)

    # A table of Spark's, with rows deleted beside their files, and on Iceberg columns renamed and widened, is adopted.
    theirs = spark.rows(f"SELECT * FROM {in_spark(project, 'bronze.readings')}")
    with pytest.raises(AdoptRefused, match="do not hold just their rows"):
        project.open().adopt("bronze.readings", project.ask())
    run = project.open().adopt("bronze.readings", project.ask(), compact=True)
    assert run is not None
    assert comparable(project.open().reader.at().arrow("bronze.readings")) == comparable(theirs)
    same_for_all(project, spark, duck, "bronze.readings")
    with pytest.raises(RollbackRefused, match="adopted what somebody else had written"):
        project.rollback(run.run_id)

    # It is replayed into every cut; a run is taken back, so that a partition is gone; a contract gets a column.
    project.run("silver.readings")
    undone = project.run("gold.days", span="2025-12-30")
    project.run()
    project.rollback(undone.run_id)
    with_later_column(project)
    project.run("gold.months", span="2026-01-01..2026-01-31")
    same_for_all(project, spark, duck, *tables_of(project)[1:])

    # Spark deletes rows of a table of remint's beside their files. None is lost, and none is back without a word.
    healed, kept = rows_deleted_by_spark(project, spark)
    observed = project.open().survey(("silver.readings",)).world.observed
    assert set(observed.foreign_keys("silver.readings")) == {healed, kept}
    project.run("silver.readings", span=healed.partition("/")[0], rebuild=True)
    day = DateRange.parse(kept.partition("/")[0])
    with pytest.raises(AdoptRefused, match="deleted by"):
        project.open().adopt("silver.readings", project.ask(), day)
    assert project.open().adopt("silver.readings", project.ask(), day, compact=True) is not None
    project.run()
    if table_format == "delta":
        for table in TABLES[:2]:
            DeltaTable(str(project.folder(table))).create_checkpoint()
    else:
        instants = in_spark(project, "gold.instants")
        spark(f"ALTER TABLE {instants} SET TBLPROPERTIES ('write.delete.mode'='merge-on-read')")
        spark(f"DELETE FROM {instants} WHERE id = 'id-1'")
        assert project.open().adopt("gold.instants", project.ask(), compact=True) is not None
    same_for_all(project, spark, duck, *tables_of(project))
    assert not project.stale()
    assert {p.proof: p.key for p in project.open().verify(["silver.readings"], size=99)}[Proof.DIFFERENT] == kept
    bad = [s for s in project.open().upkeep.doctor(()) if s.health is Health.BAD]
    assert bad == []


def rows_deleted_by_spark(project: Project, spark: Spark) -> tuple[str, str]:
    """Let Spark delete one row each of two partitions of Silver, on different days, and return their keys."""
    table, held = in_spark(project, "silver.readings"), defaultdict(list)
    for row in project.open().reader.at().arrow("silver.readings").to_pylist():
        held[f"{row['day']}/{row['region']}"].append(row["id"])
    full = sorted(key for key, ids in held.items() if len(ids) > 1)
    healed = full[0]
    kept = next(key for key in full if key.partition("/")[0] > healed.partition("/")[0])
    delete = ("delta.enableDeletionVectors", "true")
    if project.format == "iceberg":
        delete = ("write.delete.mode", "merge-on-read")
    spark(f"ALTER TABLE {table} SET TBLPROPERTIES ('{delete[0]}'='{delete[1]}')")
    assert project.open().survey(("silver.readings",)).world.observed.foreign_keys("silver.readings").describe() == ""
    spark(f"DELETE FROM {table} WHERE id IN ('{held[healed][0]}', '{held[kept][0]}')")
    return healed, kept
