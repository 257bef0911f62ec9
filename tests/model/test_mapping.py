"""Mappings in both directions."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from remint.model.mapping import ByArrival, Mapping, RollUp, Same, Trailing, downstream, upstream
from remint.model.partition import Grain, PartitionSet

DAY = st.dates(date(2024, 1, 25), date(2024, 3, 5)).map(date.isoformat)
MAPPINGS: st.SearchStrategy[Mapping] = st.one_of(
    st.just(Same()), st.just(ByArrival()), st.integers(1, 10).map(lambda n: Trailing(before=n)), st.just(RollUp())
)


@given(MAPPINGS, DAY, DAY)
def test_upstream_and_downstream_are_inverse(mapping: Mapping, up: str, down: str) -> None:
    grain = Grain.MONTH if isinstance(mapping, RollUp) else Grain.DAY
    unit = PartitionSet.of(grain, [down[:7] if grain is Grain.MONTH else down])
    source = PartitionSet.of(Grain.DAY, [up])

    reads = source & upstream(mapping, unit, Grain.DAY)
    reached = unit & downstream(mapping, source, grain)
    assert bool(reads) == bool(reached)


@given(st.frozensets(DAY, max_size=6), st.frozensets(DAY, max_size=6), MAPPINGS)
def test_both_directions_distribute_over_union(a: frozenset[str], b: frozenset[str], mapping: Mapping) -> None:
    grain = Grain.MONTH if isinstance(mapping, RollUp) else Grain.DAY
    left, right = PartitionSet.of(Grain.DAY, a), PartitionSet.of(Grain.DAY, b)

    together = downstream(mapping, left | right, grain)
    assert together == downstream(mapping, left, grain) | downstream(mapping, right, grain)


def test_a_trailing_window_reads_its_own_day_and_those_before() -> None:
    unit = PartitionSet.of(Grain.DAY, ["2024-03-02"])
    assert list(upstream(Trailing(before=2), unit, Grain.DAY)) == ["2024-02-29", "2024-03-01", "2024-03-02"]
    assert list(downstream(Trailing(before=2), unit, Grain.DAY)) == ["2024-03-02", "2024-03-03", "2024-03-04"]
