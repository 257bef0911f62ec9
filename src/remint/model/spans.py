"""Algebra of half-open integer ranges: what partition sets are made of.

Rules: every function takes and returns tuples of disjoint, sorted spans that do not touch, so cost follows the number
of gaps and not the number of keys.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

Span = tuple[int, int]
"""Half-open ``[start, end)``."""
Spans = tuple[Span, ...]


def merge(spans: Iterable[Span]) -> Spans:
    """Return sorted spans with those that overlap or touch joined and empty ones left out."""
    merged: list[Span] = []
    for start, end in spans:
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def union(left: Spans, right: Spans) -> Spans:
    """Return the points of either."""
    if not left or not right:
        return left or right
    return merge(sorted((*left, *right)))


def intersect(left: Spans, right: Spans) -> Spans:
    """Return the points of both."""
    found, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start < end:
            found.append((start, end))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return tuple(found)


def subtract(left: Spans, right: Spans) -> Spans:
    """Return the points of ``left`` that ``right`` has not."""
    kept: list[Span] = []
    j = 0
    for start, end in left:
        at = start
        while j < len(right) and right[j][1] <= at:
            j += 1
        k = j
        while k < len(right) and right[k][0] < end:
            if right[k][0] > at:
                kept.append((at, right[k][0]))
            at = max(at, right[k][1])
            k += 1
        if at < end:
            kept.append((at, end))
    return tuple(kept)


def contains(spans: Spans, point: int) -> bool:
    """Return whether ``point`` lies in one of the spans."""
    index = bisect_right(spans, (point, float("inf"))) - 1
    return index >= 0 and spans[index][0] <= point < spans[index][1]


def count(spans: Spans) -> int:
    """Return how many points there are."""
    return sum(end - start for start, end in spans)


def shift_edges(spans: Spans, first: int, last: int) -> Spans:
    """Return the union of ``[p + first, p + last]`` over every point ``p``."""
    return merge(sorted((start + first, end + last) for start, end in spans))


def chain(seeds: Spans, line: Spans, reach: int) -> Spans:
    """Return the points of ``line`` that are in ``seeds``, or at most ``reach`` after another point of the result."""
    found: list[Span] = []
    last: int | None = None
    for start, end in line:
        at: int | None = start
        if last is None or start - last > reach:
            inside = intersect(seeds, ((start, end),))
            at = inside[0][0] if inside else None
        if at is not None:
            found.append((at, end))
            last = end - 1
    return tuple(found)
