"""What libraries say when the machine refuses is found in any link of an error's chain, and named."""

from __future__ import annotations

import pytest

from remint.errors import DiskFull, OutOfMemory, RemintError
from remint.failures import machine_failure

NO_ROOM_FOR_A_LIBRARY = "_duckdb.cpython-311-x86_64-linux-gnu.so: failed to map segment from shared object"


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (ImportError(NO_ROOM_FOR_A_LIBRARY), OutOfMemory),
        (ImportError("libgomp.so.1: cannot allocate memory in static TLS block"), OutOfMemory),
        (RuntimeError("can't start new thread"), OutOfMemory),
        (OSError(28, "No space left on device"), DiskFull),
        (RuntimeError("generic LocalFileSystem error: No space left on device (os error 28)"), DiskFull),
    ],
)
def test_what_the_machine_refused_is_named(error: Exception, named: type[RemintError]) -> None:
    outer = ValueError("while it staged")
    outer.__cause__ = error

    assert isinstance(machine_failure(outer), named)


def test_what_no_machine_refused_is_not_named() -> None:
    assert machine_failure(ImportError("no module named remint.nothing")) is None
