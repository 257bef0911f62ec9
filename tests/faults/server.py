"""A fork server: imports remint once, then runs every command that it is told in a forked child, with failpoints armed.

One request a line on standard input, one answer a line on standard output. A child is a process of its own: it dies
by its own signal, has its own threads, and its interpreter ends as that of any command does.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

AFTERNOON = datetime(2026, 11, 2, 15, tzinfo=UTC)
"""When every command is run."""
MODES = ("off", "count", "kill", "torn", "errno", "power")


def _arm(asked: dict[str, Any]) -> None:
    texts = [os.fsencode(asked[name]) for name in ("root", "log", "shadows")]
    ctypes.CDLL(None).fp_arm(
        texts[0],
        MODES.index(asked["mode"]),
        ctypes.c_long(asked["at"]),
        asked["error"],
        int(asked["persistent"]),
        texts[1],
        texts[2],
    )


def _prepared(asked: dict[str, Any]) -> None:
    """Turn this child into the process that was asked for."""
    for name, descriptor in (("out", 1), ("err", 2)):
        handle = os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(handle, descriptor)
        os.close(handle)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name, value in asked["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    if asked["user"]:
        os.setgroups([])
        os.setgid(asked["user"])
        os.setuid(asked["user"])
    sys.argv = ["remint", *asked["argv"]]
    if asked["arm"]:
        _arm(asked["arm"])


def _modules(path: str) -> None:
    """Write which modules a command came to import, for ``preload``."""
    libraries = (sys.prefix, sys.base_prefix, os.environ["PYTHONPATH"])
    known = {name: getattr(module, "__file__", None) for name, module in sys.modules.items() if name != "__main__"}
    names = sorted(name for name, file in known.items() if file and str(file).startswith(libraries))
    Path(path).write_text(json.dumps(names))


def _preload(path: str) -> None:
    for name in json.loads(Path(path).read_text()):
        # Some modules are put in place by others and cannot be imported by their name.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # What is here stays: no child looks through it again, and so none copies its pages.
    gc.collect()
    gc.freeze()


def _answer(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def serve() -> bool:
    """Answer requests; True in a child, which has a command to run."""
    for line in sys.stdin:
        asked = json.loads(line)
        if asked.get("preload"):
            _preload(asked["preload"])
            names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
            _answer({"threads": names})
            continue
        child = os.fork()
        if not child:
            _prepared(asked)
            if asked["modules"]:
                import atexit

                atexit.register(_modules, asked["modules"])
            return True
        _, status, used = os.wait4(child, 0)
        answer = {"code": os.waitstatus_to_exitcode(status), "seconds": used.ru_utime + used.ru_stime}
        _answer(answer)
    return False


if __name__ == "__main__" and serve():
    from remint.cli.main import main
    from remint.workspace import Workspace

    # Bronze holds when a row arrived, so equal digests need the same clock.
    Workspace.__init__.__kwdefaults__["clock"] = lambda: AFTERNOON
    main()
