"""Runs one `up` of the shop and prints a line per event, so that a test can kill it after the n-th."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tenantry.engine import EmbeddedEngine, Program, Stack


def main(backend: str, name: str, arguments: str) -> None:
    """arguments: of the shop, as JSON."""
    stack = Stack(project="shop", name=name, backend=Path(backend), secrets_provider=f"hashivault://state-{name}")
    program = Program(entry="tests.integration.engine.shop:main", arguments=json.loads(arguments))
    EmbeddedEngine().up(stack, program, on_event=lambda event: print(type(event).__name__, flush=True))


main(*sys.argv[1:])
