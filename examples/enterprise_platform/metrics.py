"""Business metrics: what counts as revenue. Finance decides; a change is published under a new REVENUE_VERSION."""

NO_REVENUE = ("cancelled",)
