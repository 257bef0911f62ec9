"""Pure planning: what is stale, why, and in which order to recompute it."""
