"""The source of functions and classes as syntax trees, without what is no meaning."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType

_NO_MEANING = frozenset(["lineno", "col_offset", "end_lineno", "end_col_offset", "type_comment", "kind", "type_params"])
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class NoSource(Exception):
    """The source of a function or class cannot be found, or is not what was loaded; says why."""


def function_node(code: CodeType) -> _Function | ast.Lambda:
    """Return the syntax tree of the function that ``code`` is compiled from, positions included.

    Raises:
        NoSource: it has no file, or the file is not what was loaded.
    """
    text, tree = _parsed(code.co_filename)
    if code not in _compiled(code.co_filename, text):
        raise NoSource(f"{code.co_filename} is not what was loaded: it changed since")
    for node in ast.walk(tree):
        if isinstance(node, _Function) and node.name == code.co_name and _first_line(node) == code.co_firstlineno:
            return node
        if isinstance(node, ast.Lambda) and code.co_name == "<lambda>" and _holds(node, code):
            return node
    raise NoSource("its source is not in its file")


def class_node(file: str, qualname: str) -> ast.ClassDef:
    """Return the syntax tree of the class that ``file`` defines as ``qualname``.

    Raises:
        NoSource: there is none, or more than one.
    """
    _, tree = _parsed(file)
    found: list[ast.AST] = [tree]
    for name in qualname.split("."):
        found = [n for outer in found for n in _defined(outer) if isinstance(n, ast.ClassDef) and n.name == name]
    if len(found) != 1 or not isinstance(found[0], ast.ClassDef):
        raise NoSource("it is defined more than once in its file" if found else "its source is not in its file")
    return found[0]


def without_form(node: ast.AST) -> ast.AST:
    """Return a copy without docstrings and annotations; positions stay, for messages."""
    return _Stripper().visit(copy.deepcopy(node))  # type: ignore[no-any-return]


def shape(node: object) -> object:
    """Return a syntax tree as plain data, the same under every version of Python that parses it alike."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if name not in _NO_MEANING)
        return [type(node).__name__, *([name, shape(value)] for name, value in fields if value not in (None, []))]
    if isinstance(node, list):
        return [shape(item) for item in node]
    return node if isinstance(node, str) else f"{type(node).__name__} {node!r}"


class _Stripper(ast.NodeTransformer):
    """Takes out docstrings, annotations of functions, and bare strings."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        # Annotated names are the fields of a dataclass or named tuple, so these annotations stay.
        fields = {
            id(statement): statement.annotation for statement in node.body if isinstance(statement, ast.AnnAssign)
        }
        kept = [statement for statement in node.body if not _is_text(statement)]
        node.body = [
            statement if id(statement) in fields else self.visit(statement) for statement in kept or [ast.Pass()]
        ]
        node.bases = [self.visit(base) for base in node.bases]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        made = ast.Assign(targets=[node.target], value=self.visit(node.value))
        return ast.copy_location(made, node)

    def _function(self, node: _Function) -> ast.AST:
        node.returns = None
        everything = node.args
        for arg in [
            *everything.posonlyargs,
            *everything.args,
            *everything.kwonlyargs,
            everything.vararg,
            everything.kwarg,
        ]:
            if arg is not None:
                arg.annotation = None
        node.body = [s for s in node.body if not _is_text(s)] or [ast.copy_location(ast.Pass(), node)]
        self.generic_visit(node)
        return node


def _is_text(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _parsed(file: str) -> tuple[str, ast.Module]:
    try:
        text = Path(file).read_text(encoding="utf-8")
        return text, _tree(file, text)
    except OSError:
        raise NoSource("it has no source file") from None
    except (SyntaxError, ValueError) as error:
        raise NoSource(f"its source file does not parse: {error}") from None


@lru_cache(maxsize=64)
def _tree(file: str, text: str) -> ast.Module:
    return ast.parse(text, file)


@lru_cache(maxsize=64)
def _compiled(file: str, text: str) -> frozenset[CodeType]:
    return frozenset(_codes(compile(text, file, "exec", dont_inherit=True)))


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _first_line(node: _Function) -> int:
    return min([node.lineno, *(d.lineno for d in node.decorator_list)])


def _holds(node: ast.Lambda, code: CodeType) -> bool:
    """True when every instruction of ``code`` stands in the body of the lambda."""
    body = node.body
    start, end = (body.lineno, body.col_offset), (body.end_lineno or 0, body.end_col_offset or 0)
    places = [(line, column) for line, _, column, _ in code.co_positions() if line is not None and column is not None]
    inside = [place for place in places if place != (code.co_firstlineno, 0)]
    return bool(inside) and all(start <= place <= end for place in inside)


def _defined(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what the body of a module or class defines, also under ``if`` and ``try``, but not in functions."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, _Function | ast.ClassDef | ast.Lambda):
            yield from _defined(child)
