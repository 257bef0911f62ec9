"""Look after a project: examine it, mend it, and remove what nobody needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from remint.execution.doctor import Symptom, examine
from remint.model.graph import DatasetGraph
from remint.model.lease import Lease
from remint.publishing.lease import at_work
from remint.publishing.tools import Tools


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What keeps a project sound."""

    tools: Tools
    graph: DatasetGraph

    def at_work(self) -> dict[str, Lease]:
        """Return who is at work on outstanding runs right now, by run."""
        return at_work(self.tools)

    def doctor(self, selectors: Sequence[str], *, read_data: bool = False) -> list[Symptom]:
        """Return what is well and what is not."""
        return examine(self.tools, self.graph, self.graph.select(selectors), read_data=read_data)
