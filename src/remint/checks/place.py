"""Where in a contract something stands, so that every refusal names its line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from remint.errors import ProjectError

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A part of a file, with the list that collects the mistakes of the whole file."""

    file: str
    line: Callable[[Path], int | None]
    """Line of a path in the file."""
    path: Path = ()
    mistakes: list[ProjectError] = field(default_factory=list)

    def at(self, *path: str | int) -> Place:
        """Return the part at ``path`` below this one."""
        return replace(self, path=(*self.path, *path))

    def refuse(self, message: str, hint: str | None = None) -> None:
        """Add a mistake that stands here."""
        self.mistakes.append(ProjectError(message, file=self.file, line=self.line(self.path), hint=hint))

    def __str__(self) -> str:
        return f"{self.file}:{self.line(self.path)}"
