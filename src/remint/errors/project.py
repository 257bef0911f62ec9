"""Mistakes of a project, and of those who use it: RM1 and RM2."""

from __future__ import annotations

from collections.abc import Sequence

from remint.errors.base import RemintError


class UsageError(RemintError):
    """What was typed cannot be meant."""

    code = "RM100"
    exit_code = 2


class InvalidRange(UsageError):
    """A range that does not parse, is empty, runs backwards or leaves the supported calendar."""

    code = "RM101"


class InvalidKey(UsageError):
    """A partition key that its dataset cannot have."""

    code = "RM102"


class UnknownDataset(UsageError, KeyError):
    """A selector names no dataset."""

    code = "RM103"


class UnknownRun(UsageError, KeyError):
    """No run has this id."""

    code = "RM104"


class UnknownPlan(UsageError, KeyError):
    """No saved plan has this id, or its file does not hold what its id says."""

    code = "RM105"


class RefusedQuery(UsageError):
    """``remint sql`` runs one read-only SELECT over declared tables."""

    code = "RM106"


class MissingCredential(UsageError):
    """An environment variable that a source's headers name is not set, or cannot be sent."""

    code = "RM107"


class ProjectError(RemintError):
    """One mistake in a project directory."""

    code = "RM201"
    exit_code = 2

    def __init__(
        self, message: str, *, file: str | None = None, line: int | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.file = file
        self.line = line

    @property
    def where(self) -> str:
        """``file:line`` as editors open it; empty when the mistake has no place."""
        if self.file is None:
            return ""
        return self.file if self.line is None else f"{self.file}:{self.line}"


class ProjectInvalid(RemintError):
    """Every mistake of a project, reported at once."""

    code = "RM200"
    exit_code = 2

    def __init__(self, mistakes: Sequence[ProjectError]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda m: (m.file or "", m.line or 0, m.message)))
        lines = [f"{m.where + ': ' if m.where else ''}{m.message}" for m in self.mistakes]
        told = [f"{line}\n      {m.hint}" if m.hint else line for line, m in zip(lines, self.mistakes, strict=True)]
        noun = "mistake" if len(lines) == 1 else "mistakes"
        super().__init__(
            f"{len(lines)} {noun} in the project\n  " + "\n  ".join(told),
            hint=f"correct {'it' if len(lines) == 1 else 'them'}, then: remint status    # reads the project again",
        )

    def as_dict(self) -> dict[str, object]:
        """Return the error with one entry a mistake: message, file, line, hint."""
        shown = [{"message": m.message, "file": m.file, "line": m.line, "hint": m.hint} for m in self.mistakes]
        return {**super().as_dict(), "mistakes": shown}
