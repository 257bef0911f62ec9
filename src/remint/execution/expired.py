"""Files that retention removed: whoever needs one is told so, before anything is read or written."""

from __future__ import annotations

from collections.abc import Iterable

from remint.errors import FilesExpired
from remint.model.dataset import DatasetName
from remint.publishing.tools import Tools


def refuse_expired(tools: Tools, dataset: DatasetName, paths: Iterable[str], what: str) -> None:
    """Refuse to need files that were removed.

    Args:
        tools: knows what was removed.
        dataset: whose files.
        paths: the files that are needed.
        what: what they are needed for, in words.

    Raises:
        FilesExpired: names the run that removed them.
    """
    removed = tools.store.expired(dataset)
    gone = [path for path in paths if path in removed] if removed else []
    if gone:
        run_id = removed[gone[0]]
        raise FilesExpired(
            f"{what}: {len(gone)} of the files of that state were removed by retention, run {run_id}, for example "
            f"{gone[0]}",
            hint=f"remint show {run_id}    # who removed them and why; what is not there can only be computed again",
        )
