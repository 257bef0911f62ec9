"""A machine that refuses: full, read-only, out of memory or files, locked. It is said once, and changes nothing."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.e2e.projects import Project, history, write_project
from tests.faults.scenes import left_behind, visible
from tests.proof import proof, report, size

pytestmark = [pytest.mark.slow, proof]

ROOM = 8 << 20
NOBODY = 65534
MEGABYTES = range(500, 1600, size(1100, 100))
"""Of address space. The libraries alone take more than the least of it."""
PATIENCE_S = size(10, 30)
ENDS = {0: "done", 1: "said", 127: "died", 128 + signal.SIGABRT: "died", 128 + signal.SIGSEGV: "died"}
ENDS |= {-signal.SIGABRT: "died", -signal.SIGSEGV: "died", -signal.SIGKILL: "hung"}
"""By exit code, what becomes of a process that has too little memory."""

Trouble = Callable[[Project], AbstractContextManager[list[str]]]
"""Makes trouble while it is entered, and gives the command to run others under."""


@contextmanager
def _disk_full(project: Project) -> Iterator[list[str]]:
    """Fill the disk that the project lies on, but for a few pages."""
    ballast = project.root / "ballast"
    _fill(ballast)
    os.truncate(ballast, max(0, ballast.stat().st_size - 24 * 4096))
    yield []
    ballast.unlink()


@contextmanager
def _disk_full_to_the_last_page(project: Project) -> Iterator[list[str]]:
    """Leave no room even for the file that SQLite shares between its readers."""
    ballast = project.root / "ballast"
    _fill(ballast)
    yield []
    ballast.unlink()


def _fill(ballast: Path) -> None:
    """Write until the disk takes no more."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass


@contextmanager
def _file_too_large(project: Project) -> Iterator[list[str]]:
    """Allow files of 2 kB only: no table file and no log entry of some length fits."""
    yield ["prlimit", f"--fsize={2 << 10}", "--"]


@contextmanager
def _lake_read_only(project: Project) -> Iterator[list[str]]:
    """Run as a user who may write the state, and read the lake."""
    with _owned(project, lambda path: "lake" not in path.relative_to(project.root).parts):
        yield _as_nobody()


@contextmanager
def _state_read_only(project: Project) -> Iterator[list[str]]:
    """Run as a user who may write the lake, and read the state."""
    with _owned(project, lambda path: ".remint" not in path.relative_to(project.root).parts):
        yield _as_nobody()


@contextmanager
def _owned(project: Project, is_theirs: Callable[[Path], bool]) -> Iterator[None]:
    _chown(project, is_theirs, NOBODY)
    yield
    _chown(project, lambda _: True, 0)


def _chown(project: Project, is_theirs: Callable[[Path], bool], owner: int) -> None:
    for path in filter(is_theirs, [project.root, *project.root.rglob("*")]):
        # A connection that this process has left is closed at any time, and the last one takes its log away.
        with suppress(FileNotFoundError):
            os.chown(path, owner, owner)


def _as_nobody() -> list[str]:
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]


@contextmanager
def _engine_without_memory(project: Project) -> Iterator[list[str]]:
    """Leave the engine less memory than one of its blocks."""
    settings = project.root / "remint.toml"
    text = settings.read_text()
    settings.write_text(text.replace("512MB", "300KB"))
    yield []
    settings.write_text(text)


@contextmanager
def _few_files(project: Project) -> Iterator[list[str]]:
    """Allow fewer open files than the process has libraries to load."""
    yield ["prlimit", "--nofile=16", "--"]


@contextmanager
def _database_locked(project: Project) -> Iterator[list[str]]:
    """Hold the lock of the state database for longer than anybody waits."""
    connection = sqlite3.connect(project.root / ".remint" / "state.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield ["env", "REMINT_STORE__WAIT_SECONDS=2"]
    connection.execute("ROLLBACK")
    connection.close()


TROUBLES = {
    _disk_full: ("RM440", "RM503"),
    _disk_full_to_the_last_page: ("RM440", "RM503"),
    _file_too_large: ("RM440", "RM503", "RM500"),
    _lake_read_only: ("RM442",),
    _state_read_only: ("RM504", "RM442"),
    _engine_without_memory: ("RM443",),
    _few_files: ("RM441",),
    _database_locked: ("RM502",),
}


def remint(project: Project, *command: str, under: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    line = [*(under or []), sys.executable, "-m", "remint", "-C", str(project.root), *command]
    # An allocator without room for its own thread tries again for ever, and says so each time.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "_RJEM_MALLOC_CONF": "background_thread:false"}
    return subprocess.run(line, capture_output=True, text=True, check=False, env=environment, timeout=120)


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A disk of 8 MB of its own."""
    folder = Path(mkdtemp(prefix="remint-room-"))  # not below pytest's own, which is closed to other users
    folder.chmod(0o777)
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)], capture_output=True, check=False
        ).returncode
    )
    if not mounted:
        folder.rmdir()
        pytest.skip(f"no disk could be mounted: {len(TROUBLES)} troubles untried")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=False)
    folder.rmdir()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, object]]:
    """A project with Bronze and nothing else, and what an undisturbed run leaves."""
    root = tmp_path_factory.mktemp("world")
    base = write_project(root / "base")
    base.land("a", history(3))
    base.ingest()
    whole = base.clone(root / "whole")
    assert remint(whole, "run").returncode == 0
    return base, left_behind(whole)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda t: t.__name__.strip("_"))
def test_a_machine_that_refuses_is_named_and_nothing_changes(
    room: Path, world: tuple[Project, dict[str, object]], trouble: Trouble
) -> None:
    base, expected = world
    project = base.clone(room / "project")
    before = visible(project)
    try:
        with trouble(project) as under:
            failed = remint(project, "run", under=under)

        assert failed.returncode == 1, failed.stderr
        _is_said_once(failed, TROUBLES[trouble])
        _ends_well(project, before, expected)
    finally:
        shutil.rmtree(project.root)
    report("clean-failure", part=trouble.__name__.strip("_"), cases=1)


def test_memory_that_ends_anywhere_is_named_and_nothing_changes(
    tmp_path: Path, world: tuple[Project, dict[str, object]]
) -> None:
    """From too little for the libraries to nearly enough; how much a step needs is another matter on each machine."""
    base, expected = world
    ends: Counter[str] = Counter()
    for megabytes in MEGABYTES:
        project = base.clone(tmp_path / str(megabytes))
        before = visible(project)
        patience = ["timeout", "--signal=KILL", str(PATIENCE_S)]
        failed = remint(project, "run", under=[*patience, "prlimit", f"--as={megabytes << 20}", "--"])
        if failed.returncode == 1:
            _is_said_once(failed, ("RM443",))
        else:
            # Where a library's own allocator gives up, nobody can say more: the process dies as if it were killed,
            # or its threads wait for one that died, and somebody kills it.
            assert failed.returncode in ENDS, failed.stderr
        ends[ENDS[failed.returncode]] += 1
        if failed.returncode == 0:
            assert left_behind(project) == expected
        else:
            _ends_well(project, before, expected)
    assert ends["done"] < len(MEGABYTES), "there was memory enough every time"
    report("clean-failure", part="no_memory", cases=len(MEGABYTES) - ends["done"], hung=ends["hung"])


def _is_said_once(failed: subprocess.CompletedProcess[str], codes: tuple[str, ...]) -> None:
    said = failed.stderr
    assert "Traceback" not in said
    assert said.count("error RM") == 1
    assert any(f"error {code}:" in said for code in codes), said
    assert "next:" in said


def _ends_well(project: Project, before: dict[str, object], expected: dict[str, object]) -> None:
    """Nothing was changed, or the run says that it may have been; once the trouble is over, it comes to its end."""
    outstanding = project.outstanding()
    if not any(run.state == "publishing" for run in outstanding):
        assert visible(project) == before
    again = ("resume", outstanding[0].run_id) if outstanding else ("run",)
    done = remint(project, *again)
    assert done.returncode == 0, done.stderr
    assert left_behind(project) == expected
