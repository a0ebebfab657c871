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

import orjson

from tenantry.engine.integrity import damages, references
from tenantry.engine.interface import Stack
from tenantry.engine.storage import StackFiles, storage_error, write_atomically
from tenantry.engine.urn import package_of
from tenantry.tenancy.errors import Conflict, StateCorrupt, Unsupported

__all__ = [
    "Checkpoint",
    "Recorded",
    "digest_of",
    "latest_of",
    "now",
    "ordered",
    "parsed",
    "read",
    "save",
    "write",
]

_VERSION = "v3.260.0"
"""The CLI whose format this is; the manifest's magic is its digest."""
_FORMATS = (3, 4)


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
        return references(self.raw)


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
    """The last checkpoint, None before a stack's first save. Raises StateCorrupt, Unsupported for a packed file."""
    try:
        text = files.checkpoint.read_bytes()
    except FileNotFoundError:
        packed = files.checkpoint.with_name(f"{files.checkpoint.name}.gz")
        if packed.exists():
            raise Unsupported(
                "the state is packed by gzip, which only the Pulumi CLI reads",
                where=str(packed),
                hint="unset PULUMI_DIY_BACKEND_GZIP and run `pulumi stack export | pulumi stack import`",
            ) from None
        return None
    except OSError as error:
        raise storage_error(error, files.checkpoint) from error
    return parsed(text, files)


def parsed(text: bytes, files: StackFiles) -> Checkpoint:
    """The checkpoint in a state file's text. Raises StateCorrupt, Conflict for what only the CLI can finish."""
    try:
        document = json.loads(text)
        latest = latest_of(document, where=str(files.checkpoint), hint=_restore(files))
        for found in damages(latest):
            raise _corrupt(files, f"{found.subject}: {found.message}")
        resources: dict[str, Recorded] = {}
        for raw in latest.get("resources") or ():
            recorded = Recorded(raw)
            if raw.get("delete"):
                raise Conflict(
                    f"the Pulumi CLI left {recorded.urn} to be deleted",
                    where=str(files.checkpoint),
                    hint="let the CLI finish its run: pulumi up",
                )
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


def latest_of(document: Any, *, where: str, hint: str) -> Mapping[str, Any]:
    """The deployment in a state file, or in what `pulumi stack export` wrote; {} before a stack's first save. Raises
    StateCorrupt for another format."""
    version, features = document.get("version"), document.get("features")
    if version not in _FORMATS or features:
        raise StateCorrupt(
            f"the state is of format {version}"
            + (f" with {', '.join(map(str, features))}" if features else "")
            + f", and only {' and '.join(map(str, _FORMATS))} are known here",
            where=where,
            hint="a newer Pulumi or Tenantry wrote it: update this one, or go on with that one; nothing was changed",
        )
    holder = document["checkpoint"].get("latest") if "checkpoint" in document else document["deployment"]
    if holder is not None and not isinstance(holder, Mapping):
        raise StateCorrupt("the state holds no deployment", where=where, hint=hint)
    return holder or {}


def _corrupt(files: StackFiles, what: str) -> StateCorrupt:
    return StateCorrupt(f"the state file cannot be used: {what}", where=str(files.checkpoint), hint=_restore(files))


def _restore(files: StackFiles) -> str:
    if files.backup.exists():
        return f"look at {files.backup}, the state before it; if that is sound: tenantry state import"
    return "import a sound one from a backup: tenantry state import"


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
    latest = {
        "manifest": {
            "time": now(),
            "magic": hashlib.sha256(_VERSION.encode()).hexdigest(),
            "version": _VERSION,
        },
        "secrets_providers": secrets,
        "resources": [one.raw for one in ordered(resources)],
        "metadata": {},
    }
    return save(files, stack, latest)


def save(files: StackFiles, stack: Stack, latest: Mapping[str, Any]) -> bytes:
    """Save a whole deployment as it is, keep the one before as `.bak`, give back the text."""
    document = {
        "version": 3,
        "checkpoint": {"stack": f"organization/{stack.project}/{stack.name}", "latest": latest},
    }
    text = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
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
