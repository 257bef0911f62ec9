"""Settings of a project: ``remint.toml``, overridden by the environment.

Rules: the only reader of ``os.environ``. Validated by hand, because importing a validation library would cost every
command a tenth of a second. A key that is not known is a mistake, never ignored.
"""

from __future__ import annotations

import difflib
import getpass
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remint.errors import ProjectError, ProjectInvalid
from remint.loading.text_files import read_text
from remint.model.cost import Prices
from remint.planner.peak_hours import PeakHours
from remint.planner.policy import Policy, Priority, Rule

SETTINGS_FILE = "remint.toml"
ENGINES = ("duckdb", "spark")
CATALOGS = ("sql", "rest", "glue")
_ENV_PREFIX = "REMINT_"
_SQLITE = "sqlite:///"
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9](/[^/@?#\s]+)*/?")
_SECRET = re.compile(r"^https?://[^/]*@")
_MEMORY = re.compile(r"\d+(\.\d+)?\s*(KB|MB|GB|TB|KIB|MIB|GIB|TIB)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogSettings:
    """Where an Iceberg catalog is."""

    kind: str = "sql"
    """``sql``, ``rest`` or ``glue``."""
    name: str
    """In an SQL database: tables under another name are others. Also that of pyiceberg's own configuration."""
    url: str
    """SQLAlchemy URL, in which an SQLite path is absolute; address of a REST server; empty for Glue of the account."""
    warehouse: str = ""
    """Which of the warehouses that a server keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a project sets, resolved against its folder."""

    name: str
    lake: str
    """Absolute folder, or URL, under which the tables live."""
    format: str
    """In which the tables are kept: ``delta`` or ``iceberg``."""
    catalog: CatalogSettings
    """What names Iceberg tables."""
    store_url: str
    """SQLAlchemy URL; an SQLite path in it is absolute."""
    store_wait_s: float
    """How long to wait for another writer, and for a server that went away."""
    memory_limit: str
    threads: int
    """0: all cores."""
    engine: str = "duckdb"
    """Name of the engine of every dataset that declares none."""
    digests: str = ""
    """``portable``, or empty: as the engines in use need them."""
    spark_remote: str = ""
    """Address of a Spark Connect server; empty: a session of this process."""
    spark_above: int = 0
    """Bytes that a batch of a dataset without an engine may read before Spark makes it; 0: any amount."""
    spark_master: str = ""
    """Where Spark runs when it is started here, as Spark spells it; empty: on this machine."""
    is_submitted: bool = False
    """This process was started by spark-submit, which says where Spark is."""
    java_home: str = ""
    """Where the environment says that Java is."""
    views: str | None
    """Absolute path of the views file that every run refreshes."""
    policy: Policy
    """Limits, prices, and how many input rows one batch may read."""
    keep_days: int
    """Runs younger than this stay undoable, whatever retention removes."""
    user: str
    """Who asks for runs: ``REMINT_USER``, else the login name."""


@dataclass(frozen=True, slots=True)
class _Key:
    default: Any
    accepts: Callable[[Any], bool]
    expected: str
    """In words, after "must be"."""
    is_required: bool = False


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _bytes(value: Any) -> int | None:
    """Return how many bytes an amount such as ``50GB`` names; None when it is none."""
    found = _MEMORY.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return None
    unit = found[2].upper()
    base = 1024 if "I" in unit else 1000
    return int(float(found[0].removesuffix(found[2])) * base ** (1 + "KMGT".index(unit[0])))


def _unknown_rules(names: list[Any]) -> list[str]:
    return [str(n) for n in names if n not in list(Rule)]


def _wrong_hours(windows: list[Any]) -> list[str]:
    """Return, in words, what is wrong with windows of peak hours."""
    wrong = []
    for text in windows:
        try:
            PeakHours.parse(text if isinstance(text, str) else repr(text))
        except ValueError as error:
            wrong.append(str(error))
    return wrong


def _is_lake(value: Any) -> bool:
    """Return whether tables can lie there: below a folder of this machine, or below a prefix of a bucket."""
    return _is_text(value) and ("://" not in value or _BUCKET.fullmatch(value) is not None)


_KEYS: Mapping[tuple[str, str], _Key] = {
    ("project", "name"): _Key(None, _is_text, "text", is_required=True),
    ("paths", "lake"): _Key("lake", _is_lake, "a folder, or s3://bucket/prefix without a password in it"),
    ("views", "path"): _Key(
        None,
        lambda v: _is_text(v) and v.endswith((".sql", ".duckdb")),
        "the path of a file that ends in .sql or .duckdb",
    ),
    ("tables", "format"): _Key("delta", lambda v: v in ("delta", "iceberg"), '"delta" or "iceberg"'),
    ("catalog", "type"): _Key("sql", lambda v: v in CATALOGS, " or ".join(f'"{name}"' for name in CATALOGS)),
    ("catalog", "name"): _Key("remint", _is_text, "text"),
    ("catalog", "url"): _Key(
        None,
        lambda v: _is_text(v) and "://" in v and not _SECRET.search(v),
        "a URL such as sqlite:///... or https://api.example.com, without a password in one of http",
    ),
    ("catalog", "warehouse"): _Key("", _is_text, "text"),
    ("store", "url"): _Key(
        "sqlite:///.remint/state.db", lambda v: _is_text(v) and "://" in v, "a URL such as sqlite:///..."
    ),
    ("store", "wait_seconds"): _Key(10, _is_amount, "a number"),
    ("engine", "name"): _Key(ENGINES[0], lambda v: v in ENGINES, " or ".join(f'"{name}"' for name in ENGINES)),
    ("engine", "digests"): _Key("", lambda v: v == "portable", '"portable"; leave it out for what the engines need'),
    ("engine", "memory_limit"): _Key(
        "2GB", lambda v: isinstance(v, str) and _MEMORY.fullmatch(v) is not None, 'an amount such as "2GB"'
    ),
    ("engine", "threads"): _Key(0, lambda v: _is_count(v, 0), "a whole number, 0 for all cores"),
    ("engine", "batch_rows"): _Key(4_000_000, lambda v: _is_count(v, 1), "a whole number above 0"),
    ("engine.spark", "remote"): _Key(
        "", lambda v: isinstance(v, str) and v.startswith("sc://"), 'the address of a server, such as "sc://host:15002"'
    ),
    ("engine.spark", "master"): _Key("", _is_text, 'where Spark runs, such as "local[4]"'),
    ("engine.spark", "above"): _Key("", lambda v: bool(_bytes(v)), 'an amount such as "50GB"'),
    ("cost", "currency"): _Key("EUR", _is_text, "text"),
    ("cost", "per_hour"): _Key(None, _is_amount, "a number"),
    ("cost", "per_tb_scanned"): _Key(None, _is_amount, "a number"),
    ("policy", "ask"): _Key(
        (), lambda v: isinstance(v, list) and not _unknown_rules(v), "a list of " + ", ".join(Rule)
    ),
    ("policy", "max_seconds"): _Key(None, _is_amount, "a number"),
    ("policy", "max_money"): _Key(None, _is_amount, "a number"),
    ("policy", "max_bytes_scanned"): _Key(
        None, lambda v: _is_count(v, 1) or bool(_bytes(v)), 'a number of bytes, or an amount such as "50GB"'
    ),
    ("policy", "max_rows"): _Key(None, lambda v: _is_count(v, 1), "a whole number above 0"),
    ("policy", "largest_window_days"): _Key(None, lambda v: _is_count(v, 1), "a whole number above 0"),
    ("policy", "max_running"): _Key(None, lambda v: _is_count(v, 1), "a whole number above 0"),
    ("policy", "peak_hours"): _Key(
        (),
        lambda v: isinstance(v, list) and not _wrong_hours(v),
        'a list of windows such as "08:00-20:00 Europe/Madrid"',
    ),
    ("policy", "priority"): _Key("low", lambda v: v in list(Priority), '"low" or "normal"'),
    ("policy", "sla_seconds"): _Key(None, _is_amount, "a number"),
    ("policy", "lease_seconds"): _Key(60, lambda v: _is_amount(v) and v >= 1, "a number of at least 1"),
    ("retention", "keep_days"): _Key(30, lambda v: _is_count(v, 0), "a whole number"),
}


def find_project(start: Path) -> Path:
    """Return the nearest folder at or above ``start`` that holds ``remint.toml``.

    Raises:
        ProjectError: there is none.
    """
    here = start.resolve()
    for folder in (here, *here.parents):
        if (folder / SETTINGS_FILE).is_file():
            return folder
    raise ProjectError(
        f"no {SETTINGS_FILE} in {here} or in any folder above it",
        hint="remint init .    # writes a small working project; or change to a project's folder",
    )


def read_settings(root: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of the project in ``root``.

    Args:
        root: absolute folder that holds ``remint.toml``.
        environ: environment variables; those of the process when not given.

    Raises:
        ProjectInvalid: every mistake in the file and in ``REMINT_*`` variables.
    """
    env = os.environ if environ is None else environ
    try:
        text = read_text(root / SETTINGS_FILE, SETTINGS_FILE)
        raw = tomllib.loads(text)
    except ProjectError as error:
        raise ProjectInvalid([error]) from None
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        raise ProjectInvalid(
            [ProjectError(f"is not TOML: {error}", file=SETTINGS_FILE, line=int(line[1]) if line else None)]
        ) from None
    mistakes: list[ProjectError] = []
    values = {key: known.default for key, known in _KEYS.items()}
    values |= _from_file(raw, text, mistakes)
    values |= _from_environment(env, mistakes)
    if values["project", "name"] is None and not mistakes:
        mistakes.append(ProjectError("[project] name is missing", file=SETTINGS_FILE, hint='[project]\nname = "shop"'))
    if not mistakes:
        mistakes += _catalog_mistakes(values["catalog", "type"], values["catalog", "url"] or "")
    if mistakes:
        raise ProjectInvalid(mistakes)
    return _resolved(values, root, env)


def _catalog_mistakes(kind: str, url: str) -> list[ProjectError]:
    """Return what an address and the kind of its catalog say against each other."""
    is_web = url.startswith(("http://", "https://"))
    if kind == "rest" and not is_web:
        expected = "the address of its server, such as https://api.example.com"
    elif (kind == "sql" and is_web) or (kind == "glue" and url and not is_web):
        expected = "a URL such as sqlite:///..." if kind == "sql" else "an endpoint of AWS, or nothing"
    else:
        return []
    said = f"[catalog] type is {kind!r}, so [catalog] url must be {expected}"
    return [ProjectError(said, file=SETTINGS_FILE, hint="docs/formats.md    # which catalogs there are")]


def credential(name: str) -> str | None:
    """Return the value of an environment variable that a declaration names; the caller keeps it to itself."""
    return os.environ.get(name)


def _from_file(raw: Mapping[str, Any], text: str, mistakes: list[ProjectError]) -> dict[tuple[str, str], Any]:
    sections = sorted({section for section, _ in _KEYS})
    found: dict[tuple[str, str], Any] = {}
    for section, content in _sections(raw, sections):
        line = _line(text, section, None)
        if section not in sections:
            mistakes.append(_unknown(f"[{section}]", [f"[{s}]" for s in sections], line))
        elif not isinstance(content, dict):
            mistakes.append(ProjectError(f"{section} is a section: write [{section}]", file=SETTINGS_FILE, line=line))
        else:
            for name, value in content.items():
                _accept((section, name), value, _line(text, section, name), found, mistakes)
    return found


def _sections(raw: Mapping[str, Any], known: list[str]) -> Iterable[tuple[str, Any]]:
    """Yield every section of the file with what stands in it; one within another has a name with a dot."""
    for section, content in raw.items():
        inner = {n: v for n, v in content.items() if f"{section}.{n}" in known} if isinstance(content, dict) else {}
        yield section, {n: v for n, v in content.items() if n not in inner} if inner else content
        yield from ((f"{section}.{name}", value) for name, value in inner.items())


def _accept(
    key: tuple[str, str], value: Any, line: int | None, found: dict[tuple[str, str], Any], mistakes: list[ProjectError]
) -> None:
    section, name = key
    known = _KEYS.get(key)
    if known is None:
        mistakes.append(_unknown(f"[{section}] {name}", [f"[{section}] {n}" for s, n in _KEYS if s == section], line))
    elif not known.accepts(value):
        said = f"[{section}] {name} is {_shown(key, value)}; it must be {known.expected}{_more(key, value)}"
        mistakes.append(ProjectError(said, file=SETTINGS_FILE, line=line))
    else:
        found[key] = value


def _from_environment(env: Mapping[str, str], mistakes: list[ProjectError]) -> dict[tuple[str, str], Any]:
    names = {f"{_ENV_PREFIX}{s.replace('.', '_')}__{name}".upper(): (s, name) for s, name in _KEYS}
    found: dict[tuple[str, str], Any] = {}
    for variable in sorted(v for v in env if v.startswith(_ENV_PREFIX) and "__" in v):
        key = names.get(variable)
        if key is None:
            near = difflib.get_close_matches(variable, names, n=1)
            mistakes.append(
                ProjectError(
                    f"environment variable {variable} is no setting" + (f"; nearest: {near[0]}" if near else "")
                )
            )
            continue
        text = env[variable]
        value = text if _KEYS[key].is_required else _typed(_KEYS[key].default, text)
        if _KEYS[key].accepts(value):
            found[key] = value
        else:
            said = f"environment variable {variable} is {_shown(key, text)}; it must be {_KEYS[key].expected}"
            mistakes.append(ProjectError(said + _more(key, value)))
    return found


def _typed(default: Any, text: str) -> Any:
    """Return a variable's text as the type that its setting has in the file; lists are written with commas."""
    if isinstance(default, tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    if isinstance(default, str):
        return text
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text


def _shown(key: tuple[str, str], value: Any) -> str:
    """Return a value as messages show it; a URL that is not understood may hold a password."""
    if key in {("store", "url"), ("catalog", "url")} or (key == ("paths", "lake") and "@" in str(value)):
        return "not a URL of that kind"
    return repr(value)


def _more(key: tuple[str, str], value: Any) -> str:
    """Return what exactly is wrong, where a setting has parts."""
    wrong: list[str] = []
    if key == ("policy", "peak_hours") and isinstance(value, list):
        wrong = _wrong_hours(value)
    elif key == ("policy", "ask") and isinstance(value, list):
        wrong = [f"{name!r} is no rule" for name in _unknown_rules(value)]
    return "".join(f"; {words}" for words in wrong)


def _policy(values: Mapping[tuple[str, str], Any]) -> Policy:
    cost = {name: value for (section, name), value in values.items() if section == "cost"}
    limits = {name: value for (section, name), value in values.items() if section == "policy"}
    scanned = limits.pop("max_bytes_scanned")
    return Policy(
        **{
            **limits,
            "batch_rows": values["engine", "batch_rows"],
            "max_bytes_scanned": _bytes(scanned) or scanned,
            "peak_hours": tuple(PeakHours.parse(text) for text in limits["peak_hours"]),
            "ask": frozenset(Rule(name) for name in limits["ask"]),
            "priority": Priority(limits["priority"]),
            "prices": Prices(**cost),
        }
    )


def _resolved(values: Mapping[tuple[str, str], Any], root: Path, env: Mapping[str, str]) -> Settings:
    lake: str = values["paths", "lake"]
    url: str = values["store", "url"]
    if url.startswith(_SQLITE) and ":memory:" not in url:
        url = _SQLITE + str(root / url.removeprefix(_SQLITE))
    return Settings(
        name=values["project", "name"],
        lake=lake.rstrip("/") if "://" in lake else str(root / lake),
        format=values["tables", "format"],
        catalog=_catalog(values, root),
        store_url=url,
        store_wait_s=float(values["store", "wait_seconds"]),
        views=str(root / values["views", "path"]) if values["views", "path"] else None,
        memory_limit=values["engine", "memory_limit"],
        threads=values["engine", "threads"],
        engine=values["engine", "name"],
        digests=values["engine", "digests"],
        spark_remote=values["engine.spark", "remote"],
        spark_master=values["engine.spark", "master"],
        spark_above=_bytes(values["engine.spark", "above"]) or 0,
        is_submitted="PYSPARK_GATEWAY_PORT" in env,
        java_home=env.get("JAVA_HOME", ""),
        policy=_policy(values),
        keep_days=values["retention", "keep_days"],
        user=env.get("REMINT_USER") or _login(),
    )


def _catalog(values: Mapping[tuple[str, str], Any], root: Path) -> CatalogSettings:
    """Return where the catalog is: nothing said means a file, beside the tables where they lie on a disk."""
    kind, lake, url = values["catalog", "type"], values["paths", "lake"], values["catalog", "url"] or ""
    if kind == "sql" and not url:
        url = f"{_SQLITE}{'.remint' if '://' in lake else lake}/catalog.db"
    if url.startswith(_SQLITE):
        url = _SQLITE + str(root / url.removeprefix(_SQLITE))
    return CatalogSettings(kind=kind, name=values["catalog", "name"], url=url, warehouse=values["catalog", "warehouse"])


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's bare uid has no name
        return "unknown"


def _unknown(written: str, known: list[str], line: int | None) -> ProjectError:
    near = difflib.get_close_matches(written, known, n=1)
    guess = f"; nearest: {near[0]}" if near else ""
    return ProjectError(
        f"{written} is no setting{guess}", file=SETTINGS_FILE, line=line, hint="known: " + ", ".join(known)
    )


def _line(text: str, section: str, name: str | None) -> int | None:
    """Return the line of a section, or of a key in it; tomllib tells none, so it is looked up in the text."""
    inside, section_line = False, None
    for number, line in enumerate(text.split("\n"), start=1):
        header = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line)
        if header:
            inside = header[1].strip("\"'") == section
            section_line = number if inside else section_line
        elif name is None and re.match(rf"""\s*["']?{re.escape(section)}["']?\s*[.=]""", line):
            section_line = section_line or number
        elif inside and name is not None and re.match(rf"""\s*["']?{re.escape(name)}["']?\s*[.=]""", line):
            return number
    return section_line
