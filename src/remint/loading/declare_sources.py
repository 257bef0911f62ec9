"""What users write of where Bronze rows come from: files, and the pages of an API."""

from __future__ import annotations

from collections.abc import Mapping

from remint.model.dataset import FileSource, PageSource


def files(url: str, *, format: str, ingested_at: str | None = None) -> FileSource:
    """Take rows from files.

    Args:
        url: path or fsspec URL, relative to the project; ``*`` and ``**`` match. ``{date}`` matches the day that a file
            is for, YYYY-MM-DD: an empty file then means that the day is empty, and no file that it is absent.
        format: ``jsonl``, ``csv`` or ``parquet``; gzip is recognised by itself.
        ingested_at: TIMESTAMPTZ column that remint fills with the time of the ingest; None when the files have one.
    """
    return FileSource(url=url, format=format, ingested_at=ingested_at)


def http_pages(  # noqa: PLR0913 - what users write, by keyword
    url: str,
    *,
    records: str = "data",
    next_cursor: str = "meta.next_cursor",
    has_more: str | None = None,
    cursor_param: str = "cursor",
    since_param: str | None = None,
    until_param: str | None = None,
    window_days: int = 1,
    page_size: int | None = None,
    page_size_param: str = "limit",
    params: Mapping[str, str | int] | None = None,
    headers_env: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
    retries: int = 6,
    budget_s: float = 900.0,
    ingested_at: str | None = None,
) -> PageSource:
    """Take rows from the pages of a JSON API that names its pages by cursors.

    An incremental run begins at the cursor where the last one ended. A backfill names its own cursors or days.

    Args:
        url: http or https address, without query.
        records: dotted path of the list of records in a page.
        next_cursor: dotted path of the cursor of the next page; null, empty or absent on the last page.
        has_more: dotted path of a boolean that says whether a next page follows, where the last page has a cursor too.
        cursor_param: query parameter that takes a cursor.
        since_param: query parameter of the first instant of a window; needed for ``ingest --range``.
        until_param: query parameter of the instant at which a window ends, which is outside of it.
        window_days: a range is asked for in windows of so many days.
        page_size: records that a page is asked to hold.
        page_size_param: query parameter of ``page_size``.
        params: further query parameters of every request. They are stored and shown: no credentials.
        headers_env: headers whose values come from the environment, by name: ``{"Authorization": "Bearer {X_TOKEN}"}``.
            A bare name, ``"X_TOKEN"``, is the variable's value alone.
        timeout_s: seconds that a connection, or a pause within a reply, may take.
        retries: further attempts at a page that is refused with 429 or 5xx, cut short or late.
        budget_s: seconds that one run may spend on this source.
        ingested_at: TIMESTAMPTZ column that remint fills with the time of the ingest; None when records have one.
    """
    headers = ((h, f"{{{v}}}" if v.isidentifier() else v) for h, v in (headers_env or {}).items())
    return PageSource(
        url=url,
        records=records,
        next_cursor=next_cursor,
        has_more=has_more,
        cursor_param=cursor_param,
        since_param=since_param,
        until_param=until_param,
        window_days=window_days,
        page_size=page_size,
        page_size_param=page_size_param,
        params=tuple((name, str(value)) for name, value in (params or {}).items()),
        headers=tuple(headers),
        timeout_s=_seconds(timeout_s),
        retries=retries,
        budget_s=_seconds(budget_s),
        ingested_at=ingested_at,
    )


def _seconds(value: float) -> float:
    """Return whole seconds as a float, so that plans spell them in one way; what is no number is left to be judged."""
    return float(value) if type(value) is int else value
