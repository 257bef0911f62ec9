"""Backfills leave the processor to production: they run at a low priority unless the settings say otherwise."""

from __future__ import annotations

import os

from remint.model.request import Mode

LOW = 10
"""Niceness of a backfill: it gets what others leave, and still goes on under load."""


def yield_to_production(mode: str, priority: str) -> None:
    """Lower the priority of this process, once, where a backfill should yield; before the engine starts its threads."""
    if mode == Mode.BACKFILL and priority == "low" and hasattr(os, "nice"):
        os.nice(max(0, LOW - os.nice(0)))
