"""What a contract promises of one table, ready to be held to."""

from __future__ import annotations

from dataclasses import dataclass

from remint.model.dataset import Check, Column


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Columns, key and checks of one table."""

    columns: tuple[Column, ...]
    """In the order of the contract, which is the order of the table."""
    key: tuple[str, ...]
    """Primary key, by primaryKeyPosition."""
    checks: tuple[Check, ...]
    """Names are unique."""
    owner: str = ""
    """Who is to be told when the table changes; empty where the contract names no team."""
    warnings: tuple[str, ...] = ()
    """Statements that remint holds nobody to, with their place."""
