"""Content digests and fingerprints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.model.digest import ContentDigest, canonical_json, fingerprint

BITS = st.integers(0, 2**64 - 1)
DIGESTS = st.builds(ContentDigest, st.just("s-1"), st.integers(0, 10**12), BITS, BITS)


@given(st.lists(DIGESTS, max_size=6), st.randoms())
def test_the_digest_of_a_union_does_not_depend_on_the_order_of_its_parts(parts: list[ContentDigest], rng) -> None:  # type: ignore[no-untyped-def]
    shuffled = rng.sample(parts, len(parts))
    assert ContentDigest.combine("s-1", parts) == ContentDigest.combine("s-1", shuffled)


@given(DIGESTS)
def test_a_digest_reads_back_from_its_text(digest: ContentDigest) -> None:
    assert ContentDigest.parse(str(digest)) == digest


def test_digests_of_different_schemes_do_not_add() -> None:
    with pytest.raises(ValueError, match="cannot add"):
        ContentDigest.empty("a") + ContentDigest.empty("b")


def test_a_fingerprint_depends_on_logic_and_every_input_and_on_nothing_else() -> None:
    base = fingerprint("l1", {"a": {"2024-01-01": "x", "2024-01-02": "y"}})

    assert base == fingerprint("l1", {"a": {"2024-01-02": "y", "2024-01-01": "x"}})
    assert base != fingerprint("l2", {"a": {"2024-01-01": "x", "2024-01-02": "y"}})
    assert base != fingerprint("l1", {"a": {"2024-01-01": "x", "2024-01-02": "z"}})
    assert base != fingerprint("l1", {"a": {"2024-01-01": "x"}})
    assert base != fingerprint("l1", {"b": {"2024-01-01": "x", "2024-01-02": "y"}})


def test_canonical_json_has_one_spelling_for_sets_and_mappings() -> None:
    assert canonical_json({"b": frozenset({"y", "x"}), "a": (1, 2)}) == '{"a":[1,2],"b":["x","y"]}'
