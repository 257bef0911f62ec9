"""AWS Glue as the catalog of Iceberg tables: it commits to one table at a time."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pyiceberg.catalog.glue import GlueCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError

from remint.formats.iceberg_catalog import IcebergCatalog, Identifier, configured

_NAMED, _BEFORE = "metadata_location", "previous_metadata_location"
_GIVEN = ("Name", "Description", "Owner", "Retention", "TableType", "StorageDescriptor", "PartitionKeys", "Parameters")
"""Of what Glue says of a table, what it takes back."""


class GlueTables(IcebergCatalog[GlueCatalog]):
    """Tables named in the Glue catalog of an account; who may use it is found as every client of AWS does."""

    unreachable = (BotoCoreError,)
    refused = (ClientError,)

    def _open(self) -> GlueCatalog:
        said = configured(self.name, warehouse=self.warehouse)
        return GlueCatalog(self.name, **said | ({"glue.endpoint": self.url} if self.url else {}))

    def places(self, identifier: Identifier) -> tuple[str, str]:
        """Return which file is named as a table's state, and which as the one before; empty where there is none."""
        database, name = identifier
        with self._answering():
            try:
                said = self.library._get_glue_table(database, name).get("Parameters", {})
            except NoSuchTableError:
                return "", ""
        return said.get(_NAMED, ""), said.get(_BEFORE, "")

    def point_to(self, identifier: Identifier, before: str, place: str) -> None:
        """Name an earlier state of a table, if ``before`` is named still.

        Raises:
            CommitFailedException: another one is named by now.
        """
        database, name = identifier
        with self._answering():
            held = self.library._get_glue_table(database, name)
            said = held.get("Parameters", {})
            if said.get(_NAMED, "") != before:
                raise CommitFailedException(f"{name} was changed meanwhile")
            given: Any = {key: value for key, value in held.items() if key in _GIVEN}
            given["Parameters"] = {**said, _NAMED: place}
            # The number of its version is compared by Glue: nobody's commit in between is lost.
            self.library._update_glue_table(database, name, given, held.get("VersionId", ""))
