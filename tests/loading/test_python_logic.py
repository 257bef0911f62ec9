"""What a Python transform means: what changes its digest, what does not, and what is refused."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from textwrap import dedent

import pytest

from remint.errors import ProjectInvalid
from remint.loading.python_logic import PythonLogic, changed_names, python_logic

Logic = Callable[..., PythonLogic]
BASE = """
    from rates import CHARGE, surcharge
    import rates

    THRESHOLD = 3
    PLANS = {"free": 1, "pro": 2}

    def helper(x):
        return x + THRESHOLD

    def transform(orders, factor=2):
        rows = [helper(row) * factor for row in orders]
        return [r + rates.BONUS + surcharge(r) + PLANS["pro"] for r in rows]
"""
RATES = """
    BONUS = 10
    CHARGE = 5
    UNUSED = 1

    def surcharge(x):
        return x * CHARGE

    def unused(x):
        return x
"""


@pytest.fixture
def logic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Logic:
    """Return what hashes ``transform`` of modules that are given as text; ``main`` holds it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def made(main: str = BASE, *, allow: frozenset[str] = frozenset(), **modules: str) -> PythonLogic:
        texts = {"main": main, "rates": modules.pop("rates", RATES), **modules}
        for name in texts:
            monkeypatch.delitem(sys.modules, name, raising=False)
        for name, text in texts.items():
            (tmp_path / f"{name}.py").write_text(dedent(text))
        importlib.invalidate_caches()
        function = importlib.import_module("main").transform
        try:
            return python_logic(function, allow, root=tmp_path)
        finally:
            for name in texts:
                sys.modules.pop(name, None)

    return made


def refused(logic: Logic, main: str, **more: object) -> list[str]:
    with pytest.raises(ProjectInvalid) as raised:
        logic(main, **more)
    return [f"{m.where}: {m.message}" for m in raised.value.mistakes]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def transform(orders, factor=2):", 'def transform(orders, factor=2):\n        """Say what it does."""'),
        ("def transform(orders, factor=2):", "def transform(\n        orders, factor=2,  # why\n    ):"),
        ("def transform(orders, factor=2):", "def transform(orders: list[int], factor: int = 2) -> list[int]:"),
        ("def helper(x):", "def helper(x: int) -> int:\n        # a comment"),
        ("THRESHOLD = 3", "# moved\n\n    THRESHOLD: int = 2 + 1"),
        ("return x + THRESHOLD", "return (x\n                + THRESHOLD)"),
        ("rows = [", "rows: list[int] = ["),
        ("THRESHOLD = 3", "OTHER = 4\n    THRESHOLD = 3"),
        ('{"free": 1, "pro": 2}', "{'free': 1,\n             'pro': 2}"),
    ],
)
def test_form_is_no_meaning(logic: Logic, old: str, new: str) -> None:
    assert old in BASE
    assert logic(BASE.replace(old, new)).digest == logic().digest


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("THRESHOLD = 3", "THRESHOLD = 4", "changes THRESHOLD"),
        ("THRESHOLD = 3", "THRESHOLD = 3.0", "changes THRESHOLD"),
        ("THRESHOLD = 3", "THRESHOLD = True", "changes THRESHOLD"),
        ('"pro": 2', '"pro": 3', "changes PLANS"),
        ("x + THRESHOLD", "x - THRESHOLD", "changes helper()"),
        ("factor=2", "factor=3", None),
        ("* factor", "* factor * factor", "changes transform()"),
        ('PLANS["pro"]', 'PLANS["free"]', "changes transform()"),
        ("def transform(orders, factor=2)", "def transform(orders, factor)", None),
    ],
)
def test_meaning_changes_the_digest_and_is_named(logic: Logic, old: str, new: str, words: str | None) -> None:
    before, after = logic(), logic(BASE.replace(old, new))

    assert after.digest != before.digest
    if words is not None:
        assert changed_names(before.canonical, after.canonical) == words


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("BONUS = 10", "BONUS = 11", "changes BONUS"),
        ("CHARGE = 5", "CHARGE = 6", "changes CHARGE"),
        ("return x * CHARGE", "return x / CHARGE", "changes surcharge()"),
        ("UNUSED = 1", "UNUSED = 2", ""),
        ("def unused(x):\n        return x", "def unused(x):\n        return eval('x')", ""),
    ],
)
def test_other_modules_of_the_project_count_as_far_as_they_are_reached(
    logic: Logic, old: str, new: str, words: str
) -> None:
    before, after = logic(), logic(rates=RATES.replace(old, new))

    assert (after.digest != before.digest) is bool(words)
    assert changed_names(before.canonical, after.canonical) == words


def test_the_canonical_text_can_be_read_and_names_all_that_is_reached(logic: Logic) -> None:
    made = logic()

    assert made.reached == ("transform()", "BONUS", "CHARGE", "PLANS", "THRESHOLD", "helper()", "surcharge()")
    assert "## THRESHOLD\nTHRESHOLD = 3" in made.canonical
    assert "## helper()\ndef helper(x):\n    return x + THRESHOLD" in made.canonical


def test_what_is_added_and_dropped_is_named(logic: Logic) -> None:
    after = logic(
        BASE.replace("helper(row)", "other(row)").replace("def helper", "def other").replace("THRESHOLD", "LIMIT")
    )

    assert changed_names(logic().canonical, after.canonical) == (
        "changes transform(); adds LIMIT, other(); no longer uses THRESHOLD, helper()"
    )


REACHED = {
    "a closure": (
        "def maker(n):\n    def transform(rows):\n        return [r + n for r in rows]\n    return transform\n"
        "transform = maker({})"
    ),
    "a closure of functions": (
        "def maker(f):\n    def transform(rows):\n        return f(rows)\n    return transform\n"
        "transform = maker(lambda rows: {})"
    ),
    "a decorator": (
        "import functools\ndef times(n):\n    def deco(f):\n        @functools.wraps(f)\n"
        "        def run(rows):\n            return f(rows) * {}\n        return run\n    return deco\n"
        "@times(2)\ndef transform(rows):\n    return rows"
    ),
    "an argument of a decorator": (
        "import functools\ndef times(n):\n    def deco(f):\n        @functools.wraps(f)\n"
        "        def run(rows):\n            return f(rows) * n\n        return run\n    return deco\n"
        "@times({})\ndef transform(rows):\n    return rows"
    ),
    "a function behind lru_cache": (
        "import functools\n@functools.lru_cache\ndef rate(x):\n    return x * {}\n"
        "def transform(rows):\n    return [rate(r) for r in rows]"
    ),
    "a function behind contextmanager": (
        "import contextlib\n@contextlib.contextmanager\ndef rate():\n    yield {}\n"
        "def transform(rows):\n    with rate() as r:\n        return [r for _ in rows]"
    ),
    "a function in singledispatch": (
        "import functools\n@functools.singledispatch\ndef rate(x):\n    return 0\n@rate.register\n"
        "def _(x: int):\n    return {}\ndef transform(rows):\n    return [rate(r) for r in rows]"
    ),
    "a partial": (
        "import functools\ndef rate(x, y):\n    return x * y\nhalf = functools.partial(rate, y={})\n"
        "def transform(rows):\n    return [half(r) for r in rows]"
    ),
    "a function in a dict": (
        "RULES = dict(a=lambda x: x, b=lambda x: x * {})\ndef transform(rows):\n    return RULES['b'](rows)"
    ),
    "a class": (
        "class Rate:\n    def of(self, x):\n        return x * {}\ndef transform(rows):\n    return Rate().of(rows)"
    ),
    "a base class": (
        "class Base:\n    factor = {}\nclass Rate(Base):\n    pass\ndef transform(rows):\n    return Rate().factor"
    ),
    "a global of a method": (
        "N = {}\nclass Rate:\n    def of(self, x):\n        return x * N\n"
        "def transform(rows):\n    return Rate().of(rows)"
    ),
    "a field of a dataclass": (
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Plan:\n    limit: int = {}\n"
        "def transform(rows):\n    return Plan().limit"
    ),
    "a dataclass instance": (
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Plan:\n    limit: int\nPLAN = Plan({})\n"
        "def transform(rows):\n    return PLAN.limit"
    ),
    "an enum": (
        "from enum import Enum\nclass Plan(Enum):\n    PRO = {}\ndef transform(rows):\n    return Plan.PRO.value"
    ),
    "a named tuple": (
        "from typing import NamedTuple\nclass P(NamedTuple):\n    a: int\nPLAN = P({})\n"
        "def transform(rows):\n    return PLAN.a"
    ),
    "a keyword default": "def transform(rows, *, factor={}):\n    return rows * factor",
    "a default of a nested function": "def transform(rows):\n    def f(x={}):\n        return x\n    return f()",
    "a lambda": "transform = lambda rows: rows * {}",
    "one of two lambdas on a line": "F = (lambda x: x, lambda x: x * {})\ndef transform(rows):\n    return F[1](rows)",
    "a comprehension over its own name": "N = [{}]\ndef transform(rows):\n    return [N for N in N]",
    "a class inside": "N = {}\ndef transform(rows):\n    class C:\n        n = N\n    return C.n",
    "a name that a class gives itself": "n = {}\ndef transform(rows):\n    class C:\n        n = n\n    return C.n",
    "an import inside": "def transform(rows):\n    import other\n    return other.N",
    "an import from inside": "def transform(rows):\n    from other import N as M\n    return M",
    "a literal getattr": "import other\ndef transform(rows):\n    return getattr(other, 'N')",
    "a set": "N = frozenset([1, 2, {}])\ndef transform(rows):\n    return [r for r in N]",
    "a decimal": "from decimal import Decimal\nN = Decimal('{}')\ndef transform(rows):\n    return N",
    "a date": "from datetime import date\nN = date(2026, 1, {})\ndef transform(rows):\n    return N",
    "a time with zone": (
        "from datetime import datetime\nfrom zoneinfo import ZoneInfo\n"
        "N = datetime(2026, 1, {}, tzinfo=ZoneInfo('Europe/Paris'))\ndef transform(rows):\n    return N"
    ),
    "a pattern": "import re\nN = re.compile('a{}')\ndef transform(rows):\n    return N.match('a')",
    "an f-string": "def transform(rows):\n    return f'{{rows}} {}'",
    "a match": "N = {}\ndef transform(rows):\n    match rows:\n        case [x, *rest]:\n            return x + N",
    "a generator": "def transform(rows):\n    yield {}",
    "recursion": "def transform(rows):\n    return transform(rows[1:]) if rows else {}",
}  # fmt: skip


@pytest.mark.parametrize("main", REACHED.values(), ids=list(REACHED))
def test_everything_that_is_reached_counts(logic: Logic, main: str) -> None:
    def of(number: int) -> str:
        given = {"other": f"N = {number}"} if "other" in main else {}
        return logic(main.replace("{}", str(number)).replace("{{", "{").replace("}}", "}"), **given).digest

    assert of(5) == of(5)
    assert of(5) != of(6)


def test_the_order_of_a_mapping_counts_and_that_of_a_set_does_not(logic: Logic) -> None:
    use = "def transform(rows):\n    return [k for k in N]"

    assert logic(f"N = {{'a': 1, 'b': 2}}\n{use}").digest != logic(f"N = {{'b': 2, 'a': 1}}\n{use}").digest
    assert logic(f"N = {{'a', 'b'}}\n{use}").digest == logic(f"N = {{'b', 'a'}}\n{use}").digest


def test_two_helpers_that_swap_their_names_are_another_meaning(logic: Logic) -> None:
    use = "def transform(rows):\n    return up(rows) - down(rows)"

    first = logic(f"from rates import f as up\nfrom other import f as down\n{use}", rates="def f(x):\n    return 1",
                  other="def f(x):\n    return 2")  # fmt: skip
    second = logic(f"from rates import f as up\nfrom other import f as down\n{use}", rates="def f(x):\n    return 2",
                   other="def f(x):\n    return 1")  # fmt: skip
    assert first.digest != second.digest


def test_a_name_that_means_another_library_is_another_meaning(logic: Logic) -> None:
    use = "def transform(rows):\n    return m.sqrt(rows)"

    assert logic(f"import math as m\n{use}").digest != logic(f"import cmath as m\n{use}").digest
    assert (
        logic("from math import sqrt as f\ndef transform(r):\n    return f(r)").digest
        != logic("from math import exp as f\ndef transform(r):\n    return f(r)").digest
    )


def test_libraries_count_by_their_installed_version(logic: Logic, monkeypatch: pytest.MonkeyPatch) -> None:
    main = "import pyarrow as pa\nimport pyarrow.compute as pc\ndef transform(t):\n    return pc.sum(t['x'])"

    before = logic(main)
    assert "pyarrow (library)" in before.reached
    assert f"## pyarrow (library)\n{version('pyarrow')}" in before.canonical
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99.0")
    after = logic(main)

    assert after.digest != before.digest
    assert changed_names(before.canonical, after.canonical) == f"moves pyarrow from {version('pyarrow')} to 99.0"


def test_declarations_of_remint_are_no_part_of_the_function(logic: Logic) -> None:
    main = """
        from remint import day, gold, same
        @gold("x", partition=day("day"), inputs={"a": same("silver.a")}, description="%s")
        def made() -> str:
            return "SELECT 1"
        transform = made.function
    """

    assert logic(main % "one").digest == logic(main % "two").digest
    assert logic(main % "one").reached == ("made()",)


def test_a_logger_and_a_path_are_constants(logic: Logic) -> None:
    assert logic(
        "import logging\nfrom pathlib import PurePath\nlog = logging.getLogger('x')\nP = PurePath('a/b')\n"
        "def transform(r):\n    log.info('%s', P)\n    return r"
    )


REFUSED = [
    ("import time\ndef transform(r):\n    return time.time()", "main.py:3: time.time reads the clock"),
    ("import time as t\ndef transform(r):\n    return t.monotonic()", "main.py:3: t.monotonic reads the clock"),
    ("from time import time as f\ndef transform(r):\n    return f()", "main.py:3: f reads the clock"),
    ("def transform(r):\n    import time\n    return time.time()", "main.py:3: time.time reads the clock"),
    ("def transform(r):\n    from time import time\n    return time()", "main.py:3: time reads the clock"),
    ("import datetime\ndef transform(r):\n    return datetime.datetime.now()",
     "main.py:3: datetime.datetime.now reads"),
    ("from datetime import datetime\ndef transform(r):\n    return datetime.now()", "main.py:3: datetime.now reads"),
    ("from datetime import datetime as d\ndef transform(r):\n    return d.utcnow()", "main.py:3: d.utcnow reads"),
    ("from datetime import date\ndef transform(r):\n    return date.today()", "main.py:3: date.today reads the clock"),
    ("from datetime import datetime\nf = datetime.now\ndef transform(r):\n    return f()",
     "main.py:4: f reads the clock"),
    ("from datetime import datetime\ndef transform(r):\n    d = datetime\n    return d.now()",
     "main.py:4: d.now() reads"),
    ("from datetime import datetime\ndef clock(f=datetime.now):\n    return f()\ndef transform(r):\n    return clock()",
     "main.py:2: f reads the clock"),
    ("import random\ndef transform(r):\n    return random.choice(r)", "main.py:3: random.choice is random"),
    ("from random import choice\ndef transform(r):\n    return choice(r)", "main.py:3: choice is random"),
    ("import random\nRNG = random.Random(7)\ndef transform(r):\n    return RNG.random()", "main.py:4: RNG is random"),
    ("import secrets\ndef transform(r):\n    return secrets.token_hex()", "main.py:3: secrets.token_hex is random"),
    ("import uuid\ndef transform(r):\n    return uuid.uuid4()", "main.py:3: uuid.uuid4 is random"),
    ("import os\ndef transform(r):\n    return os.urandom(4)", "main.py:3: os.urandom is random"),
    ("from os import urandom\ndef transform(r):\n    return urandom(4)", "main.py:3: urandom is random"),
    ("import os\ndef transform(r):\n    return os.environ['X']", "main.py:3: os.environ reads what is not an input"),
    ("from os import environ\ndef transform(r):\n    return environ['X']",
     "main.py:3: environ reads what is not an input"),
    ("import os\ndef transform(r):\n    return os.getenv('X')", "main.py:3: os.getenv reads what is not an input"),
    ("from os import getenv\ndef transform(r):\n    return getenv('X')",
     "main.py:3: getenv reads what is not an input"),
    ("def transform(r):\n    return open('x').read()", "main.py:2: open reads what is not an input"),
    ("from io import open as f\ndef transform(r):\n    return f('x')", "main.py:3: f reads what is not an input"),
    ("F = open(__file__)\nF.close()\ndef transform(r):\n    return F.read()",
     "main.py:4: F holds a TextIOWrapper, whose value"),
    ("from pathlib import Path\ndef transform(r):\n    return Path('x').read_text()",
     "main.py:3: Path reads what is not"),
    ("def transform(r):\n    return __file__", "main.py:2: __file__ reads what is not an input"),
    ("import sys\ndef transform(r):\n    return sys.argv", "main.py:3: sys.argv reads what is not an input"),
    ("import urllib.request\ndef transform(r):\n    return urllib.request.urlopen('x')", "main.py:3: urllib.request"),
    ("import socket\ndef transform(r):\n    return socket.gethostname()", "main.py:3: socket.gethostname reads what"),
    ("import pyarrow.parquet as pq\ndef transform(r):\n    return pq.read_table('x')",
     "main.py:3: pq.read_table reads"),
    ("def transform(r):\n    return eval('r')", "main.py:2: eval finds names at run time"),
    ("def transform(r):\n    exec('r')", "main.py:2: exec finds names at run time"),
    ("def transform(r):\n    return globals()['X']", "main.py:2: globals finds names at run time"),
    ("def transform(r):\n    return __import__('time').time()", "main.py:2: __import__ finds names at run time"),
    ("import importlib\ndef transform(r):\n    return importlib.import_module('time')", "main.py:3: importlib"),
    ("import rates\ndef transform(r):\n    return getattr(rates, r)", "main.py:3: getattr(rates, r) getattr() looks"),
    ("import time\ndef transform(r):\n    return getattr(time, 'time')()", "main.py:3: time.time reads the clock"),
    ("g = getattr\ndef transform(r):\n    return g(r, 'x')", "main.py:3: g finds names at run time"),
    ("import rates\ndef transform(r):\n    return vars(rates)", "main.py:3: rates is a module that is passed on"),
    ("import time\ndef transform(r):\n    t = time\n    return t.time()",
     "main.py:3: time is a module that is passed on"),
    ("def transform(r):\n    return hash(r)", "main.py:2: hash differs from process to process"),
    ("def transform(r):\n    return id(r)", "main.py:2: id differs from process to process"),
    ("SEEN = []\ndef transform(r):\n    SEEN.append(r)\n    return len(SEEN)",
     "main.py:3: SEEN.append changes the global"),
    ("SEEN = {}\ndef transform(r):\n    SEEN[1] = r\n    return SEEN", "main.py:3: SEEN[1] changes the global SEEN"),
    ("N = 0\ndef transform(r):\n    global N\n    N += 1\n    return N", "main.py:3: global N assigns to a global"),
    ("import rates\ndef transform(r):\n    rates.BONUS = 2", "main.py:3: rates.BONUS changes the global rates.BONUS"),
    ("def maker():\n    n = 0\n    def transform(r):\n        nonlocal n\n        n += 1\n        return n\n"
     "    return transform\ntransform = maker()", "main.py:5: n changes the global n"),
    ("import threading\nL = threading.Lock()\ndef transform(r):\n    return L",
     "main.py:4: L holds a lock, whose value"),
    ("import pyarrow as pa\nS = pa.schema([])\ndef transform(r):\n    return S", "main.py:4: S holds a Schema, whose"),
    ("N = [object()]\ndef transform(r):\n    return N",
     "main.py:3: N holds a object, whose value has no canonical form"),
    ("N = []\nN.append(N)\ndef transform(r):\n    return N", "main.py:4: N holds a value that is nested too deeply"),
    ("def transform(r):\n    return MISSING", "main.py:2: MISSING is not defined"),
    ("import rates\ndef transform(r):\n    return rates.MISSING", "main.py:3: rates.MISSING is not defined"),
    ("space = {}\nexec('def transform(r): return 1', space)\ntransform = space['transform']", "it has no source file"),
    ("exec('class C: n = 1')\ndef transform(r):\n    return C.n", "the class C cannot be hashed"),
    ("if True:\n    class C:\n        n = 1\nelse:\n    class C:\n        n = 2\ndef transform(r):\n    return C.n",
     "the class C cannot be hashed: it is defined more than once"),
]  # fmt: skip


@pytest.mark.parametrize(("main", "expected"), REFUSED, ids=[e for _, e in REFUSED])
def test_what_cannot_be_replayed_or_seen_is_refused_with_its_place(logic: Logic, main: str, expected: str) -> None:
    assert any(expected in mistake for mistake in refused(logic, main)), refused(logic, main)


def test_what_a_helper_in_another_module_does_is_refused_there(logic: Logic) -> None:
    found = refused(
        logic,
        "import rates\ndef transform(r):\n    return rates.f(r)",
        rates="import time\n\ndef f(x):\n    return g(x)\n\ndef g(x):\n    return time.time()",
    )

    assert found == [
        "rates.py:7: time.time reads the clock, so a replay would give another answer; use a column of the input"
    ]


def test_all_mistakes_are_reported_at_once(logic: Logic) -> None:
    main = "import time, random\ndef transform(r):\n    a = time.time()\n    return random.random() + open(r)"

    assert [m.partition(" ")[0] for m in refused(logic, main)] == ["main.py:3:", "main.py:4:", "main.py:4:"]


@pytest.mark.parametrize(
    ("main", "allow"),
    [
        ("import time\ndef transform(r):\n    return time.time()", "time"),
        ("import time\ndef transform(r):\n    return time.time()", "time.time"),
        ("import random\ndef transform(r):\n    return random.random()", "random"),
        ("import random\nRNG = random.Random(7)\ndef transform(r):\n    return RNG.random()", "random"),
        ("from datetime import datetime\ndef transform(r):\n    return datetime.now()", "datetime.datetime.now"),
        ("import os\ndef transform(r):\n    return os.environ['X']", "os.environ"),
        ("from os import environ\ndef transform(r):\n    return environ['X']", "os.environ"),
        ("from os import urandom\ndef transform(r):\n    return urandom(3)", "os.urandom"),
        ("def transform(r):\n    return open('x').read()", "open"),
        ("def transform(r):\n    return hash(r)", "hash"),
    ],
)
def test_an_exception_lets_through_what_it_names_and_no_more(logic: Logic, main: str, allow: str) -> None:
    assert logic(main, allow=frozenset([allow]))
    assert refused(logic, main, allow=frozenset([f"{allow}x"]))


@pytest.mark.parametrize(
    "main",
    [
        "import os.path\ndef transform(r):\n    return os.path.join('a', r)",
        "import uuid\ndef transform(r):\n    return uuid.uuid5(uuid.NAMESPACE_URL, r)",
        "from datetime import datetime, timedelta\n"
        "def transform(r):\n    return datetime(2026, 1, 1) + timedelta(days=r)",
        "from datetime import datetime\ndef transform(r):\n    return isinstance(r, datetime)",
        "import math, json, re, itertools\n"
        "def transform(r):\n    return math.sqrt(len(json.dumps(re.sub('a', 'b', r))))",
        "def transform(r):\n    return sorted({x for x in r}, key=lambda x: -x)",
        "def transform(time):\n    return time.time()",
        "def transform(rows):\n    open = rows\n    return open",
        "def transform(rows):\n    return [hash for hash in rows]",
        "def transform(rows):\n    return rows.filter('x > 1').aggregate('sum(x)')",
        "def transform(rows):\n    seen = []\n    seen.append(rows)\n    return seen",
        "def transform(rows):\n    try:\n        return rows[0]\n    except IndexError as id:\n        return str(id)",
        "import typing\nT = typing.TypeVar('T')\ndef transform(rows: T) -> T:\n    return typing.cast(list[int], rows)",
    ],
)
def test_what_is_determined_by_the_inputs_is_fine(logic: Logic, main: str) -> None:
    assert logic(main).digest


def test_a_file_that_changed_after_it_was_loaded_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the digest would be of something that never ran."""
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "edited_later.py"
    file.write_text("def transform(r):\n    return 1\n")
    function = importlib.import_module("edited_later").transform
    monkeypatch.delitem(sys.modules, "edited_later")
    file.write_text("def transform(r):\n    return 2\n")

    with pytest.raises(ProjectInvalid, match="is not what was loaded"):
        python_logic(function)


def test_the_digest_is_the_same_in_every_process(tmp_path: Path) -> None:
    names = "NAMES = {'a', 'b', 'c', 'd'}\ndef more(r):\n    return NAMES, transform(r)\n"
    (tmp_path / "main.py").write_text(f"{dedent(BASE)}\n{names}")
    (tmp_path / "rates.py").write_text(dedent(RATES))
    script = (
        "import main; from remint.loading.python_logic import python_logic\n"
        "made = python_logic(main.more); print(made.digest); print(made.canonical)"
    )

    made = {
        subprocess.run(
            [sys.executable, "-B", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        ).stdout
        for seed in ("0", "1", "2")
    }  # fmt: skip

    assert len(made) == 1
    assert "NAMES = set({'a', 'b', 'c', 'd'})" in made.pop()
