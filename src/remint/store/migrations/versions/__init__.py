"""One file a format of the state database."""
