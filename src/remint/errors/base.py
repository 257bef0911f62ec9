"""What every error of remint has, and the one for defects."""

from __future__ import annotations

from typing import ClassVar


class RemintError(Exception):
    """Base of all errors that remint raises on purpose."""

    code: ClassVar[str] = "RM000"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    leaves: str = "nothing changed"
    """What is left behind when it is raised; a run that had begun to commit says so for itself."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def as_dict(self) -> dict[str, object]:
        """Return the error as ``--json`` prints it: code, message, hint, leaves, exit_code."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "leaves": self.leaves,
            "exit_code": self.exit_code,
        }


class InternalError(RemintError):
    """A defect of remint itself: something that no error above foresees."""

    code = "RM900"
    leaves = "unknown; remint status shows every run that is outstanding"
