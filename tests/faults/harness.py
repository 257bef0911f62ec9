"""Runs remint's commands as real processes in which one call to the system goes wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import remint

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SOURCE = str(Path(remint.__file__).parents[1])
"""The code under test, which is another one where a fault is planted in it."""


@cache
def shim(folder: Path) -> Path | None:
    """Return the failpoints as a library, built into ``folder``; None where this machine cannot have them."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        return None
    library = folder / "fp.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", str(HERE / "fp.c"), "-o"]
    subprocess.run([*command, str(library), "-ldl", "-lpthread"], check=True)
    return library


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong, and at which call."""

    mode: str
    at: int
    error: int = 0
    persistent: bool = False


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    """Exit code; of a signal, its negative number."""
    out: str
    err: str
    log: tuple[tuple[str, ...], ...]
    """What the failpoints saw, a tuple of fields a line."""

    @property
    def calls(self) -> list[str]:
        """The mutating calls, in order: name and path."""
        return [f"{fields[2]} {fields[3]}" for fields in self.log if fields[0] == "C"]


@dataclass
class Server:
    """The fork server, with its own scratch folder outside of every project."""

    scratch: Path
    library: Path
    process: subprocess.Popen[str] = field(init=False)
    numbers: Any = field(default_factory=count)

    def __post_init__(self) -> None:
        environment = {
            **os.environ,
            "LD_PRELOAD": str(self.library),
            "TOKIO_WORKER_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",  # numpy, where it is installed, starts threads as it is imported
            "PYTHONPATH": SOURCE,
            "PYTHONDONTWRITEBYTECODE": "1",
            "REMINT_POLICY__PRIORITY": "normal",
        }
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def close(self) -> None:
        """End the server."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def preload(self, root: Path, *commands: Sequence[str]) -> None:
        """Run commands, and have the server import what they needed: later ones start at once."""
        for command in commands:
            path = self.scratch / "modules.json"
            assert self.run(root, *command, modules=str(path)).code == 0
            answer = self._asked({"preload": str(path)})
            # jemalloc, which comes with two libraries, sees to its own thread at a fork.
            others = set(answer["threads"][1:]) - {"jemalloc_bg_thd"}
            assert not others, f"imports started threads, which no fork has: {others}"

    def run(
        self,
        root: Path,
        *command: str,
        fault: Fault | None = None,
        limits: Mapping[str, int] | None = None,
        user: int = 0,
        modules: str = "",
    ) -> Ended:
        """Run ``remint -C root command`` and return how it ended."""
        place = self.scratch / f"{next(self.numbers)}"
        place.mkdir(mode=0o777)
        place.chmod(0o777)
        (place / "shadows").mkdir()
        arm = {
            "root": str(root),
            "log": str(place / "log"),
            "shadows": str(place / "shadows"),
            **vars(fault or Fault(mode="count", at=0)),
        }
        asked = {
            "argv": ["-C", str(root), *command],
            "out": str(place / "out"),
            "err": str(place / "err"),
            "limits": dict(limits or {}),
            "user": user,
            "modules": modules,
            "arm": None if user or limits else arm,
        }
        answer = self._asked(asked)
        log = (place / "log").read_text(errors="replace") if (place / "log").exists() else ""
        return Ended(
            code=answer["code"],
            out=(place / "out").read_text(),
            err=(place / "err").read_text(),
            log=tuple(tuple(line.split("\t")) for line in log.splitlines()),
        )

    def _asked(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer
