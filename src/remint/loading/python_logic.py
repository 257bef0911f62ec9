"""What a transform in Python means: its source and all that it reaches, hashed.

Rules: comments, docstrings, annotations of functions and layout are no meaning. Everything else that a function takes
from outside of itself is followed: functions and classes of the project by their source, constants by their value,
libraries by their installed version. What cannot be followed is refused, never left out.
"""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import importlib.metadata
import importlib.util
import re
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from remint.errors import ProjectError, ProjectInvalid
from remint.loading.python_dangers import danger, is_allowed
from remint.loading.python_names import Odd, Use, uses
from remint.loading.python_source import NoSource, class_node, function_node, shape, without_form
from remint.loading.python_values import NoForm, value_text
from remint.model.digest import canonical_json, text_digest

_HEAD = "## "
_LIBRARY = " (library)"
_CHANGES = frozenset(
    ["append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "update", "setdefault", "popitem",
     "add", "discard", "appendleft", "popleft"]
)  # fmt: skip
_HINT = "let the function make it from constants, or pass it in as an input"


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonLogic:
    """What a Python transform means, apart from how it is written."""

    digest: str
    """Changes when the source of the function, or of anything that it reaches, changes its meaning."""
    canonical: str
    """The same as readable source text, one section for each name that is reached."""
    reached: tuple[str, ...]
    """Names of the sections, the function itself first."""


@dataclass(slots=True)
class _Section:
    title: str
    text: str = ""
    shape: object = None
    uses: dict[str, str] = field(default_factory=dict)
    """What each name from outside means: the title of another section, or a value."""


def python_logic(
    function: Callable[..., Any], allow: frozenset[str] = frozenset(), root: Path | None = None
) -> PythonLogic:
    """Return what ``function`` means. The modules of its project must still be imported.

    Args:
        function: a function of the project; what decorates it counts, except remint's own declarations.
        allow: names that are let through although a replay may give another answer: ``random``, ``os.environ``,
            ``time.time``, ``open``.
        root: folder that files in messages are named from; their whole paths when not given.

    Raises:
        ProjectInvalid: everything that cannot be hashed, or is not determined by the inputs, with file and line.
    """
    walk = _Walk(allow, root)
    walk.name_of(function, "transform")
    if walk.mistakes:
        raise ProjectInvalid(walk.mistakes)
    first, *rest = walk.sections
    ordered = [first, *sorted(rest, key=lambda section: section.title)]
    digest = text_digest(canonical_json([[s.title, s.shape, s.uses] for s in ordered]))
    return PythonLogic(
        digest=digest, canonical="\n\n".join(map(_shown, ordered)), reached=tuple(s.title for s in ordered)
    )


def changed_names(before: str, after: str) -> str:
    """Return in words what differs between two canonical texts: ``changes score(), THRESHOLD``; empty for nothing."""
    old, new = _split(before), _split(after)
    both = [title for title in new if title in old and new[title] != old[title]]
    changed = [title for title in both if not title.endswith(_LIBRARY)]
    words = ["changes " + ", ".join(changed)] if changed else []
    for title in (t for t in both if t.endswith(_LIBRARY)):
        words.append(f"moves {title.removesuffix(_LIBRARY)} from {old[title]} to {new[title]}")
    for verb, titles in (("adds", new.keys() - old.keys()), ("no longer uses", old.keys() - new.keys())):
        words += [f"{verb} " + ", ".join(sorted(t.removesuffix(_LIBRARY) for t in titles))] if titles else []
    return "; ".join(words)


class _Walk:
    """Follows what a function reaches, and notes what stands in the way."""

    def __init__(self, allow: frozenset[str], root: Path | None) -> None:
        self.sections: list[_Section] = []
        self.mistakes: list[ProjectError] = []
        self._allow = allow
        self._root = root
        self._titles: dict[int, str] = {}
        self._kept: list[object] = []
        """Keeps values alive, so that their ids stay theirs."""

    def name_of(self, value: object, name: str, near: Mapping[str, Any] | None = None) -> str | None:
        """Return the title of the section of a function, class or library; None for a value.

        Args:
            value: anything.
            name: what it is called where it is used.
            near: namespace of the module that it was found in.

        Raises:
            NoSource: it is a function or class without a source.
            _Refused: it is not determined by the inputs.
        """
        if isinstance(value, functools._lru_cache_wrapper):
            value = value.__wrapped__
        if isinstance(value, MethodType) and isinstance(value.__self__, type):
            value = value.__self__
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        dotted = _dotted(value, name)
        if dotted is not None and (origin := _origin(value, dotted)) != "project":
            if isinstance(value, FunctionType):
                self._wrapped(value, near)
            return self._outside(dotted, is_library=origin == "library")
        if not isinstance(value, FunctionType | type):
            return None
        if id(value) not in self._titles:
            title = self._title(value.__name__ + "()" if isinstance(value, FunctionType) else f"class {value.__name__}")
            self._titles[id(value)] = title
            self._kept.append(value)
            section = _Section(title)
            self.sections.append(section)
            if isinstance(value, FunctionType):
                self._function(value, section)
            else:
                self._class(value, section, near or {})
        return self._titles[id(value)]

    def _wrapped(self, function: FunctionType, near: Mapping[str, Any] | None) -> None:
        """Follow the project's own functions that a function of a library was made around."""
        for name, held in [*_closure(function), ("__wrapped__", getattr(function, "__wrapped__", None))]:
            parts = held.values() if isinstance(held, Mapping) else held if isinstance(held, list | tuple) else [held]
            for part in parts:
                if isinstance(part, FunctionType | type):
                    self.name_of(part, name, near)

    def _title(self, name: str) -> str:
        taken = {section.title for section in self.sections}
        numbered = (name if number == 1 else f"{name} #{number}" for number in range(1, len(taken) + 2))
        return next(title for title in numbered if title not in taken)

    def _function(self, function: FunctionType, section: _Section) -> None:
        code = function.__code__
        try:
            node = without_form(function_node(code))
        except NoSource as error:
            self._refuse(f"{function.__name__}() cannot be hashed: {error}", code.co_filename, code.co_firstlineno)
            return
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)  # noqa: S101 - of a function
        namespace = {**function.__globals__, **dict(_closure(function))}
        if not isinstance(node, ast.Lambda):
            node.decorator_list = [d for d in node.decorator_list if not _is_declaration(d, namespace)]
        defaults = _defaults(function)
        for name, value in defaults.items():
            self._value(section, f"{name}=", value, name, namespace, (code.co_filename, code.co_firstlineno))
        node.args.defaults, node.args.kw_defaults = [], [None] * len(node.args.kwonlyargs)
        section.shape, section.text = [shape(node), sorted(defaults)], ast.unparse(node)
        self._uses(node, namespace, section, code.co_filename)

    def _class(self, made: type, section: _Section, near: Mapping[str, Any]) -> None:
        namespace = _namespace(made, near)
        file = str(namespace.get("__file__", ""))
        try:
            node = without_form(class_node(file, made.__qualname__))
        except NoSource as error:
            self._refuse(f"the class {made.__name__} cannot be hashed: {error}", file or None, None)
            return
        assert isinstance(node, ast.ClassDef)  # noqa: S101 - of a class
        section.shape, section.text = shape(node), ast.unparse(node)
        self._uses(node, namespace, section, file)

    def _uses(
        self,
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef,
        namespace: Mapping[str, Any],
        section: _Section,
        file: str,
    ) -> None:
        for use in uses(node):
            line = getattr(use.node, "lineno", None)
            shown = ast.unparse(use.node)
            if isinstance(use, Odd):
                if not is_allowed(shown.partition("(")[0], self._allow):
                    self._refuse(f"{shown} {use.said}", file, line)
                continue
            try:
                self._use(use, namespace, section, (file, line or 1))
            except _Refused as refused:
                self._refuse(f"{shown} {refused}", file, line)
            except NoSource as error:
                self._refuse(f"{shown} cannot be hashed: {error}", file, line)

    def _use(self, use: Use, namespace: Mapping[str, Any], section: _Section, place: tuple[str, int]) -> None:
        attributes = list(use.attributes)
        if use.imported:
            module, _, name = use.imported.partition(":")
            dotted = ".".join([module, *([name] if name else []), *attributes])
            origin = _origin(None, dotted)
            if origin != "project":
                self._note(section, use.root, self._outside(dotted, is_library=origin == "library"))
                return
            value: Any = importlib.import_module(module)
            attributes = [*([name] if name else []), *attributes]
        elif use.root in namespace and not (use.root == "__file__" and "__file__" not in self._allow):
            value = namespace[use.root]
        elif use.root == "__file__" or hasattr(builtins, use.root):
            self._outside(f"builtins.{use.root}", is_library=False)
            return
        elif use.is_own or use.root == "__class__":
            return
        else:
            raise _Refused("is not defined")
        name = use.root
        while isinstance(value, ModuleType):
            if not attributes:
                raise _Refused("is a module that is passed on, so what is taken from it cannot be seen")
            name = f"{name}.{attributes[0]}"
            dotted = f"{value.__name__}.{'.'.join(attributes)}"
            if _origin(value, dotted) != "project":
                library = _origin(value, dotted) == "library"
                self._note(section, use.root, self._outside(dotted, is_library=library))
                return
            if not hasattr(value, attributes[0]):
                raise _Refused("is not defined")
            value = getattr(value, attributes.pop(0))
        if use.is_changed or (attributes and attributes[-1] in _CHANGES and not isinstance(value, type)):
            raise _Refused(f"changes the global {name}, so the answer depends on the calls before")
        dotted_class = _dotted(value, name)
        if attributes and dotted_class is not None and _origin(value, dotted_class) != "project":
            self._outside(".".join([dotted_class, *attributes]), is_library=_origin(value, dotted_class) == "library")
        self._value(section, name, value, name.rpartition(".")[2], namespace, place)

    def _value(
        self,
        section: _Section,
        name: str,
        value: object,
        bare: str,
        namespace: Mapping[str, Any],
        place: tuple[str, int],
    ) -> None:
        """Note what a name of ``section`` means: a constant becomes a section of its own."""
        try:
            title = self.name_of(value, bare, namespace)
            if title is None:
                title = self._allowed_type(value, bare)
            if title is None:
                text = value_text(value, lambda part: self.name_of(part, "", namespace))
                title = self._constant(bare, text) if not name.endswith("=") else text
        except NoForm as error:
            said = f"{name.rstrip('=')} holds {error}, whose value has no canonical form"
            self._refuse(said, *place, hint=_HINT)
            return
        except (_Refused, NoSource) as error:
            self._refuse(f"{name.rstrip('=')} {error}", *place)
            return
        section.uses[name] = title

    def _constant(self, name: str, text: str) -> str:
        for section in self.sections:
            if section.shape == text and section.title.partition(" #")[0] == name:
                return section.title
        made = _Section(self._title(name), f"{name} = {text}", text)
        self.sections.append(made)
        return made.title

    def _allowed_type(self, value: object, name: str) -> str | None:
        """Return the name of a value that is no constant, such as ``os.environ``, when it is allowed."""
        home = type(value).__module__
        dotted = f"{home}.{name}"
        said = danger(dotted, is_library=False) if home != "builtins" else ""
        if said and not is_allowed(dotted, self._allow):
            raise _Refused(said)
        return dotted if said else None

    def _outside(self, dotted: str, *, is_library: bool) -> str:
        """Return the title of something that is not of the project, after it was found harmless or is allowed."""
        said = danger(dotted, is_library=is_library)
        if said and not is_allowed(dotted, self._allow):
            raise _Refused(said)
        if not is_library:
            return dotted
        top = dotted.partition(".")[0]
        title = top + _LIBRARY
        if title not in {section.title for section in self.sections}:
            version = _version(top)
            self.sections.append(_Section(title, version, version))
        return dotted

    def _note(self, section: _Section, name: str, title: str) -> None:
        section.uses.setdefault(f"{name}: {title}", title)

    def _refuse(self, said: str, file: str | None, line: int | None, hint: str | None = None) -> None:
        shown = file
        if file and self._root is not None and Path(file).is_relative_to(self._root):
            shown = Path(file).relative_to(self._root).as_posix()
        mistake = ProjectError(said, file=shown, line=line, hint=hint)
        if all((m.message, m.file, m.line) != (said, shown, line) for m in self.mistakes):
            self.mistakes.append(mistake)


class _Refused(Exception):
    """Why something may not be used."""


def _shown(section: _Section) -> str:
    body = section.text.replace(f"\n{_HEAD}", f"\n {_HEAD}")
    renamed = [f"# {name} is {title}" for name, title in section.uses.items() if _differs(name, title)]
    return "\n".join([f"{_HEAD}{section.title}", body, *renamed])


def _differs(name: str, title: str) -> bool:
    bare = name.rpartition(".")[2]
    return ":" not in name and title not in (bare, f"{bare}()", f"class {bare}")


def _split(canonical: str) -> dict[str, str]:
    parts = re.split(rf"^{_HEAD}", canonical, flags=re.MULTILINE)[1:]
    return {title: body.strip() for title, _, body in (part.partition("\n") for part in parts)}


def _closure(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # a cell that is still empty: whoever uses the name finds none
            continue


def _defaults(function: FunctionType) -> dict[str, object]:
    code = function.__code__
    given = function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    return {**dict(zip(names[len(names) - len(given) :], given, strict=True)), **(function.__kwdefaults__ or {})}


def _is_declaration(decorator: ast.expr, namespace: Mapping[str, Any]) -> bool:
    """True for ``@gold(...)``: what it declares is compared for itself."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    root = called
    while isinstance(root, ast.Attribute):
        root = root.value
    value = namespace.get(root.id) if isinstance(root, ast.Name) else None
    home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None) or ""
    return home.partition(".")[0] == "remint" or type(value).__module__.partition(".")[0] == "remint"


def _namespace(made: type, near: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the names of the module that defines a class."""
    if near.get("__name__") == made.__module__:
        return near
    for member in vars(made).values():
        function = getattr(member, "__func__", getattr(member, "fget", member))
        if (
            isinstance(function, FunctionType)
            and function.__module__ == made.__module__
            and function.__globals__.get("__file__")
        ):
            return function.__globals__
    module = sys.modules.get(made.__module__)
    return vars(module) if module is not None else {}


def _dotted(value: object, name: str) -> str | None:
    """Return the full name of a module, class or function; None for other values."""
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, BuiltinFunctionType | MethodType):
        owner = value.__self__
        if isinstance(owner, type):
            return f"{owner.__module__}.{owner.__qualname__}.{value.__name__}"
        if isinstance(owner, ModuleType):
            return f"{owner.__name__}.{value.__name__}"
        home = type(owner).__module__
        return f"{home}.{value.__name__}" if home != "builtins" and owner is not None else None
    if isinstance(value, FunctionType):
        # Where it is compiled, not where functools.wraps says.
        return f"{value.__globals__.get('__name__', '')}.{value.__code__.co_qualname}"
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    # Callables of other types, such as the functions of NumPy, when their library has them under their name.
    called, home = getattr(value, "__name__", None), type(value).__module__.partition(".")[0]
    library = sys.modules.get(home)
    if isinstance(called, str) and library is not None and getattr(library, called, None) is value:
        return f"{home}.{called}"
    return None


def _origin(value: object, dotted: str) -> str:
    """Return where something comes from: ``standard`` (Python itself), ``library`` (installed) or ``project``."""
    top = dotted.partition(".")[0]
    if top == "remint":
        return "library"
    file = _file(value, dotted)
    if file is not None:
        if {"site-packages", "dist-packages"} & set(file.parts) or any(file.is_relative_to(f) for f in _installed()):
            return "library"
        return "standard" if file.is_relative_to(_standard()) and top in sys.stdlib_module_names else "project"
    if top == "builtins" or top in sys.stdlib_module_names:
        return "standard"
    return "library" if top in _distributions() else "project"


def _file(value: object, dotted: str) -> Path | None:
    if isinstance(value, FunctionType) and not value.__code__.co_filename.startswith("<frozen "):
        return Path(value.__code__.co_filename)
    name = dotted
    while name:
        module = sys.modules.get(name)
        if module is not None:
            file = getattr(module, "__file__", None)
            return Path(file) if file else None
        name = name.rpartition(".")[0]
    try:
        spec = importlib.util.find_spec(dotted.partition(".")[0])
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None and spec.has_location else None


@functools.cache
def _installed() -> tuple[Path, ...]:
    return tuple(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib"))


@functools.cache
def _standard() -> Path:
    return Path(sysconfig.get_path("stdlib"))


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _version(top: str) -> str:
    """Return the installed version of the distribution that has the module ``top``.

    Raises:
        _Refused: no distribution has it.
    """
    names = sorted(set(_distributions().get(top, [])))
    if not names:
        raise _Refused("belongs to no installed distribution, so its version is unknown")
    versions = [importlib.metadata.version(name) for name in names]
    return versions[0] if len(names) == 1 else ", ".join(f"{n} {v}" for n, v in zip(names, versions, strict=True))
