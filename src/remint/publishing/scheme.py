"""Digests compare under one scheme only: find out before anything is made with another."""

from __future__ import annotations

from remint.errors import StoreError
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
