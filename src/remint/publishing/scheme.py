"""Digests compare under one scheme only: find out before anything is made with another."""

from __future__ import annotations

from remint.errors import ArrivalsRedeclared, StoreError
from remint.model.graph import DatasetGraph
from remint.publishing.tools import Tools


def require_scheme(tools: Tools, graph: DatasetGraph) -> None:
    """Refuse to compare digests that another row hash made.

    Raises:
        StoreError: the ledger holds digests of a scheme that the engine does not compute; nothing is changed.
    """
    heads = tools.store.heads([d.name for d in graph])
    made = {h.digest.rsplit(":", 2)[0] for by_key in heads.values() for h in by_key.values() if h.digest}
    other = made - {tools.engine.digest_scheme}
    if other:
        raise StoreError(
            f"the ledger's digests are {', '.join(sorted(other))}; the engine installed here computes "
            f"{tools.engine.digest_scheme}, so every partition would look changed",
            hint="install the version of the engine that made them; DuckDB 1.3 to 2.0 compute duckdb-hash-1",
        )


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
