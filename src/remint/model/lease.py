"""Leases of runs: who carries a run out, and the count of those who did, by which everybody before is fenced off."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that carries out a run, as far as others can tell it from every other process."""

    host: str
    space: str
    """Where the process number is valid: containers of one host name have numbers of their own. Empty: unknown."""
    pid: int
    began: str
    """When the process began, as the system counts it; a process number is used again. Empty: unknown."""
    nonce: str

    def __str__(self) -> str:
        return f"{self.host}:{self.space}:{self.pid}:{self.began}:{self.nonce}"

    @classmethod
    def parse(cls, text: str) -> Holder:
        """Return what ``str`` wrote."""
        host, space, pid, began, nonce = text.rsplit(":", 4)
        return cls(host=host, space=space, pid=int(pid), began=began, nonce=nonce)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who holds a run and until when, unless it is renewed."""

    run_id: str
    epoch: int
    """Counts the holders; only the newest one's writes are taken, whatever the times say."""
    holder: Holder
    taken_at: str
    renewed_at: str
    until: str

    def has_lapsed(self, now: str) -> bool:
        """Return whether the holder has shown no sign of life for too long."""
        return datetime.fromisoformat(self.until) <= datetime.fromisoformat(now)

    def describe(self, now: str) -> str:
        """Return in words who holds it and when it was last heard of."""
        silent = datetime.fromisoformat(now) - datetime.fromisoformat(self.renewed_at)
        heard = max(0, int(silent.total_seconds()))
        return f"at work on {self.holder.host} (pid {self.holder.pid}), heard of {heard:,} s ago"
