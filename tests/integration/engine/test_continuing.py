"""A run that was killed at each of its steps is continued by the *other* engine, after `state recover`."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from functools import partial

import pytest

from tenantry.engine import Event, Program, Stack
from tenantry.engine.choosing import EngineKind, make_engine
from tenantry.engine.findings import Wrong
from tenantry.engine.interface import ResourceFinished, ResourceStarted
from tenantry.engine.storage import StackFiles
from tenantry.tenancy.errors import Conflict, RunFailed
from tests.integration.engine.killing import killed, numbered

pytestmark = pytest.mark.pulumi_cli
_EVERY = 3
"""Of a run's steps, every so manyth is one to be killed at; each costs half a minute."""


def shop(stack: Stack, **arguments: object) -> Program:
    file = str(stack.backend / "sign.txt")
    return Program(
        entry="tests.integration.engine.shop:main",
        arguments={"namespace": stack.name, "file": file, "count": 1, **arguments},
    )


def killed_cli(step: int) -> Callable[[Stack, Program, Mapping[str, str]], bool]:
    def run(stack: Stack, program: Program, _environment: Mapping[str, str]) -> bool:
        steps = 0

        def kill(event: Event) -> None:
            nonlocal steps
            if isinstance(event, ResourceStarted | ResourceFinished):
                if steps == step:
                    os.kill(json.loads(StackFiles(stack).marker.read_bytes())["pid"], signal.SIGKILL)
                steps += 1

        with make_engine(EngineKind.CLI) as cli:
            try:
                cli.up(stack, program, on_event=kill)
            except RunFailed:
                return True
        return False

    return run


def killed_embedded(step: int) -> Callable[[Stack, Program, Mapping[str, str]], bool]:
    return partial(killed, after=step)


KILLED = [
    pytest.param(killed_embedded, EngineKind.CLI, id="embedded is killed, the CLI goes on"),
    pytest.param(killed_cli, EngineKind.EMBEDDED, id="the CLI is killed, embedded goes on"),
]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("killing", "second"), KILLED)
def test_a_killed_run_is_continued_by_the_other_engine(
    stack: Stack,
    environment: Mapping[str, str],
    killing: Callable[[int], Callable[[Stack, Program, Mapping[str, str]], bool]],
    second: EngineKind,
) -> None:
    step, hit = 0, True
    with make_engine(second) as other, make_engine(EngineKind.EMBEDDED) as embedded:
        while hit:
            one = numbered(stack, step)
            hit = killing(step)(one, shop(one), environment)
            if hit and StackFiles(one).journal.exists() and second is EngineKind.CLI:
                with pytest.raises(Conflict, match="cut short"):
                    other.up(one, shop(one))
            other.recover(one)
            left = {finding.wrong for finding in embedded.verify(one).findings}
            assert not left & {Wrong.HELD, Wrong.UNFINISHED, Wrong.GONE, Wrong.UNRECORDED}
            assert not any(wrong.damages for wrong in left)
            other.up(one, shop(one))
            assert embedded.preview(one, shop(one)).changes == ()
            assert embedded.verify(one).findings == ()
            embedded.destroy(one)
            embedded.remove(one)
            step += _EVERY
    assert step > 3 * _EVERY


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("killing", "second"), KILLED)
def test_a_killed_replacement_is_continued_by_the_other_engine(
    stack: Stack,
    environment: Mapping[str, str],
    killing: Callable[[int], Callable[[Stack, Program, Mapping[str, str]], bool]],
    second: EngineKind,
) -> None:
    """`web` is replaced, delete first; `sign` updated; a book deleted: killed in between."""
    step, hit = 1, True
    with make_engine(second) as other, make_engine(EngineKind.EMBEDDED) as embedded:
        while hit:
            one = numbered(stack, step)
            embedded.up(one, shop(one, count=2))
            changed = shop(one, app="shop", text="closed")
            hit = killing(step)(one, changed, environment)
            other.recover(one)
            left = {finding.wrong for finding in embedded.verify(one).findings}
            assert not left & {Wrong.HELD, Wrong.UNFINISHED, Wrong.GONE, Wrong.UNRECORDED}
            other.up(one, changed)
            assert embedded.preview(one, changed).changes == ()
            embedded.destroy(one)
            embedded.remove(one)
            step += 2
    assert step > 3
