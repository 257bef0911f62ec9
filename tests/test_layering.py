"""The house rules that a machine can hold: ranks, purity, homes of libraries, sizes."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "remint"

RANKS = {
    "errors": 0,
    "failures": 1,
    "disk": 1,
    "model": 1,
    "storage": 2,
    "planner": 2,
    "checks": 2,
    "loading": 3,
    "sources": 3,
    "formats": 3,
    "engines": 3,
    "store": 3,
    "signing": 3,
    "publishing": 4,
    "execution": 5,
    "ingestion": 5,
    "workspace": 6,
    "cli": 7,
    "lake": 7,
    "__init__": 8,
    "__main__": 9,
}
CORE = {"errors", "model", "planner", "checks"}
IMPURE = {
    "os",
    "time",
    "random",
    "uuid",
    "logging",
    "pathlib",
    "socket",
    "asyncio",
    "subprocess",
    "tempfile",
    "secrets",
}
CLOCK = {"now", "today", "utcnow"}
HOMES = {
    "duckdb": {"engines"},
    "pyspark": {"engines"},
    "deltalake": {"formats"},
    "pyarrow": {"formats", "engines"},
    "sqlalchemy": {"store", "formats"},
    "alembic": {"store"},
    "sqlglot": {"loading", "checks"},
    "click": {"cli"},
    "rich": {"cli"},
    "pydantic": {"loading"},
    "yaml": {"loading", "checks"},
    "jsonschema": {"loading", "checks"},
    "fsspec": {"sources"},
    "s3fs": {"storage"},
    "botocore": {"storage", "formats"},
    "pyiceberg": {"formats"},
    "requests": {"formats"},
    "urllib3": {"sources", "formats"},
    "cryptography": {"signing"},
    "open_data_contract_standard": {"loading", "checks"},
}
USE_CASES = {"publishing", "execution", "ingestion"}
SEAMS = {
    "formats": {"base"},
    "engines": {"base"},
    "storage": {"base"},
    "store": {"base", "values"},
    "sources": {"base", "files", "pages"},
}
"""What use cases may see of the adapters; sources hold no state and have one implementation."""


def package_of(path: Path, root: Path = SRC) -> str:
    return path.relative_to(root).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[str, int, bool]]:
    """Yield every imported module, its line, and whether it is only for type checking."""
    typed = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, node in typed
        elif isinstance(node, ast.ImportFrom):
            yield ("." * node.level) + (node.module or ""), node.lineno, node in typed


def breaches(source: str, package: str) -> list[str]:
    """Return every rule that ``source``, as a module of ``package``, breaks."""
    tree = ast.parse(source)
    found = []
    for module, line, typed in imports(tree):
        parts = module.split(".")
        if module.startswith("."):
            found.append(f"{line}: relative import")
        if parts[0] == "remint" and len(parts) > 1:
            other = parts[1]
            if other not in RANKS:
                found.append(f"{line}: {other} has no rank")
            elif other != package and RANKS[other] >= RANKS[package] and not typed:
                found.append(f"{line}: {package} may not import {other}")
            if package in USE_CASES and other in SEAMS and (len(parts) < 3 or parts[2] not in SEAMS[other]):
                found.append(f"{line}: use cases see only the seam of {other}")
            if package in USE_CASES and other == "loading":
                found.append(f"{line}: use cases do not load projects")
            if (
                package == "cli"
                and other in {"planner", "store", "execution", "ingestion", "engines", "formats"}
                and not typed
            ):
                found.append(f"{line}: interfaces call the workspace, not {other}")
        if package in CORE and parts[0] in IMPURE:
            found.append(f"{line}: the core may not import {parts[0]}")
        if parts[0] in HOMES and package not in HOMES[parts[0]] and not typed:
            found.append(f"{line}: {parts[0]} has its home in {', '.join(sorted(HOMES[parts[0]]))}")
    found += _clock_and_defaults(tree, package)
    return found


def _clock_and_defaults(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if (
            package in CORE
            and isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in CLOCK
        ):
            yield f"{node.lineno}: the core may not ask the clock"
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "os.environ" and package != "loading":
            yield f"{node.lineno}: only loading/settings reads the environment"


MODULES = sorted(p for p in SRC.rglob("*.py") if "versions" not in p.parts)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SRC)))
def test_every_module_keeps_the_house_rules(path: Path) -> None:
    assert breaches(path.read_text(), package_of(path)) == []


@pytest.mark.parametrize(
    ("package", "source", "says"),
    [
        ("model", "from remint.planner.build import build_plan", "model may not import planner"),
        ("engines", "from remint.formats.base import Table", "engines may not import formats"),
        ("model", "from . import graph", "relative import"),
        ("planner", "import os", "the core may not import os"),
        ("planner", "def f(d): return d.now()", "the core may not ask the clock"),
        ("execution", "from remint.formats.delta import DeltaFormat", "use cases see only the seam of formats"),
        ("execution", "from remint.loading.project import load_project", "use cases do not load projects"),
        ("cli", "from remint.store.base import StoreReader", "interfaces call the workspace, not store"),
        ("cli", "import duckdb", "duckdb has its home in engines"),
        ("store", "import os\nx = os.environ", "only loading/settings reads the environment"),
        ("model", "from remint.nowhere import x", "nowhere has no rank"),
    ],
)
def test_each_rule_fires_on_a_bad_example(package: str, source: str, says: str) -> None:
    assert any(says in breach for breach in breaches(source, package))


def test_every_package_has_a_rank() -> None:
    assert {package_of(p) for p in MODULES} <= RANKS.keys()


def test_init_files_hold_no_code_of_their_own() -> None:
    for path in SRC.rglob("__init__.py"):
        kinds = {type(node) for node in ast.parse(path.read_text()).body}
        assert kinds <= {ast.Expr, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign}, path


def code_lines(node: ast.AST, lines: list[str]) -> int:
    """Return the lines of a function that are neither blank, comment nor docstring."""
    body = getattr(node, "body", [])
    skip: set[int] = set()
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        skip = set(range(body[0].lineno, (body[0].end_lineno or 0) + 1))
    span = range(node.lineno, (node.end_lineno or 0) + 1)  # type: ignore[attr-defined]
    return sum(1 for n in span if n not in skip and (text := lines[n - 1].strip()) and not text.startswith("#"))


def function_lengths() -> dict[str, int]:
    found = {}
    for path in MODULES:
        lines = path.read_text().splitlines()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[f"{path.relative_to(SRC)}:{node.name}"] = code_lines(node, lines)
    return found


def test_functions_fit_their_budget() -> None:
    lengths = function_lengths()
    assert {name: n for name, n in lengths.items() if n > 60} == {}
    assert sorted(lengths.values())[int(len(lengths) * 0.95)] <= 35


def test_files_fit_their_budget() -> None:
    assert {p.name: n for p in MODULES if (n := len(p.read_text().splitlines())) > 500} == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(p.relative_to(SRC)) for p in MODULES if not ast.get_docstring(ast.parse(p.read_text()))]
    assert [p for p in silent if p != "__init__.py"] == []


@pytest.mark.xdist_group("house")
def test_tests_that_belong_to_one_process_are_told_apart(request: pytest.FixtureRequest) -> None:
    """By the end of their names: where pytest and xdist do not agree on those, every group is forgotten."""
    assert "PYTEST_XDIST_WORKER" not in os.environ or request.node.nodeid.endswith("@house")


def test_what_has_a_full_size_is_run_at_it() -> None:
    """``make test-faults`` takes what is marked ``proof``; any other test never sees the second figure of ``size``."""
    forgotten = []
    for path in sorted(Path(__file__).parent.rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        said = [n for n in tree.body if isinstance(n, ast.Assign)]
        if any(ast.unparse(n.targets[0]) == "pytestmark" and "proof" in ast.unparse(n.value) for n in said):
            continue
        tests = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]
        marked = [n for n in tests if "proof" in map(ast.unparse, n.decorator_list)]
        forgotten += [f"{path.name} {n.name}" for n in tests if _sizes(n) and n not in marked]
        forgotten += [path.name] if not marked and any(map(_sizes, said)) else []

    assert forgotten == []


def _sizes(tree: ast.AST) -> bool:
    return any(isinstance(n, ast.Call) and ast.unparse(n.func) == "size" for n in ast.walk(tree))
