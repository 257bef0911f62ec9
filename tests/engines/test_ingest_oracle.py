"""The set-based path against a plain reading of each line, on lines that chance has broken."""

import json
import math
import random
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remint.model.dataset import Column
from tests.engines.ingesting import BRONZE, COLUMNS, GOOD, Lake, counts, line
from tests.proof import proof, size

INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d(?::?\d\d)?)", re.ASCII)
NEEDED = {"event_id", "event_timestamp", "ingestion_timestamp"}


def is_row(text: str, columns: tuple[Column, ...]) -> bool:
    """Say by the documented rules alone whether a line is a row."""
    try:
        pairs = json.loads(text, object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=_refuse)
        if not isinstance(pairs, Pairs) or any(n > 1 for n in Counter(k.lower() for k, _ in pairs).values()):
            return False
        found = dict(pairs)
        names = {c.name for c in columns}
        if any(k not in names and k.lower() in names for k in found):
            return False
        return all(_holds(c.type, found.get(c.name), c.name in NEEDED) for c in columns)
    except (ValueError, OverflowError):
        return False


class Pairs(list[tuple[str, Any]]):
    pass


class Number(str):
    __slots__ = ()


def _refuse(_: str) -> None:
    raise ValueError


def _holds(kind: str, value: Any, needed: bool) -> bool:
    if value is None:
        return not needed
    if kind == "BOOLEAN":
        return isinstance(value, bool)
    if kind in ("VARCHAR", "DATE", "TIMESTAMPTZ"):
        return isinstance(value, str) and not isinstance(value, Number) and _text_holds(kind, value)
    return isinstance(value, Number) and _number_holds(kind, value)


def _text_holds(kind: str, value: str) -> bool:
    if kind == "VARCHAR":
        return "\0" not in value and not any(0xD800 <= ord(c) < 0xE000 for c in value)
    if kind == "DATE":
        return (
            re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII) is not None
            and 1900 <= date.fromisoformat(value).year < 2200
        )
    match = INSTANT.fullmatch(value)
    if not match:
        return False
    day, clock, fraction, zone = match.groups()
    digits = zone.upper().replace("Z", "+0000").replace(":", "").ljust(5, "0")
    if int(digits[1:3]) > 14 or (fraction or "")[6:].strip("0"):
        return False
    moment = datetime.fromisoformat(f"{day}T{clock}{digits[:3]}:{digits[3:]}").astimezone(UTC)
    return 1900 <= moment.year < 2200


def _number_holds(kind: str, value: str) -> bool:
    if kind == "DOUBLE":
        return math.isfinite(float(value))
    if kind in ("BIGINT", "INTEGER"):
        bits = 63 if kind == "BIGINT" else 31
        return re.fullmatch(r"-?\d+", value) is not None and -(2**bits) <= int(value) < 2**bits
    exact = Fraction(Decimal(value)) if abs(Decimal(value).adjusted()) < 100 else Fraction(1, 7)
    return (exact * 100).denominator == 1 and abs(exact) < 10**8


VALUES = [
    *(
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "7.0",
        "1.5",
        "12.345",
        "1e2",
        "1E400",
        "-1e-5",
        "99999999.99",
        "100000000",
    ),
    *("2147483647", "2147483648", "-9223372036854775808", "9223372036854775808", "123456789012345678901234567890"),
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "01",
        "+1",
        ".5",
        "1.",
        "0x1",
        "tru",
        "None",
        "",
        "[]",
        "[1,{}]",
        "{}",
        '{"a":1,"a":2}',
    ),
    *(
        '""',
        '"x"',
        '"12"',
        '"true"',
        '"null"',
        r'"\u0000"',
        r'"\ud83d\ude00"',
        r'"\ud83d"',
        r'"\x"',
        '"tab\t"',
        '"é"',
        '"\x7f"',
    ),
    *(
        '"2026-07-01"',
        '"2026-02-30"',
        '"2026-7-1"',
        '"1899-12-31"',
        '"2200-01-01"',
        '"0000-01-01"',
        '"2026-07-01T10:00:00"',
    ),
    *(
        '"2026-07-01T10:00:00Z"',
        '"2026-07-01 10:00:00+02:00"',
        '"2026-07-01t10:00:00.5z"',
        '"2026-07-01T10:00:00.123456700Z"',
    ),
    *(
        '"2026-07-01T10:00:00.123456000Z"',
        '"2026-07-01T10:00:00+14:59"',
        '"2026-07-01T10:00:00+15"',
        '"2026-07-01T24:00:00Z"',
    ),
    *('"2026-07-01T10:00:60Z"', '"1900-01-01T00:00:00+01:00"', '"2199-12-31T23:59:59-00:01"', '"2026-13-01T00:00:00Z"'),
]
KEYS = [*GOOD, "Event_Id", "OFFSET", "other", r"event\u005fid", "", "a,b", "ingestion_date"]


def broken(chance: random.Random, number: int) -> str:
    """A line with some members changed, added, repeated or dropped, and some characters changed."""
    members = [(json.dumps(k), json.dumps(v)) for k, v in {**GOOD, "event_id": f"e-{number}"}.items()]
    for _ in range(chance.choice((0, 0, 1, 1, 1, 2))):
        at = chance.randrange(len(members))
        match chance.randrange(4):
            case 0 | 1:
                members[at] = (members[at][0], chance.choice(VALUES))
            case 2:
                members.insert(at, (f'"{chance.choice(KEYS)}"', chance.choice(VALUES)))
            case _:
                del members[at]
    blank = chance.choice(("", " ", "\t", "  \r"))
    text = "{" + ",".join(f"{k}{blank}:{blank}{v}" for k, v in members) + "}"
    if chance.random() < 0.2:
        at = chance.randrange(len(text))
        text = (
            text[:at]
            + chance.choice(("", '"', "\\", ",", "}", "{", ":", "\x01", "é", "0", " ", "\u2028"))
            + text[at + 1 :]
        )
    return text


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("columns", [COLUMNS, tuple(c for c in COLUMNS if c.name != "price")])
def test_an_independent_reading_rejects_the_same_lines(tmp_path: Path, seed: int, columns: tuple[Column, ...]) -> None:
    """Without a decimal column the sets recognise nested lines too, so both kinds of contract are tried."""
    chance = random.Random(seed)
    lines = [broken(chance, number) for number in range(2000)]

    with Lake(tmp_path, replace(BRONZE, columns=columns)) as lake:
        made = lake.ingest("\n".join(lines))
        unequal = {n for n, reason in lake.rejected("line", "reason") if "different content" not in reason}

    expected = {n for n, text in enumerate(lines, start=1) if not is_row(text, columns)}
    assert {n: lines[n - 1] for n in sorted(unequal ^ expected)} == {}
    assert made.rows_read == len(lines)
    assert 0.2 < len(expected) / len(lines) < 0.8


def test_sets_and_python_read_the_same_values(tmp_path: Path) -> None:
    """A member nested this deeply sends a line to Python and changes nothing else."""
    chance = random.Random(99)
    lines = [text for text in (broken(chance, number) for number in range(3000)) if is_row(text, COLUMNS)]
    deep = [f'{text.rstrip()[:-1]},"deep":[[[[]]]]}}' for text in lines]

    with Lake(tmp_path / "sets") as one, Lake(tmp_path / "python") as other:
        sets, python = one.ingest("\n".join(lines)), other.ingest("\n".join(deep))

    assert counts(sets) == counts(python)
    assert [a.digest for a in sets.arrivals] == [a.digest for a in python.arrivals]


@proof
@settings(max_examples=size(20, 40))
@given(
    st.lists(
        st.one_of(
            st.builds(lambda n, c: line(event_id=f"e-{n}", count=c), st.integers(0, 6), st.integers(0, 1)),
            st.builds(lambda n: line(event_id=f"e-{n}", extra=[n]), st.integers(0, 6)),
            st.sampled_from(["", "  ", "{", "[]", "NaN", line(event_id=None), line(count="1")]),
        ),
        max_size=30,
    )
)
def test_any_mixture_reconciles_and_a_second_ingest_adds_nothing(lines: list[str]) -> None:
    content = "\n".join(lines)

    with TemporaryDirectory() as folder, Lake(Path(folder)) as lake:
        first, second = lake.ingest(content), lake.ingest(content)
        stored, rejected = lake.rows("event_id"), lake.rejected("line")

    assert first.rows_read == second.rows_read == sum(1 for text in lines if text.strip())
    assert (counts(second)[0], second.files) == (0, ())
    assert first.rows_added == len({json.loads(t)["event_id"] for t in lines if t.strip() and is_row(t, COLUMNS)})
    assert (len(stored), len(rejected)) == (first.rows_added, first.rows_rejected + second.rows_rejected)
