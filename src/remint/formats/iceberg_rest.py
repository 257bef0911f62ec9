"""Iceberg REST catalogs: several tables committed as one where the server can, else one by one.

Source: Iceberg REST catalog specification, ``POST /v1/{prefix}/transactions/commit`` and ``GET /v1/config``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property, partial

from pyiceberg.catalog.rest import DEFAULT_ENDPOINTS, Endpoint, HttpMethod, RestCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    RESTError,
    ServerError,
    ServiceUnavailableError,
    TooManyRequestsError,
)
from pyiceberg.table import CommitTableRequest, Namespace, TableIdentifier
from requests import RequestException, Response, Session
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from remint.errors import CatalogRefused
from remint.formats.iceberg_catalog import IcebergCatalog, Pending, configured, sync_local

_TIMEOUT_S = (10, 60)
"""To connect, and between bytes; pyiceberg waits for ever by itself."""
_READS = Retry(
    total=4,
    backoff_factor=0.2,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=("GET", "HEAD"),
    raise_on_status=False,
)
_TOGETHER = Endpoint(http_method=HttpMethod.POST, path="/v1/{prefix}/transactions/commit")
_CONFLICT = 409
_OWN_FAULT = 500
_NO_LATER = 429


class _Patient(RestCatalog):
    """A catalog whose every question ends, and whose reads are asked again."""

    def _create_session(self) -> Session:
        session = super()._create_session()
        session.request = partial(session.request, timeout=_TIMEOUT_S)  # type: ignore[method-assign]
        for adapter in session.adapters.values():
            if isinstance(adapter, HTTPAdapter):
                adapter.max_retries = _READS
        return session


class RestTables(IcebergCatalog[_Patient]):
    """Tables named by a server."""

    unreachable = (RequestException, ServerError, ServiceUnavailableError, TooManyRequestsError)
    refused = (RESTError,)

    def _open(self) -> _Patient:
        return _Patient(self.name, **configured(self.name, uri=self.url, warehouse=self.warehouse))

    def _said(self, error: Exception) -> str:
        # requests lists addresses and retries, and ends with the one thing that happened.
        if isinstance(error, RequestException):
            return f"{self.url}: {type(error).__name__}"
        return super()._said(error)

    @cached_property
    def commits_together(self) -> bool:
        """Whether the server commits to several tables at once: as it lists, or as it takes a commit to none."""
        listed = self.library._supported_endpoints
        if listed != DEFAULT_ENDPOINTS:
            return _TOGETHER in listed
        with self._answering():
            return self._posted([]).ok

    def _send(self, changes: Sequence[Pending]) -> None:
        """Ask for the commit, of several as one."""
        if len(changes) <= 1:
            super()._send(changes)
            return
        sync_local([place for change in changes for place in change.written])
        with self._answering(is_commit=True):
            _accept(self._posted(changes))

    def _posted(self, changes: Sequence[Pending]) -> Response:
        body = {"table-changes": [json.loads(_request(change).model_dump_json()) for change in changes]}
        return self.library._session.post(self.library.url("transactions/commit"), json=body)


def _request(change: Pending) -> CommitTableRequest:
    identifier = change.table.name()
    return CommitTableRequest(
        identifier=TableIdentifier(namespace=Namespace(list(identifier[:-1])), name=identifier[-1]),
        requirements=change.requirements,
        updates=change.transaction._updates,
    )


def _accept(answer: Response) -> None:
    """Raise what an answer to a commit says, if it is not that it was made."""
    if answer.ok:
        return
    words = f"answered {answer.status_code}"
    if answer.status_code == _CONFLICT:
        raise CommitFailedException(words)
    if answer.status_code >= _OWN_FAULT or answer.status_code == _NO_LATER:
        raise CommitStateUnknownException(words)
    raise CatalogRefused(f"a commit to several tables is {words}: {answer.text[:200]}")
