"""Pages read from a real server: what is followed, what is repeated, what is refused, and what is never told."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import pytest

from remint.errors import MissingCredential, RemintError, SourceRejected, SourceUnavailable
from remint.loading.declare_sources import http_pages
from remint.sources import pages, transport
from remint.sources.base import Page
from remint.sources.pages import Stretch, open_pages
from tests.sources.answering import Answer, Asked, answering, page, raw

CANARY = "c4nary/Secret+value=="


def read(url: str, stretch: Stretch | None = None, env: Mapping[str, str] | None = None, **declared: Any) -> list[Page]:
    """Return all pages of a stretch."""
    source = http_pages(url, **{"retries": 0, "timeout_s": 5.0, **declared})
    asked = stretch or Stretch()
    with open_pages(source, (env or {}).get) as reader:
        return list(reader.pages(asked, at=asked.start))


def rows(found: list[Page]) -> list[Any]:
    return [json.loads(line) for p in found for line in p.content.decode().split("\n")[:-1]]


def chain(*sizes: int) -> Callable[[Asked], Answer]:
    """Return a server of pages of these sizes; their cursors are c1, c2, ..."""

    def tell(asked: Asked) -> Answer:
        number = int((asked.cursor or "c0")[1:])
        start = sum(sizes[:number])
        after = f"c{number + 1}" if number + 1 < len(sizes) else None
        return page(*({"id": n} for n in range(start, start + sizes[number])), after=after)

    return tell


def refusal(answer: Answer, **declared: Any) -> SourceRejected:
    """Return how one answer is refused; it is asked for once, since to ask again would not mend it."""
    with answering(lambda _: answer) as api, pytest.raises(SourceRejected) as caught:
        read(api.url, retries=3, **declared)
    assert len(api.asked) == 1
    assert caught.value.message.startswith(api.url)
    assert caught.value.hint
    return caught.value


class TestFollowing:
    def test_pages_are_followed_to_the_one_that_names_no_next(self) -> None:
        with answering(chain(3, 3, 2)) as api:
            found = read(api.url)

        assert [r["id"] for r in rows(found)] == list(range(8))
        assert [p.cursor for p in found] == [None, "c1", "c2"]
        assert [p.uri for p in found] == [api.url, f"{api.url}?cursor=c1", f"{api.url}?cursor=c2"]
        assert [p.is_last for p in found] == [False, False, True]

    def test_the_last_page_is_read_again_by_whoever_goes_on(self) -> None:
        with answering(chain(2, 1)) as api:
            found = read(api.url)

        assert found[-1].resume_at == "c1"

    @pytest.mark.parametrize("meta", [{}, {"next_cursor": None}, {"next_cursor": ""}])
    def test_an_absent_a_null_and_an_empty_cursor_end_the_data(self, meta: dict[str, Any]) -> None:
        with answering(lambda _: raw(json.dumps({"data": [1], "meta": meta}))) as api:
            (found,) = read(api.url)

        assert found.is_last
        assert found.resume_at is None

    def test_where_a_flag_says_the_end_the_last_cursor_is_where_to_go_on(self) -> None:
        def tell(asked: Asked) -> Answer:
            return page(1, after="end" if asked.cursor else "c1", has_more=asked.cursor is None)

        with answering(tell) as api:
            found = read(api.url, has_more="meta.has_more")

        assert len(found) == 2
        assert found[-1].resume_at == "end"

    def test_a_source_that_stands_at_its_end_names_its_own_cursor(self) -> None:
        with answering(lambda _: page(after="end", has_more=False)) as api:
            (found,) = read(api.url, Stretch(start="end"), has_more="meta.has_more")

        assert (found.rows, found.resume_at) == (0, "end")

    def test_a_stretch_ends_before_the_page_of_its_last_cursor(self) -> None:
        with answering(chain(1, 1, 1, 1)) as api:
            found = read(api.url, Stretch(start="c1", end="c3"))

        assert [p.cursor for p in found] == ["c1", "c2"]
        assert found[-1].is_last
        assert found[-1].resume_at == "c3"
        assert [a.cursor for a in api.asked] == ["c1", "c2"]

    def test_a_last_cursor_that_never_comes_is_refused(self) -> None:
        with answering(chain(1, 1)) as api, pytest.raises(SourceRejected, match="expected the cursor 'c7' to come"):
            read(api.url, Stretch(end="c7"))

    def test_a_number_is_a_cursor(self) -> None:
        def tell(asked: Asked) -> Answer:
            return raw('{"data": [], "meta": {"next_cursor": 900719925474099301}}') if not asked.cursor else page()

        with answering(tell) as api:
            read(api.url)

        assert api.asked[1].cursor == "900719925474099301"

    def test_windows_sizes_and_parameters_are_asked_for_and_named(self) -> None:
        with answering(lambda a: page(after=None if a.cursor else "c 1&x")) as api:
            found = read(
                api.url,
                Stretch(since="2026-12-01T00:00:00Z", until="2026-12-02T00:00:00Z"),
                since_param="since",
                until_param="until",
                page_size=50,
                params={"lang": "es", "expand": 1},
            )

        window = {"since": "2026-12-01T00:00:00Z", "until": "2026-12-02T00:00:00Z"}
        assert [a.query for a in api.asked] == [
            {"lang": "es", "expand": "1", **window, "limit": "50", **cursor} for cursor in ({}, {"cursor": "c 1&x"})
        ]
        assert found[1].uri.endswith("&limit=50&cursor=c+1%26x")

    def test_other_names_and_deeper_paths_are_declared(self) -> None:
        body = {"result": {"items": [{"id": 1}], "paging": {"after": None}}}
        with answering(lambda _: raw(json.dumps(body))) as api:
            found = read(api.url, records="result.items", next_cursor="result.paging.after")

        assert rows(found) == [{"id": 1}]

    def test_the_hash_and_size_are_those_of_the_body_as_it_came(self) -> None:
        body = gzip.compress(page({"id": 1}).body, mtime=0)
        with answering(lambda _: Answer(body=body, headers={"Content-Encoding": "gzip"})) as api:
            (found,) = read(api.url)

        assert rows([found]) == [{"id": 1}]
        assert (found.sha256, found.size_bytes) == (hashlib.sha256(body).hexdigest(), len(body))

    @pytest.mark.parametrize(
        "record",
        [
            '{"a":1.10,"b":1e400,"c":123456789012345678901234567890,"d":-0.0}',
            '{"a":1,"a":2,"A":3}',
            '{"text":"línea\\nñ \\u2028 \\"q\\"","n":null,"t":true,"f":false,"l":[1,{"x":[]}],"o":{}}',
            '"no object"',
            "17",
            "[]",
            "null",
        ],
    )
    def test_a_record_is_handed_on_as_it_was_written(self, record: str) -> None:
        body = f'{{"data": [{record}], "meta": {{}}}}'
        with answering(lambda _: raw(body)) as api:
            (found,) = read(api.url)

        line = found.content.decode().removesuffix("\n")
        exact: dict[str, Any] = {"object_pairs_hook": list, "parse_int": str, "parse_float": str}
        assert "\n" not in line
        assert json.loads(line, **exact) == json.loads(record, **exact)
        assert found.rows == 1

    def test_half_a_surrogate_pair_stays_escaped(self) -> None:
        with answering(lambda _: raw(r'{"data": [{"t": "é\ud800"}], "meta": {}}')) as api:
            (found,) = read(api.url)

        assert found.content == b'{"t":"\\u00e9\\ud800"}\n'


class TestPatience:
    def test_a_rate_limit_is_waited_out_as_long_as_it_asks(self) -> None:
        def tell(asked: Asked) -> Answer:
            return Answer(status=429, headers={"Retry-After": "1"}) if asked.number == 1 else page({"id": 1})

        with answering(tell) as api:
            found = read(api.url, retries=2)

        first, second = (a.at for a in api.asked)
        assert len(rows(found)) == 1
        assert second - first >= 1.0

    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_a_burst_of_errors_is_outlasted(self, status: int) -> None:
        with answering(lambda a: Answer(status=status) if a.number < 3 else page({"id": 1})) as api:
            found = read(api.url, retries=2)

        assert len(rows(found)) == 1
        assert len(api.asked) == 3

    def test_attempts_are_counted_for_each_page_anew(self) -> None:
        tell = chain(1, 1, 1)
        with answering(lambda a: tell(a) if a.number % 2 == 0 else Answer(status=500)) as api:
            found = read(api.url, retries=1)

        assert len(rows(found)) == 3

    def test_the_last_failed_attempt_says_what_was_found_and_how_often(self) -> None:
        with answering(lambda _: Answer(status=503)) as api, pytest.raises(SourceUnavailable) as caught:
            read(api.url, retries=1)

        assert "503" in caught.value.message
        assert "after 2 attempts" in caught.value.message
        assert caught.value.retryable
        assert len(api.asked) == 2

    def test_a_wait_beyond_the_budget_is_not_begun(self) -> None:
        started = time.monotonic()
        limited = Answer(status=429, headers={"Retry-After": "3600"})
        with answering(lambda _: limited) as api, pytest.raises(SourceUnavailable, match=r"3,600\.0 s.*budget_s=5"):
            read(api.url, retries=3, budget_s=5)

        assert time.monotonic() - started < 4

    def test_a_truncated_body_is_asked_for_again(self) -> None:
        good = page({"id": 1})
        cut = Answer(body=good.body[:-9], missing=9)
        with answering(lambda a: cut if a.number == 1 else good) as api:
            found = read(api.url, retries=2)

        assert rows(found) == [{"id": 1}]
        assert len(api.asked) == 2

    def test_a_body_that_is_always_truncated_is_no_page(self) -> None:
        cut = Answer(body=page({"id": 1}).body, missing=1)
        with answering(lambda _: cut) as api, pytest.raises(SourceUnavailable, match="after 3 attempts"):
            read(api.url, retries=2)

        assert len(api.asked) == 3

    def test_a_body_in_chunks_is_read_and_a_cut_one_is_asked_for_again(self) -> None:
        body = page({"id": 1}).body
        chunks = f"{len(body):x}\r\n".encode() + body + b"\r\n"
        header = {"Transfer-Encoding": "chunked", "Connection": "close"}
        whole, cut = Answer(body=chunks + b"0\r\n\r\n", headers=header), Answer(body=chunks, headers=header, missing=1)
        with answering(lambda a: cut if a.number == 1 else whole) as api:
            found = read(api.url, retries=2)

        assert rows(found) == [{"id": 1}]
        assert len(api.asked) == 2

    def test_a_slow_answer_is_asked_for_again(self) -> None:
        with answering(lambda a: Answer(wait_s=2.0) if a.number == 1 else page({"id": 1})) as api:
            found = read(api.url, timeout_s=0.2, retries=1)

        assert rows(found) == [{"id": 1}]

    def test_a_trickle_ends_with_the_budget(self) -> None:
        started = time.monotonic()
        trickle = Answer(body=page({"id": 1}).body, pause_s=0.1)
        with answering(lambda _: trickle) as api, pytest.raises(SourceUnavailable, match=r"budget_s=0\.5"):
            read(api.url, budget_s=0.5)

        assert time.monotonic() - started < 3

    def test_the_budget_is_for_all_pages_together(self) -> None:
        slow = chain(*[1] * 50)
        with answering(lambda a: (time.sleep(0.05), slow(a))[1]) as api, pytest.raises(SourceUnavailable):
            read(api.url, budget_s=0.5)

        assert 2 < len(api.asked) < 15

    def test_a_server_that_does_not_listen_is_unavailable(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]

        with pytest.raises(SourceUnavailable, match="refused") as caught:
            read(f"http://127.0.0.1:{port}/items")

        assert "object at 0x" not in caught.value.message


def no_page(body: str | bytes, found: str, content_type: str = "application/json", **declared: Any) -> Any:
    return pytest.param(raw(body, content_type), found, declared, id=found)


class TestRefusals:
    @pytest.mark.parametrize(
        ("answer", "found", "declared"),
        [
            no_page("<!doctype html><h1>Sign in</h1>", "a page of HTML", "text/html; charset=utf-8"),
            no_page(" \n<html>", "found a page of HTML"),
            no_page('{"data": []}', "expected JSON, found a page of HTML", "text/html"),
            no_page("", "found none: Expecting value at character 1 of 0"),
            no_page('{"data": [{"id": 1}, {"i', "the body seems cut"),
            no_page('{"data": []} {"data": []}', "Extra data"),
            no_page('{"data": [NaN]}', "the bare word NaN"),
            no_page("[" * 100_000, "nested too deeply"),
            no_page('[{"id": 1}]', "expected a JSON object around the records, found a list"),
            no_page('{"data": ["caf\xe9"]}'.encode("latin-1"), "0xe9"),
            no_page('{"data": []}'.encode("utf-16"), "UTF-16"),
            no_page('{"posts": [], "meta": {}}', "expected records at data, found nothing there, but meta, posts"),
            no_page("{}", "but an empty object"),
            no_page('{"data": {"id": 1}}', "found an object"),
            no_page('{"data": null}', "found null"),
            no_page('{"data": "x"}', "found text"),
            no_page('{"data": [], "data": []}', "'data' 2 times"),
            no_page('{"data": [], "meta": {"next_cursor": {"x": 1}}}', "expected a cursor at meta.next_cursor"),
            no_page('{"data": [], "meta": {"next_cursor": true}}', "found true or false that is none"),
            no_page('{"data": [], "meta": {"next_cursor": "a\\nb"}}', "found text that is none"),
            no_page(
                '{"data": [1, 2], "meta": {"next": "c1"}}', "the page is full (2 records), found nothing", page_size=2
            ),
            no_page(
                '{"data": [], "meta": {"more": "yes"}}', "expected true or false at meta.more", has_more="meta.more"
            ),
            no_page('{"data": [], "meta": {"more": true}}', "because meta.more is true", has_more="meta.more"),
            no_page(b"\x1f\x8b\x08\x00" + b"0" * 40, "damaged gzip"),
            no_page(gzip.compress(b'{"data": []}')[:-6], "truncated gzip"),
        ],
    )
    def test_what_is_no_page_is_refused_in_words(self, answer: Answer, found: str, declared: dict[str, Any]) -> None:
        assert found in refusal(answer, **declared).message

    @pytest.mark.parametrize(
        ("status", "hint"), [(401, "headers_env"), (403, "headers_env"), (404, "cursor"), (204, "url=")]
    )
    def test_a_final_status_is_refused(self, status: int, hint: str) -> None:
        error = refusal(Answer(status=status))

        assert f"found status {status}" in error.message
        assert hint in str(error.hint)

    def test_a_redirect_to_another_host_is_not_followed(self) -> None:
        with answering(chain(1)) as other:
            error = refusal(Answer(status=302, headers={"Location": other.url}))

        assert f"another host, 127.0.0.1:{other.server_address[1]}" in error.message
        assert other.asked == []

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_on_the_same_host_is_not_followed_either(self, status: int) -> None:
        assert "another address of the same host" in refusal(Answer(status=status, headers={"Location": "/v2"})).message

    def test_an_encoding_that_was_not_asked_for_is_refused(self) -> None:
        assert "found the encoding br" in refusal(Answer(body=b"x", headers={"Content-Encoding": "br"})).message

    def test_a_page_has_a_largest_size_packed_and_unpacked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transport, "REPLY_BYTES", 1000)
        monkeypatch.setattr(pages, "_CONTENT_BYTES", 50_000)
        bomb = gzip.compress(b'{"data": ["' + b"0" * 60_000 + b'"]}')

        assert "at most 1,000 bytes" in refusal(raw(b" " * 1001)).message
        assert len(bomb) < 1000
        assert "at most 50,000 bytes unpacked" in refusal(Answer(body=bomb)).message

    def test_a_page_that_names_itself_is_refused(self) -> None:
        with answering(lambda _: page({"id": 1}, after="c1")) as api, pytest.raises(SourceRejected, match="itself"):
            read(api.url)

        assert len(api.asked) == 2

    def test_a_ring_of_pages_is_refused_at_its_first_repetition(self) -> None:
        ring = {None: "a", "a": "b", "b": "c", "c": "a"}
        with answering(lambda q: page(1, after=ring[q.cursor])) as api, pytest.raises(SourceRejected, match="back to"):
            read(api.url)

        assert len(api.asked) == 4

    def test_a_ring_that_an_earlier_attempt_began_is_refused(self) -> None:
        with answering(lambda _: page(1, after="a")) as api:
            source = http_pages(api.url, retries=0)
            with open_pages(source, {}.get) as reader, pytest.raises(SourceRejected, match="back to"):
                list(reader.pages(Stretch(), at="b", seen=[None, "a"]))

    def test_empty_pages_without_end_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pages, "EMPTY_PAGES", 5)
        with answering(lambda q: page(after=f"c{q.number}")) as api, pytest.raises(SourceRejected, match="5 pages"):
            read(api.url)

        assert len(api.asked) == 5

    def test_a_few_empty_pages_are_passed_over(self) -> None:
        with answering(chain(1, 0, 0, 2)) as api:
            assert len(rows(read(api.url))) == 3


HEADERS = {"Authorization": "Bearer {X_TOKEN}", "X-Key": "X_KEY"}


class TestCredentials:
    def test_they_are_sent_as_headers_and_nowhere_else(self) -> None:
        with answering(chain(1, 1)) as api:
            found = read(api.url, env={"X_TOKEN": CANARY, "X_KEY": "k3y"}, headers_env=HEADERS)

        assert {(a.headers["Authorization"], a.headers["X-Key"]) for a in api.asked} == {(f"Bearer {CANARY}", "k3y")}
        assert CANARY not in repr(found)

    @pytest.mark.parametrize(
        ("env", "found"),
        [
            ({}, "is not set"),
            ({"X_TOKEN": ""}, "is empty"),
            ({"X_TOKEN": f"{CANARY}\n"}, "cannot be sent"),
            ({"X_TOKEN": f"{CANARY}\r\nHost: x"}, "cannot be sent"),
            ({"X_TOKEN": f"{CANARY}ñ"}, "cannot be sent"),
        ],
    )
    def test_one_that_cannot_be_sent_is_refused_before_anything_is(self, env: dict[str, str], found: str) -> None:
        with answering(chain(1)) as api, pytest.raises(MissingCredential) as caught:
            read(api.url, env=env, headers_env={"Authorization": "X_TOKEN"})

        assert api.asked == []
        assert "X_TOKEN" in caught.value.message
        assert found in caught.value.message
        assert CANARY not in str(caught.value.as_dict())

    def echoes(self) -> Mapping[str, Callable[[str], Answer]]:
        """Return servers that repeat a credential wherever a message could pick it up."""
        everywhere = {"Content-Type", "Location", "Retry-After", "Content-Encoding", "Server"}
        return {
            "status": lambda s: Answer(status=401, reason=s, body=s.encode(), headers=dict.fromkeys(everywhere, s)),
            "odd status": lambda s: Answer(status=299, reason=s, body=s.encode()),
            "server error": lambda s: Answer(status=500, reason=s, body=s.encode()),
            "retry after": lambda s: Answer(status=429, headers={"Retry-After": s}),
            "redirect": lambda s: Answer(status=302, headers={"Location": f"http://{s}.example.com/?t={s}"}),
            "redirect with user": lambda s: Answer(status=302, headers={"Location": f"http://{s}@example.com/"}),
            "encoding": lambda s: Answer(headers={"Content-Encoding": f"x{s}"}),
            "html": lambda s: raw(f"<p>{s}", "text/html"),
            "no JSON": lambda s: raw(f"token {s}"),
            "record": lambda s: page({"token": s}),
            "cursor": lambda s: page(1, after=s),
            "escaped cursor": lambda s: raw(
                '{"data": [1], "meta": {"next_cursor": "' + "".join(f"\\u{ord(c):04x}" for c in s) + '"}}'
            ),
            "names": lambda s: raw(json.dumps({s: 1})),
        }

    @pytest.mark.parametrize(
        "form", [str, lambda s: quote(s, safe=""), lambda s: base64.b64encode(s.encode()).decode()]
    )
    def test_none_comes_back_in_a_message_whatever_the_server_repeats(self, form: Callable[[str], str]) -> None:
        for name, echo in self.echoes().items():
            with answering(lambda _, echo=echo: echo(form(CANARY))) as api, pytest.raises(RemintError) as caught:
                read(api.url, env={"X_TOKEN": CANARY}, headers_env={"Authorization": "Bearer {X_TOKEN}"})

            told = str(caught.value.as_dict()) + repr(caught.value) + repr(caught.value.__cause__)
            assert len(api.asked) == 1, name
            assert [w for w in (CANARY, form(CANARY), CANARY[:8]) if w in told] == [], name

    def test_a_page_that_repeats_one_is_refused(self) -> None:
        with answering(lambda _: page({"token": CANARY})) as api, pytest.raises(SourceRejected, match="repeats"):
            read(api.url, env={"X_TOKEN": CANARY}, headers_env={"Authorization": "X_TOKEN"})


def test_without_the_library_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "urllib3", None)
    monkeypatch.delitem(sys.modules, "remint.sources.transport")

    with pytest.raises(RemintError) as caught:
        read("http://127.0.0.1/items")

    assert caught.value.hint == 'pip install "remint[http]"'
