"""``run.now`` in a transform's SQL: the time at which the plan was made, so that a replay gives the same answer.

Rules: it is two bare words and a dot. In text, comments, quoted names, longer names (``a.run.now``, ``run.now.x``) and
calls (``run.now()``) it is what it is there.
"""

from __future__ import annotations

from sqlglot import Token, TokenType, exp, tokenize

_PARTS = ("run", "now")
_GOES_ON = frozenset((TokenType.DOT, TokenType.L_PAREN))


def bind_run_now(sql: str, now_literal: str) -> str:
    """Return ``sql`` with every ``run.now`` replaced; all else, also layout and line numbers, stays as it is.

    Args:
        sql: one SELECT, in DuckDB's dialect.
        now_literal: SQL of the time, on one line: ``TIMESTAMPTZ '2026-10-14 08:00:00+00'``. The caller quotes it.

    Raises:
        sqlglot.errors.TokenError: a quote or comment does not end.
    """
    if _PARTS[0] not in sql.lower():
        return sql
    tokens = tokenize(sql, dialect="duckdb")
    made, end = [], 0
    for at in range(len(tokens) - 2):
        if _is_token(tokens, at):
            made += [sql[end : tokens[at].start], f"({now_literal})"]
            end = tokens[at + 2].end + 1
    return "".join([*made, sql[end:]])


def is_run_now(node: exp.Expr) -> bool:
    """True for the ``run.now`` of a syntax tree."""
    if not isinstance(node, exp.Column) or isinstance(node.parent, exp.Dot):
        return False
    parts = node.parts
    return len(parts) == 2 and not any(p.args.get("quoted") for p in parts) and _are_words(*(p.name for p in parts))


def _is_token(tokens: list[Token], at: int) -> bool:
    first, dot, second = tokens[at : at + 3]
    if dot.token_type is not TokenType.DOT or not _are_words(first.text, second.text):
        return False
    if TokenType.IDENTIFIER in (first.token_type, second.token_type):
        return False
    if at and tokens[at - 1].token_type is TokenType.DOT:
        return False
    return at + 3 == len(tokens) or tokens[at + 3].token_type not in _GOES_ON


def _are_words(*texts: str) -> bool:
    return tuple(text.lower() for text in texts) == _PARTS
