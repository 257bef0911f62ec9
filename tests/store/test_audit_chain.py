"""The chain over the audit log, on every database: made on append, made for what an older database holds."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import insert, text, update
from store_values import a_run, an_approval, an_entry, an_outcome

import remint_audit_verifier as apart
from remint.errors import StoreError
from remint.model.chain import GENESIS, entry_hash, walk
from remint.model.run import RunState
from remint.store.database import connect_to
from remint.store.sql_store import open_store
from remint.store.tables import audit_log, runs

OLD = [c for c in audit_log.c if c.name != "hash"]
"""Columns of the log in the first format."""


def test_every_way_to_log_continues_the_chain(store):
    store.create_run(a_run(), audit=an_entry(detail={"why": "naïve\n日本"}))
    store.log(an_entry(None, reason="", start_time=None, override_state=True))
    store.grant(an_approval(), an_entry(None, action="approve"))
    store.set_state("run-1", RunState.PUBLISHING, audit=an_entry())
    store.finish(an_outcome(rolled_back=()))

    links = list(store.audit_chain())

    assert [link.seq for link in links] == [1, 2, 3, 4, 5]
    assert links[0].hash == entry_hash(GENESIS, links[0].columns)
    assert walk(links).broken is None
    assert (links[1].columns["override_state"], links[1].columns["start_time"]) == (True, None)


def test_two_writers_make_one_chain(store, url, tmp_path):
    def write():
        with open_store(url, tmp_path) as other:
            for _ in range(20):
                other.log(an_entry(None))

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    found = walk(store.audit_chain())

    assert (found.entries, found.broken) == (60, None)


def test_what_a_refused_transaction_logged_is_not_in_the_chain(store):
    with pytest.raises(ValueError, match="no UTC"):
        _refused(store)
    store.log(an_entry(None))

    assert walk(store.audit_chain()).entries == 1


def _refused(store):
    with store._writing() as connection:
        connection.execute(insert(audit_log), {**_row(1), "reprocessing_id": None, "hash": GENESIS})
        raise ValueError("no UTC")


@pytest.mark.parametrize("changes", [{"status": "fine"}, {"detail": "{"}, {"datasets": "3"}])
def test_an_entry_that_cannot_be_shown_any_more_says_so(store, changes):
    store.log(an_entry(None))
    with store._database.writing() as connection:
        connection.execute(update(audit_log).values(**changes))

    with pytest.raises(StoreError, match="entry 1 of the audit log was changed") as caught:
        store.audit(1)

    assert caught.value.hint == "remint audit verify"


def test_a_number_in_the_place_of_a_boolean_is_an_edit_where_a_database_takes_it(store, url):
    store.log(an_entry(None, override_state=True))
    edit = text("UPDATE audit_log SET override_state = 2")

    if url.startswith("sqlite"):
        with store._database.writing() as connection:
            connection.execute(edit)
        assert store.audit(1)[0].entry.override_state is True
        assert walk(store.audit_chain()).broken.kind == "edited"
    else:
        with pytest.raises(StoreError, match="boolean"), store._database.writing() as connection:
            connection.execute(edit)
        assert walk(store.audit_chain()).broken is None


def test_the_columns_that_are_hashed_are_those_that_are_documented():
    """A column more or less would make every log of an earlier release look edited."""
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text("utf-8")
    said = page.split("The **object of an entry**")[1].split("\n\n")[0]

    assert [c.name for c in OLD] == list(apart.COLUMNS)
    assert set(apart.COLUMNS) <= set(re.findall(r"`(\w+)`", said))


@pytest.fixture
def first_format(url, tmp_path):
    """Return a function that makes a database of the first format with a log of so many entries."""

    def make(entries):
        database = connect_to(url, tmp_path, 10)
        config = Config()
        config.set_main_option("script_location", "remint.store:migrations")
        config.set_main_option("path_separator", "os")
        with database.writing() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            connection.execute(insert(runs), {**_run(), "plan_json": None, "read_seq": None})
            for seq in range(1, entries + 1):
                connection.execute(text(_INSERT), _row(seq))
        database.engine.dispose()

    return make


_INSERT = (
    f"INSERT INTO audit_log ({', '.join(f'{chr(34)}{c.name}{chr(34)}' for c in OLD)}) "
    f"VALUES ({', '.join(f':{c.name}' for c in OLD)})"
)


def _run():
    run = a_run()
    return {name: getattr(run, name) for name in run.__dataclass_fields__}


def _row(seq):
    return {
        **{c.name: f"é {c.name} {seq}\n" for c in OLD},
        **{"seq": seq, "record_count": 2**60 + seq, "override_state": seq % 2 == 0, "reprocessing_id": "run-1"},
        **{"at": "2026-10-14T08:30:00Z", "start_time": "2026-10-14T08:30:00Z", "end_time": None},
        **{"status": "success", "datasets": "[]", "detail": '{"a":1}'},
    }


@pytest.mark.parametrize("entries", [0, 1, 250])
def test_a_database_of_the_first_format_is_chained_when_it_is_opened(first_format, url, tmp_path, entries):
    first_format(entries)

    with open_store(url, tmp_path) as store:
        before = walk(store.audit_chain())
        store.log(an_entry("run-1"))
        after = walk(store.audit_chain())
        links = list(store.audit_chain())

    assert (before.entries, before.broken) == (entries, None)
    assert (after.entries, after.broken) == (entries + 1, None)
    assert [dict(link.columns) for link in links[:-1]] == [_row(seq) for seq in range(1, entries + 1)]


def test_the_log_is_still_tied_to_its_runs_after_the_migration(first_format, url, tmp_path):
    first_format(3)

    with open_store(url, tmp_path) as store:
        assert len(store.audit_of("run-1")) == 3
        with pytest.raises(StoreError, match=r"(?i)foreign key"):
            store.log(an_entry("run-9"))


def test_an_edit_of_a_migrated_log_is_found(first_format, url, tmp_path):
    first_format(20)

    with open_store(url, tmp_path) as store:
        with store._database.writing() as connection:
            connection.execute(update(audit_log).where(audit_log.c.seq == 7).values(actor="nobody"))
        broken = walk(store.audit_chain()).broken

    assert (broken.kind, broken.seq) == ("edited", 7)
