"""The bytes of the chain and of checkpoints, as docs/audit.md fixes them for ever."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from remint.errors import CheckpointInvalid
from remint.model.chain import GENESIS, Link, entry_hash, exported, walk
from remint.model.checkpoint import Checkpoint

ENTRY = {
    "seq": 1,
    "at": "2026-10-14T08:30:00Z",
    "action": "apply",
    "actor": "zoë",
    "reprocessing_id": None,
    "record_count": 2**60,
    "override_state": True,
    "reason": 'a "b" \\ \n\t\x01\x7f\u2028 日',
}
WRITTEN = (
    b'{"action":"apply","actor":"zo\xc3\xab","at":"2026-10-14T08:30:00Z","override_state":true,'
    b'"reason":"a \\"b\\" \\\\ \\n\\t\\u0001\x7f\xe2\x80\xa8 \xe6\x97\xa5","record_count":1152921504606846976,'
    b'"reprocessing_id":null,"seq":1}'
)
CHECKPOINT = Checkpoint(project="é", entries=2, last_seq=2, head="ab" * 32, at="2026-10-14T08:30:00Z")


def test_the_hash_of_an_entry_is_that_of_the_documented_bytes() -> None:
    said = b"remint.audit/1\n" + b"0" * 64 + b"\n" + WRITTEN

    assert entry_hash(GENESIS, ENTRY) == hashlib.sha256(said).hexdigest()
    assert entry_hash(GENESIS, dict(reversed(ENTRY.items()))) == entry_hash(GENESIS, ENTRY)


def test_what_is_hashed_has_not_changed_since_the_first_release() -> None:
    assert entry_hash(GENESIS, ENTRY) == "16d84829273b7b3b2c80081ab505b425e202fd47d743f48dda153fc11f552188"


def test_an_exported_line_is_the_entry_with_its_hash() -> None:
    line = exported(Link(ENTRY, "ab"))

    assert "\n" not in line
    assert json.loads(line) == {**ENTRY, "hash": "ab"}


def test_the_signature_covers_everything_but_itself() -> None:
    said = (
        b'remint.checkpoint/1\n{"at":"2026-10-14T08:30:00Z","entries":2,"format":"remint.checkpoint/1","head":"'
        + b"ab" * 32
        + b'","last_seq":2,"project":"\xc3\xa9","public_key":"'
        + b"cd" * 32
        + b'"}'
    )

    signed = replace(CHECKPOINT, public_key="cd" * 32, signature="ef" * 64)

    assert signed.signed_bytes == said


def test_a_checkpoint_is_read_as_it_was_written() -> None:
    signed = replace(CHECKPOINT, public_key="cd" * 32, signature="ef" * 64)

    assert [Checkpoint.parse(c.text(), "x") for c in (CHECKPOINT, signed)] == [CHECKPOINT, signed]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "remint.checkpoint/2"}, "its format is 'remint.checkpoint/2'"),
        ({"more": 1}, "expected an object with at, entries"),
        ({"entries": "2"}, "entries is '2'"),
        ({"entries": True, "last_seq": True}, "entries is True"),
        ({"entries": 3}, "3 entries cannot end with seq 2"),
        ({"entries": -1, "last_seq": -1}, "-1 entries cannot end"),
        ({"head": "AB" * 32}, "not 64 hexadecimal digits"),
        ({"head": None}, "head is None"),
        ({"signature": "ef" * 64}, "a signature or a public key, and not both"),
        ({"public_key": "cd"}, "public_key is 'cd'"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_words(changes: dict[str, object], said: str) -> None:
    text = json.dumps({**json.loads(CHECKPOINT.text()), **changes})

    with pytest.raises(CheckpointInvalid) as caught:
        Checkpoint.parse(text, "c.json")

    assert said in caught.value.message
    assert caught.value.message.startswith("c.json is not a checkpoint")


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "no json"])
def test_a_file_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(CheckpointInvalid, match=r"c\.json is not"):
        Checkpoint.parse(text, "c.json")


def test_a_log_without_entries_fits_its_checkpoint() -> None:
    empty = Checkpoint(project="p", entries=0, last_seq=0, head=GENESIS, at="2026-10-14T08:30:00Z")

    found = walk([], [empty])

    assert (found.entries, found.head, found.broken) == (0, GENESIS, None)
