"""Look after a project: examine it, mend it, and remove what nobody needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta

from remint.errors import RepairRefused
from remint.execution.clean import Litter, clean, find_litter
from remint.execution.doctor import examine
from remint.execution.repair import Repair, find_repair, run_repair
from remint.execution.symptom import Symptom
from remint.model.graph import DatasetGraph
from remint.model.lease import Lease
from remint.model.request import Ask
from remint.model.run import Run, RunKind
from remint.model.subset import Subset
from remint.publishing.lease import at_work
from remint.publishing.tools import Tools
from remint.store.values import Admission


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What keeps a project sound."""

    tools: Tools
    graph: DatasetGraph
    begun: Callable[[RunKind, Ask, str | None, Admission], AbstractContextManager[Run]]
    """Records a new run of a kind, and holds it for the body of a ``with``."""
    user: str
    moved_under: Callable[[Run], Sequence[str]]
    """Says what has moved since an outstanding run was planned."""

    def at_work(self) -> dict[str, Lease]:
        """Return who is at work on outstanding runs right now, by run."""
        return at_work(self.tools)

    def doctor(
        self, selectors: Sequence[str], *, read_data: bool = False, subset: Subset | None = None
    ) -> list[Symptom]:
        """Return what is well and what is not; a ``subset`` hashes a part of what ``read_data`` hashes."""
        names = self.graph.select(selectors)
        hashed = read_data or subset is not None
        return examine(self.tools, self.graph, names, read_data=hashed, subset=subset, moved_under=self.moved_under)

    def find_repair(self, selectors: Sequence[str]) -> Repair:
        """Return how what is wrong can be mended; nothing changes."""
        return find_repair(self.tools, self.graph, self.graph.select(selectors))

    def repair(self, found: Repair, ask: Ask) -> Run:
        """Carry out a repair as a formal run, keeping a copy of everything that it replaces.

        Raises:
            RepairRefused: there is nothing that can be mended, or something is not as it was found.
        """
        if not found.acts:
            again = found.rebuilds[0].commands[0] if found.rebuilds else "remint doctor    # says what is wrong"
            raise RepairRefused("nothing that is wrong can be mended in place", hint=again)
        with self.begun(RunKind.REPAIR, ask, None, Admission()) as run:
            run_repair(self.tools, self.graph, run.run_id, found)
        return self.tools.store.run(run.run_id)

    def find_litter(self, selectors: Sequence[str], grace: timedelta) -> list[Litter]:
        """Return what ended runs and interrupted commands left and nobody needs."""
        return find_litter(self.tools, self.graph, self.graph.select(selectors), grace)

    def clean(self, found: list[Litter], reason: str) -> None:
        """Remove what was found, with entries in the audit log before and after."""
        clean(self.tools, found, self.user, reason)
