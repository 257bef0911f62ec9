"""A project's own modules: imported from source at every load, put aside after it, and back while user code runs.

Rules: modules of the project are executed from source on every load, never from bytecode or from an earlier load, and
``sys.path`` and ``sys.modules`` are put back afterwards. What user code prints goes to stderr.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

DECLARATIONS_FILE = "datasets.py"
DECLARATIONS_FOLDER = "datasets"

_lock = threading.Lock()  # sys.path, sys.modules and sys.stdout belong to the process


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


@contextlib.contextmanager
def project_modules(root: Path, loaded: Mapping[str, ModuleType] | None = None) -> Iterator[dict[str, ModuleType]]:
    """Let the project's modules stand in for namesakes inside the block; after it none of them is left.

    Args:
        root: absolute folder of the project.
        loaded: modules that an earlier block yielded, to go on with; None to import them from source.

    Yields:
        The project's modules by name; filled when the block ends.
    """
    folders = {p.parent.name for p in root.glob("*/*.py")}
    own = {DECLARATIONS_FOLDER, *(p.stem for p in root.glob("*.py")), *folders} - {"remint"}
    own |= {name.partition(".")[0] for name in loaded or ()}
    held: dict[str, ModuleType] = {}
    # What user code prints must not mix with a command's own output.
    with _lock, contextlib.redirect_stdout(sys.stderr):
        before = _take_out(own)
        finder = _ProjectFinder(root)
        path = list(sys.path)
        sys.path.insert(0, str(root))
        sys.meta_path.insert(0, finder)
        sys.modules.update(loaded or {})
        importlib.invalidate_caches()
        try:
            yield held
        finally:
            sys.meta_path.remove(finder)
            sys.path[:] = path
            held.update(_take_out(own))
            sys.modules.update(before)


def shown_path(file: str, root: Path) -> str:
    """Return ``file`` as messages name it: relative to the project where it lies in it."""
    path = Path(file)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def frame_of(error: BaseException, root: Path) -> tuple[str, int | None] | None:
    """Return file and line of the project at which ``error`` was raised, or passed through last; None: at none."""
    if isinstance(error, SyntaxError) and error.filename:
        return shown_path(error.filename, root), error.lineno
    files = [(frame, Path(frame.filename)) for frame in traceback.extract_tb(error.__traceback__)]
    inside = [f for f, file in files if file.is_relative_to(root) and "site-packages" not in file.parts]
    return (shown_path(inside[-1].filename, root), inside[-1].lineno) if inside else None


def said_by(error: BaseException) -> str:
    """Return what an error of user code says: ``ValueError: no rows``."""
    if isinstance(error, SyntaxError):
        return error.msg
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _take_out(names: set[str]) -> dict[str, ModuleType]:
    """Remove the modules of these top-level names, and return them."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in names}
