"""Which upstream keys a unit reads, and the inverse.

Rules: among the keys that exist, ``upstream`` and ``downstream`` are inverse of each other (``u in upstream({d})`` iff
``d in downstream({u})``); both are set to set, so a million keys cost what their gaps cost, and no number of upstream
partitions is too many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

from remint.model import spans as line
from remint.model.partition import Grain, PartitionSet, PartitionSpec
from remint.model.spans import Spans
from remint.model.wording import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Same:
    """A unit reads the upstream partition of its own key."""

    kind: Literal["same"] = "same"


@dataclass(frozen=True, slots=True, kw_only=True)
class ByArrival:
    """A unit reads the Bronze rows whose event falls in its key, in whichever ingestion partition they arrived."""

    kind: Literal["by_arrival"] = "by_arrival"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A unit reads its own key and its neighbours on both sides."""

    before: int
    """Earlier partitions that are read beside the unit's own."""
    after: int = 0
    """Later ones."""
    kind: Literal["window"] = "window"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollUp:
    """A unit of a coarser grain reads every finer upstream partition that overlaps it; a value, all of its times."""

    kind: Literal["roll_up"] = "roll_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class FanOut:
    """A unit of a finer grain reads the coarser upstream partition that it lies in."""

    kind: Literal["fan_out"] = "fan_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class All:
    """Every unit reads every upstream partition."""

    kind: Literal["all"] = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """Every unit reads the newest upstream partition there is: a reference table."""

    kind: Literal["latest"] = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfBefore:
    """A unit reads the ``before`` partitions of its own dataset ahead of it."""

    before: int
    kind: Literal["self_before"] = "self_before"


Mapping = Same | ByArrival | Window | RollUp | FanOut | All | Latest | SelfBefore


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A mapping between two datasets, with how each of them is cut.

    Values (of a further partition column) are matched when both sides have such a column. A side whose column holds
    its logic version has one fixed value: the version that is written or read now.
    """

    mapping: Mapping
    reader: PartitionSpec
    source: PartitionSpec
    reader_version: str = ""
    """Value that all units of the reader have; empty when its values are not versions."""
    source_version: str = ""
    """Value that all partitions have which readers see; empty when the source's values are not versions."""

    def upstream(self, units: PartitionSet, present: PartitionSet) -> PartitionSet:
        """Return which of the upstream keys ``present`` any of ``units`` reads."""
        visible = self.visible(present)
        if not units:
            return PartitionSet(self.source.grain)
        match self.mapping:
            case All():
                return visible
            case Latest():
                return _newest(visible)
            case _:
                return self._matched(units, visible, is_up=True)

    def downstream(self, changed: PartitionSet, units: PartitionSet, present: PartitionSet) -> PartitionSet:
        """Return which of ``units`` read any of the upstream keys ``changed``, out of those that are ``present``."""
        visible = self.visible(present)
        moved = changed & visible
        match self.mapping:
            case All():
                is_read = bool(moved)
            case Latest():
                is_read = bool(moved & _newest(visible))
            case _:
                return self._matched(moved, units, is_up=False) if moved else PartitionSet(self.reader.grain)
        return units if is_read else PartitionSet(self.reader.grain)

    def follows(self, changed: PartitionSet, units: PartitionSet) -> PartitionSet:
        """Return what follows from ``changed`` through a dataset's own earlier partitions, at any depth.

        Nothing does through any other mapping.
        """
        if not isinstance(self.mapping, SelfBefore):
            return PartitionSet(self.reader.grain)
        reach, found = self.mapping.before, {}
        for label, seeds in changed.lanes:
            later = line.chain(seeds, line.union(units.spans(label), seeds), reach)
            found[label] = line.intersect(line.shift_edges(later, 1, reach), units.spans(label))
        return PartitionSet.from_lanes(self.reader.grain, found)

    def domain(self, present: PartitionSet) -> PartitionSet:
        """Return the units of the reader that exist because the upstream keys ``present`` do.

        A window reads earlier keys but does not make later ones exist; references and own partitions make none.
        """
        match self.mapping:
            case All() | Latest() | SelfBefore():
                return PartitionSet(self.reader.grain)
            case Window() | Same() | ByArrival() | RollUp() | FanOut():
                pass
            case _:
                assert_never(self.mapping)
        visible = self.visible(present)
        if self.reader.grain is Grain.IDENTITY:
            values = visible.values
            return PartitionSet.of(Grain.IDENTITY, (v for v in values if v))
        if self.source.grain is Grain.IDENTITY:  # a value says nothing about time
            return PartitionSet(self.reader.grain)
        moved = visible.to_grain(self.reader.grain, self.source.zone, self.reader.zone)
        if self.reader_version:
            return moved.over([self.reader_version])
        if self.reader.label is None:
            return moved.over([""])
        return moved if self.source.label is not None and not self.source_version else PartitionSet(self.reader.grain)

    def visible(self, present: PartitionSet) -> PartitionSet:
        """Return which of the upstream keys readers see: of a versioned dataset, those of its present version."""
        return present.only([self.source_version]) if self.source_version else present

    @property
    def looks_ahead(self) -> bool:
        """True when a unit may read partitions that end after it does, so that all of those must be made first."""
        match self.mapping:
            case All() | Latest():
                return True
            case Window(after=after):
                return after > 0
            case RollUp():
                return self.source.grain is Grain.WEEK or self.reader.zone != self.source.zone
            case FanOut():
                return self.source.grain is not Grain.DAY or self.reader.zone != self.source.zone
            case Same() | ByArrival() | SelfBefore():
                return False
            case _:
                assert_never(self.mapping)

    def _matched(self, keys: PartitionSet, among: PartitionSet, *, is_up: bool) -> PartitionSet:
        """Return the keys of the other side, out of ``among``, that mapping and values lead to."""
        here, there = (self.reader, self.source) if is_up else (self.source, self.reader)
        if Grain.IDENTITY in (here.grain, there.grain):
            return among.only(keys.values)
        moved = keys if self._moves_alone() else keys.to_grain(there.grain, here.zone, there.zone)
        moved = moved.each(lambda spans: self._moved(spans, is_up=is_up))
        if self._matches_values():
            return moved & among
        return moved.over(among.values) & among

    def _moves_alone(self) -> bool:
        return isinstance(self.mapping, SelfBefore | Window | Same | ByArrival)

    def _matches_values(self) -> bool:
        both = self.reader.label is not None and self.source.label is not None
        return both and (isinstance(self.mapping, SelfBefore) or not (self.reader_version or self.source_version))

    def _moved(self, spans: Spans, *, is_up: bool) -> Spans:
        match self.mapping:
            case Window(before=before, after=after):
                return line.shift_edges(spans, -before, after) if is_up else line.shift_edges(spans, -after, before)
            case SelfBefore(before=before):
                return line.shift_edges(spans, -before, -1) if is_up else line.shift_edges(spans, 1, before)
            case _:
                return spans


def _newest(keys: PartitionSet) -> PartitionSet:
    if keys.grain is Grain.IDENTITY or not keys:
        return keys
    end = keys.all_spans[-1][1]
    return keys.each(lambda spans: line.intersect(spans, ((end - 1, end),)))


def describe(mapping: Mapping) -> str:
    """Return the mapping in words, as ``show`` prints it."""
    match mapping:
        case Same():
            return "same partition"
        case ByArrival():
            return "by arrival"
        case Window(before=before, after=after):
            sides = [f"the {before} before" if before else "", f"the {after} after" if after else ""]
            return "own partition and " + " and ".join(s for s in sides if s) if before or after else "own partition"
        case RollUp():
            return "roll-up"
        case FanOut():
            return "fan-out"
        case All():
            return "all partitions"
        case Latest():
            return "the latest partition"
        case SelfBefore(before=before):
            return f"the {counted(before, 'partition')} of its own before"
        case _:
            assert_never(mapping)
