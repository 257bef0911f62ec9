"""Whatever somebody does to the log is found, by remint and by the separate verifier, and both name it the same."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

import remint_audit_verifier as apart
from remint.model.chain import exported, walk
from remint.store.sql_store import open_store
from tests.audit.logs import Log, Rows, edited, hash_of, inserted, removed, rewritten, stored, swapped
from tests.proof import proof, report, size

ROW = "audit-tampering"
ENTRIES = 250
LOGS = size(1, 4)

pytestmark = [pytest.mark.slow, proof]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Log]]:
    """Several logs: at full size, every one of 1,000 entries is tampered with in every way."""
    made = [Log.make(tmp_path_factory.mktemp("log"), ENTRIES, seed) for seed in range(LOGS)]
    yield made
    for log in made:
        log.store.close()


def places(logs: list[Log], small: int, last: int = ENTRIES) -> Iterator[tuple[Log, int]]:
    """Give the indexes to tamper with: all of them, or both ends and some between."""
    count = size(small, last)
    some = sorted({0, 1, last - 1, *Random(7).sample(range(last), count - 3)})
    yield from ((log, at) for log in logs for at in (range(last) if count == last else some))


EDITS: dict[str, Callable[[Any], Any]] = {
    "reason": lambda v: f"{v}.",  # text
    "at": lambda v: v.replace("2026", "2025"),  # a time
    "end_time": lambda v: None if v else "2026-10-14T08:30:00Z",  # a time that may be missing
    "reprocessing_id": lambda v: "r-1" if v is None else None,
    "record_count": lambda v: v + 1,
    "override_state": lambda v: 1 - v,
    "datasets": lambda v: f"{v} ",  # JSON: another spelling of the same
    "detail": lambda v: v.replace("true", "false"),
    "hash": lambda v: v[::-1],
}
"""One column of every class, and a change that a reader could overlook."""


def test_an_edit_of_any_entry_is_found(logs: list[Log]) -> None:
    wrong = cases = 0
    for log, at in places(logs, 8):
        for column, change in EDITS.items():
            found = log.found(edited(log.rows, at, {column: change(log.rows[at][column])}))
            cases += 1
            wrong += found != ("edited", at + 1)
    report(ROW, part="edited", cases=cases, wrong=wrong)


def test_an_edit_of_any_column_is_found(logs: list[Log]) -> None:
    log = logs[0]
    for column in set(log.rows[0]) - {"seq"}:
        value = log.rows[4][column]
        other = EDITS.get(column, lambda v: f"{v}x")(value)
        assert log.found(edited(log.rows, 4, {column: other})) == ("edited", 5), column


def test_an_edit_whose_hash_is_made_anew_is_found_at_the_next_entry(logs: list[Log]) -> None:
    wrong = cases = 0
    for log, at in places(logs, 8, ENTRIES - 1):
        forged = {**log.rows[at], "actor": "nobody"}
        forged["hash"] = hash_of(log.rows[at - 1]["hash"] if at else "0" * 64, forged)
        cases += 1
        wrong += log.found(edited(log.rows, at, forged)) != ("edited", at + 2)
    report(ROW, part="edited-and-hashed", cases=cases, wrong=wrong)


def test_the_removal_of_any_entry_is_found(logs: list[Log]) -> None:
    wrong = cases = 0
    for log, at in places(logs, 12):
        last = at == ENTRIES - 1
        gap = log.found(removed(log.rows, at, renumbered=False), [log.checkpoint(ENTRIES)])
        closed = log.found(removed(log.rows, at, renumbered=True), [log.checkpoint(ENTRIES)])
        cases += 2
        wrong += gap != ("truncated" if last else "removed", at + 1)
        # Of the last entries nothing follows that would show what was removed.
        expected = "truncated" if last else "edited" if at == ENTRIES - 2 else "removed"
        wrong += closed != (expected, at + 1)
    report(ROW, part="removed", cases=cases, wrong=wrong)


def test_a_swap_with_the_next_entry_is_found(logs: list[Log]) -> None:
    wrong = cases = 0
    for log, at in places(logs, 12, ENTRIES - 1):
        for with_hashes in (True, False):
            cases += 1
            wrong += log.found(swapped(log.rows, at, with_hashes=with_hashes)) != ("reordered", at + 1)
    report(ROW, part="reordered", cases=cases, wrong=wrong)


def test_a_forged_entry_is_found(logs: list[Log]) -> None:
    wrong = cases = 0
    for log, at in places(logs, 12):
        for fitting in (True, False):
            cases += 1
            wrong += log.found(inserted(log.rows, at, fitting=fitting)) != ("inserted", at + 1)
    report(ROW, part="inserted", cases=cases, wrong=wrong)


def test_a_log_cut_at_its_end_is_found_by_a_checkpoint_alone(logs: list[Log]) -> None:
    wrong = cases = 0
    for log, length in places(logs, 12):
        cases += 1
        wrong += log.found(log.rows[:length], [log.checkpoint(ENTRIES)]) != ("truncated", length + 1)
        wrong += log.verdicts() != (None, None)
    report(ROW, part="truncated", cases=cases, wrong=wrong)


def test_a_log_that_is_written_anew_is_found_by_a_checkpoint_alone(logs: list[Log]) -> None:
    half = ENTRIES // 2
    wrong = cases = 0
    for log, at in places(logs, 12):
        cases += 1
        known = [log.checkpoint(ENTRIES), log.checkpoint(half)]
        wrong += log.found(rewritten(log.rows, at), known) != ("rewritten", 1 if at < half else half + 1)
        wrong += log.verdicts() != (None, None)
    report(ROW, part="rewritten", cases=cases, wrong=wrong)


def test_a_log_that_goes_on_or_is_copied_raises_no_alarm(logs: list[Log], tmp_path: Path) -> None:
    wrong = cases = 0
    for number, (log, length) in enumerate(places(logs, 12)):
        known = [log.checkpoint(n) for n in {0, length // 2, length}]
        cases += 1
        wrong += log.found(log.rows[: length + number % 2], known) is not None
    log = logs[0]
    log.write(log.rows)
    shutil.copytree(log.path.parent, tmp_path / "copy")
    with open_store("sqlite:///state.db", tmp_path / "copy") as store:
        copied = Log(tmp_path / "copy" / "state.db", store, log.rows, log.seed)
        assert copied.verdicts([log.checkpoint(ENTRIES)]) == (None, None)
    report(ROW, part="no-alarm", cases=cases + 1, wrong=wrong)


VALUES = (
    None,
    0,
    1,
    2,
    -1,
    1.5,
    1.0,
    2**63 - 1,
    "",
    "0",
    "1",
    "x",
    b"",
    b"\x00\xff",
    "2026-10-14T08:30:00Z",
    "é",
    "e\u0301",
)


def tampered(rows: Rows, random: Random) -> Rows:
    """Return the rows after something that somebody might do to them."""
    at = random.randrange(len(rows))
    match random.choice(["edit", "edit", "type", "remove", "swap", "insert", "rewrite", "cut", "block", "copy"]):
        case "edit":
            return edited(rows, at, {(name := random.choice(list(EDITS))): EDITS[name](rows[at][name])})
        case "type":
            nullable = ("reprocessing_id", "start_time", "end_time")
            name = random.choice([n for n in rows[0] if n != "seq"])
            return edited(rows, at, {name: random.choice([v for v in VALUES if v is not None or name in nullable])})
        case "remove":
            return removed(rows, at, renumbered=random.random() < 0.5)
        case "swap":
            return swapped(rows, min(at, len(rows) - 2), with_hashes=random.random() < 0.5)
        case "insert":
            return inserted(rows, at, fitting=random.random() < 0.5)
        case "rewrite":
            return rewritten(rows, at)
        case "cut":
            return rows[: max(at, 2)]
        case "block":
            end = min(at + random.randrange(1, 4), len(rows) - 1)
            return [*rows[:at], *({**r, "seq": r["seq"] - end + at} for r in rows[end:])]
        case _:
            return [{**row, "seq": seq} for seq, row in enumerate([*rows[:at], rows[at], *rows[at:]], start=1)]


def test_both_verifiers_say_the_same_of_random_tampering(tmp_path: Path) -> None:
    count = size(150, 2000)
    log = Log.make(tmp_path, 40, seed=3)
    kinds: Counter[str] = Counter()
    wrong = 0
    for seed in range(count):
        random = Random(seed)
        rows = log.rows
        try:
            for _ in range(random.choice([1, 1, 1, 2, 3])):
                rows = tampered(rows, random)
        except (TypeError, AttributeError):
            continue  # an earlier step left a value that the next cannot be done to
        found = log.found(rows, [log.checkpoint(20), log.checkpoint(40)])
        held = stored(log.path)  # not every value stays what it was: SQLite takes "1" for 1 in a column of numbers
        kinds[found[0] if found else "whole"] += 1
        wrong += found is None if held[:40] != log.rows else held == log.rows and found is not None
    log.store.close()
    assert set(kinds) >= {"edited", "removed", "inserted", "reordered", "truncated", "rewritten"}
    report(ROW, part="random", cases=kinds.total(), wrong=wrong)


def test_an_exported_log_is_judged_line_by_line(logs: list[Log], tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    lines: dict[int, list[str]] = {}
    for log in logs:
        log.write(log.rows)
        lines[log.seed] = [exported(link) for link in log.store.audit_chain()]

    def said(log: Log, changed: list[str]) -> tuple[str, int] | None:
        file.write_text("".join(f"{line}\n" for line in changed), encoding="utf-8")
        broken = apart.verdict(apart.entries_of(file), [vars_of(log)])["broken"]
        return broken and (broken["kind"], broken["seq"])

    assert all(said(log, lines[log.seed]) is None for log in logs)
    wrong = cases = 0
    for log, at in places(logs, 8, ENTRIES - 1):
        for changed, kind, place in exchanged(lines[log.seed], at):
            cases += 1
            wrong += said(log, changed) != (kind, place)
    report(ROW, part="exported", cases=cases, wrong=wrong)


def exchanged(lines: list[str], at: int) -> Iterator[tuple[list[str], str, int]]:
    """Give what somebody can do to a line of an export, how it must be named, and its place."""
    entry = json.loads(lines[at])
    yield [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]], "reordered", at + 1
    yield [*lines[:at], *lines[at + 1 :]], "removed", at + 1
    yield [*lines[: at + 1], *lines[at:]], "inserted", at + 1
    yield [*lines[:at], json.dumps({**entry, "actor": "nobody"}), *lines[at + 1 :]], "edited", at + 1
    yield [*lines[:at], json.dumps({**entry, "more": ""}), *lines[at + 1 :]], "edited", at + 1
    yield lines[:at], "truncated", at + 1


def vars_of(log: Log) -> dict[str, Any]:
    newest = log.checkpoint(len(log.rows))
    return {"entries": newest.entries, "head": newest.head, "at": newest.at}


def test_what_a_walk_takes_is_measured(tmp_path: Path) -> None:
    entries = size(2_000, 100_000)
    log = Log.make(tmp_path, entries, seed=5)
    with log.store as store:
        began = time.process_time()
        assert walk(store.audit_chain(), [log.checkpoint(entries)]).broken is None
        ours = time.process_time()
    assert apart.verdict(apart.entries_of(log.path), [vars_of(log)])["broken"] is None
    theirs = time.process_time()
    took = {"verify_ms": round((ours - began) * 1000), "verifier_ms": round((theirs - ours) * 1000)}
    report(ROW, part="speed", cases=1, entries=entries, **took)
