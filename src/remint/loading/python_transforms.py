"""Transforms that are Python functions over Arrow tables: their parameters, their logic, and how they are called.

Rules: a function is known by its source and all that it reaches, never by its result. It is given tables and nothing
of remint. It runs among the modules that were loaded, and hashed, with it: an edit after the load does not reach it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from remint.errors import ProjectError, ProjectInvalid, TransformFailed
from remint.loading.declare import Declaration
from remint.loading.names import nearest
from remint.loading.project_modules import frame_of, project_modules, said_by, shown_path
from remint.loading.python_logic import PythonLogic, python_logic
from remint.model.dataset import DatasetName

T = TypeVar("T")

_EMPTY = inspect.Parameter.empty
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonTransform:
    """A function of the project that makes a dataset from Arrow tables."""

    dataset: DatasetName
    name: str
    """``datasets.py:score``."""
    place: str
    """``datasets.py:12``, where the function is defined."""
    logic: PythonLogic
    function: Callable[..., Any]
    root: Path
    modules: Mapping[str, ModuleType]
    """The modules of the project as they were loaded."""

    def run(self, tables: Mapping[str, Any], take: Callable[[Any], T]) -> T:
        """Call the function, and ``take`` on what it returns; the one boundary around it.

        Args:
            tables: by parameter.
            take: reads the result to its end, which may run user code too; raises TransformFailed when it is none.

        Raises:
            TransformFailed: it raised, with the line of the project at which it did, or ``take`` refused.
        """
        with project_modules(self.root, self.modules):
            try:
                return take(self.function(**tables))
            except TransformFailed:
                raise
            except (Exception, SystemExit) as error:
                file, line = frame_of(error, self.root) or (self.place, None)
                raise TransformFailed(
                    f"{self.dataset}: {file if line is None else f'{file}:{line}'}: {said_by(error)}",
                    hint=f"correct {self.name}, and plan again",
                ) from error


def python_transform(
    declaration: Declaration, root: Path, modules: Mapping[str, ModuleType], mistakes: list[ProjectError]
) -> PythonTransform | None:
    """Return the function of a declaration, hashed; None where ``mistakes`` took why not.

    Args:
        declaration: whose function has parameters; the project's modules must still be imported.
        root: absolute folder of the project.
        modules: will hold the project's modules.
        mistakes: takes all that is wrong with it.
    """
    function = declaration.function
    code = getattr(function, "__code__", None)
    if function is None or code is None:
        mistakes.append(
            _mistake(declaration, root, f"is a {type(function).__name__}, not a function", "decorate a def")
        )
        return None
    file, line = shown_path(code.co_filename, root), code.co_firstlineno
    found = [
        ProjectError(f"{declaration.name}: {function.__name__}() {said}", file=file, line=line, hint=hint)
        for said, hint in _parameter_problems(function, [alias for alias, _, _ in declaration.inputs])
    ]
    mistakes += found
    try:
        logic = python_logic(function, frozenset(declaration.allow), root)
    except ProjectInvalid as error:
        mistakes += error.mistakes
        return None
    return PythonTransform(
        dataset=declaration.name,
        name=f"{file}:{function.__qualname__}",
        place=f"{file}:{line}",
        logic=logic,
        function=function,
        root=root,
        modules=modules,
    )


def _mistake(declaration: Declaration, root: Path, said: str, hint: str) -> ProjectError:
    file = shown_path(declaration.file, root)
    return ProjectError(f"what makes {declaration.name} {said}", file=file, line=declaration.line, hint=hint)


def _parameter_problems(function: Callable[..., Any], aliases: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with how a function takes its inputs and gives its rows, each with what to do."""
    known = list(aliases)
    parameters = inspect.signature(function).parameters
    taken = {name for name, parameter in parameters.items() if parameter.kind in _BY_NAME}
    for name, parameter in parameters.items():
        if parameter.kind not in _BY_NAME:
            yield f"has the parameter {parameter}, which takes no input by name", "one parameter for each input"
        elif name not in known:
            hint = (
                "make it a constant of the module" if parameter.default is not _EMPTY else f"inputs={{{name!r}: ...}}"
            )
            yield f"has a parameter {name!r}, which is no input{nearest(name, known)}", hint
    for alias in (a for a in known if a not in taken):
        yield f"has no parameter for the input {alias!r}", f"def {function.__name__}({', '.join(known)})"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        yield "is async; it returns a table", "def, without async"
    elif inspect.isgeneratorfunction(function):
        yield "yields; it returns one table", "return pyarrow.concat_tables(...)"
