"""A contract becomes columns, key and checks; what could not be held is refused with its line."""

from __future__ import annotations

import duckdb
import pytest

from remint.checks.contract import Contract
from remint.errors import ProjectInvalid
from remint.loading.contract_files import read_contract
from remint.model.dataset import Column, Severity

HEAD = (
    "apiVersion: v3.1.0\nkind: DataContract\nid: a\nversion: 1.0.0\nstatus: active\n"
    "schema:\n  - name: t\n    properties:\n"
)
TYPES = {
    "s": "VARCHAR",
    "n": "BIGINT",
    "d": "DOUBLE",
    "m": "DECIMAL(18,2)",
    "day": "DATE",
    "at": "TIMESTAMPTZ",
    "b": "BOOLEAN",
}


def compiled(columns: str, table: str = "") -> Contract:
    return read_contract(HEAD + columns + table, "c.yaml")


def with_column(more: str, type_: str = "BIGINT") -> str:
    return f"      - name: v\n        physicalType: {type_}\n{more}"


def refused(columns: str, table: str = "") -> list[str]:
    with pytest.raises(ProjectInvalid) as raised:
        compiled(columns, table)
    return [f"{m.where}: {m.message}" for m in raised.value.mistakes]


def violations(contract: Contract, values: str, type_: str = "BIGINT") -> dict[str, int]:
    """Run the checks over one column ``v`` of the values, as the engine does."""
    made = ", ".join(f'{check.sql} AS "{check.name}"' for check in contract.checks)
    rows = f"(SELECT CAST(v AS {type_}) AS v FROM (VALUES {values}) AS t(v))"
    found = duckdb.sql(f"SELECT {made} FROM {rows}")
    return dict(zip(found.columns, found.fetchall()[0], strict=True))


def test_columns_stand_in_the_order_of_the_contract_with_their_types() -> None:
    columns = "".join(
        f"      - name: c{i}\n        physicalType: {t}\n"
        for i, t in enumerate(["text", "int", "Long", "bool", "timestamp", "decimal(10, 2)", "DATE", "double"])
    )

    assert [c.type for c in compiled(columns).columns] == [
        "VARCHAR",
        "INTEGER",
        "BIGINT",
        "BOOLEAN",
        "TIMESTAMPTZ",
        "DECIMAL(10,2)",
        "DATE",
        "DOUBLE",
    ]


def test_the_key_stands_in_the_order_of_its_positions() -> None:
    columns = "".join(
        f"      - {{name: c{i}, physicalType: int, primaryKey: true, primaryKeyPosition: {p}}}\n"
        for i, p in enumerate([3, 1, 2])
    )
    contract = compiled(columns)

    assert contract.key == ("c1", "c2", "c0")
    assert contract.columns[0] == Column(name="c0", type="INTEGER", required=True)
    assert {c.name for c in contract.checks} == {"c0 is not null", "c1 is not null", "c2 is not null"}


@pytest.mark.parametrize(
    ("rule", "type_", "values", "expected"),
    [
        ("required: true", "BIGINT", "(1), (NULL), (NULL)", {"v is not null": 2}),
        ("unique: true", "BIGINT", "(1), (1), (2), (NULL), (NULL)", {"v is unique": 1}),
        ("logicalTypeOptions: {minimum: 1, maximum: 3}", "BIGINT", "(0), (1), (3), (4), (5), (NULL)",
         {"v is at least 1": 1, "v is at most 3": 2}),
        ("logicalTypeOptions: {exclusiveMinimum: 1, exclusiveMaximum: 3}", "BIGINT", "(1), (2), (3)",
         {"v is more than 1": 1, "v is less than 3": 1}),
        ("logicalTypeOptions: {minimum: 0}", "DOUBLE", "('nan'), ('-1'), ('1')", {"v is at least 0": 2}),
        ('logicalTypeOptions: {minimum: "2026-10-01"}', "DATE", "('2026-09-30'), ('2026-10-01')",
         {"v is at least 2026-10-01": 1}),
        ("logicalTypeOptions: {minLength: 2, maxLength: 3}", "VARCHAR", "('a'), ('ab'), ('abcd'), (NULL)",
         {"v has at least 2 characters": 1, "v has at most 3 characters": 1}),
        ("logicalTypeOptions: {pattern: '^t-[0-9]+$'}", "VARCHAR", "('t-1'), ('t-x'), (NULL)",
         {"v matches ^t-[0-9]+$": 1}),
        ("enum: [{value: a}, {value: b}]", "VARCHAR", "('a'), ('c')", {"v is one of its enum": 1}),
        ("quality: [{metric: nullValues, mustBe: 0}]", "BIGINT", "(NULL), (1)", {"null values of v must be 0": 1}),
        ("quality: [{metric: nullValues, mustBeLessThan: 2}]", "BIGINT", "(NULL), (1)",
         {"null values of v must be less than 2": 0}),
        ("quality: [{metric: nullValues, mustBeLessThan: 2}]", "BIGINT", "(NULL), (NULL), (NULL)",
         {"null values of v must be less than 2": 3}),
        ("quality: [{metric: nullValues, mustBeLessOrEqualTo: 40, unit: percent}]", "BIGINT", "(NULL), (1)",
         {"null values of v must be less or equal to 40 percent": 1}),
        ("quality: [{metric: missingValues, arguments: {missingValues: [null, '', N/A]}, mustBe: 0}]", "VARCHAR",
         "(NULL), (''), ('N/A'), ('x')", {"missing values of v must be 0": 3}),
        ("quality: [{metric: invalidValues, arguments: {validValues: [a, b]}, mustBe: 0}]", "VARCHAR",
         "('a'), ('c'), (NULL)", {"invalid values of v must be 0": 1}),
        ("quality: [{metric: invalidValues, arguments: {pattern: '^a'}, mustBe: 0}]", "VARCHAR",
         "('a'), ('ca'), (NULL)", {"invalid values of v must be 0": 1}),
        ("quality: [{metric: duplicateValues, mustBe: 0}]", "BIGINT", "(1), (1), (2)",
         {"duplicate values of v must be 0": 1}),
        ("quality: [{type: sql, query: 'sum(v)', mustBeBetween: [1, 5], name: fits}]", "BIGINT", "(2), (2)",
         {"fits": 0}),
        ("quality: [{type: sql, query: 'sum(v)', mustBeBetween: [1, 5], name: fits}]", "BIGINT", "(9)", {"fits": 1}),
        ("quality: [{type: sql, query: 'sum(v)', mustBeGreaterThan: 0, name: fits}]", "BIGINT", "(NULL)", {"fits": 1}),
    ],
)  # fmt: skip
def test_a_rule_counts_the_rows_that_break_it(rule: str, type_: str, values: str, expected: dict[str, int]) -> None:
    contract = compiled(with_column(f"        {rule}\n", type_))

    assert violations(contract, values, type_) == expected


def test_a_row_count_is_broken_by_an_empty_partition_too() -> None:
    least = compiled(with_column(""), "    quality: [{metric: rowCount, mustBeGreaterThan: 0}]\n").checks[0]
    most = compiled(with_column(""), "    quality: [{metric: rowCount, mustBeLessThan: 9}]\n").checks[0]

    assert (least.fails_empty, most.fails_empty) == (True, False)


def test_severity_decides_whether_a_check_blocks() -> None:
    rules = ", ".join(
        f"{{metric: nullValues, mustBeLessThan: {i}{s}}}"
        for i, s in enumerate(["", ", severity: error", ", severity: warning", ", severity: info"], start=1)
    )

    severities = [c.severity for c in compiled(with_column(f"        quality: [{rules}]\n")).checks]

    assert severities == [Severity.BLOCK, Severity.BLOCK, Severity.WARN, Severity.WARN]


def test_checks_of_one_name_get_names_of_their_own() -> None:
    rules = "{type: sql, query: min(v), mustBe: 1, name: x}, {type: sql, query: max(v), mustBe: 1, name: x}"

    assert [c.name for c in compiled(with_column(f"        quality: [{rules}]\n")).checks] == ["x", "x (2)"]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (with_column("        requierd: true\n"),
         "c.yaml:11: 'requierd' is not a key that the contract standard has here; nearest: required"),
        ("      - name: v\n", "c.yaml:9: v has no physicalType"),
        (with_column("", "JSON"), "c.yaml:10: v: physicalType 'JSON' is none of BOOLEAN, INTEGER, BIGINT"),
        (with_column("", "DECIMAL(40,2)"), "c.yaml:10: v: physicalType 'DECIMAL(40,2)' is none of"),
        (with_column("      - {name: V, physicalType: int}\n"), "c.yaml:11: column 'V': there is 'v' already"),
        ("      - {name: a b, physicalType: int}\n", "c.yaml:9: column name 'a b' holds a character"),
        (with_column("        primaryKeyPosition: one\n"),
         "c.yaml:11: [0].primaryKeyPosition: 'one' is not of type 'integer'"),
        (with_column("        logicalTypeOptions:\n          multipleOf: 2\n"),
         "c.yaml:12: v: the option multipleOf would never be checked"),
        (with_column("        logicalType: string\n        logicalTypeOptions: {minLength: 1}\n"),
         "c.yaml:12: v: minLength needs a VARCHAR column; this one is BIGINT"),
        (with_column("        logicalTypeOptions: {pattern: '(?=x)'}\n", "VARCHAR"),
         "c.yaml:11: v: the pattern '(?=x)' has look-around"),
        (with_column("        quality:\n          - {type: text, description: looks fine}\n"),
         "c.yaml:12: a quality rule of type text would never be checked"),
        (with_column("        quality:\n          - {type: custom, engine: soda, implementation: x}\n"),
         "c.yaml:12: a quality rule of type custom would never be checked"),
        (with_column("        quality:\n          - {metric: nulValues, mustBe: 0}\n"),
         "c.yaml:12: [0].metric: 'nulValues' is not one of ['nullValues', 'missingValues'"),
        (with_column("        quality:\n          - metric: nullValues\n"),
         "c.yaml:12: quality[0]: needs exactly one comparison"),
        (with_column("        quality:\n          - {metric: nullValues, mustBe: 0, severity: fatal}\n"),
         "c.yaml:12: severity 'fatal' is none of error, warning, info"),
        (with_column("        quality:\n          - {metric: rowCount, mustBe: '3'}\n"),
         "c.yaml:12: mustBe is '3'; it must be a number"),
        (with_column("        quality:\n          - {metric: invalidValues, mustBe: 0}\n"),
         "c.yaml:12: invalidValues needs validValues or a pattern"),
        (with_column("        quality:\n          "
                     "- {metric: invalidValues, mustBe: 0, arguments: {validValues: [1]}}\n",
                     "VARCHAR"),
         "c.yaml:12: v is VARCHAR; it cannot be compared with 1"),
        (with_column("        quality:\n          - {metric: nullValues, arguments: {filter: x}, mustBe: 0}\n"),
         "c.yaml:12: nullValues has no argument 'filter'; it would never be checked"),
        (with_column("        quality:\n          - {type: sql, query: SELECT count(*) FROM t, mustBe: 0}\n"),
         "c.yaml:12: 'SELECT count(*) FROM t' is not one expression"),
        (with_column("        quality:\n          - {type: sql, query: v, mustBe: 0}\n"),
         "c.yaml:12: 'v' is no aggregate"),
        (with_column("        quality:\n          - {type: sql, query: sum(w), mustBe: 0}\n"),
         "c.yaml:12: 'sum(w)' names the column 'w'"),
        (with_column("        quality:\n          - {type: sql, query: max(now()), mustBe: 0}\n"),
         "c.yaml:12: in 'max(now())': now()"),
        (with_column("  - name: u\n    properties: []\n"), "c.yaml:6: the contract describes 2 tables"),
        (with_column("        logicalType: object\n        properties: [{name: x, logicalType: string}]\n"),
         "c.yaml:9: v: nested columns are not supported"),
    ],
)  # fmt: skip
def test_what_cannot_be_held_is_refused_with_its_line(columns: str, expected: str) -> None:
    shown = refused(columns)

    assert any(s.startswith(expected) for s in shown), shown


def test_a_wrong_key_does_not_make_the_good_ones_beside_it_wrong() -> None:
    found = refused(
        with_column("        requierd: true\n        quality:\n          - {metric: nulValues, mustBe: 0}\n")
    )

    assert [s.split(": ")[0] for s in found] == ["c.yaml:11", "c.yaml:13"]


def test_a_version_that_yaml_reads_as_a_number_is_refused_with_the_cure() -> None:
    with pytest.raises(ProjectInvalid) as raised:
        read_contract(HEAD.replace("1.0.0", "1.0") + with_column(""), "c.yaml")

    (mistake,) = raised.value.mistakes
    assert (mistake.where, mistake.hint) == ("c.yaml:4", 'quote it: "1.0"')


@pytest.mark.parametrize(
    ("team", "owner"),
    [
        ("", ""),
        ("team:\n  name: finance@shop.example\n  members: [{username: ana}]\n", "finance@shop.example"),
        ("team:\n  members: [{username: ana}, {username: bea}]\n", "ana, bea"),
        ("team:\n  - username: ana\n", "ana"),
    ],
)
def test_the_team_of_a_contract_is_to_be_told(team: str, owner: str) -> None:
    assert compiled(with_column(""), team).owner == owner


def test_relationships_are_pointed_out_as_not_checked() -> None:
    columns = with_column("        relationships: [{type: foreignKey, to: u.v}]\n")

    assert compiled(columns).warnings == ("c.yaml:11: relationships are documentation; remint does not check them",)
