"""What makes SQL give another answer on another day, machine or number of threads."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from remint.checks.sql_tree import function_name

_CLOCK = frozenset(
    [
        "now",
        "current_timestamp",
        "current_date",
        "current_time",
        "current_datetime",
        "today",
        "get_current_time",
        "get_current_timestamp",
        "transaction_timestamp",
        "statement_timestamp",
        "clock_timestamp",
        "localtime",
        "localtimestamp",
        "current_localtime",
        "current_localtimestamp",
        "sysdate",
        "systimestamp",
    ]
)
_CHANCE = frozenset(
    ["random", "rand", "randn", "setseed", "uuid", "gen_random_uuid", "uuidv4", "uuidv7", "generate_uuid"]
)
_SURROUNDINGS = frozenset(
    [
        "getenv",
        "getvariable",
        "current_version",
        "current_setting",
        "nextval",
        "currval",
        "lastval",
        "txid_current",
        "version",
        "pg_backend_pid",
        "session_user",
        "current_user",
        "current_role",
        "current_database",
        "current_schema",
        "current_schemas",
        "current_catalog",
        "current_query",
        "connection_id",
        "current_connection_id",
        "current_query_id",
        "current_transaction_id",
        "setval",
        "stats",
        "vector_type",
        "write_log",
    ]
)
_REASONS = {
    **dict.fromkeys(_CLOCK, "reads the clock, so a replay would give another answer; use a column of the input"),
    **dict.fromkeys(_CHANCE, "is random, so a replay would give another answer"),
    **dict.fromkeys(_SURROUNDINGS, "reads what is not an input, so a replay could give another answer"),
}
_UNORDERED = frozenset(
    [
        "first",
        "last",
        "any_value",
        "arbitrary",
        "first_value",
        "last_value",
        "list",
        "array_agg",
        "string_agg",
        "group_concat",
        "listagg",
        "mode",
        "json_group_array",
        "json_group_object",
    ]
)
_NEEDS_ORDER_IN_WINDOW = frozenset(
    [
        "row_number",
        "rank",
        "dense_rank",
        "percent_rank",
        "cume_dist",
        "ntile",
        "lag",
        "lead",
        "nth_value",
        "first_value",
        "last_value",
        "first",
        "last",
    ]
)
_APPROXIMATE = ("approx_", "reservoir_")
_SORTS = frozenset(["list_sort", "array_sort", "list_reverse_sort", "array_reverse_sort", "sort_array"])
_HIDDEN_ORDER = frozenset(("rowid", "file_row_number"))


def nondeterminism(tree: exp.Expr, allow: Iterable[str] = ()) -> Iterator[tuple[exp.Expr, str]]:
    """Yield each part of ``tree`` that is not determined by the inputs, with what is wrong with it.

    Args:
        tree: any SQL.
        allow: functions that are let through, by any name that they have: ``random``, ``today``, ``any_value``.
    """
    allowed = {_one_name(name) for name in allow}
    for node in tree.walk(bfs=False):
        problem = _function(node) if isinstance(node, exp.Func) else _clause(node)
        if problem and not (isinstance(node, exp.Func) and function_name(node) in allowed):
            yield node, problem


def reads_clock(node: exp.Expr) -> bool:
    """True for a function whose answer is the time at which it is called."""
    return isinstance(node, exp.Func) and function_name(node) in _CLOCK


def pointless_exceptions(allow: Iterable[str]) -> Iterator[str]:
    """Yield, in words, each name in ``allow`` that is no function which ``nondeterminism`` refuses."""
    known = {*_REASONS, *_UNORDERED, *_NEEDS_ORDER_IN_WINDOW}
    for name in allow:
        if {_one_name(name), name.lower()} & known or name.lower().startswith(_APPROXIMATE):
            continue
        near = difflib.get_close_matches(name.lower(), sorted(known), n=1)
        yield f"allow names {name!r}, which is no function that is refused" + (f"; nearest: {near[0]}" if near else "")


def _one_name(name: str) -> str:
    """Return the one name that a function has here, whichever of its names ``name`` is."""
    try:
        called = sqlglot.parse_one(f"{name}()", dialect="duckdb")
    except SqlglotError:
        return name.lower()
    return function_name(called) or name.lower()


def _function(node: exp.Func) -> str:
    name = function_name(node)
    if name in _REASONS:
        return f"{name}() {_REASONS[name]}"
    if name.startswith(_APPROXIMATE) or isinstance(node, exp.ApproxDistinct | exp.ApproxQuantile | exp.ApproxTopK):
        return f"{name}() is approximate: its answer depends on how rows are spread over threads"
    window = _window(node)
    if window is not None and name in _NEEDS_ORDER_IN_WINDOW:
        return "" if _has_order(window) else f"{name}() OVER (...) without ORDER BY takes rows as they happen to come"
    if name in _UNORDERED and not _is_ordered(node, window):
        return f"{name}() without ORDER BY picks rows as they happen to come; write {name}(x ORDER BY y)"
    return ""


def _clause(node: exp.Expr) -> str:
    if isinstance(node, exp.TableSample):
        return "a sample is random"
    if isinstance(node, exp.Limit | exp.Offset | exp.Fetch):
        parent = node.parent
        ordered = isinstance(parent, exp.Query) and parent.args.get("order") is not None
        return "" if ordered else "LIMIT or OFFSET without ORDER BY keeps whichever rows come first"
    if isinstance(node, exp.Distinct) and node.args.get("on") is not None:
        parent = node.parent
        ordered = isinstance(parent, exp.Query) and parent.args.get("order") is not None
        return "" if ordered else "DISTINCT ON without ORDER BY keeps whichever row comes first"
    if isinstance(node, exp.Window) and _frame_kind(node) == "ROWS" and not _has_order(node):
        return "a ROWS frame without ORDER BY counts rows as they happen to come"
    if isinstance(node, exp.Join) and node.method == "POSITIONAL":
        return "POSITIONAL JOIN pairs rows as they happen to come"
    if isinstance(node, exp.Column) and node.name.lower() in _HIDDEN_ORDER:
        return f"{node.name} is where a row happens to be stored"
    return ""


def _window(node: exp.Expr) -> exp.Window | None:
    """Return the window in which ``node`` is called: through FILTER and IGNORE NULLS."""
    parent = node.parent
    while isinstance(parent, exp.Filter | exp.IgnoreNulls | exp.RespectNulls):
        parent = parent.parent
    is_named = isinstance(parent, exp.Window) and isinstance(parent.parent, exp.Select) and node.arg_key == "windows"
    return parent if isinstance(parent, exp.Window) and not is_named else None


def _has_order(window: exp.Window) -> bool:
    if window.args.get("order") is not None:
        return True
    alias = window.args.get("alias")
    select = window.find_ancestor(exp.Select)
    if alias is None or select is None:
        return False
    named = [w for w in select.args.get("windows") or [] if w.this.name.lower() == alias.name.lower()]
    return any(w.args.get("order") is not None for w in named)


def _frame_kind(window: exp.Window) -> str:
    spec = window.args.get("spec")
    return str(spec.args.get("kind") or "").upper() if spec is not None else ""


def _is_ordered(node: exp.Func, window: exp.Window | None) -> bool:
    if window is not None and _has_order(window):
        return True
    parent = node.parent
    while isinstance(parent, exp.Filter):
        parent = parent.parent
    if isinstance(parent, exp.Func) and function_name(parent) in _SORTS:
        return True
    if isinstance(parent, exp.WithinGroup) or any(isinstance(a, exp.Order) for a in node.iter_expressions()):
        return True
    return any(isinstance(a, exp.Distinct) and a.find(exp.Order) for a in node.iter_expressions())
