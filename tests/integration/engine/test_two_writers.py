"""Two writers of one stack at once: one wins, the other is told who holds the stack since when, nothing is damaged."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime

import pytest

from tenantry.engine import Event, Program, Stack
from tenantry.engine.choosing import EngineKind, make_engine
from tenantry.engine.interface import ResourceFinished
from tenantry.tenancy.errors import Locked

EMBEDDED, CLI = EngineKind.EMBEDDED, EngineKind.CLI
NEEDS_CLI = pytest.mark.pulumi_cli


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        pytest.param(EMBEDDED, EMBEDDED, id="two embedded engines"),
        pytest.param(EMBEDDED, CLI, id="embedded, and the CLI while it runs", marks=NEEDS_CLI),
        pytest.param(CLI, EMBEDDED, id="the CLI, and embedded while it runs", marks=NEEDS_CLI),
        pytest.param(CLI, CLI, id="two CLIs", marks=NEEDS_CLI),
    ],
)
def test_one_wins_and_the_other_is_told_who_holds_the_stack(
    stack: Stack, winner: EngineKind, loser: EngineKind
) -> None:
    def program(text: str) -> Program:
        arguments = {"namespace": stack.name, "file": str(stack.backend / "sign.txt"), "text": text, "count": 1}
        return Program(entry="tests.integration.engine.shop:main", arguments=arguments)

    with make_engine(winner) as first, make_engine(loser) as second:
        first.up(stack, program("open"))
        refused: list[Locked] = []

        def meddle(event: Event) -> None:
            if isinstance(event, ResourceFinished) and not refused:
                for attempt in (
                    lambda: second.up(stack, program("mine")),
                    lambda: second.destroy(stack),
                    lambda: second.recover(stack),
                ):
                    with pytest.raises(Locked) as caught:
                        attempt()
                    refused.append(caught.value)

        assert [one.name for one in first.up(stack, program("closed"), on_event=meddle).changes] == ["sign"]
        assert len(refused) == 3
        for error in refused:
            assert getpass.getuser() in error.message
            assert f"since {datetime.now(UTC):%Y-}" in error.message
            assert "wait until that run has ended" in str(error.hint)
        assert (stack.backend / "sign.txt").read_text() == "closed"
        for engine in (first, second):
            assert engine.preview(stack, program("closed")).changes == ()
        assert first.verify(stack).findings == ()
        second.destroy(stack)
        second.remove(stack)
