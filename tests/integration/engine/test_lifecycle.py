"""A stack's life against a real API server and a real OpenBao."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tenantry.engine import Effect, EmbeddedEngine, Op, Program, RunStarted, Stack
from tenantry.tenancy.errors import Conflict, DependencyUnavailable, Locked, RunFailed, StateCorrupt
from tests.integration.engine.shop import PASSWORD


def program(stack: Stack, **arguments: object) -> Program:
    file = str(stack.backend / "sign.txt")
    return Program(
        entry="tests.integration.engine.shop:main",
        arguments={"namespace": stack.name, "file": file, **arguments},
        fingerprint="1",
    )


def checkpoint(stack: Stack) -> Path:
    return stack.backend / ".pulumi" / "stacks" / stack.project / f"{stack.name}.json"


def ops(changes: tuple[object, ...]) -> dict[str, Op]:
    return {change.name: change.op for change in changes}  # type: ignore[attr-defined]


def test_a_stack_is_made_recognised_changed_and_removed(engine: EmbeddedEngine, stack: Stack) -> None:
    made = engine.up(stack, program(stack))
    assert made.counts[Op.CREATE] == 12
    assert (stack.backend / "sign.txt").read_text() == "open"
    assert made.outputs["password"].get_secret_value() == PASSWORD

    before = checkpoint(stack).read_bytes()
    history = sorted((stack.backend / ".pulumi" / "history").rglob("*"))
    again = engine.up(stack, program(stack))
    assert again.changes == ()
    assert checkpoint(stack).read_bytes() == before
    assert sorted((stack.backend / ".pulumi" / "history").rglob("*")) == history
    assert engine.up(stack, program(stack), if_changed=True).recognised

    preview = engine.preview(stack, program(stack, count=2, text="closed", image="web:2"))
    assert {change.name: (change.op, change.effect) for change in preview.changes if "book" not in change.name} == {
        "sign": (Op.UPDATE, Effect.IN_PLACE),
        "web": (Op.UPDATE, Effect.RESTART),
    }
    changed = engine.up(stack, program(stack, count=2, text="closed", image="web:2"))
    assert ops(changed.changes) == {"sign": Op.UPDATE, "web": Op.UPDATE, "book-2": Op.DELETE}
    assert (stack.backend / "sign.txt").read_text() == "closed"

    engine.destroy(stack)
    assert not (stack.backend / "sign.txt").exists()
    assert engine.outputs(stack) == {}


def test_an_immutable_field_is_replaced_and_called_downtime(engine: EmbeddedEngine, stack: Stack) -> None:
    engine.up(stack, program(stack))
    preview = engine.preview(stack, program(stack, app="shop"))
    assert [(change.name, change.op, change.effect) for change in preview.changes] == [
        ("web", Op.REPLACE, Effect.DOWNTIME)
    ]
    assert ops(engine.up(stack, program(stack, app="shop")).changes) == {"web": Op.REPLACE}
    assert engine.up(stack, program(stack, app="shop")).changes == ()
    engine.destroy(stack)


def test_what_was_changed_outside_is_put_back(engine: EmbeddedEngine, stack: Stack) -> None:
    engine.up(stack, program(stack))
    (stack.backend / "sign.txt").write_text("stolen")
    assert ops(engine.up(stack, program(stack)).changes) == {"sign": Op.UPDATE}
    (stack.backend / "sign.txt").unlink()
    assert ops(engine.refresh(stack).changes) == {"sign": Op.DELETE}
    assert ops(engine.up(stack, program(stack)).changes) == {"sign": Op.CREATE}
    engine.destroy(stack)


def test_an_object_of_somebody_else_is_not_taken_over(
    engine: EmbeddedEngine, stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    engine.up(stack, program(stack))
    other = Stack(
        project="other",
        name=stack.name,
        backend=tmp_path_factory.mktemp("other"),
        secrets_provider=stack.secrets_provider,
    )
    strange = Program(entry="tests.integration.engine.shop:stranger", arguments={"namespace": stack.name})
    with pytest.raises(Conflict, match="does not belong to this stack"):
        engine.up(other, strange)
    engine.destroy(stack)


def test_secrets_stand_nowhere_in_plain_text(engine: EmbeddedEngine, stack: Stack) -> None:
    engine.up(stack, program(stack))
    for path in stack.backend.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path
            if path.name != "sign.txt":
                assert path.stat().st_mode & 0o077 == 0, path
    engine.destroy(stack)


def test_a_state_file_cut_short_is_named_and_can_be_mended(engine: EmbeddedEngine, stack: Stack) -> None:
    engine.up(stack, program(stack))
    whole = checkpoint(stack).read_bytes()
    checkpoint(stack).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StateCorrupt) as caught:
        engine.up(stack, program(stack))
    assert str(checkpoint(stack)) in str(caught.value.where)
    assert ".bak" in str(caught.value.hint)
    checkpoint(stack).write_bytes(whole)
    assert engine.up(stack, program(stack)).changes == ()
    engine.destroy(stack)


def test_a_foreign_lock_is_respected(engine: EmbeddedEngine, stack: Stack) -> None:
    locks = stack.backend / ".pulumi" / "locks" / "organization" / stack.project / stack.name
    locks.mkdir(parents=True)
    owner = {"pid": 1, "username": "ada", "hostname": "desk", "timestamp": "2026-11-24T00:00:00Z"}
    (locks / "someone.json").write_text(json.dumps(owner))
    with pytest.raises(Locked, match="ada@desk"):
        engine.up(stack, program(stack))


def test_an_api_server_that_is_down_is_said(
    engine: EmbeddedEngine, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = stack.backend / "kubeconfig"
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "users: [{name: u, user: {}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
    )
    monkeypatch.setenv("KUBECONFIG", str(config))
    with pytest.raises(DependencyUnavailable) as caught:
        engine.up(stack, program(stack))
    assert caught.value.where == "https://127.0.0.1:1"


def test_workers_run_stacks_and_hand_errors_and_events_back(stack: Stack) -> None:
    events: list[object] = []
    with EmbeddedEngine(workers=1) as engine:
        engine.up(stack, program(stack), on_event=events.append)
        assert type(events[-1]).__name__ == "RunFinished"
        with pytest.raises(Conflict):
            engine.up(
                Stack(project="shop", name=stack.name, backend=stack.backend, secrets_provider="hashivault://other"),
                program(stack),
            )
        engine.destroy(stack)


def test_a_worker_started_beforehand_works_with_what_was_set_since_and_does_not_show_it(
    stack: Stack, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in environment:
        monkeypatch.delenv(name)
    with EmbeddedEngine(workers=1, preload=("tests.integration.engine.shop",)) as engine:
        (worker,) = _workers()
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        engine.up(stack, program(stack))
        engine.destroy(stack)
        assert "VAULT_TOKEN" in environment
        assert "VAULT_TOKEN" not in worker.environ()


def test_what_is_protected_goes_only_when_protection_is_lifted(engine: EmbeddedEngine, stack: Stack) -> None:
    kept = stack.backend / "kept.txt"
    safe = Program(entry="tests.integration.engine.shop:safe", arguments={"file": str(kept)})
    engine.up(stack, safe)
    with pytest.raises(Conflict, match="protected"):
        engine.destroy(stack)
    assert kept.read_text() == "treasure"
    engine.destroy(stack, lift_protection=True)
    assert not kept.exists()


def test_a_removed_stack_leaves_no_file_and_can_be_made_anew(engine: EmbeddedEngine, stack: Stack) -> None:
    engine.up(stack, program(stack))
    with pytest.raises(Conflict, match="still has"):
        engine.remove(stack)
    engine.destroy(stack)
    engine.remove(stack)
    engine.remove(stack)
    assert [path.name for path in stack.backend.rglob("*") if path.is_file()] == ["meta.yaml"]
    assert engine.up(stack, program(stack)).counts[Op.CREATE] == 12
    engine.destroy(stack)


def test_a_run_that_is_stopped_is_finished_by_the_next(stack: Stack) -> None:
    with EmbeddedEngine(workers=1) as engine:
        with pytest.raises(RunFailed, match="stopped"):
            engine.up(stack, program(stack), on_event=lambda event: engine.stop())
        assert engine.up(stack, program(stack)).outputs["namespace"] == stack.name
        assert engine.up(stack, program(stack)).changes == ()
        engine.destroy(stack)


def test_several_stacks_run_at_once(stack: Stack) -> None:
    several = [
        replace(stack, name=f"{stack.name}-{number}", secrets_provider=f"hashivault://state-{stack.name}-{number}")
        for number in range(4)
    ]

    def program_of(one: Stack) -> Program:
        file = str(one.backend / f"{one.name}.txt")
        return Program(entry="tests.integration.engine.shop:main", arguments={"namespace": one.name, "file": file})

    with EmbeddedEngine(workers=2) as engine, ThreadPoolExecutor(4) as callers:
        list(callers.map(lambda one: engine.preview(one, program_of(one)), several[:2]))
        assert len(_workers()) == 1
        made = list(callers.map(lambda one: engine.up(one, program_of(one)), several))
        assert [one.outputs["namespace"] for one in made] == [one.name for one in several]
        assert [one.changes for one in callers.map(lambda one: engine.up(one, program_of(one)), several)] == [()] * 4
        list(callers.map(engine.destroy, several))


def test_a_worker_that_dies_fails_only_its_runs_and_is_replaced(stack: Stack) -> None:
    with EmbeddedEngine(workers=1) as engine:

        def kill(event: object) -> None:
            if isinstance(event, RunStarted):
                (worker,) = _workers()
                worker.kill()

        with pytest.raises(RunFailed, match="died"):
            engine.up(stack, program(stack), on_event=kill)
        assert engine.up(stack, program(stack)).outputs["namespace"] == stack.name
        engine.destroy(stack)


def _workers() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "tenantry.engine.worker" in " ".join(one.cmdline())]
