"""The versions of TradeX's logic: raise one with every change of what it stands for.

remint refuses another meaning under a number that was published, so that no past version is corrected silently.
"""

EVENT_VERSION = 1
"""How a post becomes an event: normalised text, which copies count once."""

FEATURE_VERSION = 1
"""What is found in events: companies, sentiment, daily metrics."""

BASELINE_VERSION = 1
"""What is usual for a company."""

SIGNAL_VERSION = 1
"""How unusual days are scored. Older versions stay queryable beside the newest, marked deprecated."""
