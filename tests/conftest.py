"""Settings that every test shares."""

import os

from hypothesis import HealthCheck, settings

# Shared machines stall for seconds; a slow draw says nothing about the code.
settings.register_profile("remint", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("remint")

# Tests call the command line in their own process, which a backfill would slow down for good.
os.environ.setdefault("REMINT_POLICY__PRIORITY", "normal")
