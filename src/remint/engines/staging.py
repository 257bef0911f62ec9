"""Staging: what every engine does for the units of a batch, in one order, on relations of its own kind.

Rules: what the transform made is dropped where it is other units' business, before the latest of a key is chosen or,
where versions meet across partitions, after it; what is said of the rows is read back from the files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from remint.engines.base import Scan, Staged, StageWork
from remint.engines.duckdb_rows import UnusablePartition, keys_condition
from remint.errors import TieInKeep, TransformFailed
from remint.model.dataset import Dataset, Parse, Transform
from remint.model.digest import ContentDigest
from remint.model.partition import PartitionKey, PartitionSet
from remint.model.provenance import DataFile

Relation = TypeVar("Relation")
"""Rows before they are written: the text of a SELECT for DuckDB, a DataFrame for Spark."""
Count = Callable[[], int]
"""A number of rows, asked for once they are written: an engine may count while it makes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What written files hold, read back from them."""

    digests: Mapping[PartitionKey, ContentDigest] = field(default_factory=dict)
    projections: Mapping[tuple[str, ...], Mapping[PartitionKey, ContentDigest]] = field(default_factory=dict)
    violations: Mapping[str, Mapping[PartitionKey, int]] = field(default_factory=dict)


def _none() -> int:
    return 0


class Staging(ABC, Generic[Relation]):
    """The steps of staging; an engine says how each is done, and nothing of their order."""

    @property
    @abstractmethod
    def digest_scheme(self) -> str:
        """Name of the row hash that the digests are made of."""

    def stage(self, work: StageWork) -> Staged:
        """Run the transform, write its units, read them back with digests and checks."""
        dataset = work.dataset
        with self._prepared(work) as made:
            rivals = PartitionSet.of(work.keys.grain, self._rivals(work))
            latest, superseded = self._latest_of(work, made)
            elsewhere = _none
            if rivals and dataset.parse:
                latest, elsewhere = self._counted(dataset, latest, _inside(work, rivals))
            mine = self._without(latest, work, work.context | rivals) if meets(work) else latest
            files = self._written(work, mine, superseded)
            rows_read, rows_rejected, rows_repeated = self._parse_counts(work) if dataset.parse else (0, 0, 0)
            measured = self._measured(work, files) if files else Measured()
        return Staged(
            files=tuple(files),
            digests=self._of_all(work, measured.digests),
            projections={c: self._of_all(work, measured.projections.get(c, {})) for c in dataset.read_as},
            violations=measured.violations,
            strays={f.key: f.rows for f in files if f.key not in work.keys},
            rows_read=rows_read,
            rows_read_by_unit=rows_read + rows_repeated,
            rows_rejected=rows_rejected,
            rows_superseded=superseded(),
            rows_elsewhere=elsewhere(),
        )

    def recompute(self, work: StageWork) -> Mapping[PartitionKey, ContentDigest]:
        """Return the digests of the work's units without writing."""
        with self._prepared(work) as made:
            latest, superseded = self._latest_of(work, made)
            digests = self._digests(latest, work.dataset)
            superseded()
        self.forget()
        return self._of_all(work, {k: d for k, d in digests.items() if k in work.keys})

    @abstractmethod
    def forget(self) -> None:
        """Drop what was kept between the steps of a batch."""

    @abstractmethod
    def _prepared(self, work: StageWork) -> AbstractContextManager[Relation]:
        """Give the transform's rows in table order and types, its columns checked; what fails within is its failure."""

    @abstractmethod
    def _parse_counts(self, work: StageWork) -> tuple[int, int, int]:
        """Return the rows read, those rejected of them, and how often rows are read beyond once; all is written."""

    @abstractmethod
    def _rivals(self, work: StageWork) -> Sequence[PartitionKey]:
        """Return the partitions of the rivals that are read."""

    @abstractmethod
    def _latest(self, work: StageWork, rows: Relation) -> tuple[Relation, Count]:
        """Return the latest row of every key, which ``version_key`` names, and how many rows that leaves out.

        A tie is refused here, or when the count is asked for.
        """

    @abstractmethod
    def _where(self, dataset: Dataset, rows: Relation, condition: str) -> Relation:
        """Return the rows of a dataset that a condition, in DuckDB's SQL, holds of."""

    @abstractmethod
    def _counted(self, dataset: Dataset, rows: Relation, condition: str) -> tuple[Relation, Count]:
        """Return the rows, and of how many of them a condition, in DuckDB's SQL, holds."""

    @abstractmethod
    def _write(self, work: StageWork, rows: Relation, settle: Callable[[], object]) -> list[DataFile]:
        """Write rows as partitioned files; raises UnusablePartition.

        ``settle`` is called when all rows are made, and may refuse them: no file is left then.
        """

    @abstractmethod
    def _measured(self, work: StageWork, files: Sequence[DataFile]) -> Measured:
        """Read written files back: digests and every check, by partition."""

    @abstractmethod
    def _digests(self, rows: Relation, dataset: Dataset) -> Mapping[PartitionKey, ContentDigest]:
        """Return the content digest of each partition of a dataset's rows."""

    def _latest_of(self, work: StageWork, made: Relation) -> tuple[Relation, Count]:
        # Where versions meet across partitions, one in the context may be the latest: it goes after ``keep``.
        rows = made if meets(work) else self._without(made, work, work.context)
        return self._latest(work, rows) if work.dataset.keep else (rows, _none)

    def _without(self, rows: Relation, work: StageWork, keys: PartitionSet) -> Relation:
        """Return the rows that are not of ``keys``, which are other units' business."""
        return self._where(work.dataset, rows, f"NOT {_inside(work, keys)}") if keys else rows

    def _written(self, work: StageWork, rows: Relation, settle: Callable[[], object]) -> list[DataFile]:
        try:
            return self._write(work, rows, settle)
        except UnusablePartition as error:
            raise TransformFailed(
                f"{work.dataset.name} {work.keys.describe()}: {error}",
                hint="give every row a partition value in the transform, for example 'unknown'",
            ) from None

    def _of_all(
        self, work: StageWork, found: Mapping[PartitionKey, ContentDigest]
    ) -> dict[PartitionKey, ContentDigest]:
        empty = ContentDigest.empty(self.digest_scheme)
        return {**dict.fromkeys(work.keys, empty), **found}


def meets(work: StageWork) -> bool:
    """Return whether the units see every version of what they hold, whichever partition it names."""
    return any(scan.key for scan in work.inputs.values())


def transform_of(dataset: Dataset) -> Transform:
    """Return a dataset's transform.

    Raises:
        TransformFailed: it has none.
    """
    if dataset.transform is None:
        raise TransformFailed(f"{dataset.name} has no transform")
    return dataset.transform


def parsed_scan(work: StageWork) -> Scan:
    """Return the input whose payloads the dataset, which parses, has parsed."""
    return work.inputs[parse_of(work.dataset).alias]


def parse_of(dataset: Dataset) -> Parse:
    """Return how a dataset that parses does so."""
    assert dataset.parse is not None  # noqa: S101 - the caller looked
    return dataset.parse


def written_scan(work: StageWork, files: Sequence[DataFile]) -> Scan:
    """Return the files that were written for the work, as one relation."""
    dataset, paths = work.dataset, tuple(f.path for f in files)
    is_whole = bool(work.target.layout.field_ids)
    return Scan(root=work.root, paths=paths, columns=dataset.columns, partition=dataset.partition, is_whole=is_whole)


def version_key(work: StageWork) -> tuple[str, ...]:
    """Return the columns, and the hidden cut, in which the versions of one row are equal."""
    dataset = work.dataset
    return dataset.key if meets(work) else (*dataset.partition.folders, *dataset.key)


def _inside(work: StageWork, keys: PartitionSet) -> str:
    """Return the condition, never NULL, that a row belongs to one of ``keys``."""
    spec = work.dataset.partition
    label = None if work.dataset.fixed_value else spec.label
    return f"coalesce({keys_condition(keys, spec.column, label, is_instant=spec.type == 'TIMESTAMPTZ')}, false)"


def refuse_tie(dataset: Dataset, names: Sequence[str], found: Sequence[Any]) -> None:
    """Refuse different rows of one key that are all the latest.

    Args:
        dataset: whose ``keep`` cannot tell.
        names: columns of the key.
        found: their values, and how many rows share them.
    """
    shown = ", ".join(f"{c}={v}" for c, v in zip(names, found, strict=False))
    raise TieInKeep(
        f"{dataset.name}: {found[-1]} different rows of {shown} share the same {', '.join(dataset.keep)}; "
        "none of them is the latest",
        hint="add a column to keep=(...) that orders them, for example an offset",
    )
