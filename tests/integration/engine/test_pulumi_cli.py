"""The Pulumi CLI and the embedded engine on one small stack: replacing, locks, kills, damage, and what is missing."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tenantry.engine import Event, Op, Program, Stack
from tenantry.engine.choosing import EngineKind, make_engine
from tenantry.engine.sealing import delete_key
from tenantry.engine.storage import StackFiles
from tenantry.tenancy.errors import DependencyUnavailable, Locked, RunFailed, StateCorrupt

pytestmark = pytest.mark.pulumi_cli
DIRECTIONS = [
    pytest.param(EngineKind.EMBEDDED, EngineKind.CLI, id="embedded, then the CLI"),
    pytest.param(EngineKind.CLI, EngineKind.EMBEDDED, id="the CLI, then embedded"),
]


def shop(stack: Stack, **arguments: object) -> Program:
    file = str(stack.backend / "sign.txt")
    return Program(
        entry="tests.integration.engine.shop:main", arguments={"namespace": stack.name, "file": file, **arguments}
    )


@pytest.mark.parametrize(("first", "second"), DIRECTIONS)
def test_what_is_replaced_created_and_deleted_looks_the_same_to_both(
    stack: Stack, first: EngineKind, second: EngineKind
) -> None:
    with make_engine(first) as maker, make_engine(second) as taker:
        made = maker.up(stack, shop(stack))
        assert dict(taker.outputs(stack))["password"].get_secret_value() == made.outputs["password"].get_secret_value()
        other = shop(stack, app="shop", count=2, text="closed")
        previews = [engine.preview(stack, other) for engine in (maker, taker)]
        ops = [{one.name: (one.op, one.effect) for one in preview.changes} for preview in previews]
        assert ops[0] == ops[1]
        assert ops[0]["web"][0] is Op.REPLACE
        taker.up(stack, other)
        assert maker.preview(stack, other).changes == ()
        more = shop(stack, app="shop", count=4, text="closed")
        assert {one.op for one in maker.up(stack, more).changes} == {Op.CREATE}
        assert taker.preview(stack, more).changes == ()
        maker.destroy(stack)
        maker.remove(stack)
    assert not (stack.backend / "sign.txt").exists()


def test_a_lock_of_somebody_else_is_respected_by_both(stack: Stack) -> None:
    locks = StackFiles(stack).locks
    with make_engine(EngineKind.EMBEDDED) as embedded, make_engine(EngineKind.CLI) as cli:
        embedded.up(stack, shop(stack))
        locks.mkdir(parents=True, exist_ok=True)
        owner = {"pid": 1, "username": "ada", "hostname": "desk", "timestamp": "2026-11-24T00:00:00Z"}
        (locks / "somebody.json").write_text(json.dumps(owner))
        for engine in (embedded, cli):
            with pytest.raises(Locked, match=r"ada@desk.*since 2026-11-24"):
                engine.up(stack, shop(stack, count=1))
        assert (locks / "somebody.json").exists()
        (locks / "somebody.json").unlink()
        assert embedded.up(stack, shop(stack)).changes == ()
        embedded.destroy(stack)


def test_a_killed_cli_run_is_finished_by_either(stack: Stack) -> None:
    """The CLI is killed in the middle of `up`: its lock is known as ours, and its pending operations are settled."""
    with make_engine(EngineKind.EMBEDDED) as embedded, make_engine(EngineKind.CLI) as cli:
        marker = StackFiles(stack).marker

        def kill(event: Event) -> None:
            if type(event).__name__ == "ResourceFinished":
                os.kill(json.loads(marker.read_bytes())["pid"], signal.SIGKILL)

        with pytest.raises(RunFailed):
            cli.up(stack, shop(stack), on_event=kill)
        left = list(StackFiles(stack).locks.glob("*.json"))
        assert [json.loads(path.read_bytes())["hostname"] for path in left] == [socket.gethostname()]
        embedded.recover(stack)
        assert not list(StackFiles(stack).locks.glob("*.json"))
        cli.up(stack, shop(stack))
        assert embedded.preview(stack, shop(stack)).changes == ()
        embedded.destroy(stack)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda text: text[: len(text) // 2], id="cut short"),
        pytest.param(lambda text: text.replace('"version":3', '"version":9', 1), id="a newer format"),
        pytest.param(lambda text: text.replace('"parent":"urn', '"parent":"urx', 1), id="edited by hand"),
    ],
)
def test_a_damaged_state_is_refused_before_the_cli_starts(stack: Stack, damage: Callable[[str], str]) -> None:
    with make_engine(EngineKind.EMBEDDED) as embedded, make_engine(EngineKind.CLI) as cli:
        embedded.up(stack, shop(stack))
        checkpoint = StackFiles(stack).checkpoint
        whole = checkpoint.read_text()
        checkpoint.write_text(damage(whole))
        with pytest.raises(StateCorrupt):
            cli.up(stack, shop(stack))
        checkpoint.write_text(whole)
        assert cli.preview(stack, shop(stack)).changes == ()
        embedded.destroy(stack)


def test_a_key_that_openbao_has_no_more_is_said_and_loses_nothing(stack: Stack) -> None:
    with make_engine(EngineKind.CLI) as cli:
        cli.up(stack, shop(stack, count=1))
        before = StackFiles(stack).checkpoint.read_bytes()
        delete_key(stack.secrets_provider)
        for attempt in (
            lambda: cli.preview(stack, shop(stack, count=1)),
            lambda: cli.up(stack, shop(stack, count=2)),
            lambda: cli.destroy(stack),
        ):
            with pytest.raises(StateCorrupt, match="is gone"):
                attempt()
        assert StackFiles(stack).checkpoint.read_bytes() == before
        assert not list(StackFiles(stack).locks.glob("*.json"))


def test_a_token_that_openbao_refuses_and_a_backend_that_is_down_are_said(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make_engine(EngineKind.CLI) as cli:
        monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{stack.backend}/absent")
        with pytest.raises(DependencyUnavailable) as caught:
            cli.preview(stack, shop(stack))
        assert "absent" in str(caught.value.where)
        monkeypatch.delenv("PULUMI_BACKEND_URL")
        monkeypatch.setenv("VAULT_TOKEN", "wrong")
        with pytest.raises(DependencyUnavailable):
            cli.preview(stack, shop(stack))


def test_a_cli_that_is_absent_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DependencyUnavailable, match="not on this machine"):
        make_engine(EngineKind.CLI)
