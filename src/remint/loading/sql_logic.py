"""A transform's SQL, analysed: what it means apart from how it is written, and what is wrong with it.

Rules: the meaning is hashed from the tokens of the text, not from a syntax tree: no quirk of a parser can make two
different transforms look the same, and a new parser version changes no digest. Comments, layout and the case of
keywords and unquoted names are no meaning; a constant is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from platform import python_version_tuple
from typing import Any

from sqlglot import Token, TokenType, tokenize

from remint.errors import ProjectError, ProjectInvalid
from remint.loading.python_logic import PythonLogic
from remint.loading.sql_columns import TEXT_TOKENS, columns_read
from remint.loading.sql_floats import float_sums
from remint.loading.sql_reach import TimeColumn
from remint.loading.sql_rules import Problem, Relations, parse_transform, problems
from remint.loading.sql_source import PYTHON, TransformSpec, rejected_alias
from remint.loading.sql_windows import ReachKind, describe, narrower, reaches
from remint.model.dataset import Column, Logic, Transform
from remint.model.digest import canonical_json, text_digest

# Where one of these occurs, names become data (keys of JSON, fields of structs), so their case is meaning.
_NAMES_AS_DATA = frozenset(
    ["to_json", "row_to_json", "array_to_json", "json_object", "struct_pack", "row", "columns", "alias", "typeof", "{"]
)
_SETTINGS = "-- "
_LITERALS = TEXT_TOKENS | {TokenType.BIT_STRING, TokenType.HEX_STRING, TokenType.IDENTIFIER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysed:
    """A transform, and what was found out about its SQL."""

    transform: Transform
    columns: Mapping[str, tuple[str, ...] | None]
    """By alias, the columns that it reads, sorted; None for all of them."""


def analyse(spec: TransformSpec) -> Analysed:
    """Return the transform with its logic and what it reads.

    Raises:
        ProjectInvalid: everything that is wrong with the SQL, with file and line.
    """
    source, relations = spec.source, relations_of(spec)
    query = parse_transform(source.sql)
    likely: list[Problem] = []
    found = (
        [query]
        if isinstance(query, Problem)
        else problems(query, relations, {a: d for a, (d, _) in spec.inputs.items()}, spec.allow)
    )
    if not isinstance(query, Problem):
        found += _output_problems(query.named_selects, spec.columns)
        too_narrow, likely = _narrow(spec, relations)
        found += too_narrow
    if found:
        raise ProjectInvalid(
            [ProjectError(p.message, file=source.file, line=source.at(p.line), hint=p.hint) for p in found]
        )
    assert not isinstance(query, Problem)  # noqa: S101 - a problem was raised above
    warnings = tuple(
        f"{source.file}:{source.at(line)}: {text} adds floating point numbers, so it runs on one thread; "
        "DECIMAL adds exactly on all of them"
        for line, text in float_sums(query, relations)
    )
    made = Transform(
        sql=source.sql,
        logic=logic_of(spec),
        single_thread=bool(warnings),
        warnings=(*warnings, *(f"{source.file}:{source.at(p.line)}: {p.message}" for p in likely)),
    )
    read = columns_read(source.sql, relations)
    columns = {a: None if (c := read.get(a.lower())) is None else tuple(sorted(c)) for a in spec.inputs}
    return Analysed(transform=made, columns=columns)


def _narrow(spec: TransformSpec, relations: Relations) -> tuple[list[Problem], list[Problem]]:
    """Return the inputs of which the SQL reads partitions that their declared mapping leaves out: proven, and likely.

    A distance or a truncation is proof. Rows and open bounds are not: the rows of a key may never span partitions.
    """
    if spec.output is None:
        return [], []
    output = TimeColumn(name=spec.output[0], grain=spec.output[1])
    times = {a.lower(): TimeColumn(name=d.column, grain=d.grain, is_raw=d.is_raw) for a, d in spec.declared.items()}
    found = reaches(spec.source.sql, relations, output, times)
    proven: list[Problem] = []
    likely: list[Problem] = []
    for alias, declared in spec.declared.items():
        said = (declared.before, declared.after, declared.grain)
        for reach in [r for r in found.get(alias.lower(), ()) if narrower(said, r)][:1]:
            is_proof = reach.kind in (ReachKind.DISTANCE, ReachKind.ROLL_UP)
            words = (
                f"the SQL {'reads' if is_proof else 'may read'} more of {alias} than is declared: declared "
                f"{spec.reads.get(alias, '')}; read {describe(reach)}, by: {reach.sql}"
            )
            hint = "declare it as wide as the SQL reads: window(..., before=..., after=...)"
            (proven if is_proof else likely).append(Problem(words, reach.line, hint))
    return proven, likely


def relations_of(spec: TransformSpec) -> Relations:
    """Return what the SQL may read, by alias: inputs; for a parsed one the typed rows, and the rejected ones."""
    found = {alias.lower(): columns for alias, (_, columns) in spec.inputs.items()}
    if spec.parse is not None and (raw := found.get(spec.parse.alias.lower())) is not None:
        # The payload is gone once it is parsed, and a field stands in for a raw column of its name.
        gone = {spec.parse.column, *(f.name for f in spec.parse.fields)}
        found[spec.parse.alias.lower()] = (*(c for c in raw if c.name not in gone), *spec.parse.fields)
        found[rejected_alias(spec.parse).lower()] = (*raw, Column(name="reason", type="VARCHAR", required=True))
    return found


def logic_of(spec: TransformSpec) -> Logic:
    """Return what the transform means: its SQL, parsing, keep order and the columns it promises."""
    text = with_settings(canonical_sql(spec.source.sql), _settings(spec))
    return Logic(digest=text_digest(text), canonical=text, canonicaliser=canonicaliser())


def logic_of_function(python: PythonLogic, spec: TransformSpec) -> Logic:
    """Return what a Python function means as a transform, with the same settings as SQL has.

    The version of Python is no part of the digest, as that of the engine is none of SQL's: ``verify`` tells whether a
    new one gives the same rows.
    """
    settings = _settings(spec)
    return Logic(
        digest=text_digest(canonical_json([PYTHON, python.digest, settings])),
        canonical=with_settings(python.canonical, settings),
        canonicaliser=f"{PYTHON} {'.'.join(python_version_tuple()[:2])}",
    )


def with_settings(sql: str, settings: Mapping[str, Any]) -> str:
    """Return canonical text with what else decides its meaning, as a comment on its last line."""
    return f"{sql}\n{_SETTINGS}{canonical_json(settings)}"


def split_settings(canonical: str) -> tuple[str, dict[str, Any]]:
    """Return the text and the settings of a canonical text: the inverse of ``with_settings``."""
    sql, found, settings = canonical.rpartition(f"\n{_SETTINGS}")
    return (sql, json.loads(settings)) if found else (canonical, {})


def canonicaliser() -> str:
    """Return the library that splits SQL into tokens, with its version."""
    return f"sqlglot-tokens {version('sqlglot')}"


def canonical_sql(sql: str) -> str:
    """Return the tokens of ``sql`` in one spelling, parted by single spaces.

    Raises:
        sqlglot.errors.TokenError: a quote or comment does not end.
    """
    tokens = tokenize(sql, dialect="duckdb")
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens = tokens[:-1]
    folds = not any(t.text.lower() in _NAMES_AS_DATA for t in tokens if t.token_type not in _LITERALS)
    return " ".join(_spelled(token, folds=folds) for token in tokens)


def _spelled(token: Token, *, folds: bool) -> str:
    if token.token_type is TokenType.IDENTIFIER:
        return '"' + token.text.replace('"', '""') + '"'
    if token.token_type in _LITERALS:
        prefix = "" if token.token_type is TokenType.STRING else token.token_type.name.lower()
        return prefix + "'" + token.text.replace("'", "''") + "'"
    is_name = token.token_type is TokenType.VAR
    return token.text if is_name and not folds else token.text.lower()


def _settings(spec: TransformSpec) -> dict[str, Any]:
    """Return what decides the meaning of a transform beside its text: columns, keep order, reads and parsing."""
    settings: dict[str, Any] = {"columns": {c.name: c.type for c in spec.columns}}
    if spec.keep:
        settings["keep"] = {"key": spec.key, "latest": spec.keep}
    if spec.reads:
        settings["reads"] = spec.reads
    if spec.parse is not None:
        rules = {rule.name: canonical_sql(rule.condition) for rule in spec.parse.rules}
        fields = {f.name: f.type + ("" if f.required else "?") for f in spec.parse.fields}
        settings["parse"] = {"of": [spec.parse.alias, spec.parse.column], "fields": fields, "rules": rules}
    return settings


def _output_problems(names: list[str], columns: tuple[Column, ...]) -> list[Problem]:
    """Return columns that the SELECT makes and the contract does not promise, and the reverse.

    Names behind a star are not known here; the engine compares them when it runs.
    """
    made = {name.lower() for name in names}
    if "*" in made or any(not name for name in made):
        return []
    promised = {c.name.lower(): c.name for c in columns}
    found = [
        Problem(f"the SELECT does not make the column {name!r} that the contract promises", 1)
        for lower, name in promised.items()
        if lower not in made
    ]
    found += [
        Problem(f"the SELECT makes a column {name!r} that the contract does not promise", 1)
        for name in names
        if name.lower() not in promised
    ]
    return found
