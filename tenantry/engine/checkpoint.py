"""The checkpoint: a stack's last known state, in Pulumi's file format (version 3).

Reading checks everything that the rest relies on; writing puts resources in an order that Pulumi accepts (each after
its parent, provider and dependencies).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tenantry.engine.interface import Stack
from tenantry.engine.storage import StackFiles, storage_error, write_atomically
from tenantry.engine.urn import package_of
from tenantry.tenancy.errors import Conflict, StateCorrupt

__all__ = ["Checkpoint", "Recorded", "digest_of", "now", "ordered", "read", "write"]

_VERSION = "v3.260.0"
"""The CLI whose format this is; the manifest's magic is its digest."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One resource of the checkpoint. raw: its JSON, secrets still encrypted. pending: begun by a killed run,
    perhaps never made."""

    raw: Mapping[str, Any]
    pending: bool = False

    @property
    def urn(self) -> str:
        return str(self.raw["urn"])

    @property
    def type(self) -> str:
        return str(self.raw["type"])

    @property
    def id(self) -> str:
        return str(self.raw.get("id", ""))

    @property
    def custom(self) -> bool:
        return bool(self.raw.get("custom"))

    @property
    def parent(self) -> str | None:
        return self.raw.get("parent") or None

    @property
    def protect(self) -> bool:
        return bool(self.raw.get("protect"))

    @property
    def retain_on_delete(self) -> bool:
        return bool(self.raw.get("retainOnDelete"))

    @property
    def provider_urn(self) -> str | None:
        return str(self.raw.get("provider") or "").rpartition("::")[0] or None

    @property
    def is_logical(self) -> bool:
        return not self.custom or self.type.startswith("pulumi:providers:")

    @property
    def is_kubernetes(self) -> bool:
        return not self.is_logical and package_of(self.type) == "kubernetes"

    @property
    def is_dynamic(self) -> bool:
        return not self.is_logical and package_of(self.type) == "pulumi-python"

    @property
    def references(self) -> tuple[str, ...]:
        found = dict.fromkeys(self.raw.get("dependencies") or ())
        for urns in (self.raw.get("propertyDependencies") or {}).values():
            found.update(dict.fromkeys(urns or ()))
        for one in (self.parent, self.provider_urn, self.raw.get("deletedWith")):
            if one:
                found[one] = None
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """resources: in file order, by URN. pending: `pending_operations`, as a killed CLI run leaves them.
    secrets: `secrets_providers`. digest: of the file's text."""

    resources: Mapping[str, Recorded] = field(default_factory=dict)
    pending: tuple[Mapping[str, Any], ...] = ()
    secrets: Mapping[str, Any] | None = None
    document: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def digest_of(path: Path) -> str:
    """SHA-256 of a file's text, "" when there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise storage_error(error, path) from error


def read(files: StackFiles) -> Checkpoint | None:
    """The last checkpoint, None before a stack's first save. Raises StateCorrupt."""
    try:
        text = files.checkpoint.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, files.checkpoint) from error
    try:
        document = json.loads(text)
        latest = _latest(document, files)
        resources: dict[str, Recorded] = {}
        for raw in latest.get("resources") or ():
            recorded = Recorded(raw)
            if raw.get("delete"):
                raise Conflict(
                    f"the Pulumi CLI left {recorded.urn} to be deleted",
                    where=str(files.checkpoint),
                    hint="let the CLI finish its run: pulumi up",
                )
            if recorded.urn in resources:
                raise _corrupt(files, f"{recorded.urn} stands in it twice")
            missing = [one for one in recorded.references if one not in resources]
            if missing:
                raise _corrupt(files, f"{recorded.urn} refers to {missing[0]}, which does not stand before it")
            if not recorded.type:
                raise _corrupt(files, f"{recorded.urn} has no type")
            resources[recorded.urn] = recorded
        return Checkpoint(
            resources=resources,
            pending=tuple(latest.get("pending_operations") or ()),
            secrets=latest.get("secrets_providers"),
            document=document,
            digest=hashlib.sha256(text).hexdigest(),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _corrupt(files, f"it is not a whole checkpoint ({type(error).__name__})") from error


def _latest(document: Mapping[str, Any], files: StackFiles) -> Mapping[str, Any]:
    version = document.get("version")
    if version not in (3, 4) or document.get("features"):
        raise _corrupt(files, f"it has version {version} and features {document.get('features') or 'none'}")
    latest = document["checkpoint"].get("latest")
    return latest if latest is not None else {}


def _corrupt(files: StackFiles, what: str) -> StateCorrupt:
    hint = "restore it from history or a backup"
    if files.backup.exists():
        hint = f"look at {files.backup}, the state before it; if that is sound, copy it over the file and run again"
    return StateCorrupt(f"the state file cannot be used: {what}", where=str(files.checkpoint), hint=hint)


def ordered(resources: Iterable[Recorded]) -> tuple[Recorded, ...]:
    """The same resources, each after what it refers to; otherwise in the given order. References that lead nowhere
    are dropped by nobody: they raise StateCorrupt, as does a cycle."""
    by_urn = {one.urn: one for one in resources}
    done: dict[str, Recorded] = {}
    entered: set[str] = set()

    def visit(one: Recorded) -> None:
        if one.urn in done:
            return
        if one.urn in entered:
            raise StateCorrupt("resources refer to each other in a circle", where=one.urn)
        entered.add(one.urn)
        for reference in one.references:
            if reference not in by_urn:
                raise StateCorrupt(f"a resource refers to {reference}, which does not exist", where=one.urn)
            visit(by_urn[reference])
        done[one.urn] = one

    for one in by_urn.values():
        visit(one)
    return tuple(done.values())


def write(
    files: StackFiles, stack: Stack, resources: Iterable[Recorded], *, secrets: Mapping[str, Any] | None
) -> bytes:
    """Save a checkpoint, keep the one before as `.bak`, give back the text."""
    document = {
        "version": 3,
        "checkpoint": {
            "stack": f"organization/{stack.project}/{stack.name}",
            "latest": {
                "manifest": {
                    "time": now(),
                    "magic": hashlib.sha256(_VERSION.encode()).hexdigest(),
                    "version": _VERSION,
                },
                "secrets_providers": secrets,
                "resources": [one.raw for one in ordered(resources)],
                "metadata": {},
            },
        },
    }
    text = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    if not files.meta.exists():
        write_atomically(files.meta, b"version: 1\n")
    _keep_backup(files)
    write_atomically(files.checkpoint, text)
    return text


def _keep_backup(files: StackFiles) -> None:
    temporary = files.backup.with_name(f".{files.backup.name}.new")
    try:
        temporary.unlink(missing_ok=True)
        os.link(files.checkpoint, temporary)
        temporary.replace(files.backup)
    except FileNotFoundError:
        return  # a stack's first save has nothing before it
    except OSError as error:
        raise storage_error(error, files.backup) from error
