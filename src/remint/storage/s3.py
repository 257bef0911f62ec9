"""Tables in a bucket that speaks the S3 API.

Rules: an answered request is durable, so nothing is synced; an object is never changed in place, only put whole.
Credentials are found by the standard chain of AWS (environment, profile, role of the machine) anew for every use, and
no message holds any. Every request has a bound of tries and of seconds, and what is waited for is announced.
"""

from __future__ import annotations

import hashlib
import random
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import botocore.session
import s3fs
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from remint.disk import make_folder, sync
from remint.errors import StorageRefused
from remint.failures import machine_failure
from remint.storage.base import Sealed, Stored

SCHEME = "s3://"
TRIES = 6
"""Of one request; between them are up to 1, 2, 4, 8 and 16 seconds, at random."""
CONNECT_S = 5
READ_S = 30
"""How long one try may wait for the connection, and for the next bytes of an answer."""
_RETRY_S = 120
"""How long delta-rs goes on trying one request."""
_THREADS = 8
_AT_ONCE = 1000
"""Keys that one request deletes."""
_CHUNK = 1 << 20
_FAILED, _THROTTLED = 500, 429
_ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})
_TAKEN = frozenset({"412", "PreconditionFailed", "ConditionalRequestConflict"})

Announce = Callable[[str], None]


class _FileSystem(s3fs.S3FileSystem):  # type: ignore[misc]
    """The engine's way to the same objects; it reads an answer that broke off once more, and so on."""

    retries = 3


class S3Storage:
    """Objects below ``s3://bucket/prefix``."""

    def __init__(self, announce: Announce = lambda _: None) -> None:
        """Prepare access; nothing is connected to before it is used.

        Args:
            announce: is told, in words, of each request that will be tried again, and why.
        """
        self.announce = announce
        self._lock = threading.Lock()

    @cached_property
    def _session(self) -> Any:
        return botocore.session.Session()

    @cached_property
    def _made(self) -> Any:
        self._credentials()
        client = self._session.create_client("s3", config=Config(**_SETTINGS), region_name=self._region())
        client.meta.events.register("needs-retry.s3", _told(weakref.ref(self)))
        return client

    @property
    def _client(self) -> Any:
        with self._lock:
            return self._made

    def _region(self) -> str:
        return self._session.get_config_variable("region") or "us-east-1"

    def _credentials(self) -> Any:
        try:
            found = self._session.get_credentials()
        except BotoCoreError as error:
            raise StorageRefused(f"credentials for S3 cannot be had: {error}") from error
        if found is None:
            raise StorageRefused(
                "there are no credentials for S3: neither in the environment, nor in a profile, nor of this machine",
                hint="set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; then the same command again",
            )
        return found.get_frozen_credentials()

    @property
    def options(self) -> Mapping[str, str]:
        """Return the options of delta-rs, with the credentials of now."""
        keys, endpoint = self._credentials(), str(self._client.meta.endpoint_url)
        token = {"AWS_SESSION_TOKEN": keys.token} if keys.token else {}
        return {
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            **token,
            "AWS_REGION": self._region(),
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ALLOW_HTTP": str(endpoint.startswith("http://")).lower(),
            "aws_conditional_put": "etag",
            "connect_timeout": f"{CONNECT_S}s",
            "timeout": f"{READ_S}s",
            "max_retries": str(TRIES - 1),
            "retry_timeout": f"{_RETRY_S}s",
        }

    @cached_property
    def filesystem(self) -> Any:
        """The objects as fsspec shows them; what it listed or read is never remembered."""
        self._credentials()
        found = _FileSystem(
            use_listings_cache=False,
            skip_instance_cache=True,
            config_kwargs=_SETTINGS,
            client_kwargs={"region_name": self._region()},
        )
        found.connect()
        found.s3.meta.events.register("needs-retry.s3", _told(weakref.ref(self)))
        return found

    def _ask(self, operation: str, place: str, **more: object) -> Any:
        """Send one request about a place.

        Raises:
            FileNotFoundError: there is no such object.
            FileExistsError: there is one, or somebody is putting it.
            StorageRefused: it may not be done.
            StorageUnavailable: every try failed.
        """
        bucket, key = split(place)
        where = {"Bucket": bucket, "Key": key} if key else {"Bucket": bucket}
        try:
            return getattr(self._client, operation)(**where, **more)
        except ClientError as error:
            if error.response["Error"]["Code"] in _ABSENT:
                raise FileNotFoundError(2, "no such object", place) from error
            if error.response["Error"]["Code"] in _TAKEN:
                raise FileExistsError(17, "there is such an object", place) from error
            raise machine_failure(error) or error from error
        except BotoCoreError as error:
            raise machine_failure(error) or error from error

    def stat(self, place: str) -> Stored | None:
        """Ask for the head of an object."""
        try:
            found = self._ask("head_object", place)
        except FileNotFoundError:
            return None
        return Stored(path=place, size_bytes=found["ContentLength"], etag=_etag(found))

    def files(self, folder: str) -> Iterator[Stored]:
        """List all objects below a prefix."""
        prefix = split(folder)[1] + "/"
        for page in self._pages(folder, prefix):
            for found in page.get("Contents", ()):
                path = str(found["Key"]).removeprefix(prefix)
                if path and not path.endswith("/"):
                    changed_at = found["LastModified"].timestamp()
                    yield Stored(path=path, size_bytes=found["Size"], etag=_etag(found), changed_at=changed_at)

    def names(self, folder: str) -> list[str]:
        """List the objects and prefixes right below a prefix."""
        prefix = split(folder)[1] + "/"
        found = set()
        for page in self._pages(folder, prefix, Delimiter="/"):
            found |= {str(entry["Key"]).removeprefix(prefix) for entry in page.get("Contents", ())}
            found |= {str(e["Prefix"]).removeprefix(prefix).rstrip("/") for e in page.get("CommonPrefixes", ())}
        return sorted(found - {""})

    def _pages(self, folder: str, prefix: str, **more: str) -> Iterator[Any]:
        bucket = f"{SCHEME}{split(folder)[0]}"
        while True:
            page = self._ask("list_objects_v2", bucket, Prefix=prefix, **more)
            yield page
            if not page.get("IsTruncated"):
                return
            more["ContinuationToken"] = page["NextContinuationToken"]

    def read(self, place: str) -> bytes:
        """Get an object."""
        parts: list[bytes] = []

        def start() -> Callable[[bytes], object]:
            parts.clear()
            return parts.append

        self._stream(place, start)
        return b"".join(parts)

    def sha256(self, place: str) -> str:
        """Get an object and hash it."""
        return self._sealed(place).sha256

    def _sealed(self, place: str) -> Sealed:
        digests = [hashlib.sha256()]

        def start() -> Callable[[bytes], object]:
            digests[0] = hashlib.sha256()
            return digests[0].update

        etag = self._stream(place, start)
        return Sealed(sha256=digests[0].hexdigest(), etag=etag)

    def _stream(self, place: str, start: Callable[[], Callable[[bytes], object]]) -> str:
        """Give the content of one answer to what ``start`` returns, and return its ETag; a broken one starts anew."""
        for attempt in range(1, TRIES + 1):
            take, found = start(), self._ask("get_object", place)
            try:
                for chunk in found["Body"].iter_chunks(_CHUNK):
                    take(chunk)
                return _etag(found)
            except (HTTPClientError, BotoCoreError) as error:
                if attempt == TRIES:
                    raise machine_failure(error) or error from error
                self.announce(f"S3 GetObject: the answer broke off; try {attempt + 1} of {TRIES} follows")
        raise AssertionError

    def write(self, place: str, content: bytes) -> None:
        """Put an object."""
        self._ask("put_object", place, Body=content)

    def create(self, place: str, content: bytes) -> bool:
        """Put an object unless there is one."""
        try:
            self._ask("put_object", place, Body=content, IfNoneMatch="*")
        except FileExistsError:
            return False
        return True

    def copy(self, source: str, place: str) -> None:
        """Copy within the store, from this machine, or to it."""
        if not place.startswith(SCHEME):
            _write_whole(Path(place), self.read(source))
        elif source.startswith(SCHEME):
            bucket, key = split(source)
            self._ask("copy_object", place, CopySource={"Bucket": bucket, "Key": key})
        else:
            self.write(place, Path(source).read_bytes())

    def delete(self, places: Iterable[str], *, durably: bool = False) -> None:
        """Delete objects; a deletion that is answered is durable."""
        del durably
        keys: dict[str, list[str]] = {}
        for place in places:
            bucket, key = split(place)
            keys.setdefault(bucket, []).append(key)
        for bucket, named in keys.items():
            for first in range(0, len(named), _AT_ONCE):
                listed = [{"Key": key} for key in named[first : first + _AT_ONCE]]
                answer = self._ask("delete_objects", f"{SCHEME}{bucket}", Delete={"Objects": listed, "Quiet": True})
                for wrong in answer.get("Errors", ()):
                    raise StorageRefused(f"{SCHEME}{bucket}/{wrong.get('Key')} was not deleted: {wrong.get('Code')}")

    def move(self, places: Sequence[tuple[str, str]]) -> None:
        """Copy within the store, then delete what was copied."""
        with ThreadPoolExecutor(max_workers=_THREADS) as pool:
            list(pool.map(lambda pair: self.copy(*pair), places))
        self.delete(source for source, _ in places)

    def clear(self, folder: str) -> None:
        """Delete every object below a prefix, and those that stand for folders."""
        prefix = split(folder)[1] + "/"
        keys = [str(found["Key"]) for page in self._pages(folder, prefix) for found in page.get("Contents", ())]
        self.delete(f"{SCHEME}{split(folder)[0]}/{key}" for key in keys)

    def prepare(self, folder: str) -> None:
        """Do nothing: there are no folders."""

    def seal(self, places: Sequence[str], root: str) -> list[Sealed]:
        """Read the objects back, as the store gives them."""
        del root
        with ThreadPoolExecutor(max_workers=_THREADS) as pool:
            return list(pool.map(self._sealed, places))

    def sync(self, places: Iterable[str]) -> None:
        """Do nothing: what was answered is durable."""

    def sync_names(self, folder: str, top: str) -> None:
        """Do nothing: what was answered is durable."""


def _told(held: weakref.ref[S3Storage]) -> Callable[..., float | None]:
    """Return what a client calls after each try; it keeps no storage alive, because clients outlive it."""

    def on_answer(response: Any, operation: Any, attempts: int, caught_exception: Any, **_: object) -> float | None:
        """Announce a try that failed and is not the last; return how long to wait where botocore would give up."""
        status, storage = response[0].status_code if response is not None else None, held()
        if attempts >= TRIES or (status is not None and status < _FAILED and status != _THROTTLED):
            return None
        why = type(caught_exception).__name__ if status is None else f"status {status}"
        if storage is not None:
            storage.announce(f"S3 {operation.name}: {why}; try {attempts + 1} of {TRIES} follows")
        return random.uniform(0, 2 ** (attempts - 1)) if status == _THROTTLED else None  # noqa: S311 - spreads clients

    return on_answer


_SETTINGS: Mapping[str, Any] = {
    "connect_timeout": CONNECT_S,
    "read_timeout": READ_S,
    "retries": {"total_max_attempts": TRIES, "mode": "standard"},
    "max_pool_connections": 16,
    "s3": {"addressing_style": "path"},
}


def split(place: str) -> tuple[str, str]:
    """Return bucket and key of a URL; the key is empty where it names the bucket alone."""
    bucket, _, key = place.removeprefix(SCHEME).partition("/")
    return bucket, key


def _etag(found: Mapping[str, Any]) -> str:
    """Return a strong ETag; a weak one says less than that the bytes are the same."""
    etag = str(found.get("ETag", ""))
    return "" if etag.startswith("W/") else etag.strip('"')


def _write_whole(place: Path, content: bytes) -> None:
    make_folder(place.parent)
    half = place.with_name(f".{place.name}.half")
    half.write_bytes(content)
    sync(half)
    half.replace(place)
    sync(place.parent)
