"""`python -m tenantry`: the command, where nothing is on PATH."""

from tenantry.cli.main import main

main()
