"""Settings that every test shares."""

from hypothesis import HealthCheck, settings

# Shared machines stall for seconds; a slow draw says nothing about the code.
settings.register_profile("remint", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("remint")
