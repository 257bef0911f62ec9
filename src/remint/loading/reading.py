"""Contracts, SQL and aggregates of a project, read through the cache: parsers are imported only for what changed."""

from __future__ import annotations

from collections.abc import Mapping
from platform import python_version_tuple
from typing import TYPE_CHECKING, Any

from remint.checks.contract import Contract
from remint.loading.cache import ProjectCache
from remint.loading.sql_source import TransformSpec
from remint.model.dataset import Check, Column, Logic, Severity, Transform
from remint.model.digest import canonical

if TYPE_CHECKING:
    from remint.loading.python_transforms import PythonTransform

# The imports inside functions cost half a second together; an unchanged project must load without them.


def contract_of(text: str, file: str, cache: ProjectCache) -> Contract:
    """Return what the contract in ``text`` promises.

    Raises:
        ProjectInvalid: every mistake in it.
    """
    content = ["contract", file, text]
    found = cache.get(content, _contract)
    if found is None:
        from remint.loading.contract_files import read_contract  # noqa: PLC0415

        found = read_contract(text, file)
    cache.put(content, canonical(found))
    return found


def transform_of(spec: TransformSpec, cache: ProjectCache) -> tuple[Transform, Mapping[str, tuple[str, ...] | None]]:
    """Return the analysed transform, and by alias the columns that it reads (None for all of them).

    Raises:
        ProjectInvalid: every mistake in its SQL.
    """
    content = ["transform", spec]
    found = cache.get(content, _transform)
    if found is None:
        from remint.loading.sql_logic import analyse  # noqa: PLC0415

        analysed = analyse(spec)
        found = analysed.transform, analysed.columns
    cache.put(content, {"transform": canonical(found[0]), "columns": canonical(found[1])})
    return found


def function_transform(made: PythonTransform, spec: TransformSpec, cache: ProjectCache) -> Transform:
    """Return the transform that a function is; kept by what the function means, which every load finds out anew."""
    content = ["function", made.logic, python_version_tuple(), spec]
    found = cache.get(content, lambda data: Logic(**data))
    if found is None:
        from remint.loading.sql_logic import logic_of_function  # noqa: PLC0415

        found = logic_of_function(made.logic, spec)
    cache.put(content, canonical(found))
    return Transform(sql="", function=made.name, logic=found)


def aggregate_of(sql: str, columns: tuple[str, ...], cache: ProjectCache) -> str:
    """Return ``sql``, known to be one aggregate over ``columns``.

    Raises:
        ProjectError: it is not.
    """
    content = ["aggregate", sql, columns]
    found = cache.get(content, str)
    if found is None:
        from remint.checks.aggregate import check_aggregate  # noqa: PLC0415

        found = check_aggregate(sql, columns)
    cache.put(content, found)
    return found


def condition_of(sql: str, columns: tuple[str, ...], cache: ProjectCache) -> str:
    """Return ``sql``, known to be one condition on a row of ``columns``.

    Raises:
        ProjectError: it is not.
    """
    content = ["condition", sql, columns]
    found = cache.get(content, str)
    if found is None:
        from remint.checks.aggregate import check_condition  # noqa: PLC0415

        found = check_condition(sql, columns)
    cache.put(content, found)
    return found


def _contract(data: Any) -> Contract:
    return Contract(
        columns=tuple(Column(**column) for column in data["columns"]),
        key=tuple(data["key"]),
        checks=tuple(Check(**{**check, "severity": Severity(check["severity"])}) for check in data["checks"]),
        owner=data["owner"],
        warnings=tuple(data["warnings"]),
    )


def _transform(data: Any) -> tuple[Transform, Mapping[str, tuple[str, ...] | None]]:
    made = data["transform"]
    transform = Transform(
        sql=made["sql"],
        logic=Logic(**made["logic"]),
        single_thread=made["single_thread"],
        warnings=tuple(made["warnings"]),
    )
    return transform, {alias: None if read is None else tuple(read) for alias, read in data["columns"].items()}
