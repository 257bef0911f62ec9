from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from remint.errors import SourceRejected
from tests.engines.ingesting import Lake, MakeLake, counts, csv_text, line, of_format, record


class TestCsv:
    @pytest.fixture
    def lake(self, make_lake: MakeLake) -> Lake:
        return make_lake(of_format("csv"))

    def test_columns_are_matched_by_name_and_others_ignored(self, lake: Lake) -> None:
        names = [*reversed(record()), "extra"]
        content = f"{','.join(names)}\n{','.join({**record(), 'extra': 'x'}[n] for n in names)}\n"

        assert counts(lake.ingest(content)) == (1, 0, 0)
        assert lake.rows("event_id", "offset", "price", "ingestion_date") == [
            ("e-1", "9007199254740993", "12.50", "2026-07-02")
        ]

    def test_csv_and_json_lines_make_the_same_rows(self, make_lake: MakeLake) -> None:
        made = [
            make_lake(of_format("csv")).ingest(csv_text([record()])),
            make_lake().ingest(line()),
        ]

        assert list(made[0].digests.values()) == list(made[1].digests.values())

    def test_an_empty_field_is_null_and_no_word_is(self, lake: Lake) -> None:
        lake.ingest(csv_text([record(count=""), record(event_id="NULL"), record(event_id="00123")]))

        assert lake.rows("event_id", "count") == [("00123", "-3"), ("NULL", "-3"), ("e-1", None)]

    def test_quoted_fields_may_hold_anything(self, lake: Lake) -> None:
        texts = ['a"b', "a,b", "a\nb", "a\r\nb"]

        lake.ingest(csv_text([record(event_id=t) for t in texts]))

        assert {t for (t,) in lake.rows("event_id")} == set(texts)

    def test_a_ragged_record_is_rejected_with_the_line_on_which_it_begins(self, lake: Lake) -> None:
        content = csv_text([record(event_id="a\nb"), record(event_id="c")]) + "1,2,3\r\n\r\n" + "," * 9 + "\r\n"

        made = lake.ingest(content)

        assert counts(made) == (2, 0, 2)
        assert lake.rejected("line", "reason", "raw") == [
            (5, "expected 9 fields, found 3", "1,2,3"),
            (7, "expected 9 fields, found 10", "," * 9),
        ]

    def test_a_late_change_of_type_is_rejected_row_by_row(self, lake: Lake) -> None:
        records = [record(event_id=f"e-{i}", count="x" if i == 30_000 else "1") for i in range(30_010)]

        made = lake.ingest(csv_text(records))

        assert counts(made) == (30_009, 0, 1)
        assert lake.rejected("line", "reason") == [(30_002, 'count: expected INTEGER, found "x"')]

    @pytest.mark.parametrize(
        ("column", "text"),
        [
            ("event_id", ""),
            ("offset", "1.0"),
            ("offset", "007"),
            ("offset", " 7"),
            ("offset", "9223372036854775808"),
            ("ratio", "NaN"),
            ("ratio", "1e400"),
            ("ratio", "1,5"),
            ("price", "0.005"),
            ("is_test", "TRUE"),
            ("is_test", "1"),
            ("billing_day", "01/02/2026"),
            ("event_timestamp", "2026-07-01 00:00:00"),
        ],
    )
    def test_bad_values_are_rejected(self, lake: Lake, column: str, text: str) -> None:
        made = lake.ingest(csv_text([record(**{column: text})]))

        assert counts(made) == (0, 0, 1)
        assert lake.rejected("reason")[0][0].startswith(f"{column}: expected ")

    def test_a_rejected_record_of_two_lines_is_kept_whole(self, lake: Lake) -> None:
        lake.ingest(csv_text([record(), record(event_id="a\nb", count="x")]))

        ((at, raw),) = lake.rejected("line", "raw")
        assert (at, raw[:7]) == (3, '"a\nb",2')

    def test_other_bytes_than_utf8_refuse_the_file(self, lake: Lake) -> None:
        with pytest.raises(SourceRejected, match="in/x: expected UTF-8 text"):
            lake.ingest(csv_text([record()]).encode() + b"\xe9")

    @pytest.mark.parametrize("broken", ['"never closed,1,2\n3,4\n', '"closed"too early,2\n'])
    def test_a_broken_quote_refuses_the_file_with_its_line(self, lake: Lake, broken: str) -> None:
        with pytest.raises(SourceRejected, match="in/x: line 3: expected a CSV record, found"):
            lake.ingest(csv_text([record()]) + broken)

    def test_a_missing_column_refuses_the_file(self, lake: Lake) -> None:
        with pytest.raises(
            SourceRejected, match=r"expected the columns event_timestamp, offset, .*, found event_id, Offset"
        ):
            lake.ingest("event_id,Offset\n1,2\n")

    def test_a_column_twice_refuses_the_file(self, lake: Lake) -> None:
        with pytest.raises(SourceRejected, match="found Event_id, event_id more than once"):
            lake.ingest(csv_text([record()]).replace("offset", "Event_id"))

    def test_an_empty_file_is_refused_and_a_header_alone_is_not(self, lake: Lake) -> None:
        with pytest.raises(SourceRejected, match="expected a header line, found an empty file"):
            lake.ingest("")
        assert counts(lake.ingest(csv_text([]))) == (0, 0, 0)


PARQUET = """SELECT 'e-' || range AS event_id, TIMESTAMPTZ '2026-07-01 00:00:13+00' AS event_timestamp,
    9007199254740993 AS "offset", 3::SMALLINT AS count, 0.25::FLOAT AS ratio, 1.5::DECIMAL(4,1) AS price,
    true AS is_test, DATE '2026-07-01' AS billing_day, TIMESTAMPTZ '2026-07-02 00:00:00+00' AS ingestion_timestamp,
    [1] AS extra FROM range(4)"""


class TestParquet:
    @pytest.fixture
    def lake(self, make_lake: MakeLake) -> Lake:
        return make_lake(of_format("parquet"))

    def write(self, lake: Lake, select: str) -> Path:
        path = lake.folder / f"{lake.runs}.parquet"
        lake.con.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
        return path

    def test_narrower_types_are_widened_and_other_columns_ignored(self, lake: Lake) -> None:
        made = lake.ingest(self.write(lake, PARQUET))

        assert counts(made) == (4, 0, 0)
        assert lake.rows("event_id", "offset", "count", "ratio", "price", "ingestion_date")[0] == (
            "e-0",
            "9007199254740993",
            "3",
            "0.25",
            "1.50",
            "2026-07-02",
        )

    def test_rows_that_break_the_contract_are_rejected_with_their_content(self, lake: Lake) -> None:
        odd = "CASE range WHEN 1 THEN NULL WHEN 2 THEN DATE '0001-01-01' ELSE DATE '2026-07-01' END AS billing_day"
        select = PARQUET.replace("DATE '2026-07-01' AS billing_day", odd).replace(
            "'e-' || range", "nullif('e-' || range, 'e-3')"
        )

        made = lake.ingest(self.write(lake, select))

        assert counts(made) == (2, 0, 2)
        assert lake.rejected("line", "reason") == [
            (3, "billing_day: expected DATE, found 0001-01-01 (outside the years 1900..2199)"),
            (4, "event_id: expected VARCHAR, found null"),
        ]
        assert '"event_id":"e-2"' in lake.rejected("raw")[0][0]

    def test_a_changed_row_for_an_ingested_key_shows_its_content(self, lake: Lake) -> None:
        lake.ingest(self.write(lake, PARQUET))

        made = lake.ingest(self.write(lake, PARQUET.replace("3::SMALLINT", "(3 + range % 2)::SMALLINT")))

        assert counts(made) == (0, 2, 2)
        assert '"count":4' in lake.rejected("raw")[0][0]

    @pytest.mark.parametrize(
        ("good", "bad", "message"),
        [
            ("3::SMALLINT", "3::BIGINT", "count: expected INTEGER, found BIGINT"),
            ("0.25::FLOAT", "0.25::DECIMAL(4,2)", r"ratio: expected DOUBLE, found DECIMAL\(4,2\)"),
            ("1.5::DECIMAL(4,1)", "1.5::DECIMAL(12,3)", r"price: expected DECIMAL\(10,2\), found DECIMAL\(12,3\)"),
            ("1.5::DECIMAL(4,1)", "1.5::DOUBLE", r"price: expected DECIMAL\(10,2\), found DOUBLE"),
            ("'e-' || range", "range", "event_id: expected VARCHAR, found BIGINT"),
            ("'2026-07-01 00:00:13+00' AS", "'2026-07-01 00:00:13+00'::TIMESTAMP AS", "found TIMESTAMP"),
            ("DATE '2026-07-01' AS billing_day", "1 AS other", "expected the columns billing_day, found"),
        ],
    )
    def test_a_narrowing_or_missing_column_refuses_the_file(
        self, lake: Lake, good: str, bad: str, message: str
    ) -> None:
        with pytest.raises(SourceRejected, match=message):
            lake.ingest(self.write(lake, PARQUET.replace(good, bad)))

    def test_nanoseconds_are_refused(self, lake: Lake) -> None:
        table = lake.con.sql(PARQUET).to_arrow_table()
        at = table.column_names.index("event_timestamp")
        moments = table.column(at).cast(pa.timestamp("ns", "UTC"))
        path = lake.folder / "ns.parquet"
        pq.write_table(table.set_column(at, "event_timestamp", moments), path)

        with pytest.raises(SourceRejected, match="event_timestamp: expected TIMESTAMPTZ, found nanoseconds"):
            lake.ingest(path)

    @pytest.mark.parametrize("kept", [0.5, 0.99])
    def test_a_damaged_file_is_refused(self, lake: Lake, kept: float) -> None:
        content = self.write(lake, PARQUET).read_bytes()

        with pytest.raises(SourceRejected, match="in/x: expected Parquet, found a damaged file"):
            lake.ingest(content[: int(len(content) * kept)] + content[-8:])

    def test_no_rows_are_fine(self, lake: Lake) -> None:
        assert counts(lake.ingest(self.write(lake, f"{PARQUET} LIMIT 0"))) == (0, 0, 0)
