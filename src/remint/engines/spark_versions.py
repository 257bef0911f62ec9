"""Versions of one thing that name several event partitions, counted at staging by Spark; the rules are DuckDB's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from remint.engines.base import Scan
from remint.engines.spark_rows import event_key_text, name_sql, rivals_frame, scan_frame
from remint.model.partition import PartitionKey

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_EVENT, _OTHER = "remint event", "remint other"


def rival_partitions(session: SparkSession, scan: Scan) -> list[PartitionKey]:
    """Return the event partitions, outside of its filter, of the rivals that a scan reads."""
    if not scan.rivals:
        return []
    rows = rivals_frame(session, scan).selectExpr(f"{_event(scan)} AS {name_sql(_EVENT)}").distinct().collect()
    return sorted(key for (key,) in rows)


def repeated_reads(session: SparkSession, scan: Scan) -> int:
    """Return how often the rows of a scan count beyond once for the event partitions of its filter.

    Within the filter a row counts for its own and as a rival, outside of it as a rival only.
    """
    if not scan.rivals:
        return 0
    key = [name_sql(name) for name in scan.key]
    mine = scan_frame(session, replace(scan, rivals=())).selectExpr(*key, f"{_event(scan)} AS {name_sql(_OTHER)}")
    rows = scan_frame(session, scan).selectExpr(*key, f"{_event(scan)} AS {name_sql(_EVENT)}")
    met = rows.join(mine.distinct(), on=list(scan.key), how="inner")
    counted = met.where(f"{name_sql(_EVENT)} <> {name_sql(_OTHER)}").count()
    return int(counted - rivals_frame(session, scan).count())


def _event(scan: Scan) -> str:
    assert scan.only is not None  # noqa: S101 - rivals are those of a filter
    return event_key_text(scan.only_column, scan.only_label or None, scan.only.grain)
