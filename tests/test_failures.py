"""What libraries say when the machine refuses is found in any link of an error's chain, and named."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from remint.errors import DiskFull, OutOfMemory, RemintError, StorageRefused, StorageUnavailable
from remint.failures import machine_failure

NO_ROOM_FOR_A_LIBRARY = "_duckdb.cpython-311-x86_64-linux-gnu.so: failed to map segment from shared object"

_RUST = "Generic S3 error: Error performing GET http://127.0.0.1:1/lake/t in 24ms"


def _answer(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject")


def _s3fs(said: str) -> str:
    """Return what DuckDB makes of an error of s3fs, as it was seen."""
    where = 'Traceback (most recent call last):\n  File "/venv/site-packages/s3fs/core.py", line 216, in _error_wrapper'
    return f"{where}\n{said}\n\nLINE 1: SELECT"


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (ImportError(NO_ROOM_FOR_A_LIBRARY), OutOfMemory),
        (ImportError("libgomp.so.1: cannot allocate memory in static TLS block"), OutOfMemory),
        (RuntimeError("can't start new thread"), OutOfMemory),
        (OSError(28, "No space left on device"), DiskFull),
        (_answer("SlowDown", 503), StorageUnavailable),
        (_answer("InternalError", 500), StorageUnavailable),
        (_answer("AccessDenied", 403), StorageRefused),
        (_answer("NoSuchBucket", 404), StorageRefused),
        (ReadTimeoutError(endpoint_url="http://s3"), StorageUnavailable),
        (RuntimeError(f"IO Error: Traceback: {_answer('SlowDown', 503)}"), StorageUnavailable),
        (RuntimeError(f"IO Error: Traceback: {_answer('403', 403)}"), StorageRefused),
        (RuntimeError(_s3fs("OSError: [Errno 16] Please reduce your request rate.")), StorageUnavailable),
        (RuntimeError(_s3fs("OSError: [Errno 5] We encountered an internal error.")), StorageUnavailable),
        (RuntimeError(_s3fs("PermissionError: Access Denied")), StorageRefused),
        (RuntimeError("Traceback: aiohttp.client_exceptions.ClientPayloadError: cut"), StorageUnavailable),
        (OSError(f"{_RUST} Server returned non-2xx status code\x1b[0m: 503 Service Unavailable"), StorageUnavailable),
        (OSError(f"{_RUST} after 5 retries: HTTP error: error sending request"), StorageUnavailable),
        (OSError("error reading a body from connection: reset by peer (os error 104)"), StorageUnavailable),
        (OSError(f"{_RUST} 403 Forbidden <Error><AWSAccessKeyId>AKIDX</AWSAccessKeyId></Error>"), StorageRefused),
        (RuntimeError("generic LocalFileSystem error: No space left on device (os error 28)"), DiskFull),
    ],
)
def test_what_the_machine_refused_is_named(error: Exception, named: type[RemintError]) -> None:
    outer = ValueError("while it staged")
    outer.__cause__ = error

    found = machine_failure(outer)
    assert isinstance(found, named)
    assert "AKIDX" not in found.message


def test_a_bucket_that_does_not_answer_is_told_from_one_that_answers_with_an_error() -> None:
    silence = 'botocore.exceptions.EndpointConnectionError: Could not connect to the endpoint URL: "http://s3"'

    assert "it does not answer: EndpointConnectionError" in str(machine_failure(RuntimeError(_s3fs(silence))))
    assert "it answers that it is busy" in str(machine_failure(RuntimeError(_s3fs("OSError: [Errno 16] Slow down."))))


def test_what_no_machine_refused_is_not_named() -> None:
    assert machine_failure(ImportError("no module named remint.nothing")) is None
    assert machine_failure(_answer("NoSuchKey", 404)) is None
    assert machine_failure(RuntimeError(f"IO Error: Traceback: {_answer('404', 404)}")) is None
    assert machine_failure(RuntimeError(_s3fs("FileNotFoundError: The specified key does not exist."))) is None
