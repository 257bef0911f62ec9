"""Every call to the system that changes anything goes wrong in its turn; whatever is left is brought to the same end.

A state that a fault can leave is tried once: where two neighbouring calls leave the same one, at the first of them.
"""

from __future__ import annotations

import errno
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.projects import Project
from tests.faults.harness import Ended, Fault, Server, shim
from tests.faults.power import Loss, lose
from tests.faults.scenes import FORMATS, SCENES, Played, left_behind, looked_at, play, visible
from tests.proof import FULL, proof, report, size

pytestmark = [pytest.mark.slow, proof]

DELTA, ICEBERG = ([f"{make.__name__}-{kept_in}" for make in SCENES] for kept_in in FORMATS)
NAMES = [*DELTA, *(ICEBERG if FULL else ["ingest-iceberg"])]
PERSISTENT = {errno.ENOSPC: True, errno.EACCES: True, errno.EIO: False}
FEWER = NAMES if FULL else ["publish-delta"]
"""The scenes of what a small size tries in one of them only."""
KILLED = NAMES if FULL else [*DELTA, "publish-iceberg"]
LOSSES = [(loss, name) for loss in Loss for name in FEWER] + ([] if FULL else [(Loss.ALL, "publish-iceberg")])
RESUMES = size(2, 200)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Server]]:
    """A scratch folder in memory, and the fork server."""
    folder = tmp_path_factory.mktemp("faults")
    library = shim(folder)
    if library is None:
        message = "the failpoints need Linux and a C compiler: 2 modes of death, 3 errors, 4 losses of power untried"
        assert not FULL, message
        pytest.skip(message)
    memory = Path("/dev/shm")
    scratch = Path(tempfile.mkdtemp(prefix="remint-faults-", dir=memory if memory.is_dir() else folder))
    (scratch / "server").mkdir(parents=True)
    server = Server(scratch / "server", library)
    yield scratch, server
    server.close()
    shutil.rmtree(scratch, ignore_errors=True)


class Plays(dict[str, Played]):
    """Scenes, played without a fault once they are asked for; at full size twice, with the same calls."""

    def __init__(self, scratch: Path, server: Server) -> None:
        self._scratch, self._server = scratch, server

    def __missing__(self, name: str) -> Played:
        self[name] = play(name, self._scratch, self._server, turns=size(1, 2))
        return self[name]


@pytest.fixture(scope="module")
def plays(stage: tuple[Path, Server]) -> Plays:
    """The scenes."""
    return Plays(*stage)


def test_the_calls_are_the_same_every_time(plays: Plays) -> None:
    for played in [plays[name] for name in NAMES]:
        assert len({len(run.calls) for run in played.runs}) == 1, f"{played.scene.name}: other calls than before"
        assert played.points


@pytest.mark.parametrize(("mode", "name"), [*(("kill", n) for n in KILLED), *(("torn", n) for n in FEWER)])
def test_a_process_killed_at_any_call_is_brought_to_the_same_end(
    stage: tuple[Path, Server], plays: Plays, mode: str, name: str
) -> None:
    scratch, server = stage
    played = plays[name]
    points = chosen(played.deaths if mode == "kill" else played.torn, 1, name + mode)
    wrong = []
    for at in points:
        project = played.scene.clone(scratch / f"{name}-{mode}-{at}")
        ended = server.run(project.root, *played.scene.command, fault=Fault(mode=mode, at=at))
        wrong += [] if ended.code == -9 else [f"{mode} {at}: exit code {ended.code}"]
        wrong += _goes_on(server, played, project, f"{mode} {at} {played.whole.calls[at - 1]}")
        shutil.rmtree(project.root)
    _told(mode, name, wrong, cases=len(points), silent=0)


@pytest.mark.parametrize("name", FEWER)
@pytest.mark.parametrize("error", PERSISTENT, ids=lambda e: errno.errorcode[e])
def test_a_call_that_fails_is_said_once_changes_nothing_and_can_be_gone_on_from(
    stage: tuple[Path, Server], plays: Plays, error: int, name: str
) -> None:
    scratch, server = stage
    played = plays[name]
    points = chosen(played.failing(error), 1, name + errno.errorcode[error])
    wrong, silent = [], []
    for at in points:
        what = f"{errno.errorcode[error]} {at} {played.whole.calls[at - 1]}"
        project = played.scene.clone(scratch / f"{name}-{error}-{at}")
        fault = Fault(mode="errno", at=at, error=error, persistent=PERSISTENT[error])
        ended = server.run(project.root, *played.scene.command, fault=fault)
        if ended.code == 0:
            silent += _differing(played, project, what)
        else:
            wrong += _unclean(played, project, ended, what)
        wrong += _goes_on(server, played, project, what)
        shutil.rmtree(project.root)
    _told("errno", name, wrong + silent, cases=len(points), part=errno.errorcode[error], silent=len(silent))


@pytest.mark.parametrize(("loss", "name"), LOSSES)
def test_a_loss_of_power_at_any_call_is_brought_to_the_same_end(
    stage: tuple[Path, Server], plays: Plays, loss: Loss, name: str
) -> None:
    scratch, server = stage
    played = plays[name]
    points = chosen(played.losses(loss), 1, name + loss)
    wrong = []
    for at in points:
        project = played.scene.clone(scratch / f"{name}-{loss}-{at}")
        ended = server.run(project.root, *played.scene.command, fault=Fault(mode="power", at=at))
        lose(project.root, ended.log, loss)
        wrong += _goes_on(server, played, project, f"power {loss} {at} {played.whole.calls[at - 1]}")
        shutil.rmtree(project.root, ignore_errors=True)
    _told("power-loss", name, wrong, cases=len(points), part=loss, silent=0)


@pytest.mark.parametrize("loss", list(Loss) if FULL else [Loss.ALL])
@pytest.mark.parametrize("name", NAMES)
def test_what_was_said_to_be_done_survives_a_loss_of_power(
    stage: tuple[Path, Server], plays: Plays, loss: Loss, name: str
) -> None:
    scratch, server = stage
    played = plays[name]
    project = played.scene.clone(scratch / f"{name}-{loss}-done")
    ended = server.run(project.root, *played.scene.command, fault=Fault(mode="power", at=0))
    assert ended.code == 0
    lose(project.root, ended.log, loss)
    wrong = _differing(played, project, f"power {loss} after exit code 0")
    shutil.rmtree(project.root)
    _told("power-loss", name, wrong, cases=1, part=f"{loss}-done", silent=len(wrong))


@pytest.mark.parametrize("kept_in", FORMATS if FULL else ["delta"])
def test_a_resume_that_is_killed_too_is_brought_to_the_same_end(
    stage: tuple[Path, Server], plays: Plays, kept_in: str
) -> None:
    scratch, server = stage
    draw = random.Random("resumes")
    wrong = []
    for number in range(RESUMES):
        played = plays[draw.choice({"delta": DELTA, "iceberg": ICEBERG}[kept_in])]
        project = played.scene.clone(scratch / f"resume-{number}")
        first, second = draw.choice(played.points), draw.choice(played.points)
        server.run(project.root, *played.scene.command, fault=Fault(mode="kill", at=first))
        # A number that the resume does not reach lets it come to its end.
        played.scene.go_on(server, project, fault=Fault(mode=draw.choice(["kill", "torn"]), at=second // 2 + 1))
        wrong += _goes_on(server, played, project, f"{played.scene.name} killed at {first}, resume at {second // 2}")
        shutil.rmtree(project.root)
    _told("resume-killed", kept_in, wrong, cases=RESUMES, silent=0)


def chosen(points: Sequence[int], small: int, seed: str) -> list[int]:
    """Return all points at full size, a seeded few otherwise."""
    return list(points) if FULL else sorted(random.Random(seed).sample(list(points), min(small, len(points))))


def _told(row: str, name: str, wrong: list[str], *, cases: int, silent: int, part: str = "") -> None:
    sys.stderr.write("".join(f"{line}\n" for line in wrong))
    if name.endswith("iceberg"):
        part = "-".join(filter(None, (row, part)))
        row = "power-iceberg" if row == "power-loss" else "syscalls-iceberg"
    report(row, part="-".join(filter(None, (name, part))), cases=cases, wrong=len(wrong), silent=silent)


def _goes_on(server: Server, played: Played, project: Project, what: str) -> list[str]:
    """Go on as an operator would, and return what is not as it must be in the end."""
    try:
        ended = played.scene.go_on(server, project)
    except Exception as error:  # noqa: BLE001 - what cannot even be looked at is the finding
        return [f"{what}: {type(error).__name__}: {error}"]
    if ended is not None and ended.code != 0:
        return [f"{what}: going on ends with {ended.code}: {ended.err[-600:]}"]
    return _differing(played, project, what)


def _differing(played: Played, project: Project, what: str) -> list[str]:
    found = left_behind(project)
    differing = {k: (found[k], played.left[k]) for k in found if found[k] != played.left[k]}
    return [f"{what}: {differing}"] if differing else []


def _unclean(played: Played, project: Project, ended: Ended, what: str) -> list[str]:
    """Return what is not as it must be after a command said that it failed."""
    found = []
    said = ended.err.count("error RM")
    if ended.code < 0 or said != 1 or "RM900" in ended.err or "next:" not in ended.err:
        found.append(f"{what}: exit code {ended.code}, and it says: {ended.err[-600:]!r}")
    with looked_at(project) as copy:
        if any(run.state == "publishing" for run in copy.outstanding()):
            return found
        seen = visible(copy)
    if seen not in (played.before, played.after):
        found.append(f"{what}: exit code {ended.code}, and readers see something new")
    elif seen == played.after and "as a whole or not at all" not in ended.err:
        found.append(f"{what}: exit code {ended.code}, and all of it is done")
    return found
