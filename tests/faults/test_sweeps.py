"""Every call to the system that changes anything goes wrong in its turn; whatever is left is brought to the same end."""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.harness import Ended, Fault, Server, shim
from tests.faults.power import Loss, lose
from tests.faults.scenes import SCENES, Scene, left_behind, visible
from tests.proof import FULL, proof, report, size

pytestmark = [pytest.mark.slow, proof]

_WRITES = ("write", "pwrite", "writev", "pwritev", "sendfile", "copy_file_range")


@dataclass(frozen=True)
class Played:
    """A scene, and how it goes when nothing fails."""

    scene: Scene
    whole: Ended
    before: dict[str, object]
    after: dict[str, object]
    left: dict[str, object]

    @property
    def points(self) -> list[int]:
        """The calls at which to fail: of a row of writes to one file the first, one in the middle and the last."""
        calls = self.whole.calls
        found = []
        start = 0
        for number in range(1, len(calls) + 1):
            if number == len(calls) or calls[number] != calls[start]:
                found += sorted({start, (start + number - 1) // 2, number - 1})
                start = number
        return [number + 1 for number in found]


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Server]]:
    """A scratch folder in memory, and the fork server."""
    memory = Path("/dev/shm")
    folder = tmp_path_factory.mktemp("faults")
    library = shim(folder)
    if library is None:
        pytest.skip("the failpoints need Linux and a C compiler: no call was made to fail")
    scratch = memory / folder.parent.name / folder.name if memory.is_dir() else folder
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / "server").mkdir()
    server = Server(scratch / "server", library)
    yield scratch, server
    server.close()
    shutil.rmtree(scratch, ignore_errors=True)


@pytest.fixture(scope="session")
def plays(stage: tuple[Path, Server]) -> dict[str, Played]:
    """Every scene, played twice without a fault."""
    scratch, server = stage
    played = {}
    for make in SCENES:
        base, command = make(scratch / f"{make.__name__}-base")
        scene = Scene(make.__name__, base, command)
        server.preload(scene.clone(scratch / f"{scene.name}-warm").root, command)
        runs = []
        for turn in ("whole", "again"):
            project = scene.clone(scratch / f"{scene.name}-{turn}")
            before = visible(project)
            runs.append(server.run(project.root, *command))
            assert runs[-1].code == 0, runs[-1].err
        assert len(runs[0].calls) == len(runs[1].calls), f"{scene.name}: not the same calls twice"
        played[scene.name] = Played(scene, runs[1], before, visible(project), left_behind(project))
    return played


ALL = [make.__name__ for make in SCENES]


def chosen(points: Sequence[int], small: int, seed: str) -> list[int]:
    """Return all points at full size, a seeded few otherwise."""
    return list(points) if FULL else sorted(random.Random(seed).sample(list(points), min(small, len(points))))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("mode", ["kill", "torn"])
def test_a_process_killed_at_any_call_is_brought_to_the_same_end(
    stage: tuple[Path, Server], plays: dict[str, Played], mode: str, name: str
) -> None:
    scratch, server = stage
    play = plays[name]
    # To be killed within a call that is done whole is to be killed before the next one.
    points = [n for n in play.points if mode == "kill" or play.whole.calls[n - 1].split()[0] in _WRITES]
    wrong = []
    for at in chosen(points, 2, name + mode):
        project = play.scene.clone(scratch / f"{name}-{mode}-{at}")
        ended = server.run(project.root, *play.scene.command, fault=Fault(mode=mode, at=at))
        assert ended.code == -9, ended
        wrong += _ends_otherwise(server, play, project, f"{mode} at {at}, {play.whole.calls[at - 1]}")
        shutil.rmtree(project.root)
    for line in wrong:
        print(line)
    report(mode, part=name, cases=len(points), wrong=len(wrong), silent=0)


def _ends_otherwise(server: Server, play: Played, project: object, what: str) -> list[str]:
    """Return what is wrong once the operator has gone on; nothing, where it is the same end."""
    try:
        ended = play.scene.go_on(server, project)
    except Exception as error:
        return [f"{what}: {type(error).__name__}: {error}"]
    if ended is not None and ended.code != 0:
        return [f"{what}: going on ends with {ended.code}: {ended.err[-500:]}"]
    found = left_behind(project)
    differing = {k: (found[k], play.left[k]) for k in found if found[k] != play.left[k]}
    return [f"{what}: {differing}"] if differing else []
