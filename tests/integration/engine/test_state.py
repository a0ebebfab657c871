"""A stack's state against what lives, carried away and brought back, and its locks: on the real platform."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenantry.engine import EmbeddedEngine, Program, Stack
from tenantry.engine.cluster import connect
from tenantry.engine.findings import Wrong
from tenantry.engine.keeping import stack_in
from tenantry.engine.storage import StackFiles, write_atomically
from tenantry.tenancy.errors import Conflict, InvalidInput, Locked, StateCorrupt


@pytest.fixture
def program(stack: Stack) -> Program:
    file = str(stack.backend / "sign.txt")
    return Program(
        entry="tests.integration.engine.shop:main", arguments={"namespace": stack.name, "file": file, "count": 1}
    )


def kinds(engine: EmbeddedEngine, stack: Stack) -> set[Wrong]:
    return {one.wrong for one in engine.verify(stack).findings}


def test_a_state_is_compared_with_what_lives_in_both_directions(
    engine: EmbeddedEngine, stack: Stack, program: Program
) -> None:
    engine.up(stack, program)
    sound = engine.verify(stack)
    assert (sound.findings, sound.damaged) == ((), False)
    assert sound.compared == 6
    assert sound.secrets > 2

    cluster = connect({})
    maps = f"/api/v1/namespaces/{stack.name}/configmaps"
    book = cluster.request("GET", f"{maps}/book-0")
    patch = {"data": {"title": "Forged"}, "metadata": {"labels": {"tenantry.dev/tenant": "thief"}}}
    cluster.request("PATCH", f"{maps}/book-0", body=patch, content_type="application/merge-patch+json")
    assert kinds(engine, stack) == {Wrong.CHANGED, Wrong.RELABELLED}

    cluster.request("DELETE", f"{maps}/book-0")
    (stack.backend / "sign.txt").unlink()
    gone = [one.message for one in engine.verify(stack).findings if one.wrong is Wrong.GONE]
    assert len(gone) == 2
    assert f"ConfigMap {stack.name}/book-0 stands in the state and does not exist" in gone

    cluster.request("POST", maps, body={**book, "metadata": {"name": "book-0", "namespace": stack.name}})
    assert Wrong.REPLACED in kinds(engine, stack)

    stray = {"name": "stray", "namespace": stack.name, "labels": book["metadata"]["labels"]}
    body = {"apiVersion": "v1", "kind": "LimitRange", "metadata": stray, "spec": {"limits": []}}
    cluster.request(
        "POST",
        f"/api/v1/namespaces/{stack.name}/limitranges",
        query={"fieldManager": "pulumi-kubernetes"},
        body=body,
    )
    unrecorded = [one.subject for one in engine.verify(stack).findings if one.wrong is Wrong.UNRECORDED]
    assert unrecorded == [f"LimitRange {stack.name}/stray"]

    cluster.request("DELETE", f"{maps}/book-0")
    engine.up(stack, program)
    assert kinds(engine, stack) <= {Wrong.UNRECORDED}
    engine.destroy(stack)


def damaged(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def apply(document: dict[str, Any]) -> dict[str, Any]:
        change(document["deployment"])
        return document

    return apply


def _sealed(deployment: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in deployment["resources"] if one["type"].endswith(":Secret"))
    return found


REFUSED = [
    pytest.param(damaged(lambda one: one["resources"].reverse()), StateCorrupt, id="in the wrong order"),
    pytest.param(damaged(lambda one: one["resources"].pop(0)), StateCorrupt, id="a parent is missing"),
    pytest.param(
        damaged(lambda one: one["resources"].append(one["resources"][-1])), StateCorrupt, id="a resource stands twice"
    ),
    pytest.param(
        damaged(lambda one: _sealed(one)["inputs"]["data"].update(ciphertext="v1:AAAA:BBBB")),
        StateCorrupt,
        id="a secret that no key opens",
    ),
    pytest.param(
        damaged(lambda one: _sealed(one)["inputs"]["data"].update(plaintext='"x"', ciphertext=None)),
        StateCorrupt,
        id="a secret that is not whole",
    ),
    pytest.param(
        damaged(lambda one: one["secrets_providers"]["state"].update(url="hashivault://state-other")),
        Conflict,
        id="sealed by another key",
    ),
    pytest.param(lambda document: {**document, "version": 9}, StateCorrupt, id="of a newer format"),
    pytest.param(lambda document: {"version": 3}, InvalidInput, id="no state at all"),
    pytest.param(
        lambda document: json.loads(json.dumps(document).replace("urn:pulumi:engine-", "urn:pulumi:other-")),
        InvalidInput,
        id="of another stack",
    ),
]


def test_a_state_is_carried_away_and_brought_back_and_a_bad_one_is_refused(
    engine: EmbeddedEngine, stack: Stack, program: Program
) -> None:
    files = StackFiles(stack)
    engine.up(stack, program)
    taken = dict(engine.export(stack))
    changed = Program(entry=program.entry, arguments={**program.arguments, "text": "closed"})
    engine.up(stack, changed)
    before = files.checkpoint.read_bytes()
    for case in REFUSED:
        change, error = case.values[0], case.values[1]
        with pytest.raises(error):  # type: ignore[call-overload]
            engine.import_state(stack, change(json.loads(json.dumps(taken))), source="file.json")  # type: ignore[operator]
        assert files.checkpoint.read_bytes() == before, case.id

    kept = engine.import_state(stack, taken, source="file.json")
    assert kept is not None
    assert kept.read_bytes() == before
    assert kept.stat().st_mode & 0o777 == 0o600
    # The state is now older than what lives: the next run sees it, and goes on.
    assert {one.name for one in engine.preview(stack, changed).changes} == {"sign"}
    assert [one.kind for one in engine.history(stack)] == ["update", "update", "import"]
    engine.import_state(stack, json.loads(before), source="checkpoint")
    assert engine.preview(stack, changed).changes == ()

    found = stack_in(stack.backend, stack.project, stack.name)
    assert engine.verify(found).findings == ()
    with pytest.raises(InvalidInput) as caught:
        stack_in(stack.backend, stack.project, "absent")
    assert stack.name in str(caught.value.hint)
    engine.destroy(stack)


def test_a_damaged_state_shows_all_that_is_wrong_with_it_and_is_compared_with_nothing(
    engine: EmbeddedEngine, stack: Stack, program: Program
) -> None:
    engine.up(stack, program)
    path = StackFiles(stack).checkpoint
    whole = path.read_bytes()
    document = json.loads(whole)
    resources = document["checkpoint"]["latest"]["resources"]
    resources.append(resources[-1])
    _sealed(document["checkpoint"]["latest"])["inputs"]["data"]["ciphertext"] = "v1:AAAA:BBBB"
    write_atomically(path, json.dumps(document).encode())
    verification = engine.verify(stack)
    assert verification.damaged
    assert verification.compared == 0
    assert {one.wrong for one in verification.findings} == {Wrong.DUPLICATE, Wrong.UNREADABLE_SECRET}
    write_atomically(path, whole)
    engine.destroy(stack)


def test_a_lock_of_somebody_else_is_told_and_broken_on_an_explicit_word(
    engine: EmbeddedEngine, stack: Stack, program: Program
) -> None:
    engine.up(stack, program)
    owner = {"pid": 1, "username": "ada", "hostname": "desk", "timestamp": "2026-11-24T00:00:00Z"}
    lock = StackFiles(stack).locks / "1f0c.json"
    write_atomically(lock, json.dumps(owner).encode())
    assert kinds(engine, stack) == {Wrong.HELD}
    with pytest.raises(Locked, match="ada@desk") as caught:
        engine.recover(stack)
    assert "--break-lock 1f0c" in str(caught.value.hint)
    assert lock.exists()
    assert engine.recover(stack, lock="1f0c").changes == ()
    assert kinds(engine, stack) == set()
    engine.destroy(stack)


def test_a_key_that_is_gone_is_told_and_loses_nothing(
    engine: EmbeddedEngine, stack: Stack, program: Program, tmp_path: Path
) -> None:
    from tenantry.engine.sealing import delete_key
    from tenantry.engine.stack_key import StackKey

    other = Stack(project="shop", name="keyless", backend=tmp_path / "k", secrets_provider="hashivault://state-keyless")
    sealer = StackKey(stack=other, files=StackFiles(other)).new()
    delete_key(other.secrets_provider)
    latest = {"resources": [], "secrets_providers": {**sealer.state}}
    latest["secrets_providers"]["state"] = {**sealer.state["state"], "encryptedkey": _another(sealer.state)}
    write_atomically(
        StackFiles(other).checkpoint, json.dumps({"version": 3, "checkpoint": {"latest": latest}}).encode()
    )
    (finding,) = engine.verify(other).findings
    assert finding.wrong is Wrong.UNREADABLE_SECRET
    assert "transit/state-keyless is gone" in finding.message
    with pytest.raises(StateCorrupt, match="is gone"):
        engine.up(other, program)


def _another(state: Any) -> str:
    """Another wrapped key, since this process remembers the one that it made."""
    import base64

    text = base64.b64decode(state["state"]["encryptedkey"]).decode()
    return base64.b64encode((text[:-4] + "AAA=").encode()).decode()
