"""Read published data through a release: every table of the cut, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from remint.engines.base import Rows
from remint.errors import NothingPublished, RemintError, UsageError
from remint.execution.cut import Cut
from remint.execution.diff import DatasetDiff, diff_cuts
from remint.execution.releases import named_release
from remint.execution.versions import deprecated_in, diff_versions
from remint.execution.views import write_views
from remint.model.dataset import Dataset, DatasetName
from remint.model.event import Event, EventKind
from remint.model.graph import DatasetGraph
from remint.model.partition import DateRange
from remint.model.provenance import Release
from remint.publishing.tools import Tools


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the datasets of a project as they were published; changes nothing."""

    tools: Tools
    graph: DatasetGraph
    views: str | None = None
    """Where the project's views file is."""

    def releases(self) -> list[Release]:
        """Return every release, oldest first."""
        return self.tools.store.releases()

    def at(self, release: str | Release | None = None) -> Cut:
        """Return one cut over all tables, pinned: all that is read of it is of one release.

        Args:
            release: a release, its id or number, or the run that left it; the newest one without.

        Raises:
            NothingPublished: there is no release yet.
            UnknownRelease: no release has this name, or the run made none.
            UnknownRun: no run has this id.
        """
        if isinstance(release, str):
            release = named_release(self.tools.store, release)
        found = release or self.tools.store.release()
        if found is None:
            raise NothingPublished("no run has ended well yet: there is no release to read", hint="remint ingest")
        return Cut(self.tools, self.graph, found)

    def sql(self, query: str, *, as_of: str | None = None, limit: int = 1000) -> Rows:
        """Run a SELECT over every dataset, as published now or as of a release or run."""
        return self.at(as_of).rows(query, limit)

    def write_views(self, path: Path | None = None, as_of: str | None = None) -> tuple[Release, Path]:
        """Write a release as views for DuckDB, to the project's views file without a path; return both.

        Raises:
            UsageError: there is no path, or its suffix is none of a views file.
            ReadError: the release cannot be read whole, or the file not be written; it is as before.
        """
        place = path or (Path(self.views) if self.views else None)
        if place is None:
            raise UsageError("no views file is named", hint="remint views views.duckdb    # or [views] path")
        while True:
            cut = self.at(as_of)
            write_views(cut, place)
            # Runs that end together write one after the other: whoever writes last must have seen all of them.
            if self.at(as_of).release == cut.release:
                return cut.release, place

    def deprecated_in(self, query: str) -> dict[DatasetName, dict[int, int]]:
        """Return the deprecated partitions that a query over ``_versions`` relations may read.

        Returns:
            By dataset and number of the version, how many partitions.
        """
        return deprecated_in(self.tools, self.graph, query)

    def diff(self, before: int, after: int, datasets: Sequence[Dataset]) -> list[DatasetDiff]:
        """Return what differs between two cuts of the ledger."""
        return diff_cuts(self.tools, datasets, before, after, {})

    def diff_versions(self, name: str, numbers: tuple[int, int], span: DateRange | None = None) -> DatasetDiff:
        """Return what differs between two published versions of a dataset's logic.

        Raises:
            UsageError: one of them was not published.
        """
        dataset = self.graph.find(name)
        published = self.tools.store.logics([dataset.name])[dataset.name]
        return diff_versions(self.tools, dataset, published, numbers, span)


def refreshing(emit: Callable[[Event], None], reader: Callable[[], Reader]) -> Callable[[Event], None]:
    """Return ``emit`` that also writes the project's views file once a run is recorded.

    Where that fails, the run has ended well all the same: it is announced, and the next run or ``remint views`` repairs
    it.
    """

    def emit_and_refresh(event: Event) -> None:
        emit(event)
        if event.kind is not EventKind.RECORDED or not reader().views:
            return
        try:
            reader().write_views()
        except (RemintError, OSError) as error:
            detail = f"the views in {reader().views} are still those of an earlier run: {error}; next: remint views"
            emit(Event(kind=EventKind.ALERT, run_id=event.run_id, detail=detail))

    return emit_and_refresh
