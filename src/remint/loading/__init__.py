"""A project directory becomes a validated graph, with all mistakes reported at once."""
