"""``init_project``: writes a small project that works, from the files in ``template/``."""

from __future__ import annotations

import json
from pathlib import Path

from remint.errors import ProjectError
from remint.loading.settings import SETTINGS_FILE

_TEMPLATE = Path(__file__).parent / "template"
_SUFFIX = ".template"
"""Files of this suffix lose it, and have ``{name}`` replaced; without it they would count as files of remint itself."""


def init_project(target: Path, name: str | None = None) -> tuple[Path, ...]:
    """Write a working project into ``target`` and return its files, sorted.

    Args:
        target: folder; made where it is missing. Files in it that the project does not need stay as they are.
        name: of the project; the folder's name when not given.

    Raises:
        ProjectError: a project is there already, or a file that would be overwritten; nothing was written.
    """
    shown = name or target.resolve().name or "project"
    contents = {_target_name(path): path.read_text("utf-8") for path in sorted(_TEMPLATE.rglob("*")) if path.is_file()}
    for relative in contents:
        there = target / relative
        if there.is_dir() or (there.exists() and (relative == SETTINGS_FILE or there.stat().st_size > 0)):
            raise ProjectError(
                f"{there} exists already; nothing was written",
                file=relative,
                hint="remint init ANOTHER_FOLDER",
            )
    written = []
    for relative, text in contents.items():
        path = target / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(relative, text, shown), "utf-8", newline="\n")
        written.append(path)
    return tuple(sorted(written))


def _target_name(path: Path) -> str:
    relative = path.relative_to(_TEMPLATE).as_posix().removesuffix(_SUFFIX)
    return f".{relative}" if relative == "gitignore" else relative


def _filled(relative: str, text: str, name: str) -> str:
    if relative == SETTINGS_FILE:
        return text.replace('"{name}"', json.dumps(name, ensure_ascii=False))
    return text.replace("{name}", name) if relative == "README.md" else text
