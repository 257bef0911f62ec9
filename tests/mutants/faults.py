"""Planted faults: one line of the code made wrong, and the fast tests that must notice."""

from __future__ import annotations

from dataclasses import dataclass

EXACT = "tests/planner/test_exact.py::test_histories_that_failed_once_stay_exact"
FOLDING = "tests/planner/test_folding.py"
MAPPING = "tests/model/test_mapping.py"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A replacement of text that occurs exactly once in a file below ``src/remint``."""

    name: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]
    says: str = ""
    """What a test says that notices it for the right reason."""
    is_quick: bool = False
    """Planted by ``make test``, too."""


FAULTS = (
    Fault(
        name="window_one_short",
        file="model/mapping.py",
        right="line.shift_edges(spans, -before, after) if is_up",
        wrong="line.shift_edges(spans, min(0, 1 - before), after) if is_up",
        tests=(EXACT,),
    ),
    Fault(
        name="downstream_forgets_after",
        file="model/mapping.py",
        right="else line.shift_edges(spans, -after, before)",
        wrong="else line.shift_edges(spans, 0, before)",
        tests=(EXACT,),
    ),
    Fault(
        name="rollup_edge_le",
        file="model/partition.py",
        right="position_at(grain, b - 1, to_zone, is_last=True) + 1",
        wrong="position_at(grain, b, to_zone) + 1",
        tests=(EXACT,),
    ),
    Fault(
        name="latest_reads_all",
        file="model/mapping.py",
        right="            case Latest():\n                return _newest(visible)\n",
        wrong="            case Latest():\n                return visible\n",
        tests=(EXACT,),
    ),
    Fault(
        name="self_chain_stops_early",
        file="model/mapping.py",
        right="later = line.chain(seeds, line.union(units.spans(label), seeds), reach)",
        wrong="later = seeds",
        tests=("tests/planner/test_build.py",),
        is_quick=True,
    ),
    Fault(
        name="weeks_are_no_later_than_their_days",
        file="model/mapping.py",
        right="return self.source.grain is not Grain.DAY or self.reader.zone != self.source.zone",
        wrong="return False",
        tests=(EXACT,),
    ),
    Fault(
        name="suspects_cleared_blindly",
        file="planner/folding.py",
        right="suspects = suspects - recorded if run.saw_everything else suspects | recorded",
        wrong="suspects = suspects - recorded",
        tests=(FOLDING,),
        is_quick=True,
    ),
    Fault(
        name="missing_after_rollback_forgotten",
        file="planner/folding.py",
        right="if (left := held - gone)",
        wrong="if (left := held)",
        tests=(FOLDING,),
        is_quick=True,
    ),
    Fault(
        name="edges_of_another_time_trusted",
        file="planner/folding.py",
        right="kept if kept and kept.edges == edges else empty",
        wrong="kept or empty",
        tests=(FOLDING,),
        is_quick=True,
    ),
    Fault(
        name="cutoff_ignores_rows",
        file="execution/stage.py",
        right="return inputs != unit_inputs(self.graph, dataset, key, self.before)",
        wrong="return [*map(set, inputs.values())] "
        "!= [*map(set, unit_inputs(self.graph, dataset, key, self.before).values())]",
        tests=(EXACT,),
    ),
    Fault(
        name="projection_misses_column",
        file="engines/duckdb.py",
        right="over = [[c for c in dataset.columns if c.name in columns] for columns in dataset.read_as]",
        wrong="over = [[c for c in dataset.columns if c.name in columns[:1]] for columns in dataset.read_as]",
        tests=("tests/engines/test_cuts.py",),
    ),
    Fault(
        name="logic_digest_ignores_constant",
        file="loading/sql_logic.py",
        right="    if token.token_type in _LITERALS:\n",
        wrong='    if token.token_type is TokenType.NUMBER:\n        return "0"\n'
        "    if token.token_type in _LITERALS:\n",
        tests=("tests/loading/test_sql_logic.py",),
        is_quick=True,
    ),
)
