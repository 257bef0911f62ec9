"""Where Bronze rows come from."""
