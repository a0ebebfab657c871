"""A stack's state through the CLI's own export and import, secrets left encrypted."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulumi.automation import LocalWorkspace

from tenantry.engine.pulumi_cli.command import Command

__all__ = ["get", "history", "protected", "put", "resources", "without_protection"]

_PROVIDER = "pulumi:providers:"


def get(command: Command, workspace: LocalWorkspace, name: str) -> dict[str, Any]:
    """As `pulumi stack export` gives it. The SDK's own method would decrypt every secret."""
    result = command.run(["stack", "export", "--stack", name], workspace.work_dir, workspace.env_vars)
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def history(command: Command, workspace: LocalWorkspace, name: str) -> list[dict[str, Any]]:
    """As `pulumi stack history` gives it, the oldest first. The SDK's own method would decrypt every secret."""
    result = command.run(["stack", "history", "--json", "--stack", name], workspace.work_dir, workspace.env_vars)
    entries: list[dict[str, Any]] = json.loads(result.stdout or "[]") or []
    return entries[::-1]


def put(command: Command, workspace: LocalWorkspace, name: str, document: Mapping[str, Any]) -> None:
    """Replace the stack's state; the CLI checks its integrity."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=workspace.work_dir) as file:
        json.dump(document, file)
        file.flush()
        arguments = ["stack", "import", "--file", str(Path(file.name)), "--stack", name]
        command.run(arguments, workspace.work_dir, workspace.env_vars)


def resources(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (document.get("deployment") or {}).get("resources") or []
    return found


def protected(document: Mapping[str, Any]) -> list[str]:
    """URNs of protected resources that are something outside Pulumi."""
    return [
        str(one["urn"])
        for one in resources(document)
        if one.get("protect") and one.get("custom") and not str(one["type"]).startswith(_PROVIDER)
    ]


def without_protection(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same state with nothing protected and nothing retained."""
    lifted = [
        {key: value for key, value in one.items() if key not in ("protect", "retainOnDelete")}
        for one in resources(document)
    ]
    return {**document, "deployment": {**document["deployment"], "resources": lifted}}
