"""``python -m flukeprint``."""

from flukeprint.cli import main

main()
