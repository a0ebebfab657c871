"""Runs of the shop that are killed after one of their events, each on a stack of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

from tenantry.engine import Program, Stack

__all__ = ["killed", "numbered"]

_LIMIT_S = 180


def numbered(stack: Stack, number: int) -> Stack:
    name = f"{stack.name}-{number}"
    found = replace(
        stack, name=name, backend=stack.backend / str(number), secrets_provider=f"hashivault://state-{name}"
    )
    found.backend.mkdir()
    return found


def killed(stack: Stack, program: Program, environment: Mapping[str, str], *, after: int) -> bool:
    """Run the stack's `up` elsewhere and kill it after that many events; whether it had not ended by itself."""
    arguments = json.dumps(dict(program.arguments))
    run = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.engine.runner", str(stack.backend), stack.name, arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    hit = False
    for seen, _ in enumerate(run.stdout):
        if seen == after:
            run.kill()
            hit = True
            break
    run.communicate(timeout=_LIMIT_S)
    return hit
