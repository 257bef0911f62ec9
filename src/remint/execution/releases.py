"""Find the release that a person means."""

from __future__ import annotations

from remint.errors import UnknownRelease
from remint.model.provenance import RELEASE_PREFIX, Release
from remint.store.base import StoreReader


def named_release(store: StoreReader, name: str) -> Release:
    """Return the release that ``name`` is for: its id or number, or the run that left it, as far as it is unique.

    Raises:
        UnknownRelease: no release has this name, or the run made none.
        UnknownRun: no run has this id.
    """
    exact = name
    if name.isdecimal():
        exact = f"{RELEASE_PREFIX}{name}"
    elif name.startswith("r-"):
        exact = store.run(name).run_id
    found = store.release(exact)
    if found is None:
        raise UnknownRelease(f"there is no release {name}: no run that ended well made it", hint="remint releases")
    return found
