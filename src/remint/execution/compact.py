"""Compact: write partitions anew whose files do not hold just their rows, as the format's own rules give them.

Rules: rows are deleted from a table without its files by deletion vectors or position deletes, and columns are renamed
by ids. What remint records is files that hold their rows by themselves, so such partitions are read by the format's
library and written as files of the run; what they were read from leaves the table in the commit that names them.
"""

from __future__ import annotations

from collections.abc import Mapping

from remint.engines.base import Target
from remint.errors import AdoptRefused
from remint.model.dataset import Dataset
from remint.model.partition import PartitionKey
from remint.model.provenance import DataFile
from remint.publishing.leftovers import token
from remint.publishing.publish import TableChange, found_file
from remint.publishing.tools import Tools

Live = Mapping[PartitionKey, tuple[str, ...]]
"""Paths of live files by partition, and of what deletes rows of them."""


def compacted(
    tools: Tools, dataset: Dataset, run_id: str, live: Live, indirect: Mapping[PartitionKey, str]
) -> tuple[TableChange, Live]:
    """Write the ``indirect`` partitions anew; return what to commit, and the files of every partition after that.

    Raises:
        AdoptRefused: the rows of a partition belong to another one.
    """
    folder, layout = tools.folder(dataset), tools.tables.layout(tools.table(dataset))
    made: dict[PartitionKey, list[DataFile]] = {}
    for number, key in enumerate(sorted(indirect)):
        where = token(tools, run_id, number)
        target = Target(root=folder, spec=dataset.partition, token=where, layout=layout)
        made[key] = tools.engine.write(tools.tables.rows(tools.table(dataset), key), dataset.columns, target)
        astray = sorted({f.key for f in made[key]} - {key})
        if astray:
            raise AdoptRefused(
                f"{dataset.name} {key}: rows of it have the partition value {astray[0]}",
                hint="correct them with the tool that wrote them",
            )
    tools.storage.sync_names(folder, tools.lake)
    change = TableChange(
        dataset=dataset,
        adds=tuple(file for key in sorted(made) for file in made[key]),
        removes=tuple(found_file(tools, dataset, path, key) for key in sorted(made) for path in live[key]),
    )
    return change, {**live, **{key: tuple(f.path for f in files) for key, files in made.items()}}
