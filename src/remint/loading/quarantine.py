"""Quarantine tables: derived from what may reject rows, so that none is ever dropped unseen.

A Bronze dataset with a source rejects lines; a dataset that parses a payload rejects payloads.
"""

from __future__ import annotations

from dataclasses import replace

from remint.loading.declare import Declaration
from remint.loading.draft import Shape
from remint.loading.sql_source import SqlSource, TransformSpec, rejected_alias
from remint.model.dataset import Column, Dataset, Input, LogicVersion, Parse, Transform, quarantine_name
from remint.model.mapping import ByArrival
from remint.model.partition import Grain, PartitionSpec

_REASON = Column(name="reason", type="VARCHAR", required=True)


def has_quarantine(declaration: Declaration) -> bool:
    """True when rows of the dataset can be rejected."""
    return declaration.source is not None or declaration.parse is not None


def quarantine_cut(partition: PartitionSpec) -> PartitionSpec:
    """Return how the quarantine of a dataset is cut, by time alone: by a column of its own where that is hidden.

    A rejected row has no value to cut it by, and no time but that which stands beside it.
    """
    cut = replace(partition, label=None, buckets=None)
    return replace(cut, column=cut.folders[0], is_hidden=False)


def line_columns(partition: PartitionSpec) -> tuple[Column, ...]:
    """Return the columns of the quarantine of a Bronze dataset: one row per rejected line."""
    return (
        _REASON,
        Column(name="file", type="VARCHAR", required=True),
        Column(name="line", type="BIGINT"),
        Column(name="raw", type="VARCHAR"),
        Column(name="ingested_at", type="TIMESTAMPTZ", required=True),
        Column(name=partition.column, type=partition.type, required=True),
    )


def payload_columns(partition: PartitionSpec, raw: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return the columns of the quarantine of a parsing dataset: one row per rejected payload."""
    kept = tuple(c for c in raw if c.name.lower() != partition.column.lower())
    return (*kept, _REASON, Column(name=partition.column, type=partition.type))


def line_quarantine(dataset: Dataset) -> Dataset:
    """Return the dataset that holds the lines which the source of ``dataset`` has and which are no rows."""
    return Dataset(
        name=quarantine_name(dataset.name),
        layer=dataset.layer,
        location=f"{dataset.location}_quarantine",
        partition=quarantine_cut(dataset.partition),
        columns=line_columns(quarantine_cut(dataset.partition)),
        key=(),
        quarantine_of=dataset.name,
        description=f"Lines that {dataset.name} rejected",
    )


def payload_spec(parse: Parse, partition: PartitionSpec, entry: Input, raw: Shape) -> TransformSpec:
    """Return the generated transform of the quarantine of a parsing dataset.

    It depends on the parse declaration and the raw columns alone, so a change of the dataset's own SQL leaves its
    quarantine fresh.

    Args:
        parse: what rejects rows.
        partition: of the parsing dataset, and so of its quarantine.
        entry: the input that is parsed.
        raw: what that input is.
    """
    columns = payload_columns(partition, raw.columns)
    kept = ", ".join(f'"{c.name}"' for c in columns[:-1])  # the contract allows no quote in a name
    sql = f'SELECT {kept}, {_unit(partition, entry, raw)} AS "{partition.column}" FROM {rejected_alias(parse)}'  # noqa: S608
    return TransformSpec(
        source=SqlSource(sql=sql, file=f"quarantine of {entry.dataset}", has_lines=False),
        inputs={entry.alias: (entry.dataset, raw.columns)},
        columns=columns,
        parse=parse,
    )


def _unit(partition: PartitionSpec, entry: Input, raw: Shape) -> str:
    """Return the partition of a rejected row: its payload cannot be read, so what stands beside it must tell."""
    if isinstance(entry.mapping, ByArrival) and raw.arrivals is not None:
        source = f'CAST("{raw.arrivals.column}" AS DATE)'
    else:
        source = f'"{raw.partition.column}"'
    if partition.grain in (Grain.WEEK, Grain.MONTH):
        return f"CAST(date_trunc('{partition.grain}', {source}) AS DATE)"
    return source


def payload_quarantine(dataset: Dataset, entry: Input, raw: Shape, transform: Transform) -> Dataset:
    """Return the dataset that holds the rows whose payload ``dataset`` rejects."""
    return Dataset(
        name=quarantine_name(dataset.name),
        layer=dataset.layer,
        location=f"{dataset.location}_quarantine",
        partition=quarantine_cut(dataset.partition),
        columns=payload_columns(quarantine_cut(dataset.partition), raw.columns),
        key=(),
        inputs=(entry,),
        transform=transform,
        version=LogicVersion(number=dataset.version.number),
        parse=dataset.parse,
        quarantine_of=dataset.name,
        description=f"Rows whose payload {dataset.name} rejected",
    )
