"""Catalogs of Iceberg tables by kind; what one needs is imported only when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remint.formats.iceberg_catalog import IcebergCatalog


def catalog_of(kind: str, name: str, url: str, warehouse: str = "") -> IcebergCatalog[Any]:
    """Return the catalog of a kind: ``sql``, ``rest`` or ``glue``.

    Raises:
        CatalogRefused: what it needs is not installed.
    """
    from remint.formats.iceberg_catalog import not_installed

    if kind == "sql":
        from remint.formats.iceberg_sql import SqlTables

        return SqlTables(name, url)
    if kind == "rest":
        from remint.formats.iceberg_rest import RestTables

        return RestTables(name, url, warehouse)
    try:
        from remint.formats.iceberg_glue import GlueTables
    except ImportError as error:
        raise not_installed(name, error, "glue") from error
    return GlueTables(name, url, warehouse)
