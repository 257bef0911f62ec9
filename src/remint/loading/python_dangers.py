"""What makes a Python function give another answer on another day, machine or process, or hides what it reaches."""

from __future__ import annotations

from collections.abc import Iterable

_CLOCK = "reads the clock, so a replay would give another answer; use a column of the input"
_CHANCE = "is random, so a replay would give another answer"
_SURROUNDINGS = "reads what is not an input, so a replay could give another answer"
_HIDDEN = "finds names at run time, so what it reaches cannot be seen"
_PROCESS = "differs from process to process"
_REASONS = {
    **dict.fromkeys(
        ["time", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"],
        _CLOCK,
    ),
    **dict.fromkeys(
        ["random", "secrets", "numpy.random", "os.urandom", "uuid.uuid1", "uuid.uuid4", "uuid.uuid6", "uuid.uuid7",
         "uuid.getnode"],
        _CHANCE,
    ),
    **dict.fromkeys(
        ["os", "sys", "platform", "socket", "ssl", "getpass", "locale", "tempfile", "shutil", "glob", "subprocess",
         "signal", "resource", "fileinput", "builtins.open", "builtins.input", "builtins.__file__", "io.open",
         "io.FileIO", "codecs.open", "gzip.open", "bz2.open", "lzma.open", "zipfile", "tarfile", "linecache",
         "pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath", "sqlite3", "dbm", "shelve", "urllib.request",
         "http", "ftplib", "smtplib", "poplib", "imaplib", "xmlrpc", "requests", "httpx", "aiohttp", "urllib3",
         "boto3", "botocore", "s3fs", "gcsfs", "adlfs", "fsspec", "paramiko", "psycopg", "psycopg2", "pymongo",
         "redis", "kafka", "confluent_kafka", "webbrowser"],
        _SURROUNDINGS,
    ),
    **dict.fromkeys(
        ["builtins.eval", "builtins.exec", "builtins.compile", "builtins.__import__", "builtins.globals",
         "builtins.locals", "builtins.vars", "builtins.setattr", "builtins.delattr", "builtins.breakpoint", "importlib",
         "inspect", "ctypes", "gc", "runpy", "builtins.getattr", "builtins.hasattr", "pickle.load", "pickle.loads",
         "marshal"],
        _HIDDEN,
    ),
    **dict.fromkeys(["builtins.hash", "builtins.id"], _PROCESS),
}  # fmt: skip
_HARMLESS = frozenset(
    ["os.path.join", "os.path.basename", "os.path.dirname", "os.path.split", "os.path.splitext", "os.path.normpath",
     "os.sep", "os.linesep", "os.fspath", "os.PathLike", "sys.maxsize", "sys.float_info", "sys.intern",
     "http.HTTPStatus"]
)  # fmt: skip
_SAME = {"posix": "os", "nt": "os", "_io": "io", "posixpath": "os.path", "_random": "random", "_socket": "socket"}
_CLOCK_WORDS = frozenset(["now", "utcnow", "today"])


def danger(dotted: str, *, is_library: bool) -> str:
    """Return what is wrong with using ``dotted``, the full name of something; empty when nothing is.

    Args:
        dotted: ``datetime.datetime.now``; built-in functions as ``builtins.open``.
        is_library: it comes from an installed distribution, of which only the version is known.
    """
    name = one_name(dotted)
    if name in _HARMLESS:
        return ""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        reason = _REASONS.get(".".join(parts[:length]))
        if reason:
            return reason
    if is_library and parts[-1] in _CLOCK_WORDS:
        return _CLOCK
    return _SURROUNDINGS if is_library and parts[-1].startswith(("read_", "scan_")) else ""


def one_name(dotted: str) -> str:
    """Return the name under which users know ``dotted``: ``os.urandom`` for ``posix.urandom``."""
    first, _, rest = dotted.partition(".")
    return f"{_SAME[first]}.{rest}" if first in _SAME else dotted


def is_allowed(dotted: str, allow: Iterable[str]) -> bool:
    """True when ``allow`` names ``dotted``, or a module or class that it belongs to; built-ins by their bare name."""
    name = one_name(dotted).removeprefix("builtins.")
    return any(name == allowed or name.startswith(f"{allowed}.") for allowed in allow)
