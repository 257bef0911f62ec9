"""What makes a day a signal: change a number here, raise SIGNAL_VERSION, and ``remint plan`` says what follows."""

FIRES_AT = "3.0"
"""Standard deviations above the baseline at which a signal fires."""

LEAST_MENTIONS = 8
"""A company with fewer mentions on the day gives no signal."""

LEAST_HISTORY = 7
"""Days of history that a baseline needs before anything is compared with it."""
