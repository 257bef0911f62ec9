"""Saved plans: JSON that holds all of a plan, is read back as the same value, and cannot be edited unseen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from remint.disk import make_folder, write_atomically
from remint.errors import UnknownPlan
from remint.model.approval import Approval
from remint.model.digest import canonical
from remint.model.matrix import MatrixRow
from remint.model.plan import PLAN_FORMAT, Plan, plan_digest

_HINT = "remint plan    # make a new one"
_PLAN = TypeAdapter(Plan)
PLAN_DOCUMENT = "remint.plan/1"
"""Format of what ``remint plan --json`` prints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _GivenApproval:
    """An approval of the plan, and whether it still counts."""

    state: str
    """``open``, ``used`` or ``expired``, as of now."""
    approval: Approval


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """The error that applying the plan now would raise."""

    code: str
    message: str
    hint: str | None
    leaves: str
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _PlanDocument:
    """What ``remint plan --json`` prints."""

    format: Literal["remint.plan/1"]
    plan: Plan
    matrix: tuple[MatrixRow, ...]
    file: str | None
    """Where the plan is saved; null for an empty one."""
    needs_approval: tuple[str, ...]
    """Why a second person must consent; empty: nobody must."""
    approvals: tuple[_GivenApproval, ...]
    refused_now: _Refusal | None
    notes: tuple[str, ...]
    """What could not be judged."""
    owners: dict[str, tuple[str, ...]]
    """Whom the plan concerns: by the team of their contracts, the datasets that will or may change."""


def plan_text(plan: Plan) -> str:
    """Return the plan as indented JSON with sorted keys: equal plans give equal text."""
    return json.dumps(canonical(plan), sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def plan_schema() -> dict[str, Any]:
    """Return the JSON schema of what ``remint plan --json`` prints, the saved plan in it; every field is printed."""
    schema = TypeAdapter(_PlanDocument).json_schema(mode="serialization")
    for definition in (schema, *schema["$defs"].values()):
        if definition.get("type") == "object" and "properties" in definition:
            definition["additionalProperties"] = False
            definition["required"] = list(definition["properties"])
    schema["$defs"]["Plan"]["properties"]["format"]["const"] = PLAN_FORMAT
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": PLAN_DOCUMENT, **schema}


def write_plan(plan: Plan, folder: Path) -> Path:
    """Write the plan to ``<plan_id>.json`` in ``folder``, which is made where it is missing, and return the file."""
    make_folder(folder)
    path = folder / f"{plan.plan_id}.json"
    write_atomically(path, plan_text(plan))
    return path


def find_plan(plan_id: str, folder: Path) -> Plan:
    """Return a saved plan by id, or by its file.

    Raises:
        UnknownPlan: there is none, or the file does not hold what its id says.
    """
    path = Path(plan_id) if plan_id.endswith(".json") else folder / f"{plan_id}.json"
    if not path.exists():
        near = ", ".join(sorted(p.stem for p in folder.glob("*.json"))[-3:]) or "none"
        raise UnknownPlan(f"no plan {plan_id!r} is saved; newest: {near}", hint="remint plan")
    return read_plan(path.read_text(encoding="utf-8"))


def read_plan(text: str) -> Plan:
    """Return the plan that ``plan_text`` wrote.

    Raises:
        UnknownPlan: it is no plan of this format, or its content is not what its id says.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnknownPlan(f"the plan file is not JSON: {error}", hint=_HINT) from None
    written = data.get("format") if isinstance(data, dict) else None
    if written != PLAN_FORMAT:
        raise UnknownPlan(f"the plan file has the format {written!r}; this remint reads {PLAN_FORMAT!r}", hint=_HINT)
    try:
        plan = _PLAN.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UnknownPlan(f"the plan file was edited: {place}: {first['msg']}", hint=_HINT) from None
    # The whole text, not just the digest: a key that no field has would be dropped before the digest is taken.
    if plan_digest(plan) != plan.plan_id or canonical(plan) != data:
        raise UnknownPlan(f"the plan file was edited: its content is not that of {plan.plan_id}", hint=_HINT)
    return plan
