"""Ingest as a formal run: dedup, quarantine, arrivals."""
