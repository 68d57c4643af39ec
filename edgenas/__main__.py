"""`python -m edgenas`."""

from edgenas.cli import main

main()
