"""The audit log as evidence: every act is logged before its effect, and the commands that prove the log."""

from __future__ import annotations

import ast
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cryptography
import pytest
from click.testing import CliRunner

import remint_audit_verifier as apart
from remint import signing
from remint.cli.main import cli
from remint.errors import KeyRefused, PublishConflict, RemintError, SigningMissing
from remint.model.chain import exported
from remint.model.request import Ask, Mode
from remint.workspace import Workspace
from tests.audit.logs import edited, rewritten, stored
from tests.e2e.crashes import MUTATING, Fuse, Killed, Meddled, When, armed, meddling
from tests.e2e.projects import Project, built, day_at, event
from tests.e2e.strangers import append
from tests.e2e.test_crash import SCENES, Act, landed

pytestmark = pytest.mark.slow

EFFECTS = MUTATING & {
    "create",
    "publish",
    "bar",
    "mend",
    "remove",
    "take_out_entry",
    "put_back_commit",
    "stage",
    "ingest",
}
"""What changes tables or files."""


class Watching:
    """Notes what the log says of the newest act whenever a table or a file is about to change."""

    def __init__(self, workspace: Workspace) -> None:
        self.seen: list[tuple[str, str, str]] = []
        self._store = workspace._tools.store

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*args: Any, **kwargs: Any) -> Any:
            if name in EFFECTS:
                newest = self._store.audit(1)[0].entry
                self.seen.append((name, newest.action, newest.status.value))
            return call(*args, **kwargs)

        return noting


def watched(workspace: Workspace) -> tuple[Workspace, Watching]:
    watching = Watching(workspace)
    return armed(workspace, watching), watching  # type: ignore[arg-type]


@pytest.mark.parametrize("scene", SCENES)
def test_every_effect_of_a_run_follows_an_entry_that_says_it_began(
    tmp_path: Path, scene: Callable[[Path], tuple[Project, Act]]
) -> None:
    project, act = scene(tmp_path / "p")
    workspace, watching = watched(project.open())

    act(workspace)

    assert watching.seen
    # Of a forced run, each table is logged when it is published; the next one follows that.
    assert {s for _, a, s in watching.seen if a != "publish"} == {"started"}
    newest = project.open().store.audit(1)[0].entry
    assert newest.status == "success"


def test_who_goes_on_with_a_run_is_logged_before_anything_of_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, act = landed(tmp_path / "p")
    with pytest.raises(Killed):
        act(armed(project.open(), Fuse(4, When.AFTER)))
    (run,) = project.outstanding()
    monkeypatch.setenv("REMINT_USER", "bea")
    workspace, watching = watched(project.open())

    workspace.resume(run.run_id)

    assert watching.seen
    assert {found[1:] for found in watching.seen} == {("resume", "started")}
    logged = [r.entry for r in workspace.store.audit_of(run.run_id)]
    assert [(e.action, e.actor, e.status) for e in logged] == [
        ("ingest", run.requested_by, "started"),
        ("resume", "bea", "started"),
        ("ingest", run.requested_by, "success"),
    ]


def test_a_run_that_cannot_be_resumed_leaves_no_entry(tmp_path: Path) -> None:
    project = built(tmp_path / "p", days=2)
    workspace = project.open()
    run = workspace.store.runs(1)[0]
    before = len(workspace.store.audit(100))

    with pytest.raises(RemintError):
        workspace.resume(run.run_id)

    assert len(workspace.store.audit(100)) == before


def test_giving_a_run_up_is_logged_before_its_files_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, act = landed(tmp_path / "p")
    with pytest.raises(Killed):
        act(armed(project.open(), Fuse(4, When.AFTER)))
    (run,) = project.outstanding()
    monkeypatch.setenv("REMINT_USER", "bea")
    workspace = project.open()
    seen = []
    unlink = Path.unlink

    def noting(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".parquet":
            newest = workspace.store.audit(1)[0].entry
            seen.append((newest.run_id, newest.action, newest.actor, newest.reason, newest.status.value))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", noting)
    workspace.rollback(run.run_id, Ask(reason="the vendor sends it again", mode=Mode.BACKFILL))

    # It is given up before a file goes: nobody may take up a run whose files are gone.
    assert set(seen) == {(run.run_id, "abandon", "bea", "the vendor sends it again", "abandoned")}
    after = workspace.store.audit(1)[0].entry
    assert (after.action, after.actor, after.status) == ("abandon", "bea", "abandoned")
    assert after.detail == {"files_deleted": len(seen)}


def contested(project: Project, workspace: Workspace) -> None:
    """Apply while somebody else writes to the last table: the tables before it are taken back."""
    meddler = Meddled("publish", lambda: append(project, "gold.trend", like=day_at(1)), number=2)
    meddling(workspace, meddler).apply(project.plan())


@pytest.fixture
def changed(tmp_path: Path) -> Project:
    made = built(tmp_path / "p", days=3)
    made.set_factor(2)
    return made


def test_taking_commits_back_is_logged_before_and_after(changed: Project) -> None:
    workspace, watching = watched(changed.open())

    with pytest.raises(PublishConflict):
        contested(changed, workspace)

    assert watching.seen[-1][1:] == ("withdraw", "started")
    (run,) = changed.outstanding()
    logged = [(e.action, e.status, e.datasets) for e in (r.entry for r in changed.open().store.audit_of(run.run_id))]
    taken_back = ("gold.daily", "gold.monthly")
    assert [found for found in logged if found[0] == "withdraw"] == [
        ("withdraw", "started", taken_back),
        ("withdraw", "success", taken_back),
    ]


def test_a_conflict_before_the_first_commit_takes_nothing_back_and_logs_none(changed: Project) -> None:
    plan = changed.plan()
    meddler = Meddled("publish", lambda: append(changed, "gold.daily", like=day_at(1)))

    with pytest.raises(PublishConflict):
        meddling(changed.open(), meddler).apply(plan)

    assert "withdraw" not in {r.entry.action for r in changed.open().store.audit(100)}


# -- the commands ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return built(tmp_path_factory.mktemp("base") / "p", days=2)


@pytest.fixture
def project(base: Project, tmp_path: Path) -> Project:
    return base.clone(tmp_path / "p")


def call(project: Project | Path, *arguments: str) -> tuple[int, str, str]:
    root = project if isinstance(project, Path) else project.root
    result = CliRunner().invoke(cli, ["-C", str(root), *arguments], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def said(project: Project, *arguments: str) -> dict[str, Any]:
    found = json.loads(call(project, "audit", *arguments, "--json")[1])
    assert isinstance(found, dict)
    return found


def tamper(project: Project, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Change the log in the project's own database."""
    path = project.root / ".remint/state.db"
    rows = change(stored(path))
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM audit_log")
        columns = ", ".join(f'"{name}"' for name in rows[0])
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO audit_log ({columns}) VALUES ({marks})", [list(r.values()) for r in rows])
    connection.close()


def test_a_log_is_verified_against_the_checkpoints_that_were_made_of_it(project: Project, tmp_path: Path) -> None:
    first, second = str(tmp_path / "1.json"), str(tmp_path / "2.json")

    made = said(project, "checkpoint", first)["checkpoint"]
    project.land("b", [event(900, 1)])
    project.ingest()
    code, out, _ = call(project, "audit", "checkpoint", second)
    verified = said(project, "verify", first, second)

    assert (code, "not signed" in out) == (0, True)
    assert json.loads(Path(first).read_text()) == made
    assert (made["format"], made["project"], made["signature"]) == ("remint.checkpoint/1", "events", None)
    assert made["entries"] == 4
    assert (verified["entries"], verified["broken"]) == (6, None)
    assert [c["entries"] for c in verified["checkpoints"]] == [4, 6]
    assert call(project, "audit", "verify", first, second)[0] == 0


@pytest.mark.parametrize("arguments", [("verify",), ("verify", "--json")])
def test_verify_says_the_first_place_that_does_not_fit_and_exits_with_one(
    project: Project, arguments: tuple[str, ...]
) -> None:
    tamper(project, lambda rows: edited(rows, 2, {"actor": "nobody"}))

    code, out, _ = call(project, "audit", *arguments)

    assert code == 1
    assert "entry 3 (apply by nobody at " in out
    assert said(project, "verify")["broken"]["seq"] == 3
    assert said(project, "verify")["broken"]["kind"] == "edited"


def test_a_log_that_was_written_anew_is_found_by_a_checkpoint_only(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    said(project, "checkpoint", str(file))
    tamper(project, lambda rows: rewritten(rows, 0))

    assert said(project, "verify")["broken"] is None
    assert "would look the same" in call(project, "audit", "verify")[1]
    code, out, _ = call(project, "audit", "verify", str(file))
    assert (code, "rewritten at seq 1" in out) == (1, True)


def test_doctor_looks_at_the_log(project: Project) -> None:
    def log_of() -> tuple[str, str]:
        (found,) = [s for s in project.open().upkeep.doctor(()) if s.subject == "audit log"]
        return found.health.value, found.detail

    assert log_of()[0] == "ok"
    tamper(project, lambda rows: rows[1:])
    assert log_of() == ("bad", "removed at seq 1: entry 1 is not there")
    assert call(project, "doctor")[0] == 1


def test_nothing_is_vouched_for_that_was_changed(project: Project, tmp_path: Path) -> None:
    tamper(project, lambda rows: edited(rows, 1, {"reason": "another"}))
    file = tmp_path / "c.json"

    code, _, err = call(project, "audit", "checkpoint", str(file))

    assert (code, "RM520" in err, file.exists()) == (1, True, False)
    assert call(project, "audit", "export", str(tmp_path / "log.jsonl"))[0] == 0, "the evidence itself is handed out"


@pytest.mark.parametrize("verb", ["checkpoint", "export"])
def test_what_was_handed_out_is_not_overwritten(project: Project, tmp_path: Path, verb: str) -> None:
    file = tmp_path / "kept"
    file.write_text("kept")

    code, _, err = call(project, "audit", verb, str(file))

    assert (code, "is there already" in err, file.read_text()) == (2, True, "kept")
    code, _, err = call(project, "audit", verb, str(tmp_path / "no" / "folder"))
    assert (code, "cannot be written" in err) == (2, True)


def test_the_list_is_what_it_was(project: Project) -> None:
    assert [e["seq"] for e in said(project, "--limit", "2")["entries"]] == [4, 3]
    assert call(project, "audit")[1].splitlines()[0].split()[:2] == ["reprocessing_id", "action"]


# -- signatures ------------------------------------------------------------------------------------------------------


@pytest.fixture
def keys(project: Project, tmp_path: Path) -> tuple[str, str]:
    found = said(project, "new-key", str(tmp_path / "keys"))
    return found["private"], found["public"]


def test_a_private_key_is_for_its_owner_alone_and_is_never_overwritten(keys: tuple[str, str], tmp_path: Path) -> None:
    private = Path(keys[0])
    before = private.read_bytes()

    assert private.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyRefused, match="is there already"):
        signing.make_keys(tmp_path / "keys")
    private.unlink()
    with pytest.raises(KeyRefused, match="is there already"):
        signing.make_keys(tmp_path / "keys")
    assert not private.exists()
    assert before.startswith(b"-----BEGIN PRIVATE KEY-----")


def test_a_signed_checkpoint_is_verified_by_its_key(project: Project, keys: tuple[str, str], tmp_path: Path) -> None:
    file = str(tmp_path / "c.json")
    private, public = keys

    made = said(project, "checkpoint", file, "--key", private)["checkpoint"]

    assert said(project, "verify", file, "--public-key", public)["vouched_by"] == made["public_key"]
    assert "signed by the expected key" in call(project, "audit", "verify", file, "--public-key", public)[1]
    assert "a key that nobody vouched for" in call(project, "audit", "verify", file)[1]
    assert verdict_of(project, file, "--public-key", public)[0] == 0


def test_a_checkpoint_that_is_not_signed_as_it_must_be_is_refused_by_both(
    project: Project, keys: tuple[str, str], tmp_path: Path
) -> None:
    signed, bare, other = tmp_path / "signed.json", tmp_path / "bare.json", tmp_path / "other.json"
    said(project, "checkpoint", str(signed), "--key", keys[0])
    said(project, "checkpoint", str(bare))
    strange, _ = signing.make_keys(tmp_path / "strange")
    said(project, "checkpoint", str(other), "--key", str(strange))
    text = json.loads(signed.read_text())
    forged = []
    for name, value in (("project", "x"), ("at", "2020-01-01T00:00:00Z"), ("signature", text["signature"][::-1])):
        forged.append(tmp_path / f"{name}.json")
        forged[-1].write_text(json.dumps({**text, name: value}))

    for file in (bare, other, *forged):
        code, _, err = call(project, "audit", "verify", str(file), "--public-key", keys[1])
        assert (code, "RM522" in err) == (1, True), file
        assert verdict_of(project, str(file), "--public-key", keys[1])[0] == 1, file
    for file in forged:
        assert call(project, "audit", "verify", str(file))[0] == 1
        assert verdict_of(project, str(file))[0] == 1


def test_a_key_without_a_checkpoint_is_refused(project: Project, keys: tuple[str, str]) -> None:
    code, _, err = call(project, "audit", "verify", "--public-key", keys[1])

    assert (code, "none is given" in err) == (2, True)
    assert verdict_of(project, "--public-key", keys[1])[0] == 2


def test_a_file_that_is_no_key_is_refused_in_words(project: Project, keys: tuple[str, str], tmp_path: Path) -> None:
    said(project, "checkpoint", str(tmp_path / "c.json"))
    (tmp_path / "no.pem").write_text("no key")
    for file, words in ((keys[1], "holds no Ed25519 private key"), (tmp_path / "no.pem", "holds no"), ("x", "cannot")):
        code, _, err = call(project, "audit", "checkpoint", str(tmp_path / "d.json"), "--key", str(file))
        assert (code, "RM524" in err, words in err) == (2, True, True)
    code, _, err = call(project, "audit", "verify", str(tmp_path / "c.json"), "--public-key", keys[0])
    assert (code, "holds no Ed25519 public key" in err) == (2, True)
    assert not (tmp_path / "d.json").exists()


def test_without_the_package_the_command_says_what_to_install(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for name in [m for m in sys.modules if m.startswith("cryptography.")]:
        monkeypatch.delitem(sys.modules, name)

    with pytest.raises(SigningMissing) as caught:
        signing.make_keys(tmp_path / "k")
    assert caught.value.hint == "pip install 'remint[sign]'"
    assert not (tmp_path / "k").exists()
    assert call(project, "audit", "checkpoint", str(tmp_path / "c.json"))[0] == 0, "unsigned needs no package"
    assert call(project, "audit", "verify", str(tmp_path / "c.json"))[0] == 0


# -- the separate verifier -------------------------------------------------------------------------------------------


def verdict_of(project: Project, *arguments: str, log: Path | None = None) -> tuple[int, str, str]:
    """Run the separate verifier as an auditor does: in a process of its own, away from remint."""
    packages = str(Path(cryptography.__file__).parents[1])
    where = str(log or project.root / ".remint/state.db")
    command = [sys.executable, "-I", "-S", "-c", RUN, packages, where, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=project.root, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


RUN = f"""
import runpy, sys
sys.path.append(sys.argv.pop(1))  # only here are signatures checked from
assert not any("remint" in name for name in sys.modules)
sys.argv[0] = "remint_audit_verifier"
runpy.run_path({apart.__file__!r}, run_name="__main__")
"""


def test_the_verifier_imports_nothing_of_remint_and_only_the_standard_library() -> None:
    tree = ast.parse(Path(apart.__file__).read_text())
    names = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}

    assert names <= set(sys.stdlib_module_names) | {"cryptography"}
    at_once = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    assert "cryptography" not in ast.unparse(ast.Module(at_once, []))


def test_the_verifier_reads_the_database_and_an_export(project: Project, tmp_path: Path) -> None:
    log, file = tmp_path / "log.jsonl", tmp_path / "c.json"
    said(project, "export", str(log))
    said(project, "checkpoint", str(file))

    for where in (None, log):
        code, out, err = verdict_of(project, str(file), "--json", log=where)
        found = json.loads(out)
        assert (code, err, found["entries"], found["broken"]) == (0, "", 4, None)
    assert log.read_text().splitlines() == [exported(link) for link in project.open().store.audit_chain()]


def test_the_verifier_says_what_was_changed(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    said(project, "checkpoint", str(file))
    tamper(project, lambda rows: rewritten(rows, 1))

    code, out, _ = verdict_of(project, str(file))
    assert (code, out.splitlines()[0].startswith("CHANGED: rewritten at seq 1")) == (1, True)
    code, out, _ = verdict_of(project)
    assert (code, "written anew as a whole" in out) == (0, True)


def test_the_verifier_reads_a_database_on_a_medium_that_cannot_be_written(project: Project, tmp_path: Path) -> None:
    copy = tmp_path / "evidence" / "state.db"
    copy.parent.mkdir()
    with sqlite3.connect(project.root / ".remint/state.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    copy.write_bytes((project.root / ".remint/state.db").read_bytes())
    copy.chmod(0o444)
    copy.parent.chmod(0o555)

    try:
        code, out, err = verdict_of(project, log=copy)
    finally:
        copy.parent.chmod(0o755)

    assert (code, err) == (0, "")
    assert "4 entries fit" in out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", None),
        (b"no json\n", "line 1 is no entry"),
        (b"[]\n", "line 1 is no entry"),
        (b'{"seq":"1"}\n', "line 1 is no entry: it has no seq"),
        (b'{"seq":1,"seq":1}\n', "a member stands twice"),
        (b"\xff\xfe\n", "line 1 is no entry"),
        (b"SQLite format 3\x00 and no more", "expected the table audit_log"),
    ],
)
def test_what_is_no_log_is_refused_in_words(tmp_path: Path, content: bytes, words: str | None, capsys: Any) -> None:
    (tmp_path / "log").write_bytes(content)

    code = apart.main([str(tmp_path / "log")])

    assert code == (2 if words else 0)
    assert (words or "") in capsys.readouterr().err


def test_text_that_was_never_utf8_is_found_by_both(project: Project) -> None:
    tamper(project, lambda rows: rows)
    with sqlite3.connect(project.root / ".remint/state.db") as connection:
        connection.execute("UPDATE audit_log SET reason = CAST(x'ff41' AS TEXT) WHERE seq = 2")
    connection.close()

    assert call(project, "audit", "verify")[0] == 1
    code, out, _ = verdict_of(project)
    assert (code, "edited at seq 2" in out) == (1, True)
