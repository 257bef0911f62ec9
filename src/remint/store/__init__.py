"""The state database: ledger, runs, journal, watermarks, audit log."""
