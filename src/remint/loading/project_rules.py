"""Rules that a declaration must meet beside its contract and the rest of the project."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from remint.checks.column_types import KNOWN_TYPES, column_type
from remint.checks.contract import Contract
from remint.errors import InvalidKey, ProjectError
from remint.loading.declare import Declaration
from remint.loading.draft import Draft, Shape
from remint.loading.names import NAME, RESERVED, nearest
from remint.loading.reading import aggregate_of, condition_of
from remint.loading.settings import ENGINES
from remint.loading.source_rules import source_problems
from remint.loading.sql_source import REJECTED
from remint.model.calendar import FINER, UTC_ZONE, check_zone
from remint.model.dataset import Arrivals, Column, Disposition, Layer, Parse
from remint.model.mapping import All, ByArrival, FanOut, Latest, Mapping, RollUp, Same, SelfBefore, Window
from remint.model.partition import Grain, PartitionSpec


def declaration_mistakes(draft: Draft, declaration: Declaration) -> Iterator[ProjectError]:
    """Yield all that is wrong with one declaration.

    What needs a contract is skipped where the contract could not be read: that is a mistake of its own.
    """
    is_bronze = declaration.layer is Layer.BRONZE
    yield from _bronze(draft, declaration) if is_bronze else _transform(draft, declaration)
    yield from _version(draft, declaration)
    if declaration.engine not in ("", *ENGINES):
        yield draft.mistake(
            declaration,
            f"{declaration.name}: there is no engine {declaration.engine!r}",
            f"one of {', '.join(ENGINES)}",
        )
    contract = draft.contracts.get(declaration.name)
    if contract is None:
        return
    columns = {c.name: c for c in contract.columns}
    yield from _partition(draft, declaration, columns)
    if is_bronze and not contract.key:
        yield draft.mistake(
            declaration,
            f"{declaration.name} has no key: without one, redelivered rows cannot be told from new ones",
            "give primaryKey: true to the columns of its contract that identify a row",
        )
    for name in (k for k in declaration.keep if k not in columns):
        yield draft.mistake(
            declaration, f"keep names the column {name!r}, which the contract has not{nearest(name, columns)}"
        )
    if declaration.keep and not contract.key:
        yield draft.mistake(declaration, "keep says which row of a key wins, but the contract has no primaryKey")
    if declaration.keep and contract.key:
        yield from _keep(draft, declaration, contract)
    yield from _metrics(draft, declaration, tuple(columns))


def _keep(draft: Draft, declaration: Declaration, contract: Contract) -> Iterator[ProjectError]:
    """Yield inputs of whose rows only some that share the contract's key are read together.

    A column that the contract has not may be in the key under another name, so only those that it has can tell.
    """
    for _, dataset, mapping in declaration.inputs:
        arrivals = draft.shapes[dataset].arrivals if dataset in draft.shapes else None
        if isinstance(mapping, ByArrival) and arrivals is not None:
            columns = {c.name for c in contract.columns}
            missing = [k for k in arrivals.key if k in columns and k not in contract.key]
            if missing:
                yield draft.mistake(
                    declaration,
                    f"{declaration.name}: keep chooses among the rows of one {', '.join(contract.key)}, but rows of "
                    f"{dataset} are versions of one thing only if {', '.join(arrivals.key)} are equal too",
                    f"add {', '.join(missing)} to the primaryKey, or take it out of arrivals(key=...)",
                )


def _bronze(draft: Draft, declaration: Declaration) -> Iterator[ProjectError]:
    name = declaration.name
    if declaration.function is not None:
        yield draft.mistake(declaration, f"{name} has a transform; Bronze holds rows as they arrived")
    contract = draft.contracts.get(name)
    columns = {c.name: c.type for c in contract.columns} if contract else None
    source, arrivals = declaration.source, declaration.arrivals
    for problem, hint in source_problems(source) if source is not None else ():
        yield draft.mistake(declaration, f"{name}: {problem}", hint)
    if source is not None and declaration.partition.grain is Grain.IDENTITY:
        yield draft.mistake(declaration, f"{name}: Bronze is partitioned by time of ingestion, not by identity")
    if columns is None:
        return
    if source is not None and source.ingested_at is not None and columns.get(source.ingested_at) != "TIMESTAMPTZ":
        found = columns.get(source.ingested_at, "missing")
        yield draft.mistake(
            declaration,
            f"{name}: ingested_at={source.ingested_at!r} must be TIMESTAMPTZ in the contract; it is {found}",
        )
    if arrivals is not None and columns.get(arrivals.column) not in ("TIMESTAMPTZ", "DATE"):
        found = columns.get(arrivals.column, "missing" + nearest(arrivals.column, columns))
        yield draft.mistake(
            declaration,
            f"{name}: arrivals({arrivals.column!r}) must be TIMESTAMPTZ or DATE in the contract; it is {found}",
        )
    if arrivals is not None and arrivals.grain is Grain.HOUR and columns.get(arrivals.column) == "DATE":
        yield draft.mistake(
            declaration, f"{name}: arrivals({arrivals.column!r}) by hour needs a TIMESTAMPTZ, not a DATE"
        )
    by = {c.name: c for c in contract.columns}.get(arrivals.label) if contract and arrivals and arrivals.label else None
    if arrivals is not None and arrivals.label and (by is None or by.type != "VARCHAR" or not by.required):
        yield draft.mistake(
            declaration,
            f"{name}: arrivals(by={arrivals.label!r}) must be a required VARCHAR in the contract; it is "
            f"{by.type if by else 'missing' + nearest(arrivals.label, columns)}",
        )
    if arrivals is not None and contract is not None:
        yield from _versions(draft, declaration, arrivals, contract)


def _versions(draft: Draft, declaration: Declaration, arrivals: Arrivals, contract: Contract) -> Iterator[ProjectError]:
    """Yield why no two rows of a Bronze dataset could be versions of one thing, as its arrivals say they may be."""
    name, columns = declaration.name, [c.name for c in contract.columns]
    shown = f"{name}: arrivals(key={arrivals.key!r})"
    for column in (k for k in arrivals.key if k not in columns):
        yield draft.mistake(
            declaration,
            f"{shown} names the column {column!r}, which the contract has not{nearest(str(column), columns)}",
        )
    if arrivals.column in arrivals.key:
        yield draft.mistake(
            declaration,
            f"{shown} has {arrivals.column}, so versions of one thing could never name different days",
            f"leave {arrivals.column} out of it",
        )
    elif contract.key and set(contract.key) <= set(arrivals.key):
        yield draft.mistake(
            declaration,
            f"{shown} holds the whole primaryKey, of which Bronze takes one row, so nothing could have two versions",
            "add to the primaryKey what tells versions apart, for example updated_at",
        )


def _transform(draft: Draft, declaration: Declaration) -> Iterator[ProjectError]:
    name = declaration.name
    if declaration.sql is None and declaration.function is None:
        yield draft.mistake(
            declaration, f"{name} has no SQL", f'sql="sql/{declaration.bare_name}.sql", or decorate a function'
        )
    if declaration.sql is not None and declaration.function is not None:
        yield draft.mistake(declaration, f"{name} has SQL twice: sql= and a function")
    if not declaration.inputs:
        yield draft.mistake(
            declaration, f"{name} reads nothing, so nothing says which partitions it has", "inputs={...}"
        )
    elif not _has_domain(draft, declaration):
        yield draft.mistake(
            declaration,
            f"{name}: no input says which partitions it has: references, own partitions and inputs without "
            f"{declaration.partition.label or 'partitions of its own'} do not",
            "read one input by same, window, roll_up, fan_out or by_arrival",
        )
    taken: dict[str, str] = {}
    for alias, dataset, mapping in declaration.inputs:
        if not NAME.fullmatch(alias.lower()) or alias.lower() in RESERVED:
            yield draft.mistake(declaration, f"{name}: {alias!r} cannot be the alias of an input")
        if taken.setdefault(alias.lower(), alias) is not alias:
            yield draft.mistake(declaration, f"{name}: the alias {alias!r} differs from another only in case")
        yield from _input(draft, declaration, dataset, mapping)
    if declaration.parse is not None:
        yield from _parse(draft, declaration, declaration.parse)


def _input(draft: Draft, declaration: Declaration, dataset: str, mapping: Mapping) -> Iterator[ProjectError]:
    if dataset == declaration.name and not isinstance(mapping, SelfBefore):
        yield draft.mistake(declaration, f"{dataset} reads itself", "own(before=1) reads its earlier partitions")
    elif dataset not in draft.names:
        yield draft.mistake(declaration, f"no dataset is called {dataset!r}{nearest(str(dataset), draft.names)}")
    elif dataset in draft.shapes:
        problem = _mapping_problem(declaration, dataset, mapping, draft.shapes[dataset])
        problem = problem or _value_problem(draft, declaration, dataset, mapping)
        if problem:
            yield draft.mistake(declaration, f"{declaration.name}: {problem}")


def _value_problem(draft: Draft, declaration: Declaration, dataset: str, mapping: Mapping) -> str:
    """Return why values cannot be matched: a logic version is none, for readers see the present one alone."""
    source = draft.declarations.get(dataset)
    theirs = source.version.column if source and isinstance(mapping, RollUp) else None
    if theirs and declaration.partition.grain is Grain.IDENTITY:
        return f"roll_up({dataset}) needs values there; {theirs} holds its logic version"
    is_value = source is not None and source.partition.grain is Grain.IDENTITY
    if isinstance(mapping, FanOut) and is_value and declaration.version.column:
        return f"fan_out({dataset}) needs values here; {declaration.version.column} holds the logic version"
    return ""


def _mapping_problem(declaration: Declaration, dataset: str, mapping: Mapping, source: Shape) -> str:
    mine, theirs = declaration.partition, source.partition
    shown = f"here {_cut(mine)}, there {_cut(theirs)}"
    is_alike = mine.grain is theirs.grain and mine.zone == theirs.zone
    match mapping:
        case Same():
            return "" if is_alike else f"same({dataset}) needs equal grains; {shown}"
        case Window(before=before, after=after):
            is_counted = isinstance(before, int) and isinstance(after, int) and min(before, after) >= 0
            if not is_counted or before + after < 1:
                return f"window({dataset}, before={before!r}, after={after!r}) must read at least 1 partition beside"
            if mine.grain is Grain.IDENTITY or not is_alike:
                return f"a window on {dataset} needs equal grains that have an order; {shown}"
            return ""
        case SelfBefore(before=before):
            if not isinstance(before, int) or before < 1:
                return f"own(before={before!r}) must read at least 1 earlier partition"
            return "own(...) needs partitions that have an order" if mine.grain is Grain.IDENTITY else ""
        case RollUp() | FanOut():
            fits = _grains_fit(mapping, mine, theirs)
            word = "roll_up" if isinstance(mapping, RollUp) else "fan_out"
            need = "finer" if word == "roll_up" else "coarser"
            return "" if fits else f"{word}({dataset}) needs {need} partitions there than here; {shown}"
        case ByArrival():
            return _arrival_problem(declaration, dataset, source)
        case All() | Latest():
            return ""
        case _:
            assert_never(mapping)


def _grains_fit(mapping: RollUp | FanOut, mine: PartitionSpec, theirs: PartitionSpec) -> bool:
    if isinstance(mapping, RollUp):
        return theirs.grain in FINER[mine.grain] or (mine.grain is Grain.IDENTITY and theirs.label is not None)
    return mine.grain in FINER[theirs.grain] or (mine.label is not None and theirs.grain is Grain.IDENTITY)


def _arrival_problem(declaration: Declaration, dataset: str, source: Shape) -> str:
    if source.layer is not Layer.BRONZE or source.arrivals is None:
        return f"by_arrival({dataset}) needs a Bronze dataset that is declared with arrivals=arrivals(...)"
    events, mine = source.arrivals.spec, declaration.partition
    fits = mine.grain is events.grain and (mine.label is None) == (events.label is None)
    is_own_version = declaration.version.column is not None and events.label is None and mine.grain is events.grain
    if fits or is_own_version:
        return ""
    return f"by_arrival({dataset}) needs the cut of its arrivals; here {_cut(mine)}, there {_cut(events)}"


def _cut(spec: PartitionSpec) -> str:
    words = f"{spec.grain} by {spec.label}" if spec.label else str(spec.grain)
    return words if spec.zone == UTC_ZONE else f"{words} of {spec.zone}"


def _has_domain(draft: Draft, declaration: Declaration) -> bool:
    """Return whether some input says which partitions the dataset has."""
    label = declaration.partition.label if declaration.version.column is None else None
    for _, dataset, mapping in declaration.inputs:
        source = draft.shapes.get(dataset)
        is_reference = isinstance(mapping, All | Latest | SelfBefore)
        if source is None or (not is_reference and (label is None or _values_come(source, mapping))):
            return True
    return False


def _values_come(source: Shape, mapping: Mapping) -> bool:
    if isinstance(mapping, ByArrival):
        return source.arrivals is not None and source.arrivals.label is not None
    return source.partition.label is not None


def _parse(draft: Draft, declaration: Declaration, parse: Parse) -> Iterator[ProjectError]:
    name = declaration.name
    source = next((dataset for alias, dataset, _ in declaration.inputs if alias == parse.alias), None)
    if source is None:
        aliases = [alias for alias, _, _ in declaration.inputs]
        yield draft.mistake(
            declaration, f"{name}: json_payload({parse.alias!r}) names no input{nearest(parse.alias, aliases)}"
        )
        return
    if any(alias.lower() == f"{parse.alias}{REJECTED}".lower() for alias, _, _ in declaration.inputs):
        yield draft.mistake(declaration, f"{name}: {parse.alias}{REJECTED} is the alias of rejected rows")
    shape = draft.shapes.get(source)
    if shape is not None:
        yield from _parsed_columns(draft, declaration, parse, shape)
    if not parse.fields:
        yield draft.mistake(declaration, f"{name}: json_payload declares no fields")
    for field in (f for f in parse.fields if column_type(f.type) is None):
        yield draft.mistake(
            declaration, f"{name}: the field {field.name} is {field.type!r}; it must be one of {KNOWN_TYPES}"
        )
    seen = (
        [*(f.name for f in parse.fields), *(c.name for c in shape.columns if c.name != parse.column)] if shape else []
    )
    for rule in parse.rules if shape else ():
        try:
            condition_of(rule.condition, tuple(seen), draft.cache)
        except ProjectError as error:
            yield draft.mistake(declaration, f"{name}: the rule {rule.name!r}: {error.message}", error.hint)


def _parsed_columns(draft: Draft, declaration: Declaration, parse: Parse, shape: Shape) -> Iterator[ProjectError]:
    raw = {c.name: c for c in shape.columns}
    payload = raw.get(parse.column)
    if shape.layer is not Layer.BRONZE:
        yield draft.mistake(
            declaration, f"{declaration.name}: payloads are parsed from Bronze; {parse.alias} is {shape.layer}"
        )
    if payload is None or payload.type != "VARCHAR":
        found = payload.type if payload else "missing" + nearest(parse.column, raw)
        yield draft.mistake(
            declaration, f"{declaration.name}: the payload column {parse.column!r} must be VARCHAR; it is {found}"
        )
    if "reason" in {name.lower() for name in (*raw, *(f.name for f in parse.fields))}:
        yield draft.mistake(declaration, f"{declaration.name}: quarantine needs the name 'reason' for its own column")


def _version(draft: Draft, declaration: Declaration) -> Iterator[ProjectError]:
    version, name = declaration.version, declaration.name
    if not isinstance(version.number, int) or version.number < 1:
        yield draft.mistake(declaration, f"{name}: the version {version.number!r} is no number from 1 on")
    if version.column is not None and declaration.partition.grain is Grain.IDENTITY:
        yield draft.mistake(declaration, f"{name}: partitions by value cannot be cut by the version too")
    elif version.column is not None and declaration.partition.label != version.column:
        yield draft.mistake(
            declaration,
            f"{name}: partitions are cut by {declaration.partition.label}; they cannot be cut by the version too",
        )
    if version.column is None and version.old is not Disposition.REPLACE:
        yield draft.mistake(
            declaration,
            f"{name}: old partitions can only be kept beside the new ones in a column that tells them apart",
            f'version={version.number} becomes logic_version({version.number}, column="...", old="{version.old}")',
        )


def _partition(draft: Draft, declaration: Declaration, columns: dict[str, Column]) -> Iterator[ProjectError]:
    spec = declaration.partition
    label = columns.get(spec.label) if spec.label else None
    if spec.label and (label is None or label.type != "VARCHAR"):
        found = label.type if label else "missing" + nearest(spec.label, columns)
        yield draft.mistake(
            declaration, f"{declaration.name}: the partition column {spec.label} must be VARCHAR; it is {found}"
        )
    try:
        check_zone(spec.zone)
    except InvalidKey as error:
        yield draft.mistake(declaration, f"{declaration.name}: {error.message}", error.hint)
    if spec.is_hidden not in (True, False):
        yield draft.mistake(
            declaration, f"{declaration.name}: hidden is True or False, not {spec.is_hidden!r}", "write hidden=True"
        )
    elif spec.is_hidden:
        yield from _hidden(draft, declaration, columns)
    if spec.buckets is not None:
        yield from _buckets(draft, declaration, columns)
    column = columns.get(spec.column)
    if column is None:
        yield draft.mistake(
            declaration,
            f"{declaration.name}: the contract has no partition column {spec.column!r}{nearest(spec.column, columns)}",
        )
    elif column.type != spec.type:
        yield draft.mistake(
            declaration,
            f"{declaration.name}: the partition column {spec.column} is {column.type}; it must be {spec.type}",
            f"partitions by {spec.grain} are cut from a column of type {spec.type}",
        )


def _hidden(draft: Draft, declaration: Declaration, columns: dict[str, Column]) -> Iterator[ProjectError]:
    """Yield why a hidden cut cannot be: Iceberg has it, of UTC, and nothing is written for it but the column."""
    spec, name = declaration.partition, declaration.name
    column, folder = spec.column, spec.folders[0]
    plain = f"add a {'TIMESTAMPTZ' if spec.grain is Grain.HOUR else 'DATE'} column, and cut by its values"
    if draft.format != "iceberg":
        yield draft.mistake(declaration, f"{name}: {draft.format} tables have no hidden cut of {column}", plain)
    if declaration.layer is Layer.BRONZE:
        yield draft.mistake(declaration, f"{name}: Bronze is cut by the column that ingest fills in", plain)
    if spec.label or declaration.version.column:
        yield draft.mistake(declaration, f"{name}: a hidden cut of {column} takes no further column", plain)
    if spec.zone != UTC_ZONE:
        yield draft.mistake(declaration, f"{name}: a hidden cut is by UTC, and not by {spec.zone}", plain)
    if folder in columns:
        yield draft.mistake(declaration, f"{name}: the hidden cut of {column} needs the name {folder} for itself")


_MOST_BUCKETS = (1 << 31) - 1
"""Iceberg counts them in 32 bits."""


def _buckets(draft: Draft, declaration: Declaration, columns: dict[str, Column]) -> Iterator[ProjectError]:
    spec, name, expected = declaration.partition, declaration.name, 'buckets=("customer_id", 16)'
    if draft.format != "iceberg":
        yield draft.mistake(declaration, f"{name}: {draft.format} tables have no buckets", "leave buckets=... out")
    match spec.buckets:
        case (str(column), int(count)) if 0 < count <= _MOST_BUCKETS and not isinstance(count, bool):
            pass
        case _:
            yield draft.mistake(declaration, f"{name}: buckets={spec.buckets!r} is no column with a number", expected)
            return
    if column not in columns:
        yield draft.mistake(
            declaration, f"{name}: the contract has no column {column!r} to make buckets of{nearest(column, columns)}"
        )
    elif columns[column].type in ("BOOLEAN", "DOUBLE"):
        yield draft.mistake(declaration, f"{name}: Iceberg makes no buckets of {column}, a {columns[column].type}")
    taken = {spec.bucket_folder, *(() if spec.is_hidden else spec.folders)}
    for folder in sorted(taken & columns.keys()):
        yield draft.mistake(declaration, f"{name}: buckets of {column} need the name {folder}")


def _metrics(draft: Draft, declaration: Declaration, columns: tuple[str, ...]) -> Iterator[ProjectError]:
    for metric in declaration.metrics:
        if not NAME.fullmatch(metric.name.lower()):
            yield draft.mistake(declaration, f"{declaration.name}: {metric.name!r} cannot be the name of a metric")
        try:
            aggregate_of(metric.sql, columns, draft.cache)
        except ProjectError as error:
            yield draft.mistake(
                declaration, f"{declaration.name}: the metric {metric.name}: {error.message}", error.hint
            )
