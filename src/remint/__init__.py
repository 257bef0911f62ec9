"""remint: the replay and backfill layer for lakehouses; here is what users write in their project's Python files."""

from __future__ import annotations

from importlib.metadata import version

from remint.loading.declare import Declaration as Declaration
from remint.loading.declare import arrivals as arrivals
from remint.loading.declare import bronze as bronze
from remint.loading.declare import by_arrival as by_arrival
from remint.loading.declare import day as day
from remint.loading.declare import files as files
from remint.loading.declare import gold as gold
from remint.loading.declare import http_pages as http_pages
from remint.loading.declare import identity as identity
from remint.loading.declare import json_payload as json_payload
from remint.loading.declare import month as month
from remint.loading.declare import roll_up as roll_up
from remint.loading.declare import same as same
from remint.loading.declare import silver as silver
from remint.loading.declare import trailing as trailing

__version__ = version("remint")

__all__ = [
    "Declaration",
    "__version__",
    "arrivals",
    "bronze",
    "by_arrival",
    "day",
    "files",
    "gold",
    "http_pages",
    "identity",
    "json_payload",
    "month",
    "roll_up",
    "same",
    "silver",
    "trailing",
]
