"""The transition table of runs."""

import pytest

from remint.errors import NotResumable
from remint.model.run import OUTSTANDING, RunState, advance


def test_a_run_that_began_to_commit_succeeds_or_takes_its_commits_back() -> None:
    for state in RunState:
        if state in (RunState.SUCCEEDED, RunState.FAILED, RunState.WAIVED):
            assert advance("r", RunState.PUBLISHING, state) is state
        else:
            with pytest.raises(NotResumable):
                advance("r", RunState.PUBLISHING, state)


def test_ended_runs_never_move_again_except_to_rolled_back() -> None:
    for state in (RunState.ABANDONED, RunState.ROLLED_BACK, RunState.WAIVED):
        assert state not in OUTSTANDING
        for to in RunState:
            with pytest.raises(NotResumable, match="cannot become"):
                advance("r", state, to)
    assert advance("r", RunState.SUCCEEDED, RunState.ROLLED_BACK) is RunState.ROLLED_BACK
