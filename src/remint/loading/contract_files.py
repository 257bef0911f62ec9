"""Contract files: strict YAML that the ODCS JSON schema accepts, compiled by ``checks.contract``."""

from __future__ import annotations

import difflib
import importlib.util
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

from remint.checks.column_types import column_type
from remint.checks.compile import compile_contract
from remint.checks.contract import Contract
from remint.checks.place import Place
from remint.errors import ProjectError, ProjectInvalid
from remint.loading.yaml_files import YamlDocument, parse_yaml

_UNKNOWN_KEY = ("additionalProperties", "unevaluatedProperties")
_LOGICAL = {
    "BOOLEAN": "boolean",
    "INTEGER": "integer",
    "BIGINT": "integer",
    "VARCHAR": "string",
    "DATE": "date",
    "TIMESTAMPTZ": "timestamp",
}
_READABLE = 300  # characters; messages of the schema library can quote whole documents
_UNEXPECTED = re.compile(r"'((?:[^'\\]|\\.)*)'")


def read_contract(text: str, file: str) -> Contract:
    """Return what the contract in ``text`` promises.

    Raises:
        ProjectInvalid: every mistake, with its line.
    """
    try:
        document = parse_yaml(text, file)
    except ProjectError as error:
        raise ProjectInvalid([error]) from None
    place = Place(file=file, line=document.line)
    place.mistakes.extend(_schema_mistakes(document))
    if place.mistakes:
        raise ProjectInvalid(place.mistakes)
    contract = compile_contract(document.data, place)
    if contract is None:
        raise ProjectInvalid(place.mistakes)
    return contract


@cache
def _validator() -> jsonschema.Draft201909Validator:
    """Return the validator of the schema that the standard's package ships.

    The package is found, not imported: importing it builds its models, which costs half a second.
    """
    spec = importlib.util.find_spec("open_data_contract_standard")
    if spec is None or not spec.submodule_search_locations:
        raise ProjectError("the package open-data-contract-standard is not installed", hint="pip install remint")
    schema = json.loads((Path(spec.submodule_search_locations[0]) / "schema.json").read_text("utf-8"))
    return jsonschema.Draft201909Validator(schema)


def _schema_mistakes(document: YamlDocument) -> list[ProjectError]:
    leaves = [leaf for error in _validator().iter_errors(_with_logical_types(document.data)) for leaf in _leaves(error)]
    named = [tuple(leaf.absolute_path) for leaf in leaves if leaf.validator not in _UNKNOWN_KEY]
    found: dict[tuple[str, int | None], ProjectError] = {}
    for leaf in leaves:
        path = tuple(leaf.absolute_path)
        # Where a part is wrong, the schema also calls the good keys beside it unknown; that would mislead.
        is_echo = any(other[: len(path)] == path for other in named)
        mistakes = (
            _unknown_keys(leaf, document, is_echo) if leaf.validator in _UNKNOWN_KEY else [_mistake(leaf, document)]
        )
        for mistake in mistakes:
            found.setdefault((mistake.message, mistake.line), mistake)
    return list(found.values())


def _with_logical_types(data: Any) -> Any:
    """Return the contract with a logicalType on every column that leaves it out.

    Without one the schema takes a column for each of its types at once, and asks for what only maps have.
    """
    tables = data.get("schema") if isinstance(data, dict) else None
    if not isinstance(tables, list):
        return data
    filled = [
        {**t, "properties": [_with_logical_type(p) for p in t["properties"]]}
        if isinstance(t, dict) and isinstance(t.get("properties"), list)
        else t
        for t in tables
    ]
    return {**data, "schema": filled}


def _with_logical_type(entry: Any) -> Any:
    if not isinstance(entry, dict) or "logicalType" in entry:
        return entry
    type_ = column_type(str(entry.get("physicalType"))) or "VARCHAR"
    return {"logicalType": _LOGICAL.get(type_, "number"), **entry}


def _leaves(error: jsonschema.ValidationError) -> Iterator[jsonschema.ValidationError]:
    """Yield the errors behind ``error`` that say most: of alternatives, those of the one that fits best."""
    if not error.context:
        yield error
        return
    if error.validator in ("oneOf", "anyOf"):
        best = jsonschema.exceptions.best_match([error])
        yield error if best is None or best.validator == "required" else best
        return
    for inner in error.context:
        yield from _leaves(inner)


def _unknown_keys(error: jsonschema.ValidationError, document: YamlDocument, is_echo: bool) -> Iterator[ProjectError]:
    named = _UNEXPECTED.findall(error.message)
    path = tuple(error.absolute_path)
    for key in dict(error.instance) if isinstance(error.instance, dict) else ():
        if key in named and not (is_echo and key in _standard_keys()):
            yield ProjectError(
                f"{key!r} is not a key that the contract standard has here{_nearest(key)}",
                file=document.file,
                line=document.line((*path, key)),
                hint="own keys go to customProperties",
            )


def _nearest(key: str) -> str:
    near = difflib.get_close_matches(key, _standard_keys() - {key}, n=1)
    return f"; nearest: {near[0]}" if near else ""


def _mistake(error: jsonschema.ValidationError, document: YamlDocument) -> ProjectError:
    path = tuple(error.absolute_path)
    where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path[-2:]).lstrip(".") or "the contract"
    message = (
        f"{where}: {error.message}" if len(error.message) < _READABLE else f"{where} is not what the standard says"
    )
    hint = None
    if error.validator == "oneOf":
        message, hint = f"{where}: needs exactly one comparison", "mustBe: 0"
    elif error.validator == "type" and error.validator_value == "string":
        hint = f'quote it: "{error.instance}"'
    return ProjectError(message, file=document.file, line=document.line(path), hint=hint)


@cache
def _standard_keys() -> frozenset[str]:
    """Return every key that the standard has anywhere."""
    found: set[str] = set()
    pending: list[Any] = [_validator().schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            properties = node.get("properties")
            found |= set(properties) if isinstance(properties, dict) else set()
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
    return frozenset(found)
