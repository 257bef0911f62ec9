"""AWS Glue as the catalog of Iceberg tables: it commits to one table at a time."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError
from pyiceberg.catalog.glue import GlueCatalog

from remint.formats.iceberg_catalog import IcebergCatalog, configured


class GlueTables(IcebergCatalog[GlueCatalog]):
    """Tables named in the Glue catalog of an account; who may use it is found as every client of AWS does."""

    unreachable = (BotoCoreError,)
    refused = (ClientError,)

    def _open(self) -> GlueCatalog:
        said = configured(self.name, warehouse=self.warehouse)
        return GlueCatalog(self.name, **said | ({"glue.endpoint": self.url} if self.url else {}))
