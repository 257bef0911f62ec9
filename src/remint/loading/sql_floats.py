"""Sums of floating point numbers: their last digits depend on the order of addition, so on the number of threads."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify

from remint.checks.run_now import is_run_now
from remint.checks.sql_tree import function_name, line_of, shown
from remint.loading.sql_rules import Relations

_SUMS = frozenset(["sum", "avg", "mean", "fsum", "favg", "kahan_sum", "sumkahan", "list_sum", "list_avg"])
# These compute in floating point whatever they are given.
_ALWAYS = frozenset(
    [
        "fsum",
        "favg",
        "kahan_sum",
        "sumkahan",
        "stddev",
        "stddev_pop",
        "stddev_samp",
        "variance",
        "variance_pop",
        "var_pop",
        "var_samp",
        "corr",
        "covar_pop",
        "covar_samp",
        "regr_avgx",
        "regr_avgy",
        "regr_intercept",
        "regr_r2",
        "regr_slope",
        "regr_sxx",
        "regr_sxy",
        "regr_syy",
        "product",
        "geomean",
        "geometric_mean",
        "entropy",
        "skewness",
        "kurtosis",
        "kurtosis_pop",
        "sem",
    ]
)
_KEEPS_TYPE = (exp.Round, exp.Floor, exp.Ceil, exp.Trunc)
_INTEGER_FUNCTIONS = frozenset(["hash", "strlen", "epoch_ms", "epoch_us", "epoch_ns", "bit_count", "unicode", "ord"])
_FLOATS = frozenset((exp.DType.FLOAT, exp.DType.DOUBLE, exp.DType.UNKNOWN, exp.DType.NULL))
_SHOWN, _LINE = "remint_shown", "remint_line"


def float_sums(query: exp.Query, relations: Relations) -> Iterator[tuple[int, str]]:
    """Yield line and text of each aggregate that adds floating point numbers; a type not known counts as one.

    Args:
        query: the transform; it is left as it is.
        relations: gives the types of the columns.
    """
    copy = query.copy()
    for node in copy.find_all(exp.Func):
        if function_name(node) in _SUMS | _ALWAYS:
            node.meta[_SHOWN], node.meta[_LINE] = shown(node), line_of(node)
    typed = _typed(copy, relations)
    found = {
        (int(node.meta.get(_LINE, 1)), str(node.meta.get(_SHOWN) or shown(node)))
        for node in typed.find_all(exp.Func)
        if _adds_floats(node)
    }
    yield from sorted(found)


def _adds_floats(node: exp.Func) -> bool:
    name = function_name(node)
    if name in _ALWAYS:
        return True
    if name not in _SUMS:
        return False
    added = node.expressions[0] if isinstance(node, exp.Anonymous) and node.expressions else node.this
    if isinstance(added, exp.Distinct) and added.expressions:
        added = added.expressions[0]
    return not isinstance(added, exp.Expr) or added.type is None or added.type.this in _FLOATS


def _typed(query: exp.Query, relations: Relations) -> exp.Expr:
    """Return the query with a type on every expression that sqlglot can tell; all unknown where it cannot."""
    schema: dict[str, object] = {alias: {c.name: c.type for c in columns} for alias, columns in relations.items()}
    prepared = query.transform(_as_duckdb_types)
    try:
        qualified = qualify(
            prepared,
            schema=schema,
            dialect="duckdb",
            validate_qualify_columns=False,
            quote_identifiers=False,
            identify=False,
        )
        return annotate_types(qualified, schema=schema, dialect="duckdb")
    except (SqlglotError, KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return query.copy()


def _as_duckdb_types(node: exp.Expr) -> exp.Expr:
    """Return ``node`` so that its type is inferred as DuckDB does where sqlglot does not."""
    if isinstance(node, exp.Literal) and not node.is_string and not node.is_int and "e" not in node.this.lower():
        return exp.cast(node.copy(), f"DECIMAL(18,{min(18, len(node.this.partition('.')[2]))})")
    if isinstance(node, exp.Div):  # of any numbers gives DOUBLE, also of decimals
        return exp.Cast(this=node.copy(), to=exp.DataType.build("DOUBLE")) if not _is_cast(node) else node
    if is_run_now(node):
        return exp.Cast(this=exp.Null(), to=exp.DataType.build("TIMESTAMPTZ"))
    if isinstance(node, _KEEPS_TYPE):
        return exp.Paren(this=node.this)
    if isinstance(node, exp.Func) and (node.sql_name().lower() in _INTEGER_FUNCTIONS or _is_integer_call(node)):
        return exp.Cast(this=exp.Null(), to=exp.DataType.build("BIGINT"))
    return node


def _is_cast(node: exp.Expr) -> bool:
    return isinstance(node.parent, exp.Cast)


def _is_integer_call(node: exp.Func) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.lower() in _INTEGER_FUNCTIONS
