"""Contracts and checks: read, compiled to SQL, judged."""
