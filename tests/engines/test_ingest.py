from dataclasses import replace

import pytest

from remint.errors import ProjectError, SourceRejected
from remint.model.dataset import Arrivals, Column, FileSource
from remint.model.digest import ContentDigest
from remint.model.partition import Grain, PartitionSpec
from tests.engines.ingesting import BRONZE, COLUMNS, INGESTED_AT, Lake, MakeLake, counts, line


def reasons(lake: Lake, *lines: str) -> list[str]:
    lake.ingest("\n".join(lines) + "\n")
    return [reason for (reason,) in lake.rejected("reason")]


class TestGoodLines:
    def test_every_type_is_held_exactly(self, lake: Lake) -> None:
        made = lake.ingest(line())

        assert counts(made) == (1, 0, 0)
        assert lake.rows(*(c.name for c in COLUMNS)) == [
            (
                "e-1",
                "2026-07-01 00:00:13.123+00",
                "9007199254740993",
                "-3",
                "0.25",
                "12.50",
                "true",
                "2026-07-01",
                "2026-07-02 00:00:15.001+00",
                "2026-07-02",
            )
        ]

    def test_optional_columns_may_be_null_or_absent(self, lake: Lake) -> None:
        lake.ingest("\n".join([line(event_id="a", count=None, price=None), line(event_id="b", count=..., price=...)]))

        assert lake.rows("event_id", "count", "price") == [("a", None, None), ("b", None, None)]

    def test_other_keys_are_ignored_whatever_they_hold(self, lake: Lake) -> None:
        made = lake.ingest(line(extra={"a": [1, {"a": 2, "b": None}]}, more=[], nothing=None, half="\ud800"))

        assert counts(made) == (1, 0, 0)

    def test_blank_lines_are_not_rows_but_count_as_lines(self, lake: Lake) -> None:
        made = lake.ingest("\n".join(["", line(), "  \t\r", "x", ""]))

        assert counts(made) == (1, 0, 1)
        assert lake.rejected("line") == [(4,)]

    def test_windows_line_ends_and_a_missing_last_one_are_fine(self, lake: Lake) -> None:
        assert counts(lake.ingest(f"{line(event_id='a')}\r\n{line(event_id='b')}\r\n")) == (2, 0, 0)
        assert counts(lake.ingest(f"{line(event_id='c')}\n{line(event_id='d')}")) == (2, 0, 0)

    def test_an_empty_file_has_no_rows(self, lake: Lake) -> None:
        made = lake.ingest("")

        assert (counts(made), made.files, made.quarantine_files) == ((0, 0, 0), (), ())

    def test_text_comes_out_as_it_went_in(self, lake: Lake) -> None:
        texts = [
            '"quoted"',
            "back\\slash",
            "new\nline",
            "é",
            "😀",
            "\u2028",
            "NULL",
            "00123",
            "",
            " x ",
            "null",
            "\x7f",
        ]

        lake.ingest("\n".join(line(event_id=t) for t in texts))

        assert {t for (t,) in lake.rows("event_id")} == set(texts)

    @pytest.mark.parametrize(
        ("text", "stored"),
        [
            ("2026-07-01T00:00:13Z", "2026-07-01 00:00:13+00"),
            ("2026-07-01t00:00:13z", "2026-07-01 00:00:13+00"),
            ("2026-07-01 02:00:13+02:00", "2026-07-01 00:00:13+00"),
            ("2026-06-30T19:30:13-0430", "2026-07-01 00:00:13+00"),
            ("2026-07-01T05:00:13.000001+05", "2026-07-01 00:00:13.000001+00"),
            ("2026-07-01T00:00:13.123456000Z", "2026-07-01 00:00:13.123456+00"),
            ("1900-01-01T00:00:00Z", "1900-01-01 00:00:00+00"),
            ("2199-12-31T23:59:59.999999Z", "2199-12-31 23:59:59.999999+00"),
        ],
    )
    def test_instants_of_any_zone_become_utc(self, lake: Lake, text: str, stored: str) -> None:
        lake.ingest(line(event_timestamp=text))

        assert lake.rows("event_timestamp") == [(stored,)]

    @pytest.mark.parametrize(
        ("written", "column", "stored"),
        [
            ("-9223372036854775808", "offset", "-9223372036854775808"),
            ("9223372036854775807", "offset", "9223372036854775807"),
            ("-0", "offset", "0"),
            ("7", "ratio", "7.0"),
            ("1e-400", "ratio", "0.0"),
            ("123456789012345678901234567890", "ratio", "1.2345678901234568e+29"),
            ("1.500", "price", "1.50"),
            ("15e-1", "price", "1.50"),
            ("-99999999.99", "price", "-99999999.99"),
            ("0", "price", "0.00"),
        ],
    )
    def test_numbers_are_exact_at_their_edges(self, lake: Lake, written: str, column: str, stored: str) -> None:
        lake.ingest(line(**{column: "@"}).replace('"@"', written))

        assert lake.rows(column) == [(stored,)]

    def test_a_wide_decimal_keeps_every_digit(self, make_lake: MakeLake) -> None:
        columns = tuple(replace(c, type="DECIMAL(38,10)") if c.name == "price" else c for c in COLUMNS)
        lake = make_lake(replace(BRONZE, columns=columns))

        lake.ingest(line(price="@").replace('"@"', "1234567890123456789012345678.0123456789"))

        assert lake.rows("price") == [("1234567890123456789012345678.0123456789",)]


NO_OBJECT = [
    ('{"event_id":"e-1"', "expected a JSON object, found no JSON: Expecting ',' delimiter at character 18"),
    ("[]", "expected a JSON object, found a JSON array"),
    ('"text"', 'expected a JSON object, found "text"'),
    ("7", "expected a JSON object, found 7"),
    ("null", "expected a JSON object, found null"),
    ("{}{}", "expected a JSON object, found no JSON: Extra data at character 3"),
    ("[" * 100_000, "expected a JSON object, found one nested too deeply"),
    ('{"a":NaN}', "expected a JSON object, found no JSON: the bare word NaN"),
    ('{"a":-Infinity}', "expected a JSON object, found no JSON: the bare word -Infinity"),
    (line()[:-1] + ',"x":NaN}', "expected a JSON object, found no JSON: the bare word NaN"),
    (line()[:-1] + ',"event_id":"e-1"}', 'expected every key once, found "event_id" twice'),
    (line()[:-1] + ',"x":1,"x":1}', 'expected every key once, found "x" twice'),
    (
        line()[:-1] + ',"Event_Id":"e-1"}',
        'expected keys that differ by more than case, found "Event_Id" for "event_id"',
    ),
    (line()[:-1] + ',"x":1,"X":1}', 'expected keys that differ by more than case, found "X" for "x"'),
    (line(count=..., Count=1), 'expected keys that differ by more than case, found "Count" for "count"'),
    (r'{"event_id":"a","event\u005fid":"b"}', 'expected every key once, found "event_id" twice'),
]
BAD_VALUES = [
    ("event_id", ..., "event_id: expected VARCHAR, found nothing"),
    ("event_id", None, "event_id: expected VARCHAR, found null"),
    ("event_id", 7, "event_id: expected VARCHAR, found 7"),
    ("event_id", {"a": 1}, "event_id: expected VARCHAR, found a JSON object"),
    ("event_id", [1], "event_id: expected VARCHAR, found a JSON array"),
    ("event_id", True, "event_id: expected VARCHAR, found true"),
    ("event_id", "a\0b", 'event_id: expected VARCHAR, found "a\\u0000b" (it holds a NUL character)'),
    ("event_id", "a\ud800", 'event_id: expected VARCHAR, found "a\\ud800" (it holds half of a surrogate pair)'),
    ("offset", "12", 'offset: expected BIGINT, found "12"'),
    ("offset", 12.0, "offset: expected BIGINT, found 12.0"),
    ("offset", 1 << 63, "offset: expected BIGINT, found 9223372036854775808 (out of range)"),
    ("offset", 10**4000, f"offset: expected BIGINT, found 1{'0' * 99}... (out of range)"),
    ("offset", True, "offset: expected BIGINT, found true"),
    ("count", 1 << 31, "count: expected INTEGER, found 2147483648 (out of range)"),
    ("ratio", "0.5", 'ratio: expected DOUBLE, found "0.5"'),
    ("ratio", False, "ratio: expected DOUBLE, found false"),
    ("price", "12.50", 'price: expected DECIMAL(10,2), found "12.50"'),
    ("price", 0.005, "price: expected DECIMAL(10,2), found 0.005 (more than 2 decimals)"),
    ("price", 100000000, "price: expected DECIMAL(10,2), found 100000000 (out of range)"),
    ("is_test", 1, "is_test: expected BOOLEAN, found 1"),
    ("is_test", "true", 'is_test: expected BOOLEAN, found "true"'),
    ("billing_day", "2026-7-1", 'billing_day: expected DATE, found "2026-7-1" (written as YYYY-MM-DD)'),
    ("billing_day", "2026-02-29", 'billing_day: expected DATE, found "2026-02-29" (not in the calendar)'),
    ("billing_day", "1899-12-31", 'billing_day: expected DATE, found "1899-12-31" (outside the years 1900..2199)'),
    ("billing_day", "2200-01-01", 'billing_day: expected DATE, found "2200-01-01" (outside the years 1900..2199)'),
    ("billing_day", "infinity", 'billing_day: expected DATE, found "infinity" (written as YYYY-MM-DD)'),
    ("billing_day", "2026-07-01T00:00:00Z", None),
    ("billing_day", 20260701, "billing_day: expected DATE, found 20260701"),
    (
        "event_timestamp",
        "2026-07-01T00:00:13",
        'event_timestamp: expected TIMESTAMPTZ, found "2026-07-01T00:00:13" (without a time zone)',
    ),
    ("event_timestamp", 1782864013, "event_timestamp: expected TIMESTAMPTZ, found 1782864013"),
    ("event_timestamp", None, "event_timestamp: expected TIMESTAMPTZ, found null"),
    ("event_timestamp", "2026-07-01T24:00:00Z", None),
    ("event_timestamp", "2026-07-01T23:59:60Z", None),
    ("event_timestamp", "2026-07-01T00:00:13 Europe/Madrid", None),
    ("event_timestamp", "2026-07-01T00:00:13+15:00", None),
    ("event_timestamp", "2026-07-01T00:00:13.1234567Z", None),
    ("event_timestamp", "1900-01-01T00:00:00+00:01", None),
    ("event_timestamp", "0001-01-01T00:00:00+14:00", None),
    ("event_timestamp", "yesterday", None),
    ("event_timestamp", "2026-07-01", None),
    ("ingestion_timestamp", ..., "ingestion_timestamp: expected TIMESTAMPTZ, found nothing"),
]


class TestBadLines:
    @pytest.mark.parametrize(("text", "reason"), NO_OBJECT)
    def test_what_is_no_plain_object_is_rejected(self, lake: Lake, text: str, reason: str) -> None:
        assert reasons(lake, text) == [reason]

    @pytest.mark.parametrize(
        "text", [line()[:-1] + ",}", "{'event_id': 'e-1'}", line().replace("12.5", "012.5"), "{event_id:1}", "\x01{}"]
    )
    def test_what_lenient_readers_take_is_rejected(self, lake: Lake, text: str) -> None:
        (reason,) = reasons(lake, text)

        assert reason.startswith("expected a JSON object, found no JSON: ")

    @pytest.mark.parametrize(("column", "value", "reason"), BAD_VALUES)
    def test_a_value_is_never_coerced(self, lake: Lake, column: str, value: object, reason: str | None) -> None:
        (found,) = reasons(lake, line(**{column: value}))

        assert found == reason if reason else found.startswith(f"{column}: expected ")

    @pytest.mark.parametrize(
        ("column", "written", "why"),
        [
            ("ratio", "1e400", "out of range"),
            ("price", "1e99999999999999999999", "out of range"),
            ("price", "1e-99999999999999999999", None),
            ("price", "0.10000000000000000001", "more than 2 decimals"),
            ("offset", "1e3", None),
        ],
    )
    def test_a_number_that_would_lose_digits_is_rejected(
        self, lake: Lake, column: str, written: str, why: str | None
    ) -> None:
        (reason,) = reasons(lake, line(**{column: "@"}).replace('"@"', written))

        assert reason.startswith(f"{column}: expected ")
        assert why is None or reason.endswith(f"({why})")

    def test_a_rejected_row_names_file_line_text_and_day_of_ingest(self, lake: Lake) -> None:
        made = lake.ingest(f"{line()}\n{{broken\n")

        assert lake.rejected(
            "file", "line", "raw", "CAST(ingested_at AS VARCHAR)", "CAST(ingestion_date AS VARCHAR)"
        ) == [("in/x", 2, "{broken", "2026-11-01 10:00:00+00", "2026-11-01")]
        assert [f.key for f in made.quarantine_files] == ["2026-11-01"]

    def test_a_huge_rejected_line_is_kept_cut(self, lake: Lake) -> None:
        assert reasons(lake, "{" + "x" * 100_000)

        assert lake.rejected("length(raw)") == [(65536,)]

    def test_a_line_above_the_limit_is_rejected(self, lake: Lake) -> None:
        (reason,) = reasons(lake, line(event_id="x" * 17_000_000))

        assert reason.startswith("expected at most 16,777,216 characters in a line, found 17,000,")

    def test_one_bad_value_does_not_taint_its_neighbours(self, lake: Lake) -> None:
        lines = [
            line(event_id=f"e-{i}", event_timestamp="never" if i == 0 else "2026-07-01T00:00:00Z") for i in range(500)
        ]

        made = lake.ingest("\n".join(lines))

        assert counts(made) == (499, 0, 1)

    def test_other_bytes_than_utf8_refuse_the_file(self, lake: Lake) -> None:
        with pytest.raises(SourceRejected, match="in/x: expected UTF-8 text"):
            lake.ingest(b'{"event_id":"\xe9"}\n')

    def test_a_key_like_text_within_a_value_is_no_key(self, lake: Lake) -> None:
        hostile = ',"price":99,'

        lake.ingest(line(event_id=hostile, price=1.25))

        assert lake.rows("event_id", "price") == [(hostile, "1.25")]

    def test_a_key_within_a_nested_object_is_not_the_columns(self, lake: Lake) -> None:
        lake.ingest('{"nested":{"price":99.99},' + line(price=1.25)[1:])

        assert lake.rows("price") == [("1.25",)]


class TestTwice:
    def test_ingesting_again_adds_nothing(self, lake: Lake) -> None:
        content = "\n".join(line(event_id=f"e-{i}") for i in range(50))
        lake.ingest(content)

        again = lake.ingest(content)

        assert (counts(again), again.files) == ((0, 50, 0), ())

    def test_an_equal_row_within_the_file_is_a_duplicate(self, lake: Lake) -> None:
        assert counts(lake.ingest("\n".join([line()] * 3))) == (1, 2, 0)

    def test_the_first_of_different_rows_with_one_key_stays(self, lake: Lake) -> None:
        made = lake.ingest("\n".join([line(event_id="z"), line(count=1), line(count=2), line(count=1)]))

        assert counts(made) == (2, 1, 1)
        assert lake.rows("event_id", "count") == [("e-1", "1"), ("z", "-3")]
        assert lake.rejected("line", "reason", "raw") == [(3, "same key as line 2, different content", line(count=2))]

    def test_a_changed_row_for_an_ingested_key_is_rejected(self, lake: Lake) -> None:
        lake.ingest(line(count=1))

        made = lake.ingest("\n".join([line(count=2), line(count=1)]))

        assert counts(made) == (0, 1, 1)
        assert lake.rejected("line", "reason") == [(1, "key already ingested with different content")]

    def test_null_and_a_value_are_different_content(self, lake: Lake) -> None:
        lake.ingest(line(count=None))

        assert counts(lake.ingest(line(count=0))) == (0, 0, 1)

    def test_the_partition_alone_makes_no_row_different(self, lake: Lake) -> None:
        lake.ingest(line(ingestion_date="2026-07-03"))

        assert counts(lake.ingest(line(ingestion_date="2026-07-04"))) == (0, 1, 0)

    def test_a_row_that_remint_timed_is_known_again_in_a_later_run(self, make_lake: MakeLake) -> None:
        source = FileSource(url="in/*", format="jsonl", ingested_at="ingestion_timestamp")
        lake = make_lake(replace(BRONZE, source=source))
        lake.ingest(line())

        assert counts(lake.ingest(line(ingestion_timestamp="1999-01-01T00:00:00Z"))) == (0, 1, 0)

    def test_a_key_of_several_columns_is_one_key(self, make_lake: MakeLake) -> None:
        lake = make_lake(replace(BRONZE, key=("event_id", "offset")))

        assert counts(lake.ingest("\n".join([line(offset=1), line(offset=2), line(offset=1)]))) == (2, 1, 0)

    def test_without_a_key_nothing_is_a_duplicate(self, make_lake: MakeLake) -> None:
        lake = make_lake(replace(BRONZE, key=()))

        assert counts(lake.ingest("\n".join([line()] * 3))) == (3, 0, 0)


class TestPartitions:
    def test_the_source_may_give_the_partition(self, lake: Lake) -> None:
        made = lake.ingest(line(ingestion_date="2026-07-09"))

        assert [f.key for f in made.files] == ["2026-07-09"]

    def test_else_it_is_the_utc_day_of_the_ingestion_timestamp(self, lake: Lake) -> None:
        made = lake.ingest(line(ingestion_timestamp="2026-07-09T23:30:00-01:00"))

        assert [f.key for f in made.files] == ["2026-07-10"]

    def test_or_the_day_of_the_run_where_remint_fills_the_time(self, make_lake: MakeLake) -> None:
        source = FileSource(url="in/*", format="jsonl", ingested_at="ingestion_timestamp")
        lake = make_lake(replace(BRONZE, source=source))

        made = lake.ingest(line(ingestion_timestamp=...))

        assert [f.key for f in made.files] == [INGESTED_AT[:10]]
        assert lake.rows("ingestion_timestamp") == [("2026-11-01 10:00:00+00",)]

    def test_where_nothing_tells_it_the_row_is_rejected(self, make_lake: MakeLake) -> None:
        columns = tuple(c for c in COLUMNS if c.name != "ingestion_timestamp")
        lake = make_lake(replace(BRONZE, columns=columns))

        assert reasons(lake, line()) == ["ingestion_date: expected DATE, found nothing"]

    @pytest.mark.parametrize(
        ("spec", "keys"),
        [
            (PartitionSpec(column="p", grain=Grain.HOUR), ["2026-07-02T22", "2026-11-01T10"]),
            (PartitionSpec(column="p", grain=Grain.WEEK), ["2026-W27", "2026-W44"]),
            (PartitionSpec(column="p", grain=Grain.DAY, zone="Europe/Madrid"), ["2026-07-03", "2026-11-01"]),
            (PartitionSpec(column="p", grain=Grain.WEEK, zone="Pacific/Kiritimati"), ["2026-W27", "2026-W45"]),
        ],
    )
    def test_hours_weeks_and_days_of_a_zone_are_derived(
        self, make_lake: MakeLake, spec: PartitionSpec, keys: list[str]
    ) -> None:
        columns = (*(c for c in COLUMNS if c.name != "ingestion_date"), Column(name="p", type=spec.type))
        lake = make_lake(replace(BRONZE, partition=spec, columns=columns))

        made = lake.ingest(f"{line(ingestion_timestamp='2026-07-02T22:30:00Z')}\nx")

        assert [f.key for f in (*made.files, *made.quarantine_files)] == keys

    def test_months_are_derived_as_their_first_day(self, make_lake: MakeLake) -> None:
        spec = PartitionSpec(column="ingestion_date", grain=Grain.MONTH)
        lake = make_lake(replace(BRONZE, partition=spec))

        made = lake.ingest(f"{line()}\nx")

        assert [f.key for f in (*made.files, *made.quarantine_files)] == ["2026-07", "2026-11"]

    def test_a_partition_that_no_unit_can_have_refuses_the_file(self, make_lake: MakeLake) -> None:
        spec = PartitionSpec(column="event_id", grain=Grain.IDENTITY)
        lake = make_lake(replace(BRONZE, partition=spec))

        with pytest.raises(SourceRejected, match=r"in/x: partition column event_id: .* found '' \(1 rows\)"):
            lake.ingest(line(event_id="", ingestion_date="2026-07-02"))

    def test_a_dataset_without_a_source_is_a_mistake_of_the_project(self, make_lake: MakeLake) -> None:
        with pytest.raises(ProjectError, match=r"bronze\.events has no source"):
            make_lake(replace(BRONZE, source=None)).ingest(line())


class TestDigestsAndArrivals:
    CONTENT = "\n".join(
        line(
            event_id=f"e-{i}", event_timestamp=f"2026-07-0{i % 3 + 1}T00:00:00Z", ingestion_date=f"2026-07-0{i % 2 + 4}"
        )
        for i in range(12)
    )

    def test_arrivals_say_which_days_each_file_touches(self, lake: Lake) -> None:
        made = lake.ingest(self.CONTENT)

        by_file = {f.path: {a.event_key: a.digest.rows for a in made.arrivals if a.file == f.path} for f in made.files}

        assert list(by_file.values()) == [{"2026-07-01": 2, "2026-07-02": 2, "2026-07-03": 2}] * 2

    def test_arrivals_add_up_to_their_file(self, lake: Lake) -> None:
        made = lake.ingest(self.CONTENT)

        for file in made.files:
            parts = [a.digest for a in made.arrivals if a.file == file.path]
            assert ContentDigest.combine(lake.scheme, parts) == made.digests[file.path]
            assert made.digests[file.path].rows == file.rows

    def test_the_digest_does_not_depend_on_how_rows_were_spelled(self, make_lake: MakeLake) -> None:
        plain, odd = make_lake(), make_lake()

        one = plain.ingest(line(price=1.5, extra="x"))
        other = odd.ingest(line(price="@", extra={"nested": []}).replace('"@"', "15e-1"))

        assert list(one.digests.values()) == list(other.digests.values())

    def test_months_of_arrival_are_keys_of_months(self, make_lake: MakeLake) -> None:
        lake = make_lake(replace(BRONZE, arrivals=Arrivals(column="billing_day", grain=Grain.MONTH)))

        assert [a.event_key for a in lake.ingest(self.CONTENT).arrivals] == ["2026-07", "2026-07"]

    def test_quarantine_files_have_digests_too(self, lake: Lake) -> None:
        made = lake.ingest("x\ny\n")

        assert [made.digests[f.path].rows for f in made.quarantine_files] == [2]


def test_columns_may_have_any_name(make_lake: MakeLake) -> None:
    odd = ("a/b~c", "select", "é", "x.y", "$z", "a,b", "it's")
    columns = (*COLUMNS, *(Column(name=n, type="DECIMAL(4,2)") for n in odd))
    lake = make_lake(replace(BRONZE, columns=columns))

    made = lake.ingest(line(**{n: i + 0.25 for i, n in enumerate(odd)}))

    assert counts(made) == (1, 0, 0)
    assert lake.rows(*odd) == [tuple(f"{i}.25" for i in range(len(odd)))]
