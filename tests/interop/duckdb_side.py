"""The other program: a DuckDB for which the readers of Delta and Iceberg are released; imports nothing of remint."""

import json
import sys

EXTENSIONS = ("httpfs", "avro", "delta", "iceberg")


def say(found: dict) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def main() -> None:
    import duckdb
    import pyarrow as pa
    from duckdb_extensions import import_extension

    con = duckdb.connect()
    for name in EXTENSIONS:
        import_extension(name)
        con.load_extension(name)
    con.execute("SET TimeZone = 'UTC'")
    say({"version": duckdb.__version__})
    for line in sys.stdin:
        said, found = json.loads(line), {}
        try:
            table = con.execute(said["sql"]).fetch_arrow_table()
            with pa.OSFile(said["rows"], "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            found = {"error": f"{type(error).__name__}: {str(error)[:2000]}"}
        say(found)


if __name__ == "__main__":
    main()
