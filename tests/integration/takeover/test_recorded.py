"""Checkpoints that the CLI wrote, where it is absent: they are read, planned on without a change, and say in every
field what the embedded engine would have written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tenantry.engine import EmbeddedEngine, Stack
from tenantry.engine.spelling import alike
from tenantry.engine.storage import StackFiles, write_atomically
from tenantry.fleet import Fleet
from tenantry.tenancy.errors import InvalidInput
from tests.integration.takeover.recorded import PASSPHRASE, RECORDED, Recording

_OF_THE_RUN = frozenset({"created", "modified", "id", "sourcePosition", "stackTrace"})
"""Fields that say when and where a resource was made."""
_OF_THE_OBJECT = frozenset(
    {
        "batch.kubernetes.io/controller-uid",
        "clusterIP",
        "clusterIPs",
        "controller-uid",
        "creationTimestamp",
        "generation",
        "managedFields",
        "resourceVersion",
        "uid",
        # Of a claim, when it is bound: the CLI waits for it.
        "pv.kubernetes.io/bind-completed",
        "pv.kubernetes.io/bound-by-controller",
        "volume.beta.kubernetes.io/storage-provisioner",
        "volume.kubernetes.io/selected-node",
        "volume.kubernetes.io/storage-provisioner",
        "volumeName",
    }
)
"""Keys whose values the cluster decides, each time another."""
_MOST = 0.8
"""Of a recorded program's resources, how much must be as it was when the CLI made it."""


@pytest.fixture(params=RECORDED, ids=lambda one: str(one.name))
def recording(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Recording:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE)
    found: Recording = request.param
    return found


@pytest.fixture
def made(recording: Recording, fleet: Fleet, tmp_path: Path) -> Iterator[tuple[Stack, EmbeddedEngine]]:
    """The same program run by the embedded engine, with state of its own: what the CLI's state is about, alive."""
    stack = recording.stack(tmp_path / "own")
    with EmbeddedEngine() as engine:
        engine.up(stack, recording.program(fleet.cell, tmp_path))
        yield stack, engine
        engine.destroy(stack, lift_protection=True)


def test_what_the_cli_wrote_is_planned_on_without_a_change_and_said_alike_in_every_field(
    recording: Recording,
    made: tuple[Stack, EmbeddedEngine],
    fleet: Fleet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, engine = made
    theirs = recording.stack(tmp_path / "theirs")
    document, changed = recording.fitted(fleet.cell, tmp_path)
    write_atomically(StackFiles(theirs).checkpoint, json.dumps(document).encode())
    planned = {one.urn for one in engine.preview(theirs, recording.program(fleet.cell, tmp_path)).changes}
    assert planned <= changed

    ours, cli = (by_urn(engine.export(stack), engine, stack) for stack in (own, theirs))
    assert ours.keys() ^ cli.keys() <= changed
    same = ours.keys() & cli.keys() - changed
    assert len(same) > _MOST * len(ours), "the programs have moved on: record the checkpoints anew"
    differing = {f"{urn.rpartition('::')[2]}: {field}" for urn in same for field in differences(ours[urn], cli[urn])}
    assert differing == set()

    with monkeypatch.context() as patch:
        patch.setenv("PULUMI_CONFIG_PASSPHRASE", "another")
        with pytest.raises(InvalidInput, match="not the one"):
            engine.preview(theirs, recording.program(fleet.cell, tmp_path))


def by_urn(deployment: Mapping[str, Any], engine: EmbeddedEngine, stack: Stack) -> dict[str, dict[str, Any]]:
    from tenantry.engine.sealing import open_sealer

    latest = deployment["deployment"]
    sealer = open_sealer(latest["secrets_providers"], where=stack.name)
    return {one["urn"]: {key: sealer.open(value) for key, value in one.items()} for one in latest["resources"]}


def differences(ours: Mapping[str, Any], cli: Mapping[str, Any]) -> Iterator[str]:
    for field in sorted((ours.keys() | cli.keys()) - _OF_THE_RUN):
        left, right = (_comparable(field, one.get(field)) for one in (ours, cli))
        if field in ("inputs", "outputs"):
            if not alike(left or {}, right or {}):
                yield field
        elif left != right:
            yield field


def _comparable(field: str, value: Any) -> Any:
    if field == "provider":
        return str(value).rpartition("::")[0]
    if field in ("dependencies", "additionalSecretOutputs"):
        return sorted(value or ()) or None
    if field == "propertyDependencies":
        return {key: sorted(urns) for key, urns in (value or {}).items() if urns} or None
    if field == "outputs" and isinstance(value, dict):
        return _decided({key: item for key, item in value.items() if key not in ("status", "__fieldManager")})
    return value or None


def _decided(value: Any) -> Any:
    """Without what the cluster decides."""
    if isinstance(value, dict):
        return {key: _decided(item) for key, item in value.items() if key not in _OF_THE_OBJECT}
    return [_decided(item) for item in value] if isinstance(value, list) else value
