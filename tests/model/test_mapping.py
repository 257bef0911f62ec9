"""Mappings in both directions, between every pair of cuts that a project may declare."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.model.mapping import (
    All,
    ByArrival,
    Edge,
    FanOut,
    Latest,
    Mapping,
    RollUp,
    Same,
    SelfBefore,
    Window,
)
from remint.model.partition import Grain, PartitionSet, PartitionSpec

ZONES = ("UTC", "Europe/Madrid", "Pacific/Apia", "Asia/Kolkata")
TENANTS = ("acme", "bolt/2", "c")
PAIRS = {
    Same: [(g, g) for g in Grain],
    ByArrival: [(Grain.DAY, Grain.DAY), (Grain.HOUR, Grain.HOUR)],
    Window: [(g, g) for g in Grain if g is not Grain.IDENTITY],
    SelfBefore: [(g, g) for g in Grain if g is not Grain.IDENTITY],
    RollUp: [
        (Grain.DAY, Grain.HOUR),
        (Grain.WEEK, Grain.DAY),
        (Grain.MONTH, Grain.DAY),
        (Grain.MONTH, Grain.WEEK),
        (Grain.WEEK, Grain.HOUR),
    ],
    FanOut: [(Grain.HOUR, Grain.DAY), (Grain.DAY, Grain.WEEK), (Grain.DAY, Grain.MONTH), (Grain.WEEK, Grain.MONTH)],
    All: [(a, b) for a in Grain for b in Grain],
    Latest: [(a, b) for a in Grain for b in Grain],
}
CLOCKS_CHANGE = st.sampled_from([date(2026, 3, 27), date(2026, 10, 23), date(2011, 12, 28), date(2024, 12, 28)])


@st.composite
def keys(draw: st.DrawFn, spec: PartitionSpec, values: tuple[str, ...], first: date) -> PartitionSet:
    """Return a few keys near a day on which clocks, weeks or years change."""
    if spec.grain is Grain.IDENTITY:
        return PartitionSet.of(Grain.IDENTITY, draw(st.frozensets(st.sampled_from(TENANTS), max_size=3)))
    found = PartitionSet(spec.grain)
    for value in values:
        days = draw(st.frozensets(st.integers(0, 5), max_size=4))
        listed = PartitionSet.of(Grain.DAY, [(first + timedelta(days=d)).isoformat() for d in days])
        found = found | listed.to_grain(spec.grain).over([value])
    hours = [k for k in found if draw(st.booleans())] if spec.grain is Grain.HOUR else list(found)
    return PartitionSet.of(spec.grain, hours[:40])


@st.composite
def edges(draw: st.DrawFn) -> tuple[Edge, PartitionSet, PartitionSet]:
    """Return an edge with the units of its reader and the partitions of its source."""
    kind = draw(st.sampled_from(list(PAIRS)))
    mine, theirs = draw(st.sampled_from(PAIRS[kind]))
    made: dict[type, Mapping] = {
        Window: Window(before=draw(st.integers(0, 3)), after=draw(st.integers(0, 3))),
        SelfBefore: SelfBefore(before=draw(st.integers(1, 3))),
    }
    mapping = made.get(kind) or kind()
    is_same_cut = kind in (Same, Window, ByArrival, SelfBefore)
    zones = [draw(st.sampled_from(ZONES)) for _ in range(2)]
    zones = [zones[0]] * 2 if is_same_cut else zones
    labels = [draw(st.sampled_from(["none", "tenant", "version"])) for _ in range(2)]
    labels = [labels[0]] * 2 if kind is SelfBefore else labels
    specs, versions, values = [], [], []
    for grain, zone, label in zip((mine, theirs), zones, labels, strict=True):
        has_label = label != "none" and grain is not Grain.IDENTITY
        zone_here = "UTC" if grain in (Grain.HOUR, Grain.IDENTITY) else zone
        specs.append(PartitionSpec(column="p", grain=grain, label="l" if has_label else None, zone=zone_here))
        versions.append("v2" if has_label and label == "version" else "")
        kept = {"tenant": TENANTS, "version": ("v1", "v2")}
        values.append(kept[label] if has_label else ("",))
    first = draw(CLOCKS_CHANGE)
    units = draw(keys(specs[0], (versions[0],) if versions[0] else values[0], first))
    present = draw(keys(specs[1], values[1], first))
    edge = Edge(
        mapping=mapping, reader=specs[0], source=specs[1], reader_version=versions[0], source_version=versions[1]
    )
    return edge, units, present


@given(edges())
def test_upstream_and_downstream_are_inverse(drawn: tuple[Edge, PartitionSet, PartitionSet]) -> None:
    edge, units, present = drawn
    for unit in list(units)[:6]:
        reads = edge.upstream(PartitionSet.of(units.grain, [unit]), present)
        assert not reads - present
        for source in list(present)[:6]:
            reached = edge.downstream(PartitionSet.of(present.grain, [source]), units, present)
            assert (source in reads) == (unit in reached), (unit, source)


@given(edges())
def test_both_directions_are_the_union_over_their_keys(drawn: tuple[Edge, PartitionSet, PartitionSet]) -> None:
    edge, units, present = drawn

    reads, reached = PartitionSet(present.grain), PartitionSet(units.grain)
    for key in units:
        reads = reads | edge.upstream(PartitionSet.of(units.grain, [key]), present)
    for key in present:
        reached = reached | edge.downstream(PartitionSet.of(present.grain, [key]), units, present)

    assert edge.upstream(units, present) == reads
    assert edge.downstream(present, units, present) == reached


@given(edges())
def test_a_unit_that_an_input_makes_exist_reads_it(drawn: tuple[Edge, PartitionSet, PartitionSet]) -> None:
    edge, _, present = drawn
    for key in list(present)[:6]:
        source = PartitionSet.of(present.grain, [key])
        for unit in list(edge.domain(source))[:6]:
            assert edge.upstream(PartitionSet.of(edge.reader.grain, [unit]), source) == edge.visible(source)


def _edge(mapping: Mapping, mine: PartitionSpec, theirs: PartitionSpec | None = None) -> Edge:
    return Edge(mapping=mapping, reader=mine, source=theirs or mine)


DAYS = PartitionSpec(column="d", grain=Grain.DAY)
HOURS = PartitionSpec(column="h", grain=Grain.HOUR)
EVERY_DAY = PartitionSet.range(Grain.DAY, "2024-01-01", "2024-12-31")


def test_a_window_reads_its_own_day_and_those_on_both_sides() -> None:
    edge = _edge(Window(before=2, after=1), DAYS)
    unit = PartitionSet.of(Grain.DAY, ["2024-03-01"])

    assert list(edge.upstream(unit, EVERY_DAY)) == ["2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02"]
    assert list(edge.downstream(unit, EVERY_DAY, EVERY_DAY)) == ["2024-02-29", "2024-03-01", "2024-03-02", "2024-03-03"]


def test_own_partitions_reach_the_days_after_and_at_length_all_of_them() -> None:
    edge = _edge(SelfBefore(before=2), DAYS)
    unit = PartitionSet.of(Grain.DAY, ["2024-03-01"])
    with_gaps = PartitionSet.of(Grain.DAY, ["2024-03-01", "2024-03-03", "2024-03-04", "2024-03-07", "2024-03-08"])

    assert list(edge.upstream(unit, EVERY_DAY)) == ["2024-02-28", "2024-02-29"]
    assert list(edge.downstream(unit, EVERY_DAY, EVERY_DAY)) == ["2024-03-02", "2024-03-03"]
    assert list(edge.follows(unit, with_gaps)) == ["2024-03-03", "2024-03-04"]


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        ("2026-03-29", "Europe/Madrid", 23),
        ("2026-10-25", "Europe/Madrid", 25),
        ("2024-03-31", "Europe/Madrid", 23),
        ("2024-10-27", "Europe/Madrid", 25),
        ("2026-06-01", "Europe/Madrid", 24),
        ("2011-12-30", "Pacific/Apia", 0),
        ("2026-03-29", "UTC", 24),
        ("2026-06-01", "Asia/Kolkata", 25),
    ],
)
def test_a_day_of_a_zone_has_the_hours_that_its_clocks_gave_it(day: str, zone: str, hours: int) -> None:
    """A zone half an hour off shares an hour with the day before and one with the day after."""
    local = PartitionSpec(column="d", grain=Grain.DAY, zone=zone)
    every_hour = EVERY_HOUR[day[:4]]

    read = _edge(RollUp(), local, HOURS).upstream(PartitionSet.of(Grain.DAY, [day]), every_hour)

    assert len(read) == hours


EVERY_HOUR = {y: PartitionSet.range(Grain.HOUR, f"{y}-01-01T00", f"{y}-12-31T23") for y in ("2011", "2024", "2026")}


def test_the_last_days_of_a_year_belong_to_the_first_iso_week_of_the_next() -> None:
    weeks = PartitionSpec(column="w", grain=Grain.WEEK)
    days = PartitionSet.range(Grain.DAY, "2024-12-23", "2025-01-12")

    read = _edge(RollUp(), weeks, DAYS).upstream(PartitionSet.of(Grain.WEEK, ["2025-W01"]), days)

    assert read.as_ranges() == ["2024-12-30..2025-01-05"]


def test_readers_see_the_present_version_of_a_dataset_that_keeps_its_old_ones() -> None:
    edge = Edge(
        mapping=Same(), reader=DAYS, source=PartitionSpec(column="d", grain=Grain.DAY, label="v"), source_version="v2"
    )
    kept = PartitionSet.of(Grain.DAY, ["2024-01-01/v1", "2024-01-01/v2", "2024-01-02/v1"])

    assert list(edge.upstream(EVERY_DAY, kept)) == ["2024-01-01/v2"]
    assert list(edge.downstream(kept, EVERY_DAY, kept)) == ["2024-01-01"]
    assert list(edge.domain(kept)) == ["2024-01-01"]


def test_one_tenant_of_a_day_reads_that_tenant_alone() -> None:
    spec = PartitionSpec(column="d", grain=Grain.DAY, label="tenant")
    kept = PartitionSet.of(Grain.DAY, ["2024-01-01/acme", "2024-01-01/bolt", "2024-01-02/acme"])
    unit = PartitionSet.of(Grain.DAY, ["2024-01-01/acme"])

    assert list(_edge(Same(), spec).upstream(unit, kept)) == ["2024-01-01/acme"]
    assert list(_edge(Same(), DAYS, spec).upstream(PartitionSet.of(Grain.DAY, ["2024-01-01"]), kept)) == list(kept)[:2]


def test_a_value_rolls_up_all_of_its_times() -> None:
    spec = PartitionSpec(column="d", grain=Grain.DAY, label="tenant")
    tenants = PartitionSpec(column="tenant", grain=Grain.IDENTITY)
    kept = PartitionSet.of(Grain.DAY, ["2024-01-01/acme", "2024-01-01/bolt", "2024-01-02/acme"])
    edge = _edge(RollUp(), tenants, spec)

    assert list(edge.domain(kept)) == ["acme", "bolt"]
    assert list(edge.upstream(PartitionSet.of(Grain.IDENTITY, ["acme"]), kept)) == [
        "2024-01-01/acme",
        "2024-01-02/acme",
    ]


def test_a_reference_is_read_in_its_newest_state_and_reaches_everything() -> None:
    edge = _edge(Latest(), DAYS)
    kept = PartitionSet.of(Grain.DAY, ["2024-01-01", "2024-02-01"])

    assert list(edge.upstream(EVERY_DAY, kept)) == ["2024-02-01"]
    assert edge.downstream(PartitionSet.of(Grain.DAY, ["2024-01-01"]), EVERY_DAY, kept) == PartitionSet(Grain.DAY)
    assert edge.downstream(PartitionSet.of(Grain.DAY, ["2024-02-01"]), EVERY_DAY, kept) == EVERY_DAY


def test_values_of_an_identity_input_call_for_no_days() -> None:
    edge = Edge(
        mapping=FanOut(),
        reader=PartitionSpec(column="d", grain=Grain.DAY, label="tenant"),
        source=PartitionSpec(column="tenant", grain=Grain.IDENTITY),
    )

    assert not edge.domain(PartitionSet.of(Grain.IDENTITY, TENANTS))
