"""Which names of a function or class are not its own: those that it takes from its module, or from around it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Scope = _Function | ast.Lambda | ast.ClassDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """One use of a name from outside: ``rates.LIMIT`` is the root ``rates`` with the attribute ``LIMIT``."""

    root: str
    attributes: tuple[str, ...]
    node: ast.expr
    is_changed: bool = False
    """It, or a part of it, is assigned to or deleted."""
    is_own: bool = False
    """A class gives itself a name like it, so there may be none outside."""
    imported: str = ""
    """Dotted name of the module, where the function imports ``root`` itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Odd:
    """An expression whose meaning is found at run time only, with what is wrong with it."""

    node: ast.AST
    said: str


def uses(node: _Scope) -> list[Use | Odd]:
    """Return what ``node`` takes from outside of itself, in the order of its text; not its own default arguments."""
    reader = _Reader()
    if isinstance(node, ast.ClassDef):
        reader.visit(node)
    else:
        for decorator in [] if isinstance(node, ast.Lambda) else node.decorator_list:
            reader.visit(decorator)
        reader.inside(node)
    return reader.found


@dataclass(frozen=True, slots=True)
class _Names:
    bound: frozenset[str]
    imports: dict[str, str]
    is_class: bool = False


class _Reader(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found: list[Use | Odd] = []
        self._scopes: list[_Names] = []

    def inside(self, node: _Function | ast.Lambda) -> None:
        """Read the body of a function, in a scope of its own."""
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        given = node.args
        args = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        bound, imports, outer = _bound(body)
        names = frozenset({*bound, *(a.arg for a in args if a is not None)} - outer)
        self._in_scope(_Names(names, imports), body)

    def visit_Name(self, node: ast.Name) -> None:
        self._use(node, (), node, is_changed=not isinstance(node.ctx, ast.Load))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        attributes: list[str] = []
        base: ast.expr = node
        while isinstance(base, ast.Attribute):
            attributes.insert(0, base.attr)
            base = base.value
        if isinstance(base, ast.Name):
            self._use(base, tuple(attributes), node, is_changed=not isinstance(node.ctx, ast.Load))
        else:
            self.visit(base)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        base: ast.expr = node
        while isinstance(base, ast.Subscript | ast.Attribute):
            base = base.value
        if isinstance(base, ast.Name) and not isinstance(node.ctx, ast.Load):
            self._use(base, (), node, is_changed=True)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Name) and function.id in ("getattr", "hasattr") and not self._is_bound(function.id):
            self._looked_up(node, function.id)
            return
        if isinstance(function, ast.Attribute) and function.attr in ("now", "utcnow", "today"):
            base = function.value
            while isinstance(base, ast.Attribute):
                base = base.value
            is_own = isinstance(base, ast.Name) and self._is_bound(base.id) and not self._imported(base.id)
            if is_own or not isinstance(base, ast.Name):
                self.found.append(Odd(node, "reads the clock, as far as its name says"))
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        self.found.append(Odd(node, "assigns to a global, so the answer depends on the calls before"))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._nested(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._nested(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._all([*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)])
        self.inside(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._all([*node.decorator_list, *node.bases, *(k.value for k in node.keywords)])
        bound, imports, outer = _bound(node.body)
        self._in_scope(_Names(frozenset(bound - outer), imports, is_class=True), node.body)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._all([node.target, *([node.value] if node.value is not None else [])])

    def visit_Import(self, node: ast.Import) -> None:
        """Names that a function imports are looked up where they are used."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if any(alias.name == "*" for alias in node.names) or node.level:
            self.found.append(Odd(node, "imports names that cannot be told from its text"))

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._comprehension(node)

    def _comprehension(self, node: _Comprehension) -> None:
        self.visit(node.generators[0].iter)  # is looked up outside: [x for x in x]
        bound = {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
        made = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        rest = [g.iter for g in node.generators[1:]] + [test for g in node.generators for test in g.ifs]
        self._in_scope(_Names(frozenset(bound), {}), [*(g.target for g in node.generators), *rest, *made])

    def _nested(self, node: _Function) -> None:
        self._all([*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)])
        self.inside(node)

    def _looked_up(self, node: ast.Call, function: str) -> None:
        """Read ``getattr(x, "name")`` as ``x.name``; any other name is found at run time only."""
        name = node.args[1] if len(node.args) > 1 else None
        if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
            self.found.append(Odd(node, f"{function}() looks a name up at run time, so what it reaches cannot be seen"))
        else:
            attribute = ast.Attribute(value=node.args[0], attr=name.value, ctx=ast.Load())
            self.visit(ast.copy_location(attribute, node))
        self._all(node.args[2:])

    def _use(self, name: ast.Name, attributes: tuple[str, ...], node: ast.expr, *, is_changed: bool) -> None:
        imported = self._imported(name.id)
        if self._is_bound(name.id) and not imported:
            return
        is_own = bool(self._scopes) and self._scopes[-1].is_class and name.id in self._scopes[-1].bound
        if is_own and is_changed:
            return
        self.found.append(Use(name.id, attributes, node, is_changed, is_own, imported))

    def _is_bound(self, name: str) -> bool:
        return any(name in scope.bound for scope in self._scopes if not scope.is_class)

    def _imported(self, name: str) -> str:
        for scope in reversed(self._scopes):
            if name in scope.bound and not scope.is_class:
                return scope.imports.get(name, "")
        return ""

    def _in_scope(self, names: _Names, nodes: Iterable[ast.AST]) -> None:
        self._scopes.append(names)
        self._all(nodes)
        self._scopes.pop()

    def _all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)


def _bound(body: Iterable[ast.AST]) -> tuple[set[str], dict[str, str], set[str]]:
    """Return the names that statements bind, those of them that they import, and those declared to be from outside."""
    bound: set[str] = set()
    imports: dict[str, str] = {}
    outer: set[str] = set()
    for node in _statements(body):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                bound.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                bound.add(name)
            case ast.MatchMapping(rest=str(name)):
                bound.add(name)
            case ast.Import(names=aliases):
                imports.update({a.asname or a.name.partition(".")[0]: _module(a) for a in aliases})
            case ast.ImportFrom(module=str(module), names=aliases):
                imports.update({a.asname or a.name: f"{module}:{a.name}" for a in aliases})
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                outer.update(names)
    return bound | set(imports), {n: m for n, m in imports.items() if n not in bound}, outer


def _module(alias: ast.alias) -> str:
    return alias.name if alias.asname else alias.name.partition(".")[0]


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes that run in the same scope; of a comprehension only what a walrus binds outside of it."""
    for node in body:
        yield node
        if isinstance(node, _Comprehension):
            yield from (n.target for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
        elif not isinstance(node, _Scope):
            yield from _statements(ast.iter_child_nodes(node))
