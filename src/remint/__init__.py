"""remint: the replay and backfill layer for lakehouses; here is what users write in their project's Python files."""

from __future__ import annotations

from importlib.metadata import version

from remint.lake import open as open
from remint.loading.declare import Declaration as Declaration
from remint.loading.declare import all_of as all_of
from remint.loading.declare import arrivals as arrivals
from remint.loading.declare import bronze as bronze
from remint.loading.declare import by_arrival as by_arrival
from remint.loading.declare import day as day
from remint.loading.declare import fan_out as fan_out
from remint.loading.declare import gold as gold
from remint.loading.declare import hour as hour
from remint.loading.declare import identity as identity
from remint.loading.declare import json_payload as json_payload
from remint.loading.declare import latest as latest
from remint.loading.declare import logic_version as logic_version
from remint.loading.declare import month as month
from remint.loading.declare import own as own
from remint.loading.declare import roll_up as roll_up
from remint.loading.declare import same as same
from remint.loading.declare import silver as silver
from remint.loading.declare import trailing as trailing
from remint.loading.declare import week as week
from remint.loading.declare import window as window
from remint.loading.declare_sources import files as files
from remint.loading.declare_sources import http_pages as http_pages

__version__ = version("remint")

__all__ = [
    "Declaration",
    "__version__",
    "all_of",
    "arrivals",
    "bronze",
    "by_arrival",
    "day",
    "fan_out",
    "files",
    "gold",
    "hour",
    "http_pages",
    "identity",
    "json_payload",
    "latest",
    "logic_version",
    "month",
    "open",
    "own",
    "roll_up",
    "same",
    "silver",
    "trailing",
    "week",
    "window",
]
