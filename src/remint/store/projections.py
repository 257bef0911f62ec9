"""Digests of content over some of its columns: what a consumer that reads only those sees of it."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, insert, select

from remint.model.dataset import DatasetName
from remint.model.digest import canonical_json
from remint.store import tables
from remint.store.database import chunks
from remint.store.values import Projection

_OF = tables.projections.c


def known(
    connection: Connection, dataset: DatasetName, columns: tuple[str, ...], contents: Collection[str]
) -> dict[str, str]:
    """Return the digest over ``columns`` of those ``contents`` for which it is known."""
    over = select(_OF.content, _OF.digest).where(_OF.dataset == dataset, _OF.columns == canonical_json(columns))
    return {
        content: digest
        for part in chunks(sorted(set(contents)))
        for content, digest in connection.execute(over.where(_OF.content.in_(part)))
    }


def append(connection: Connection, found: Collection[Projection]) -> None:
    """Keep those of ``found`` that are not known yet."""
    groups: dict[tuple[DatasetName, tuple[str, ...]], dict[str, str]] = {}
    for entry in found:
        groups.setdefault((entry.dataset, entry.columns), {})[entry.content] = entry.digest
    for (dataset, columns), digests in sorted(groups.items()):
        held = known(connection, dataset, columns, digests)
        rows = [
            {"dataset": dataset, "content": content, "columns": canonical_json(columns), "digest": digest}
            for content, digest in digests.items()
            if content not in held
        ]
        if rows:
            connection.execute(insert(tables.projections), rows)
