"""DuckDB's SQL as Spark's: the same rows, or refused with a name before anything runs.

Rules: what is not known to mean the same is refused, never passed through; every piece that is let through, or
spelled otherwise, has a shape in the portability suite, which runs it on both engines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlglot import exp, tokenize
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope
from sqlglot.schema import MappingSchema

from remint.checks.spark_casts import refused
from remint.checks.spark_rules import PLAIN, RULES
from remint.checks.sql_tree import parse_statements, shown
from remint.errors import ProjectError

_DUCKDB, _SPARK = "duckdb", "spark"
_TILDES = ("TILDE", "RLIKE", "SIMILAR_TO")


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """What a name in the SQL stands for."""

    view: str
    """Its name in Spark."""
    columns: Mapping[str, str]
    """Type by column, as remint spells types."""


def spark_query(sql: str, relations: Mapping[str, Relation]) -> str:
    """Return ``sql``, a SELECT that DuckDB accepts, as the SELECT that gives the same rows in Spark.

    Args:
        sql: in DuckDB's dialect.
        relations: by the name under which the SQL reads them.

    Raises:
        NotOnSpark: names the piece that Spark computes otherwise, or that is not known to be the same.
    """
    tree = _parsed(sql)
    schema = MappingSchema({name: dict(r.columns) for name, r in relations.items()}, dialect=_DUCKDB)
    try:
        tree = qualify(tree, schema=schema, dialect=_DUCKDB, quote_identifiers=True)
        _divide(tree)
        tree = annotate_types(tree, schema=schema, dialect=_DUCKDB)
    except SqlglotError as error:
        raise refused(sql, f"it cannot be resolved: {str(error).partition(chr(10))[0]}") from None
    has_tilde = any(token.token_type.name in _TILDES for token in tokenize(sql, read=_DUCKDB))
    _judge(tree, has_tilde=has_tilde)
    _rename(tree, {name.lower(): r.view for name, r in relations.items()})
    return tree.sql(dialect=_SPARK, comments=False)


def tables_read(sql: str) -> frozenset[str]:
    """Return the names of tables, in lower case, that a SELECT of DuckDB's may read."""
    return frozenset(table.name.lower() for table in _parsed(sql).find_all(exp.Table))


def spark_expressions(expressions: Iterable[str], relation: Relation) -> list[str]:
    """Return expressions over one relation's columns (aggregates or conditions) as Spark's, in order.

    Raises:
        NotOnSpark: as for ``spark_query``.
    """
    found = []
    for text in expressions:
        # One SELECT each: columns of a SELECT list may not name each other.
        tree = _parsed(
            spark_query(f"SELECT ({text}) AS v FROM r", {"r": relation}),  # noqa: S608 - parsed, not run
            _SPARK,
        )
        value = tree.selects[0].unalias()
        for column in value.find_all(exp.Column):
            column.set("table", None)
        found.append(value.sql(dialect=_SPARK))
    return found


def _parsed(sql: str, dialect: str = _DUCKDB) -> exp.Query:
    try:
        statements = parse_statements(sql) if dialect == _DUCKDB else [exp.maybe_parse(sql, dialect=dialect)]
    except ProjectError as error:
        raise refused(sql, error.message) from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise refused(sql, "it is not one SELECT")
    return statements[0]


def _divide(tree: exp.Expr) -> None:
    """Spell quotients and averages as DuckDB computes them: in doubles, of exact sums; types follow from that."""
    for mean in list(tree.find_all(exp.Avg)):
        whole: exp.Expr = mean
        while isinstance(whole.parent, exp.Filter | exp.Window) and whole.arg_key == "this":
            whole = whole.parent
        if isinstance(whole, exp.Window) and isinstance(mean.this, exp.Distinct):
            raise refused(whole, "Spark has no DISTINCT in a window")
        count = exp.Nullif(this=_instead(whole, exp.Count), expression=exp.Literal.number(0))
        whole.replace(exp.paren(exp.Div(this=_instead(whole, exp.Sum), expression=count)))
    for node in list(tree.find_all(exp.Div)):
        for name in ("this", "expression"):
            node.set(name, exp.cast(node.args[name].copy(), exp.DType.DOUBLE, dialect=_DUCKDB))


def _instead(whole: exp.Expr, kind: type[exp.Expr]) -> exp.Expr:
    """Return a copy of a mean, its filter and window, with another aggregate in its place."""
    copied = whole.copy()
    mean = copied.find(exp.Avg)
    assert mean is not None  # noqa: S101 - it is a copy of what holds one
    made = kind(this=mean.this.copy())
    if mean is copied:
        return made
    mean.replace(made)
    return copied


def _judge(tree: exp.Expr, *, has_tilde: bool) -> None:
    """Spell every piece as Spark must be told it, from the inside out; the first that cannot be is refused."""
    nodes = list(tree.walk(bfs=False))
    for node in nodes:
        if has_tilde and isinstance(node, exp.RegexpLike):
            raise refused(node, "the operator ~ must match all of a text in DuckDB and a part of it elsewhere")
        if type(node) not in PLAIN and type(node) not in RULES:
            raise refused(node, "it is not among the pieces of SQL that are known to mean the same on Spark")
    for node in reversed(nodes):
        rule = RULES.get(type(node))
        made = node if rule is None else rule(node)
        if made is not node:
            made.type = node.type
            node.replace(made)


def _rename(tree: exp.Query, views: Mapping[str, str]) -> None:
    for scope in traverse_scope(tree):
        for source in scope.sources.values():
            if isinstance(source, exp.Table):
                view = views.get(source.name.lower())
                if view is None or source.args.get("db"):
                    raise refused(source, f"{shown(source)} is no input")
                source.set("this", exp.to_identifier(view, quoted=True))
