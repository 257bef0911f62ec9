"""Digests compare under one scheme only: what is known under another is computed anew, from the published files.

Rules: a digest in the ledger stays as it was recorded, and content that is the same keeps the text by which it is
known: so neither a change of engine nor of its version makes anything stale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from remint.errors import ArrivalsRedeclared
from remint.model.dataset import Dataset
from remint.model.digest import ContentDigest
from remint.model.graph import DatasetGraph
from remint.model.partition import PartitionKey
from remint.model.provenance import DataFile
from remint.publishing.intact import Depth, flawed_files
from remint.publishing.tools import Tools


class Content(Protocol):
    """What a unit holds: the files, and the digest by which it is known."""

    @property
    def digest(self) -> str:
        """As recorded, under whatever scheme."""
        ...

    @property
    def files(self) -> Sequence[DataFile]:
        """Where the rows are."""
        ...


def is_of_another_scheme(one: str, other: str) -> bool:
    """Return whether two digests were made by different row hashes, so that their texts say nothing of each other."""
    return one.rpartition(":")[0].rpartition(":")[0] != other.rpartition(":")[0].rpartition(":")[0]


def in_own_scheme(
    tools: Tools,
    dataset: Dataset,
    contents: Mapping[PartitionKey, Content],
    columns: Sequence[str] | None = None,
) -> dict[PartitionKey, str]:
    """Return the digest of each content as this command's engines compute it; those whose files are damaged are absent.

    Args:
        tools: adapters.
        dataset: whose units they are.
        contents: none is empty of a digest.
        columns: over these alone; None: over all, where the recorded digest will do if it is of the scheme.
    """
    if not contents:
        return {}
    mine = str(ContentDigest.empty(tools.engine.digest_scheme))
    found = {
        key: held.digest
        for key, held in contents.items()
        if columns is None and not is_of_another_scheme(held.digest, mine)
    }
    others = {key: held for key, held in contents.items() if key not in found}
    folder = tools.folder(dataset)
    whole = {
        key: held for key, held in others.items() if not flawed_files(tools.storage, folder, held.files, Depth.CONTENT)
    }
    if whole:
        scan = tools.scan(dataset, (f for held in whole.values() for f in held.files))
        made = tools.engine.digests(scan, columns)
        found |= {key: str(made[key]) if key in made else mine for key in whole}
    return found


def known_again(
    tools: Tools,
    dataset: Dataset,
    made: Mapping[PartitionKey, str],
    known: Mapping[PartitionKey, str],
    columns: Sequence[str] | None = None,
) -> dict[PartitionKey, str]:
    """Return ``made``, but content that is known already under another scheme by the text by which it is known.

    Args:
        tools: adapters.
        dataset: whose units they are.
        made: digest of what each unit holds now, as this command's engines compute it.
        known: digest of what is published of it, as recorded; over the same columns.
        columns: over which both are; None: all.
    """
    across = [
        key
        for key, digest in made.items()
        if known.get(key) and is_of_another_scheme(known[key], digest) and _rows(known[key]) == _rows(digest)
    ]
    records = tools.store.records(dataset.name, across) if across else {}
    published = in_own_scheme(tools, dataset, records, columns)
    return {key: known[key] if published.get(key) == digest else digest for key, digest in made.items()}


def _rows(digest: str) -> str:
    return digest.rsplit(":", 2)[1]


def require_countings(tools: Tools, graph: DatasetGraph) -> None:
    """Refuse to read arrivals that were counted in another way than is declared now.

    Raises:
        ArrivalsRedeclared: rows would be looked for under event partitions for which they never counted; nothing is
            changed.
    """
    known = tools.store.countings()
    for dataset in graph:
        if dataset.arrivals and known.get(dataset.name, dataset.arrivals.in_words) != dataset.arrivals.in_words:
            raise ArrivalsRedeclared(
                f"{dataset.name}: its rows were counted {known[dataset.name]}, and its arrivals are declared "
                f"{dataset.arrivals.in_words}",
                hint="declare them as before, or give the dataset another name and ingest its files under that",
            )
