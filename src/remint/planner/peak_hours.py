"""Peak hours: daily windows of a local clock in which backfills leave the machine to production. Pure.

Rules: the clock is that of a named zone, so a window follows daylight saving. An hour that a zone skips is in no
window; an hour that it repeats is in the window both times.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_FORM = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d) (\S+)")
_DAY = 24 * 60
_HORIZON = timedelta(days=3)
"""How far the end of the peak is looked for: windows that touch each other may go round the clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakHours:
    """One daily window: ``08:00-20:00 Europe/Madrid``, half-open; one that ends before it starts spans midnight."""

    start: int
    """Minute of the local day."""
    end: int
    """Minute of the local day, 1440 for midnight."""
    zone: str

    @classmethod
    def parse(cls, text: str) -> PeakHours:
        """Return the window that ``text`` names.

        Raises:
            ValueError: in words, what is wrong with it.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not of the form '08:00-20:00 Europe/Madrid'")
        start, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
        if int(found[2]) > 59 or int(found[4]) > 59 or start >= _DAY or end > _DAY:
            raise ValueError(f"{text!r} names a time that no clock shows; times go from 00:00 to 24:00")
        if start == end:
            raise ValueError(f"{text!r} starts when it ends, so it names no time")
        try:
            ZoneInfo(found[5])
        except (OSError, KeyError, ValueError):
            raise ValueError(f"{found[5]!r} is no time zone; zones are named like Europe/Madrid") from None
        return cls(start=start, end=end, zone=found[5])

    def contains(self, moment: datetime) -> bool:
        """Return whether the zone's clock shows a time of the window at ``moment``, which is aware of its zone."""
        local = moment.astimezone(ZoneInfo(self.zone))
        minute = local.hour * 60 + local.minute
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end

    def __str__(self) -> str:
        return f"{_clock(self.start)}-{_clock(self.end)} {self.zone}"


def peak_at(moment: datetime, windows: Sequence[PeakHours]) -> PeakHours | None:
    """Return the first window that ``moment`` is in."""
    return next((w for w in windows if w.contains(moment)), None)


def peak_end(moment: datetime, windows: Sequence[PeakHours]) -> datetime | None:
    """Return the first minute after ``moment``, in UTC, that is in no window; None when the windows leave none."""
    # Minute by minute, because a zone may skip or repeat the very hour in which a window ends.
    at = moment.astimezone(UTC).replace(second=0, microsecond=0)
    last = at + _HORIZON
    while at < last:
        at += timedelta(minutes=1)
        if peak_at(at, windows) is None:
            return at
    return None


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
