"""``python -m remint``."""

from remint.cli.main import main

main()
