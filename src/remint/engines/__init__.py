"""Engines: run transforms over pinned files and write staged Parquet."""
