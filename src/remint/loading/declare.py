"""What users write in a project's Python files: datasets, how they are cut and what they read.

    from remint import bronze, by_arrival, day, files, gold, roll_up, month, silver, trailing

    orders = bronze("orders", partition=day("ingestion_date"), source=files("landing/*.csv", format="csv"))

    @gold("revenue_daily", partition=day("order_date"), inputs={"orders": trailing("silver.orders", before=3)})
    def revenue_daily() -> str:
        return "SELECT ..."

Columns, types, keys and checks are not declared here: they are promised by ``contracts/<layer>.<name>.yaml``.

Rules: nothing here reads a file or keeps a registry; a call outside of the loader just returns its value. Nothing is
judged here either: the loader reports all mistakes of a project at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

from remint.checks.column_types import column_type
from remint.model import mapping as mappings
from remint.model.calendar import UTC_ZONE
from remint.model.dataset import (
    Arrivals,
    Column,
    Disposition,
    Layer,
    LogicVersion,
    Metric,
    Parse,
    Rule,
    Source,
)
from remint.model.partition import Grain, PartitionSpec

_OWN = ""
"""Stands for the dataset that is being declared, where it reads itself."""
_collected: ContextVar[list[Declaration] | None] = ContextVar("remint_declarations", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One declared dataset, before its contract and its SQL are read.

    Without ``sql`` it is a decorator for the function that returns the SQL text, or makes the rows.
    """

    layer: Layer
    bare_name: str
    partition: PartitionSpec
    location: str
    file: str
    """Python file of the call."""
    line: int
    inputs: tuple[tuple[str, str, mappings.Mapping], ...] = ()
    """Alias, dataset and mapping, in declared order."""
    sql: str | None = None
    """Path of the ``.sql`` file, relative to the project."""
    function: Callable[..., object] | None = None
    """Without parameters it returns SQL text; with the aliases of the inputs as parameters, the rows."""
    parse: Parse | None = None
    keep: tuple[str, ...] = ()
    source: Source | None = None
    arrivals: Arrivals | None = None
    metrics: tuple[Metric, ...] = ()
    description: str = ""
    version: LogicVersion = field(default_factory=LogicVersion)
    allow: tuple[str, ...] = ()
    """Functions that are let through although a replay may give another answer."""
    engine: str = ""
    """Name of the engine that makes it; empty: the project's."""

    @property
    def name(self) -> str:
        """``layer.name``, as inputs, contracts and commands name it."""
        return f"{self.layer.value}.{self.bare_name}"

    def __call__(self, function: Callable[..., object]) -> Declaration:
        """Return the declaration with ``function`` as the maker of its SQL, or of its rows."""
        made = replace(self, function=function, description=self.description or _first_line(function.__doc__))
        collected = _collected.get()
        if collected is not None:
            collected[:] = [made if entry is self else entry for entry in collected]
        return made


DatasetRef = str | Declaration
"""A dataset by its full name (``silver.orders``) or as the value that its declaration returned."""
InputRef = tuple[str, mappings.Mapping]
"""What ``same``, ``trailing``, ``roll_up`` and ``by_arrival`` return: a dataset and which partitions of it are read."""


def bronze(  # noqa: PLR0913 - what users write, by keyword
    name: str,
    *,
    partition: PartitionSpec,
    buckets: tuple[str, int] | None = None,
    source: Source | None = None,
    arrivals: Arrivals | None = None,
    metrics: Mapping[str, str] | None = None,
    location: str | None = None,
    description: str = "",
) -> Declaration:
    """Declare an append-only table of rows as they arrived.

    Args:
        name: without the layer; lower case letters, digits and ``_``.
        partition: by ingestion; where the source says ``ingested_at=...``, its column is the date of that column.
        buckets: as for ``silver``.
        source: where rows come from: ``files(...)`` or ``http_pages(...)``; None for a table that is only read.
        arrivals: which column says when a row's event happened, for datasets that read it ``by_arrival``.
        metrics: aggregates that ``diff`` compares, by name.
        location: folder of the table in the lake; ``<layer>/<name>`` when not given.
        description: one sentence for people.
    """
    file, line = _caller()
    return _collect(
        Declaration(
            layer=Layer.BRONZE,
            bare_name=name,
            partition=_cut(partition, buckets),
            location=location or f"bronze/{name}",
            file=file,
            line=line,
            source=source,
            arrivals=arrivals,
            metrics=_metrics(metrics),
            description=description,
        )
    )


def silver(  # noqa: PLR0913 - as above
    name: str,
    *,
    partition: PartitionSpec,
    buckets: tuple[str, int] | None = None,
    inputs: Mapping[str, InputRef],
    sql: str | None = None,
    parse: Parse | None = None,
    keep: Iterable[str] = (),
    metrics: Mapping[str, str] | None = None,
    location: str | None = None,
    description: str = "",
    version: int | LogicVersion = 1,
    allow: Iterable[str] = (),
    engine: str = "",
) -> Declaration:
    """Declare a table of cleaned rows; without ``sql`` the result decorates a function.

    Without parameters it returns SQL text; with the aliases of the inputs as parameters it makes one table of theirs.

    Args:
        name: without the layer; lower case letters, digits and ``_``.
        partition: how it is cut: ``day("event_date")``.
        buckets: of an Iceberg table: a column and a number, ``("customer_id", 16)``. The files of each partition are
            split by ``bucket(16, customer_id)``; units of work stay partitions.
        inputs: by the alias under which the SQL or function reads it: ``{"raw": by_arrival("bronze.orders")}``.
        sql: path of a ``.sql`` file, relative to the project.
        parse: payload to be parsed before the SQL reads the input: ``json_payload(...)``.
        keep: columns by which the latest row of a key wins.
        metrics: aggregates that ``diff`` compares, by name.
        location: folder of the table in the lake; ``<layer>/<name>`` when not given.
        description: one sentence for people.
        version: number of the logic, raised with its changes; ``logic_version(2, ...)`` says what becomes of old rows.
        allow: functions that may be used although a replay may give another answer, by name: ``("random",)``. For the
            time of the plan, which a replay keeps, write ``run.now`` in the SQL.
        engine: ``duckdb`` or ``spark``; the project's when not given. The rows and their digests are the same.
    """
    file, line = _caller()
    return _collect(
        Declaration(
            layer=Layer.SILVER,
            bare_name=name,
            partition=_cut(partition, buckets, version),
            location=location or f"silver/{name}",
            file=file,
            line=line,
            inputs=_inputs(inputs, f"silver.{name}"),
            sql=sql,
            parse=parse,
            keep=tuple(keep),
            metrics=_metrics(metrics),
            description=description,
            version=_version(version),
            allow=tuple(allow),
            engine=engine,
        )
    )


def gold(  # noqa: PLR0913 - as above
    name: str,
    *,
    partition: PartitionSpec,
    buckets: tuple[str, int] | None = None,
    inputs: Mapping[str, InputRef],
    sql: str | None = None,
    parse: Parse | None = None,
    keep: Iterable[str] = (),
    metrics: Mapping[str, str] | None = None,
    location: str | None = None,
    description: str = "",
    version: int | LogicVersion = 1,
    allow: Iterable[str] = (),
    engine: str = "",
) -> Declaration:
    """Declare a table that people and products read; arguments as for ``silver``."""
    file, line = _caller()
    return _collect(
        Declaration(
            layer=Layer.GOLD,
            bare_name=name,
            partition=_cut(partition, buckets, version),
            location=location or f"gold/{name}",
            file=file,
            line=line,
            inputs=_inputs(inputs, f"gold.{name}"),
            sql=sql,
            parse=parse,
            keep=tuple(keep),
            metrics=_metrics(metrics),
            description=description,
            version=_version(version),
            allow=tuple(allow),
            engine=engine,
        )
    )


def hour(column: str, *, by: str | None = None, hidden: bool = False) -> PartitionSpec:
    """Cut by the UTC hours of the TIMESTAMPTZ column ``column``, which holds the start of each.

    Args:
        column: of the table.
        by: as for ``day``.
        hidden: as for ``day``.
    """
    return PartitionSpec(column=column, grain=Grain.HOUR, label=by, is_hidden=hidden)


def day(column: str, *, by: str | None = None, zone: str = UTC_ZONE, hidden: bool = False) -> PartitionSpec:
    """Cut by the days of the DATE column ``column``.

    Args:
        column: of the table.
        by: a further VARCHAR column that cuts every day by its value, such as a tenant.
        zone: whose days these are, as IANA names it: ``Europe/Madrid``.
        hidden: ``column`` is a TIMESTAMPTZ that holds any instant; an Iceberg table is cut by ``day(column)``.
    """
    return PartitionSpec(column=column, grain=Grain.DAY, label=by, zone=zone, is_hidden=hidden)


def week(column: str, *, by: str | None = None, zone: str = UTC_ZONE) -> PartitionSpec:
    """Cut by ISO weeks; the DATE column ``column`` holds the Monday of each."""
    return PartitionSpec(column=column, grain=Grain.WEEK, label=by, zone=zone)


def month(column: str, *, by: str | None = None, zone: str = UTC_ZONE, hidden: bool = False) -> PartitionSpec:
    """Cut by months; the DATE column ``column`` holds the first day of each; all else as for ``day``."""
    return PartitionSpec(column=column, grain=Grain.MONTH, label=by, zone=zone, is_hidden=hidden)


def identity(column: str) -> PartitionSpec:
    """Cut by the values of the VARCHAR column ``column``."""
    return PartitionSpec(column=column, grain=Grain.IDENTITY)


def logic_version(number: int, *, column: str | None = None, old: str = "replace") -> LogicVersion:
    """Return a logic version that says what becomes of the partitions that older ones made.

    Args:
        number: one more than the version before.
        column: VARCHAR column of the contract that remint fills with the version (``v2``); partitions are then cut by
            it too, and those of older versions stay. The transform does not make it.
        old: ``replace`` (made again in their place), ``keep`` (both queryable) or ``deprecate`` (kept, and marked).
    """
    return LogicVersion(number=number, column=column, old=Disposition(old))


def arrivals(column: str, *, grain: str = "day", by: str | None = None, key: Iterable[str] = ()) -> Arrivals:
    """Find late rows by ``column``, which says when a Bronze row's event happened.

    Args:
        column: TIMESTAMPTZ or DATE.
        grain: ``hour``, ``day``, ``week`` or ``month``: the cut of the datasets that read it ``by_arrival``.
        by: a further VARCHAR column by whose value events are told apart, where those datasets are cut by it too.
        key: rows that are equal in these columns are versions of one thing. A version that names another day than an
            earlier one makes both days stale, and each sees all versions. Without it a row concerns its own day alone.
    """
    versions = (key,) if isinstance(key, str) else tuple(dict.fromkeys(key))
    return Arrivals(column=column, grain=Grain(grain), label=by, key=versions)


def same(dataset: DatasetRef) -> InputRef:
    """Read the partition of one's own key."""
    return _dataset_name(dataset), mappings.Same()


def trailing(dataset: DatasetRef, before: int = 7) -> InputRef:
    """Read the partition of one's own key and the ``before`` ahead of it."""
    return window(dataset, before=before)


def window(dataset: DatasetRef, *, before: int = 0, after: int = 0) -> InputRef:
    """Read the partition of one's own key, the ``before`` ahead of it and the ``after`` behind it."""
    return _dataset_name(dataset), mappings.Window(before=before, after=after)


def roll_up(dataset: DatasetRef) -> InputRef:
    """Read every finer partition inside one's own: the hours of a day, the days of a month, all times of a value."""
    return _dataset_name(dataset), mappings.RollUp()


def fan_out(dataset: DatasetRef) -> InputRef:
    """Read the coarser partition that one's own lies in: the day of an hour."""
    return _dataset_name(dataset), mappings.FanOut()


def all_of(dataset: DatasetRef) -> InputRef:
    """Read every partition, whatever one's own."""
    return _dataset_name(dataset), mappings.All()


def latest(dataset: DatasetRef) -> InputRef:
    """Read the newest partition there is: a reference table of which the last state counts."""
    return _dataset_name(dataset), mappings.Latest()


def own(*, before: int = 1) -> InputRef:
    """Read the ``before`` partitions of the dataset itself ahead of one's own, such as yesterday's balance."""
    return _OWN, mappings.SelfBefore(before=before)


def by_arrival(dataset: DatasetRef) -> InputRef:
    """Read the Bronze rows whose event falls in one's own partition, whenever they arrived."""
    return _dataset_name(dataset), mappings.ByArrival()


def json_payload(
    alias: str, *, column: str, fields: Mapping[str, str], rules: Mapping[str, str] | None = None
) -> Parse:
    """Parse a text column that holds one JSON object a row; rows that do not fit go to quarantine with the reason.

    Args:
        alias: input whose rows are parsed.
        column: VARCHAR column of that input.
        fields: column type by field; every field is required unless its type ends in ``?``.
        rules: SQL condition over the fields, by its name in words, which becomes the reason of a rejected row.
    """
    columns = tuple(
        Column(name=name, type=_field_type(text), required=not text.rstrip().endswith("?"))
        for name, text in fields.items()
    )
    conditions = tuple(Rule(name=name, condition=sql) for name, sql in (rules or {}).items())
    return Parse(alias=alias, column=column, fields=columns, rules=conditions)


@contextmanager
def collecting() -> Iterator[list[Declaration]]:
    """Collect every declaration made inside the block, in order; for the loader."""
    found: list[Declaration] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def _collect(declaration: Declaration) -> Declaration:
    """Return ``declaration``, and hand it to the loader where one is listening.

    Raises:
        TypeError: an argument is no value that the functions of this module make.
    """
    for value, kind, maker in (
        (declaration.partition, PartitionSpec, 'partition=day("column")'),
        (declaration.source, Source | None, 'source=files("landing/*.csv", format="csv")'),
        (declaration.arrivals, Arrivals | None, 'arrivals=arrivals("column")'),
        (declaration.parse, Parse | None, "parse=json_payload(...)"),
    ):
        if not isinstance(value, kind):
            raise TypeError(f"{declaration.name}: got {value!r}; write {maker}")
    collected = _collected.get()
    if collected is not None:
        collected.append(declaration)
    return declaration


def _caller() -> tuple[str, int]:
    """Return file and line of the code that called the declaration function."""
    frame = sys._getframe(2)
    return frame.f_code.co_filename, frame.f_lineno


def _dataset_name(dataset: DatasetRef) -> str:
    return dataset.name if isinstance(dataset, Declaration) else dataset


def _version(version: int | LogicVersion) -> LogicVersion:
    return version if isinstance(version, LogicVersion) else LogicVersion(number=version)


def _cut(partition: PartitionSpec, buckets: tuple[str, int] | None, version: int | LogicVersion = 1) -> PartitionSpec:
    """Return the cut with its buckets, and with the version column beside the time, where there is one."""
    is_cut = isinstance(partition, PartitionSpec)
    if not is_cut:
        return partition  # the loader says what it should be
    label = partition.label if partition.label is not None else _version(version).column
    return replace(partition, buckets=tuple(buckets) if isinstance(buckets, list) else buckets, label=label)


def _inputs(inputs: Mapping[str, InputRef], own_name: str) -> tuple[tuple[str, str, mappings.Mapping], ...]:
    found: list[tuple[str, str, mappings.Mapping]] = []
    for alias, entry in inputs.items():
        if not isinstance(entry, tuple) or len(entry) != 2:  # a plain name is the likeliest slip
            raise TypeError(f"input {alias!r} must say which partitions it reads: same(...), trailing(...), ...")
        dataset, mapping = entry
        found.append((alias, own_name if dataset == _OWN else dataset, mapping))
    return tuple(found)


def _metrics(metrics: Mapping[str, str] | None) -> tuple[Metric, ...]:
    return tuple(Metric(name=name, sql=sql) for name, sql in (metrics or {}).items())


def _field_type(text: str) -> str:
    """Return the type as remint spells it; one that it does not know stays as written, for the loader to refuse."""
    bare = text.strip().removesuffix("?")
    return column_type(bare) or bare


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]
