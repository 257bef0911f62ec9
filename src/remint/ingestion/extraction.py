"""Extraction from sources that answer by pages: which windows a run reads, where it goes on, what it covered.

Rules: what a run asks for is fixed when it begins and journalled with it, so a resumed run asks for the same; a cursor
moves with the success of the run alone; a window that gave no row is kept as an answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from remint.errors import InvalidRange, UsageError
from remint.ingestion.delivery import PendingPage, Place
from remint.model.dataset import Dataset, DatasetName, FileSource, PageSource
from remint.model.graph import DatasetGraph
from remint.model.partition import DateRange
from remint.model.request import Extraction, Mode
from remint.model.run import Run
from remint.publishing.tools import Tools
from remint.sources.pages import Stretch, open_pages
from remint.store.values import Coverage, CoverageKind, CursorMove, SourceFileRecord

Taken = Sequence[tuple[SourceFileRecord, Place]]
"""What a run has ingested so far, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of one source's pages."""

    dataset: DatasetName
    start: str | None = None
    """Cursor of the first page; None: the first one that there is."""
    end: str | None = None
    """Cursor at which to stop."""
    since: str | None = None
    """First day asked for by name."""
    until: str | None = None
    """The day after the last one."""

    @property
    def stretch(self) -> Stretch:
        """The window as its source is asked for it."""
        since, until = (None if day is None else f"{day}T00:00:00Z" for day in (self.since, self.until))
        return Stretch(start=self.start, end=self.end, since=since, until=until)


def refuse_extraction(datasets: Sequence[Dataset], asked: Extraction, now: datetime) -> None:
    """Refuse to ask sources for what they cannot be asked for.

    Raises:
        InvalidRange: the range ends after today.
        UsageError: a source takes neither windows nor days, or cursors are meant for several sources.
    """
    fed = [d for d in datasets if d.source is not None]
    if asked.has_cursors and [type(d.source) for d in fed] != [PageSource]:
        raise UsageError(
            f"cursors belong to one source of pages; selected: {', '.join(d.name for d in fed) or 'none'}",
            hint="name the dataset: remint ingest bronze.x_posts --mode backfill --from-cursor ...",
        )
    if asked.range is None:
        return
    deaf = [d.name for d in fed if not _takes_days(d)]
    if deaf or not fed:
        raise UsageError(
            f"a range cannot be asked of {', '.join(deaf) or 'nothing'}: its source does not go by days",
            hint="pages need since_param= and until_param=, files need {date} in their URL; or name other datasets",
        )
    if asked.range.end > now.astimezone(UTC).date() + timedelta(days=1):
        raise InvalidRange(
            f"the range {asked.range.describe()} ends after today, {now.astimezone(UTC).date().isoformat()}",
            hint="a source cannot have delivered those days yet",
        )


def _takes_days(dataset: Dataset) -> bool:
    match dataset.source:
        case PageSource(since_param=since):
            return since is not None
        case FileSource() as source:
            return source.says_days
        case _:
            return False


def windows(datasets: Sequence[Dataset], asked: Extraction, standing: Mapping[DatasetName, str]) -> tuple[Window, ...]:
    """Return what a run reads of every source that answers by pages, in order.

    Args:
        datasets: chosen ones.
        asked: what the run was asked for.
        standing: watermarks.
    """
    found: list[Window] = []
    for dataset in datasets:
        if not isinstance(dataset.source, PageSource):
            continue
        if asked.range is not None:
            days = dataset.source.window_days
            found += [Window(dataset=dataset.name, since=a, until=b) for a, b in _cut(asked.range, days)]
            continue
        reads_on = asked.mode is Mode.INCREMENTAL or asked.from_state
        start = standing.get(dataset.name) if reads_on else asked.from_cursor
        found.append(Window(dataset=dataset.name, start=start, end=asked.to_cursor))
    return tuple(found)


def _cut(span: DateRange, days: int) -> Iterator[tuple[str, str]]:
    start = span.start
    while start < span.end:
        end = min(start + timedelta(days=days), span.end)
        yield start.isoformat(), end.isoformat()
        start = end


def require_credentials(tools: Tools, datasets: Sequence[Dataset]) -> None:
    """Refuse to begin where a source could not even be asked.

    Raises:
        MissingCredential: an environment variable is not set.
        UsageError: the HTTP library is not installed.
    """
    for dataset in datasets:
        if isinstance(dataset.source, PageSource):
            with open_pages(dataset.source, tools.credential):
                pass


def pages_due(tools: Tools, graph: DatasetGraph, asked: Sequence[Window], taken: Taken) -> Iterator[PendingPage]:
    """Give the pages that the run has not ingested yet; each is read from its source when it is asked for.

    Raises:
        SourceUnavailable: a page could not be had.
        SourceRejected: a page is not what the declaration says.
    """
    for name in dict.fromkeys(w.dataset for w in asked):
        source = graph[name].source
        if not isinstance(source, PageSource):
            raise UsageError(
                f"the run reads {name} by pages, and its declaration no longer does",
                hint='restore the declaration, or give the run up: remint rollback RUN --reason "..."',
            )
        with open_pages(source, tools.credential) as reader:
            for number, window in enumerate(asked):
                places = [p for _, p in taken if p.window == number]
                if window.dataset != name or (places and places[-1].is_last):
                    continue
                at = places[-1].resume_at if places else window.start
                for page in reader.pages(window.stretch, at=at, seen=[p.cursor for p in places]):
                    yield PendingPage(dataset=name, page=page, window=number)


def covered(run: Run, asked: Sequence[Window], taken: Taken) -> tuple[Coverage, ...]:
    """Return what the run's sources were asked for and gave, windows without rows included.

    A day that had not ended when the run began is not covered by it.
    """
    found: list[Coverage] = []
    by_day: dict[tuple[DatasetName, str], int] = {}
    for record, place in taken:
        if place.day is not None:
            by_day[record.dataset, place.day] = by_day.get((record.dataset, place.day), 0) + record.rows_read
    for (name, day), rows in sorted(by_day.items()):
        end = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
        found.append(Coverage(dataset=name, kind=CoverageKind.DAYS, start=day, end=end, rows=rows, run_id=run.run_id))
    for number, window in enumerate(asked):
        pages = [(record, place) for record, place in taken if place.window == number]
        if window.since is None:
            kind, start, end = CoverageKind.CURSORS, window.start or "", window.end or pages[-1][1].resume_at or ""
        elif window.until is not None and window.until <= run.started_at:
            kind, start, end = CoverageKind.DAYS, window.since, window.until
        else:
            continue
        rows = sum(record.rows_read for record, _ in pages)
        found.append(Coverage(dataset=window.dataset, kind=kind, start=start, end=end, rows=rows, run_id=run.run_id))
    return tuple(found)


def cursors(run: Run, asked: Sequence[Window], taken: Taken) -> dict[DatasetName, CursorMove]:
    """Return where the run's sources are to be read on; only for runs that may move pipeline state."""
    if run.mode != Mode.INCREMENTAL and not run.override_state:
        return {}
    moves = {}
    for number, window in enumerate(asked):
        last = [place for _, place in taken if place.window == number][-1].resume_at
        if last is not None:
            moves[window.dataset] = CursorMove(began_at=window.start, value=last)
    return moves
