"""A project's Python files, executed: every load sees them as they are on disk now.

Rules: modules of the project are executed from source on every load, never from bytecode or from an earlier load, and
``sys.path`` and ``sys.modules`` are put back afterwards. What user code raises becomes a mistake with file and line.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from remint.errors import ProjectError
from remint.loading.declare import Declaration, collecting
from remint.loading.sql_source import SqlSource

DECLARATIONS_FILE = "datasets.py"
DECLARATIONS_FOLDER = "datasets"

_lock = threading.Lock()  # sys.path and sys.modules belong to the process


class _FreshLoader(SourceFileLoader):
    """Compiles the source anew: bytecode is matched by whole seconds, so a quick edit could go unseen."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


class _ProjectFinder:
    """Finds modules that lie directly in the project's folder, before anything installed of the same name."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        folders = [self._root] if path is None else [p for p in path if p.startswith(self._root)]
        for folder in folders:
            spec = FileFinder(folder, (_FreshLoader, [".py"])).find_spec(name)
            # A folder without __init__.py has no loader; an installed package of that name would come before it.
            if spec is not None and (spec.loader is not None or name == DECLARATIONS_FOLDER):
                return spec
        return None


def read_declarations(root: Path, mistakes: list[ProjectError]) -> tuple[list[Declaration], dict[str, SqlSource]]:
    """Return what the project's Python files declare, and the SQL that its functions return, by dataset.

    Args:
        root: absolute folder of the project.
        mistakes: takes what user code raised.
    """
    files = _files(root)
    if not files:
        mistakes.append(
            ProjectError(f"no {DECLARATIONS_FILE} and no {DECLARATIONS_FOLDER}/*.py", file=DECLARATIONS_FILE)
        )
    # What user code prints must not mix with a command's own output.
    with _lock, _project_modules(root), collecting() as declarations, contextlib.redirect_stdout(sys.stderr):
        for name in files:
            _run(lambda name=name: _import(name, root), root, f"{name.replace('.', '/')}.py", mistakes)
        texts: dict[str, SqlSource] = {}
        for declaration in declarations:
            text = _sql_text(declaration, root, mistakes)
            if text is not None:
                texts[declaration.name] = text
    return declarations, texts


def shown_path(file: str, root: Path) -> str:
    """Return ``file`` as messages name it: relative to the project where it lies in it."""
    path = Path(file)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


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


def _sql_text(declaration: Declaration, root: Path, mistakes: list[ProjectError]) -> SqlSource | None:
    function = declaration.function
    if function is None:
        return None
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
                hint='return "SELECT ..."',
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
    if isinstance(error, SyntaxError) and error.filename:
        return ProjectError(f"{error.msg}", file=shown_path(error.filename, root), line=error.lineno)
    inside = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(root)]
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if not inside:
        return ProjectError(said, file=file)
    return ProjectError(said, file=shown_path(inside[-1].filename, root), line=inside[-1].lineno)


@contextlib.contextmanager
def _project_modules(root: Path) -> Iterator[None]:
    """Let the project's modules stand in for namesakes inside the block; after it none of them is left."""
    folders = {p.parent.name for p in root.glob("*/*.py")}
    own = {DECLARATIONS_FOLDER, *(p.stem for p in root.glob("*.py")), *folders} - {"remint"}
    before = _take_out(own)
    finder = _ProjectFinder(root)
    path = list(sys.path)
    sys.path.insert(0, str(root))
    sys.meta_path.insert(0, finder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        sys.path[:] = path
        _take_out(own)
        sys.modules.update(before)


def _take_out(names: set[str]) -> dict[str, ModuleType]:
    """Remove the modules of these top-level names, and return them."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in names}
