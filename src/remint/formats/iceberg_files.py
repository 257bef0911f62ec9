"""Iceberg's words for what remint knows: types, cuts, data files with their bounds, live files of a snapshot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from pyiceberg.conversions import to_bytes
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile as IcebergFile
from pyiceberg.manifest import DataFileContent, FileFormat, ManifestContent, ManifestFile
from pyiceberg.partitioning import PartitionField
from pyiceberg.partitioning import PartitionSpec as IcebergSpec
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.transforms import (
    BucketTransform,
    DayTransform,
    HourTransform,
    IdentityTransform,
    MonthTransform,
    Transform,
)
from pyiceberg.typedef import Record
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    PrimitiveType,
    StringType,
    TimestamptzType,
)
from pyiceberg.utils.datetime import date_str_to_days, timestamptz_to_micros

from remint.errors import InvalidKey, PublishConflict, RunError
from remint.formats.base import Table
from remint.formats.guard import other_cut
from remint.formats.iceberg_avro import TornFile
from remint.model.dataset import Column
from remint.model.partition import Grain, PartitionKey
from remint.model.provenance import DataFile

_TYPES: dict[str, IcebergType] = {
    "BOOLEAN": BooleanType(),
    "INTEGER": IntegerType(),
    "BIGINT": LongType(),
    "DOUBLE": DoubleType(),
    "VARCHAR": StringType(),
    "DATE": DateType(),
    "TIMESTAMPTZ": TimestamptzType(),
}
_TRANSFORMS: dict[Grain, Transform[Any, Any]] = {
    Grain.HOUR: HourTransform(),
    Grain.DAY: DayTransform(),
    Grain.MONTH: MonthTransform(),
}
"""Weeks and values are cut by identity: Iceberg has no week."""
_EPOCH = date(1970, 1, 1)
_FIRST_FIELD = 1000
"""Where Iceberg begins to number the fields of a cut."""


def iceberg_type(column: Column) -> IcebergType:
    """Return the type of a column in an Iceberg schema."""
    if column.type.startswith("DECIMAL"):
        digits, scale = column.type.removeprefix("DECIMAL(").removesuffix(")").split(",")
        return DecimalType(int(digits), int(scale))
    return _TYPES[column.type]


def schema_of(columns: Sequence[Column]) -> Schema:
    """Return the schema of a table that is made now: ids in the order of the columns, from 1."""
    # NOT NULL would be enforced by other writers only; the contract is audited before publish instead.
    return Schema(*(NestedField(n, c.name, iceberg_type(c), required=False) for n, c in enumerate(columns, start=1)))


def spec_of(table: Table, schema: Schema) -> IcebergSpec:
    """Return how a table that is made now is cut."""
    fields = []
    for n, name in enumerate(table.partition.columns):
        transform = _TRANSFORMS.get(table.partition.grain, IdentityTransform()) if n == 0 else IdentityTransform()
        label = name if isinstance(transform, IdentityTransform) else f"{name}_{transform}"
        source = schema.find_field(name).field_id
        fields.append(PartitionField(source, _FIRST_FIELD + n, transform, label))
    if table.partition.buckets:
        column, count = table.partition.buckets
        source, place = schema.find_field(column).field_id, _FIRST_FIELD + len(fields)
        fields.append(PartitionField(source, place, BucketTransform(count), table.partition.bucket_folder))
    return IcebergSpec(*fields)


def cut_differences(table: Table, metadata: TableMetadata) -> list[str]:
    """Return in words how the table's newest cut differs from the declared one."""
    found = _described(metadata.spec(), metadata.schema())
    sources = {*table.partition.columns, *(table.partition.buckets or ())[:1]}
    if not sources <= set(metadata.schema().column_names):
        return other_cut(found, table.partition.folders)
    wanted = _described(spec_of(table, metadata.schema()), metadata.schema())
    grain = table.partition.grain
    also = wanted if grain is Grain.HOUR or table.partition.is_hidden else [table.partition.column, *wanted[1:]]
    return [] if found == also else other_cut(found, wanted)


def _described(spec: IcebergSpec, schema: Schema) -> list[str]:
    names = [(str(f.transform), schema.find_column_name(f.source_id) or "?") for f in spec.fields]
    return [name if transform == "identity" else f"{transform}({name})" for transform, name in names]


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A file of a snapshot, as a manifest names it."""

    path: str
    """Relative to the table's location where it lies below it, else as the manifest says."""
    key: PartitionKey
    """Empty where no partition of the declared cut holds it."""
    sequence: int
    added_in: int
    """Id of the snapshot that put it in."""
    entry: IcebergFile

    @property
    def deletes(self) -> bool:
        """Whether it says which rows of other files are gone."""
        return self.entry.content != DataFileContent.DATA  # a manifest of format version 1 gives a plain number


class Manifests:
    """Reads manifests, which never change, once."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[LiveFile, ...] | Exception] = {}

    def live(self, table: Table, metadata: TableMetadata, io: FileIO, snapshot_id: int | None = None) -> list[LiveFile]:
        """Return the files of a snapshot, or of the newest one; position deletes only where they still say anything.

        A position delete counts for data that is not younger than it (Iceberg specification, «Scan planning»).
        """
        snapshot = metadata.current_snapshot() if snapshot_id is None else metadata.snapshot_by_id(snapshot_id)
        if snapshot is None:
            return []
        found = [file for manifest in snapshot.manifests(io) for file in self.of(table, metadata, io, manifest)]
        oldest: dict[PartitionKey, int] = {}
        for file in found:
            if not file.deletes:
                oldest[file.key] = min(file.sequence, oldest.get(file.key, file.sequence))
        return [f for f in found if not f.deletes or oldest.get(f.key, f.sequence + 1) <= f.sequence]

    def of(self, table: Table, metadata: TableMetadata, io: FileIO, manifest: ManifestFile) -> tuple[LiveFile, ...]:
        """Return what a manifest adds to a snapshot.

        Raises:
            Exception: whatever came of it when it was first read.
        """
        place = manifest.manifest_path
        if place not in self._read:
            try:
                self._read[place] = _complete(manifest, tuple(_live(table, metadata, io, manifest)))
            except TornFile as error:
                self._read[place] = error
        found = self._read[place]
        if isinstance(found, Exception):
            raise found
        return found


def _complete(manifest: ManifestFile, found: tuple[LiveFile, ...]) -> tuple[LiveFile, ...]:
    """Return what was found in a manifest, if it is as much as the list of manifests says."""
    said = (manifest.added_files_count, manifest.existing_files_count)
    if None not in said and sum(filter(None, said)) != len(found):
        raise TornFile(f"it names {len(found)} files, and the list of manifests says {sum(filter(None, said))}")
    return found


def _live(table: Table, metadata: TableMetadata, io: FileIO, manifest: ManifestFile) -> Iterable[LiveFile]:
    if manifest.content == ManifestContent.DATA and not (manifest.has_added_files() or manifest.has_existing_files()):
        return
    spec, schema = metadata.specs()[manifest.partition_spec_id], metadata.schema()
    for entry in manifest.fetch_manifest_entry(io, discard_deleted=True):
        file = entry.data_file
        yield LiveFile(
            path=relative(metadata, file.file_path),
            key=_key(table, spec, schema, file.partition),
            sequence=entry.sequence_number or 0,
            added_in=entry.snapshot_id or 0,
            entry=file,
        )


def relative(metadata: TableMetadata, place: str) -> str:
    """Return where a file lies, seen from the table's location; as it is where it lies elsewhere."""
    return place.removeprefix(f"{metadata.location}/")


def _key(table: Table, spec: IcebergSpec, schema: Schema, values: Record) -> PartitionKey:
    """Return the key that a file's partition values stand for; empty where one is NULL or the cut is another one."""
    texts: dict[str, str] = {}
    for position, field in enumerate(spec.fields):
        name, value = schema.find_column_name(field.source_id), values[position]
        if isinstance(field.transform, BucketTransform):
            continue
        if name is None or value is None:
            return ""
        text = _text(field.transform, schema.find_type(field.source_id), value)
        if text is not None:
            texts[name] = text
    if texts.keys() != set(table.partition.columns):
        return ""
    try:
        return table.partition.key_of([texts[name] for name in table.partition.columns])
    except InvalidKey as error:
        raise RunError(
            f"{table.name}: somebody else wrote rows that no partition can hold: {error.message}",
            hint="delete them with the tool that wrote them",
        ) from None


def _text(transform: Transform[Any, Any], kind: IcebergType, value: Any) -> str | None:
    """Return what a column holds in a partition, as text; None where the transform leaves that open."""
    match transform:
        case HourTransform():
            return (datetime(1970, 1, 1) + timedelta(hours=value)).strftime("%Y-%m-%d %H:00:00+00")  # noqa: DTZ001
        case DayTransform():
            return str(_as_date(value))
        case MonthTransform():
            return f"{1970 + value // 12:04}-{value % 12 + 1:02}-01"
        case IdentityTransform():
            return str(_as_date(value)) if isinstance(kind, DateType) else str(value)
        case _:
            return None


def _as_date(value: date | int) -> date:
    return value if isinstance(value, date) else _EPOCH + timedelta(days=value)


def partition_record(table: Table, metadata: TableMetadata, file: DataFile) -> Record:
    """Return the partition values of a file, in the order of the cut; its bucket is the one that its folder names.

    Raises:
        PublishConflict: none does.
    """
    spec, schema = metadata.spec(), metadata.schema()
    held = dict(zip(table.partition.columns, table.partition.values_of(file.key), strict=True))
    values: list[Any] = []
    for field in spec.fields:
        name = str(schema.find_column_name(field.source_id))
        if isinstance(field.transform, BucketTransform):
            values.append(_bucket(table, metadata, field, file.path))
        else:
            values.append(_value(field.transform, held[name], schema.find_type(field.source_id)))
    return Record(*values)


def _bucket(table: Table, metadata: TableMetadata, field: PartitionField, path: str) -> int | None:
    """Return the bucket that a folder of a path names: ``id_bucket=3``, or ``id_bucket_16=3`` as others spell it.

    The column is called there as it was when the file was written.
    """
    assert isinstance(field.transform, BucketTransform)  # noqa: S101 - the caller looked
    count = field.transform.num_buckets
    columns = {f.name for schema in metadata.schemas for f in schema.fields if f.field_id == field.source_id}
    names = {field.name, *(f"{c}_bucket" for c in columns), *(f"{c}_bucket_{count}" for c in columns)}
    for name, _, value in (folder.partition("=") for folder in reversed(path.split("/")[:-1])):
        if name in names and (not value.isdecimal() or int(value) < count):
            return int(value) if value.isdecimal() else None
    raise PublishConflict(
        f"{table.name}: no folder of {path} names the bucket that it holds ({' or '.join(sorted(names))})",
        hint=f"remint run {table.name} --rebuild    # makes the partition anew",
    )


def _value(transform: Transform[Any, Any], text: str, kind: IcebergType) -> Any:
    match transform:
        case HourTransform():
            return timestamptz_to_micros(text.replace(" ", "T") + ":00") // 3_600_000_000
        case DayTransform():
            return date_str_to_days(text)
        case MonthTransform():
            day = date.fromisoformat(text)
            return (day.year - 1970) * 12 + day.month - 1
        case _:
            return date_str_to_days(text) if isinstance(kind, DateType) else text


def iceberg_file(table: Table, metadata: TableMetadata, file: DataFile, partition: Record | None = None) -> IcebergFile:
    """Return a staged file as a manifest names it, with the bounds that were measured when it was written.

    Args:
        table: its table.
        metadata: of the table, as it is.
        file: as it was recorded.
        partition: its partition values where they are known; else what its key and folders say.

    Raises:
        PublishConflict: its columns have other ids than the table's, or nothing says which bucket it holds.
    """
    schema, spec = metadata.schema(), metadata.spec()
    stats = json.loads(file.stats) if file.stats else {}
    now = {f.name: f.field_id for f in schema.fields}
    ids = stats.get("fieldIds", now)
    # Under a name that the table has no more lies a renamed column; an id that was never given out is no column's.
    if any(now.get(name, number) != number or number > metadata.last_column_id for name, number in ids.items()):
        raise PublishConflict(
            f"{table.name}: columns of the table were given other ids after {file.path} was written",
            hint="remint plan    # and apply it: the rows are written anew",
        )
    by_id = {f.field_id: f for f in schema.fields}
    fields = {name: by_id[number] for name, number in ids.items() if number in by_id}
    place = file.path if "://" in file.path or file.path.startswith("/") else f"{metadata.location}/{file.path}"
    return IcebergFile.from_args(
        content=DataFileContent.DATA,
        file_path=place,
        file_format=FileFormat.PARQUET,
        partition=partition_record(table, metadata, file) if partition is None else partition,
        record_count=file.rows,
        file_size_in_bytes=file.size_bytes,
        column_sizes=None,
        value_counts={fields[n].field_id: file.rows for n in stats.get("nullCount", {}) if n in fields},
        null_value_counts={fields[n].field_id: v for n, v in stats.get("nullCount", {}).items() if n in fields},
        nan_value_counts=None,
        lower_bounds=_bounds(fields, stats.get("minValues", {})),
        upper_bounds=_bounds(fields, stats.get("maxValues", {})),
        key_metadata=None,
        split_offsets=None,
        equality_ids=None,
        sort_order_id=None,
        spec_id=spec.spec_id,
    )


_MEASURED = ("record_count", "value_counts", "null_value_counts", "lower_bounds", "upper_bounds")


def entry_differences(
    table: Table, metadata: TableMetadata, live: Iterable[LiveFile], files: Iterable[DataFile]
) -> dict[str, str]:
    """Return in words where the manifests say other counts or bounds of ``files`` than were measured, by path."""
    if cut_differences(table, metadata):
        return {}
    published = {f.path: f for f in files if f.stats}
    found = {}
    for entry in live:
        if entry.path not in published or entry.deletes:
            continue
        try:
            wanted = iceberg_file(table, metadata, published[entry.path], entry.entry.partition)
        except PublishConflict as error:
            found[entry.path] = f"{error.message.partition(': ')[2]}: other programs read other values in it"
            continue
        other = [name for name in _MEASURED if not _covers(getattr(entry.entry, name), getattr(wanted, name))]
        if other:
            found[entry.path] = f"another {', '.join(name.replace('_', ' ') for name in other)} than was measured"
    return found


def _covers(said: Any, wanted: Any) -> bool:
    """Return whether an entry says what is wanted; of columns it may say more, and of columns that are gone nothing."""
    if isinstance(wanted, Mapping):
        return all((said or {}).get(number) == value for number, value in wanted.items())
    return bool(said == wanted)


def _bounds(fields: Mapping[str, NestedField], values: Mapping[str, Any]) -> dict[int, bytes]:
    kinds = {n: (f.field_id, f.field_type) for n, f in fields.items() if n in values}
    return {
        number: to_bytes(kind, _typed(kind, values[name]))
        for name, (number, kind) in kinds.items()
        if isinstance(kind, PrimitiveType)
    }


def _typed(kind: IcebergType, value: Any) -> Any:
    match kind:
        case DateType():
            return date_str_to_days(value)
        case TimestamptzType():
            return timestamptz_to_micros(value.replace("Z", "+00:00"))
        case DecimalType():
            return Decimal(repr(value)).quantize(Decimal(1).scaleb(-kind.scale))
        case _:
            return value
