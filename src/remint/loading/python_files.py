"""A project's Python files, executed: every load sees them as they are on disk now.

Rules: modules of the project are executed from source on every load, never from bytecode or from an earlier load, and
``sys.path`` and ``sys.modules`` are put back afterwards. What user code raises becomes a mistake with file and line.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from remint.errors import ProjectError
from remint.loading.declare import Declaration, collecting
from remint.loading.project_modules import (
    DECLARATIONS_FILE,
    DECLARATIONS_FOLDER,
    frame_of,
    project_modules,
    said_by,
    shown_path,
)
from remint.loading.sql_source import SqlSource
from remint.model.dataset import DatasetName

if TYPE_CHECKING:
    from remint.loading.python_transforms import PythonTransform


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What the Python files of a project say."""

    declarations: list[Declaration]
    texts: dict[DatasetName, SqlSource]
    """SQL that functions without parameters returned."""
    functions: Mapping[DatasetName, PythonTransform]
    """Functions with parameters, which make rows themselves."""


def read_declarations(root: Path, mistakes: list[ProjectError]) -> Declared:
    """Return what the project's Python files declare, the SQL of functions, and the functions that make rows.

    Args:
        root: absolute folder of the project.
        mistakes: takes what user code raised.
    """
    files = _files(root)
    if not files:
        mistakes.append(
            ProjectError(f"no {DECLARATIONS_FILE} and no {DECLARATIONS_FOLDER}/*.py", file=DECLARATIONS_FILE)
        )
    texts: dict[DatasetName, SqlSource] = {}
    functions: dict[DatasetName, PythonTransform] = {}
    with project_modules(root) as modules, collecting() as declarations:
        for name in files:
            _run(lambda name=name: _import(name, root), root, f"{name.replace('.', '/')}.py", mistakes)
        for declaration in declarations:
            function = declaration.function
            if function is None:
                continue
            if _has_parameters(function):
                made = _opaque(declaration, root, modules, mistakes)
                if made is not None:
                    functions[declaration.name] = made
            elif (text := _sql_text(declaration, function, root, mistakes)) is not None:
                texts[declaration.name] = text
    return Declared(declarations=declarations, texts=texts, functions=functions)


def _files(root: Path) -> list[str]:
    """Return the names of the modules to import, in order."""
    single = [DECLARATIONS_FOLDER] if (root / DECLARATIONS_FILE).is_file() else []
    folder = root / DECLARATIONS_FOLDER
    stems = sorted(p.stem for p in folder.glob("*.py") if p.stem.isidentifier()) if folder.is_dir() else []
    return [*single, *(f"{DECLARATIONS_FOLDER}.{stem}" for stem in stems if stem != "__init__")]


def _import(name: str, root: Path) -> None:
    module = importlib.import_module(name)
    folder = root / DECLARATIONS_FOLDER
    if name == DECLARATIONS_FOLDER and folder.is_dir() and not hasattr(module, "__path__"):
        module.__path__ = [str(folder)]  # so that datasets.py and datasets/*.py can stand side by side


def _has_parameters(function: Callable[..., object]) -> bool:
    """True for a function that is given rows; one without parameters returns SQL text."""
    try:
        return bool(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # built-ins without a signature
        return False


def _opaque(
    declaration: Declaration, root: Path, modules: Mapping[str, ModuleType], mistakes: list[ProjectError]
) -> PythonTransform | None:
    from remint.loading.python_transforms import python_transform  # noqa: PLC0415 - most projects need it not

    return python_transform(declaration, root, modules, mistakes)


def _sql_text(
    declaration: Declaration, function: Callable[..., object], root: Path, mistakes: list[ProjectError]
) -> SqlSource | None:
    code = getattr(function, "__code__", None)
    file = shown_path(code.co_filename if code else declaration.file, root)
    line = code.co_firstlineno if code else declaration.line
    text = _run(function, root, file, mistakes)
    if isinstance(text, str):
        return SqlSource(sql=text, file=file, line=line, has_lines=False)
    if text is not _FAILED:
        got = "nothing" if text is None else f"a {type(text).__name__}"
        mistakes.append(
            ProjectError(
                f"the function of {declaration.name} returned {got}; it returns SQL text",
                file=file,
                line=line,
                hint='return "SELECT ..."; a function that makes rows has its inputs as parameters',
            )
        )
    return None


_FAILED = object()


def _run(call: object, root: Path, file: str, mistakes: list[ProjectError]) -> object:
    """Return what the user's code returns; ``_FAILED`` where it raised, which becomes a mistake."""
    try:
        return call() if callable(call) else _FAILED
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the one boundary around user code
        mistakes.append(_as_mistake(error, root, file))
        return _FAILED


def _as_mistake(error: BaseException, root: Path, file: str) -> ProjectError:
    place, line = frame_of(error, root) or (file, None)
    return ProjectError(said_by(error), file=place, line=line)
