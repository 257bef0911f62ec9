"""Fetch the programs that ``tests/interop`` compares with, once, into ``.interop``: ``make interop``.

Each has libraries of its own there: Spark of the newest version for which both formats have released a runtime, with
those runtimes, and DuckDB of the newest version for which its readers of both formats are on the package index. What
cannot be had on this machine is said, and its tests are skipped; anything else that goes wrong is an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FOLDER = ROOT / ".interop"
_UNREACHABLE = ("No matching distribution", "Could not find a version", "Max retries", "Connection", "timed out")
_UNRESOLVED = ("unresolved dependency", "Host ", "Server access error")


def install(name: str) -> bool:
    """Install locked packages into a folder of their own; return whether they are there."""
    place, half = FOLDER / name, FOLDER / f"{name}.half"
    if place.is_dir():
        return True
    shutil.rmtree(half, ignore_errors=True)
    locked = ["--require-hashes", "--no-deps", "-r", str(ROOT / "requirements" / f"interop-{name}.txt")]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "--target", str(half), *locked], capture_output=True, text=True, check=False)
    if done.returncode:
        give_up(name, done.stderr, _UNREACHABLE)
        return False
    half.rename(place)
    return True


def bring_jars() -> None:
    """Let Spark bring the jars of the runtimes."""
    if (FOLDER / "jars").is_dir():
        return
    script = [sys.executable, str(HERE / "spark_side.py"), str(FOLDER), "--fetch"]
    environment = {**os.environ, "PYTHONPATH": str(FOLDER / "spark")}
    done = subprocess.run(script, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        give_up("the runtimes of Delta and Iceberg for Spark", done.stderr, _UNRESOLVED)


def give_up(what: str, said: str, excuses: tuple[str, ...]) -> None:
    """Say what is not there because nobody gave it; any other reason ends with an error."""
    if not any(words in said for words in excuses):
        raise SystemExit(f"interop: {what} could not be fetched:\n{said[-3000:]}")
    say(f"SKIPPED {what}: no package registry gave it; tests/interop skips what needs it")


def say(words: str) -> None:
    sys.stdout.write(f"interop: {words}\n")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    install("duckdb")
    if shutil.which("java") is None:
        say("SKIPPED Spark: there is no Java on this machine; tests/interop skips what Spark reads and writes")
    elif install("spark"):
        bring_jars()


if __name__ == "__main__":
    main()
