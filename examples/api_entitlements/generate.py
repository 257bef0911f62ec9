"""Generate a deterministic history of API requests, as a Kafka connector would have landed it.

One folder per ingestion day, each line one Kafka record whose ``payload`` is a string of JSON. The history holds what
makes replays hard: late events, redeliveries, corrections, broken lines, broken payloads, repeated lines, bursts above
the per-minute plan limits and days of abuse.

Rules:
    * The same arguments give the same lines in the same order, on any machine, thread count and DuckDB version. So
      there is no random() and no hash(); every draw is integer arithmetic on the number of the event.
    * A range of days (``--from-day``, ``--to-day``) gives exactly the files that the whole history has for them.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb

TENANTS = 5_000
KAFKA_PARTITIONS = 12
ABUSERS = 6
MAX_SEED = 1_000_000
DAY_MS = 86_400_000

# Integer mixing (xor, shift, multiply modulo a Mersenne prime): a draw is 0 to 2^31 - 2. Every product stays below 2^63,
# so BIGINT never overflows. The salt says which property is drawn; salts lie 89 million numbers apart.
MACROS = """
create macro stir(x) as xor(x, x >> 15) * 1597334677::bigint % 2147483647;
create macro draw(n, salt) as
    stir(stir(stir((n::bigint + salt::bigint * 89478485) % 2147483647) + {seed}::bigint * 2011));

-- Moment of arrival; whatever would arrive after the end of the history is spread between its base and that end.
create macro arrive(base_ms, delay_ms, n) as case
    when base_ms + delay_ms < {span_ms} then base_ms + delay_ms
    else base_ms + ({span_ms} - 1 - base_ms) * (draw(n, 1) % 1000) // 1000 end;

create macro iso(ms) as strftime(make_timestamp_ms({start_ms} + ms), '%Y-%m-%dT%H:%M:%S.%gZ');

-- Zipf without floats: every octave of ranks (1, 2-3, 4-7, ...) draws the same load.
create macro zipf_tenant(u) as case
    when u % 13 = 12 then 4096 + u // 13 % ({tenants} - 4095)
    else (1 << (u % 13)) + u // 13 % (1 << (u % 13)) end;
"""

TENANTS_SQL = """
create table tenants as
select tenant, case
    when tenant <= 10 or draw(tenant, 2) % 100 >= 98 then 'enterprise'
    when draw(tenant, 2) % 100 < 72 then 'free'
    when draw(tenant, 2) % 100 < 90 then 'starter'
    else 'professional' end as plan
from (select range::integer as tenant from range(1, {tenants} + 1))
"""

# One row per burst: ``size`` requests of one tenant within one minute, until a tenth of the events is spent. Sizes of
# free tenants lie on both sides of 60 and of 100 requests, so that a changed limit changes some alerts and not others.
BURSTS_SQL = """
create table bursts as
with pools as (
    select list(tenant order by tenant) filter (plan = 'free') as free,
        list(tenant order by tenant) filter (plan = 'starter') as starter
    from tenants
),
sized as (
    select b,
        case when b % 32 = 31 then starter[1 + draw(b, 3) % len(starter)]
            else free[1 + draw(b, 3) % len(free)] end as tenant,
        case when b % 32 = 31 then 250 + draw(b, 4) % 201 else 40 + draw(b, 4) % 121 end as size,
        draw(b, 5) % {days} * 1440 + draw(b, 6) % 1440 as minute
    from (select range as b from range({events} // 400)), pools
)
select * from sized qualify sum(size) over (order by b) <= {events} // 10
"""

# One row per abusive day: ten times what the tenant usually sends and at least 600 requests, after a week of baseline
# where the history is long enough; together never more than a fiftieth of the events.
ABUSES_SQL = """
create table abuses as
select a, 64 + draw(a, 7) % 64 as tenant,
    greatest({days} - 1 - draw(a, 8) % greatest({days} - 8, 1), 0) as day, size
from (select range as a, greatest(600, {events} // (13 * 64 * {days}) * 10) as size from range({abusers}))
where (a + 1) * size <= {events} // 50
"""

# One row per distinct event; the grain of event_id. ``event_ms`` counts from the start of the history. Ordinary load
# has a triangular daily curve with its peak at noon (the sum of two uniform draws).
EVENTS_SQL = """
create table events as
with planted as (
    select tenant, minute * 60000 as from_ms, 60000 as width_ms, unnest(range(size)) as i, b as source
    from bursts
    union all
    select tenant, day * {day_ms}, {day_ms}, unnest(range(size)), 1000000000 + a from abuses
),
numbered as (
    select row_number() over (order by source, i) - 1 as n, * from planted
),
ordinary as (
    select range as n from range((select count(*) from planted), {events})
)
select n, tenant, from_ms + draw(n, 9) % width_ms as event_ms from numbered
union all
select n, zipf_tenant(draw(n, 10)), draw(n, 11) % {days} * {day_ms}
    + draw(n, 12) % ({day_ms} // 2) + draw(n, 13) % ({day_ms} // 2)
from ordinary
"""

# One row per Kafka record: copy 0 is the first delivery, 1 a redelivery (3 %), 2 a correction (0.3 %). No event has
# both, or a redelivery could undo a correction. Of the first deliveries 2 % are late by one to ten days.
RECORDS_SQL = """
create table records as
select n, copy, tenant, event_ms, late, case
    when copy = 0 then first_ms
    else arrive(first_ms, 120000 + draw(n, 14) % (2 * {day_ms} - 120000), n) end as arrived_ms
from (
    select *, arrive(event_ms, case when late then {day_ms} + draw(n, 15) % (9 * {day_ms})
        else 300 + draw(n, 15) % 5000 end, n) as first_ms,
        unnest(case when draw(n, 16) % 1000 < 30 then [0, 1]
            when draw(n, 16) % 1000 < 33 then [0, 2] else [0] end)::tinyint as copy
    from (select *, draw(n, 17) % 100 < 2 as late from events)
)
"""

# First offset of each (Kafka partition, ingestion day), so that one day can be numbered without the days before it.
OFFSETS_SQL = """
create table first_offsets as
select kafka_partition, day,
    sum(records) over (partition by kafka_partition order by day) - records as first_offset
from (
    select tenant % {partitions} as kafka_partition, arrived_ms // {day_ms} as day, count(*) as records
    from records group by all
)
"""

# The lines of one ingestion day, in landing order. ``broken`` belongs to the record (the connector cut the line or
# wrote it twice), ``bad_payload`` to the event (the producer sent it), so a redelivery has it too; a correction mends it.
DAY_SQL = """
with numbered as (
    select *, tenant % {partitions} as kafka_partition, draw(n, 18) as look, draw(n, 19) as cost,
        draw(n * 3 + copy, 20) % 10000 as broken,
        case when copy = 2 then -1 else draw(n, 21) % 10000 end as bad_payload,
        row_number() over (partition by tenant % {partitions} order by arrived_ms, n, copy) - 1 as nth
    from records where arrived_ms // {day_ms} = {day}
),
described as (
    select *, case when bad_payload between 0 and 4 and n % 2 = 0 then '"n/a"'
        when copy = 2 then [202, 409, 503][1 + look % 3]::varchar
        else [200, 200, 200, 200, 200, 200, 200, 200, 201, 201, 204, 400, 401, 404, 429, 500]
            [1 + look % 16]::varchar end as status_code
    from numbered join tenants using (tenant) join first_offsets using (kafka_partition)
    where first_offsets.day = {day}
),
with_payload as (
    select *, '{{"tenant_id":"t-' || lpad(tenant::varchar, 5, '0') || '","plan":"' || plan
        || '","endpoint":"/v1/' || ['items', 'orders', 'search', 'users', 'reports', 'files'][1 + look // 16 % 6]
        || '","method":"' || ['GET', 'GET', 'GET', 'POST', 'PUT', 'DELETE'][1 + look // 96 % 6]
        || '","status_code":' || status_code
        || ',"latency_ms":' || 2 + cost % 97 + cost // 97 % 40 * (cost // 3880 % 20)
        || ',"request_bytes":' || 180 + cost % 1500
        || ',"response_bytes":' || 64 + draw(n, 22 + copy // 2) % 16000 || '}}' as payload
    from described
),
with_line as (
    select *, '{{"event_id":"e-' || lpad(lower(hex((n * 34359738421 + {seed}) % 1099511627776)), 10, '0')
        || '","event_timestamp":"' || iso(event_ms) || '","kafka_partition":' || kafka_partition
        || ',"kafka_offset":' || first_offset + nth || ',"ingestion_timestamp":"' || iso(arrived_ms)
        || '","payload":"' || replace(case when bad_payload between 0 and 4 and n % 2 = 1
            then left(payload, 20 + look % 100) else payload end, '"', '\\"') || '"}}' as line
    from with_payload
),
landed as (
    select *, unnest(case when broken in (5, 6) then [false, true] else [false] end) as again from with_line
)
select case when broken < 5 then left(line, 30 + (look % 200)::integer) else line end as line
from landed
order by case when again then least(arrived_ms + 60000 + look % 3600000, ({day}::bigint + 1) * {day_ms} - 1)
    else arrived_ms end, again, kafka_partition, nth
"""

# Counts over the days written; the conditions are those of DAY_SQL.
SUMMARY_SQL = """
select count(*), coalesce(sum((broken in (5, 6))::integer), 0), count(*) filter (broken < 5),
    count(*) filter (copy < 2 and bad_payload < 5), count(*) filter (copy = 1), count(*) filter (copy = 2),
    count(*) filter (copy = 0 and late), (select count(*) from bursts), (select count(*) from abuses)
from (select *, draw(n * 3 + copy, 20) % 10000 as broken, draw(n, 21) % 10000 as bad_payload from records)
where arrived_ms // {day_ms} between {from_day} and {to_day}
"""
SUMMARY_NAMES = (
    "malformed_lines",
    "bad_payloads",
    "duplicates",
    "corrections",
    "late",
    "bursts_in_history",
    "abuses_in_history",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What to generate; two equal histories have equal lines."""

    events: int
    """Distinct event ids, before redeliveries, corrections and repeated lines."""
    days: int
    """Event days, and also ingestion days: nothing arrives after the last event day."""
    start: date
    """First event day, UTC."""
    seed: int

    def settings(self, **more: int) -> dict[str, int]:
        """Return the values that the SQL texts name in braces."""
        start_ms = int(datetime.combine(self.start, datetime.min.time(), UTC).timestamp()) * 1000
        fixed = {"tenants": TENANTS, "partitions": KAFKA_PARTITIONS, "abusers": ABUSERS, "day_ms": DAY_MS}
        own = {"events": self.events, "days": self.days, "seed": self.seed, "start_ms": start_ms}
        return fixed | own | {"span_ms": self.days * DAY_MS} | more


def build_records(con: duckdb.DuckDBPyConnection, history: History) -> None:
    """Create the tables ``tenants``, ``bursts``, ``abuses``, ``events``, ``records`` and ``first_offsets``."""
    for sql in (MACROS, TENANTS_SQL, BURSTS_SQL, ABUSES_SQL, EVENTS_SQL, RECORDS_SQL, OFFSETS_SQL):
        con.execute(sql.format(**history.settings()))


def write_day(con: duckdb.DuckDBPyConnection, history: History, day: int, out: Path) -> Path:
    """Write the lines of one ingestion day (0 = the first) and return the file."""
    folder = out / f"ingestion_date={history.start + timedelta(days=day)}"
    folder.mkdir(parents=True, exist_ok=True)
    plain, packed = folder / "part-0000.jsonl", folder / "part-0000.jsonl.gz"
    sql = DAY_SQL.format(**history.settings(day=day))
    # The CSV writer without quotes writes each string as a raw line; the JSON writer would refuse broken ones.
    raw = "format csv, header false, quote '', escape '', delimiter e'\\x01', compression none"
    target = str(plain).replace("'", "''")
    con.cursor().execute(f"copy ({sql}) to '{target}' ({raw})")
    # zlib at level 1 is about four times faster than the gzip of COPY, and runs beside the queries.
    with plain.open("rb") as source, gzip.GzipFile(packed, "wb", compresslevel=1, mtime=0) as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
    plain.unlink()
    return packed


def generate(history: History, out: Path, from_day: int, to_day: int) -> str:
    """Write the ingestion days ``from_day`` to ``to_day`` (both included) and return a summary in one line."""
    with duckdb.connect() as con:
        build_records(con, history)
        with ThreadPoolExecutor(max_workers=2) as pool:
            files = list(pool.map(lambda day: write_day(con, history, day, out), range(from_day, to_day + 1)))
        summary = con.execute(SUMMARY_SQL.format(**history.settings(from_day=from_day, to_day=to_day)))
        records, repeats, *rest = summary.fetchall()[0]
    counts = {"files": len(files), "days": len(files), "lines": records + repeats, "repeated_lines": repeats}
    counts |= dict(zip(SUMMARY_NAMES, rest, strict=True))
    return " ".join(f"{name}={count}" for name, count in counts.items())


def main() -> None:
    """Parse the command line and generate."""
    parser = argparse.ArgumentParser(description="Generate a deterministic history of API requests.")
    parser.add_argument("--events", type=int, default=1_000_000, help="distinct event ids in the history")
    parser.add_argument("--days", type=int, default=30, help="days in the history")
    parser.add_argument("--out", type=Path, required=True, help="folder of the ingestion_date=... folders")
    parser.add_argument("--start", type=date.fromisoformat, default=date(2026, 7, 1), help="first event day, UTC")
    parser.add_argument("--seed", type=int, default=7, help="0 to 1,000,000; another seed is another history")
    parser.add_argument("--from-day", type=int, default=0, help="first ingestion day to write, 0 = the start")
    parser.add_argument("--to-day", type=int, help="last ingestion day to write, included; default: the last")
    args = parser.parse_args()
    to_day = args.days - 1 if args.to_day is None else args.to_day
    if args.events < 1 or not 0 <= args.seed <= MAX_SEED or not 0 <= args.from_day <= to_day < args.days:
        parser.error("need events >= 1, 0 <= seed <= 1,000,000 and 0 <= from-day <= to-day < days")
    history = History(events=args.events, days=args.days, start=args.start, seed=args.seed)
    print(generate(history, args.out, args.from_day, to_day))


if __name__ == "__main__":
    main()
