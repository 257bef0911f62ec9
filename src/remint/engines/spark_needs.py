"""What a session of Spark needs on this machine, looked for before Spark is started and says it in its own way."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from pathlib import Path

from remint.errors import EngineUnavailable

OLDEST_JAVA = 17
_PATIENCE_S = 60
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


def require_spark_here(java_home: str) -> None:
    """Refuse to start Spark where it cannot run.

    Args:
        java_home: where the environment says that Java is; empty: it is looked for as a command.

    Raises:
        EngineUnavailable: names all that is missing.
    """
    found = {"pip install 'remint[spark]'": missing_library("pyspark.sql"), _INSTALL_JAVA: missing_java(java_home)}
    _refuse({step: words for step, words in found.items() if words})


def require_connect() -> None:
    """Refuse to reach a Spark Connect server where PySpark would end the process without a word.

    Raises:
        EngineUnavailable: names the library that is missing.
    """
    missing = missing_library("pyspark.sql") or missing_library("grpc")
    _refuse({"pip install 'remint[spark-connect]'": missing} if missing else {})


def _refuse(missing: dict[str, str]) -> None:
    if missing:
        steps = "; ".join(missing)
        raise EngineUnavailable(
            f"Spark cannot run here: {'; '.join(missing.values())}",
            hint=f"{steps}; then the same command again, or with --engine duckdb",
        )


_INSTALL_JAVA = "install a JDK, for example: apt-get install openjdk-17-jre-headless"


def missing_library(name: str) -> str:
    """Return in words that a library is not there; empty where it is."""
    try:
        importlib.import_module(name)
    except ImportError as error:
        return f"{name.partition('.')[0]} is not installed ({error})"
    return ""


def missing_java(home: str) -> str:
    """Return in words what is wrong with the Java that Spark would start; empty where nothing is."""
    needed = f"Java {OLDEST_JAVA} or newer is needed"
    command = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if command is None:
        return f"{needed}, and there is none: JAVA_HOME is not set, and no java is on the PATH"
    try:
        said = subprocess.run([command, "-version"], capture_output=True, text=True, timeout=_PATIENCE_S, check=True)  # noqa: S603 - the Java that Spark would start
    except (OSError, subprocess.SubprocessError) as error:
        where = f"JAVA_HOME is {home}" if home else f"{command} is on the PATH"
        return f"{needed}: {where}, and it does not start ({error})"
    version = _VERSION.search(said.stderr + said.stdout)
    if version is None or int(version[1]) < OLDEST_JAVA:
        shown = f"Java {version[1]}" if version else "one of no version that is known"
        return f"{needed}, found {shown}: {command}"
    return ""
