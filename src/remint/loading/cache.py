"""What reading contracts and analysing SQL gave, kept between commands: an unchanged project loads without parsers.

Rules: an entry is found by the digest of all that determines it, so a stale one cannot be; a damaged file counts as
empty. The file holds what the last load used, so it does not grow.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import remint.checks
import remint.loading
from remint.disk import write_atomically
from remint.model.digest import canonical_json, text_digest

CACHE_FILE = ".remint/cache/project.json"
_PACKAGES = ("remint", "sqlglot", "pyyaml", "jsonschema", "open-data-contract-standard")

T = TypeVar("T")


class ProjectCache:
    """Results by the digest of what determines them."""

    def __init__(self, root: Path) -> None:
        self._path = root / CACHE_FILE
        self._known = _read(self._path)
        self._used: dict[str, Any] = {}
        self._readers = text_digest(canonical_json([_versions(), _own_sources()]))

    def get(self, content: Any, decode: Callable[[Any], T]) -> T | None:
        """Return what is kept for ``content``, or None where nothing usable is."""
        key = self._key(content)
        if key not in self._known:
            return None
        try:
            value = decode(self._known[key])
        except (KeyError, TypeError, ValueError):
            return None
        self._used[key] = self._known[key]
        return value

    def put(self, content: Any, value: Any) -> None:
        """Keep ``value``, plain JSON data, for ``content``."""
        self._used[self._key(content)] = value

    def save(self) -> None:
        """Write what this load used; where the folder cannot be written, the next load just takes longer."""
        if self._used == self._known:
            return
        body = canonical_json(self._used)
        text = json.dumps({"digest": text_digest(body), "entries": body})
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, text)

    def _key(self, content: Any) -> str:
        return text_digest(canonical_json([self._readers, content]))


def _read(path: Path) -> dict[str, Any]:
    try:
        whole = json.loads(path.read_text("utf-8"))
        body = whole["entries"]
        entries = json.loads(body)
        return entries if text_digest(body) == whole["digest"] and isinstance(entries, dict) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _versions() -> list[str]:
    return [f"{package} {version(package)}" for package in _PACKAGES]


def _own_sources() -> list[tuple[str, int, int]]:
    """Return size and time of the code that makes entries: in a checkout it changes without a new version."""
    folders = [Path(folder) for package in (remint.checks, remint.loading) for folder in package.__path__]
    files = sorted(file for folder in folders for file in folder.glob("*.py"))
    return [(file.name, stat.st_size, stat.st_mtime_ns) for file in files for stat in [file.stat()]]
