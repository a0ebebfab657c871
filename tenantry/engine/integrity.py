"""Integrity: what must hold inside of a deployment, whoever wrote it. Pure.

The rules are those of Pulumi's own check (`pkg/resource/deploy/snapshot.go: VerifyIntegrity`), so that what passes
here is taken by the CLI, and the other way round.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tenantry.engine.findings import Finding, Wrong

__all__ = ["damages", "references"]

_RESTORE = "import a sound state: one of `tenantry state history`, or the file's .bak"


def references(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """URNs that must stand before a resource: dependencies, parent, provider, and what it is deleted with."""
    found: dict[str, None] = dict.fromkeys(raw.get("dependencies") or ())
    for urns in (raw.get("propertyDependencies") or {}).values():
        found.update(dict.fromkeys(urns or ()))
    for one in (raw.get("parent"), _provider_urn(raw), raw.get("deletedWith")):
        if one:
            found[str(one)] = None
    return tuple(found)


def damages(latest: Mapping[str, Any], *, stack: str = "", project: str = "") -> Iterator[Finding]:
    """What is wrong with a deployment (`latest` of a checkpoint). stack, project: whose state it should be, "" for
    anybody's."""
    manifest = latest.get("manifest") or {}
    version, magic = str(manifest.get("version") or ""), manifest.get("magic")
    if magic and magic != hashlib.sha256(version.encode()).hexdigest():
        yield _finding(Wrong.MALFORMED, "manifest", "its magic does not fit its version: it was edited by hand")
    resources: Sequence[Any] = latest.get("resources") or ()
    everywhere = {str(one.get("urn")) for one in resources if isinstance(one, Mapping)}
    seen: dict[str, str] = {}
    for number, raw in enumerate(resources):
        if not isinstance(raw, Mapping) or not isinstance(raw.get("urn"), str) or not raw.get("type"):
            name = raw.get("urn") if isinstance(raw, Mapping) else None
            yield _finding(Wrong.MALFORMED, str(name or f"resource {number + 1}"), "it has no URN or no type")
            continue
        urn = raw["urn"]
        yield from _owner(urn, stack, project)
        for reference in references(raw):
            if reference not in seen:
                yield _missing(urn, reference, elsewhere=reference in everywhere)
        provider, _, id_ = str(raw.get("provider") or "").rpartition("::")
        if provider in seen and seen[provider] != id_:
            text = f"it names the provider {provider} by the id {id_}, which has the id {seen[provider]}"
            yield _finding(Wrong.DANGLING, urn, text)
        # What the CLI replaced and has yet to delete stands a second time, marked so.
        if urn in seen and not raw.get("delete"):
            yield _finding(Wrong.DUPLICATE, urn, "it stands in it twice")
        seen[urn] = str(raw.get("id") or "")


def _owner(urn: str, stack: str, project: str) -> Iterator[Finding]:
    if not stack:
        return
    parts = urn.split("::")
    if len(parts) < 4 or not parts[0].startswith("urn:pulumi:"):
        yield _finding(Wrong.MALFORMED, urn, "it is no URN")
    elif (parts[0].removeprefix("urn:pulumi:"), parts[1]) != (stack, project):
        yield _finding(Wrong.FOREIGN, urn, f"it belongs to another stack than {project}/{stack}")


def _missing(urn: str, reference: str, *, elsewhere: bool) -> Finding:
    if elsewhere:
        return _finding(Wrong.MISPLACED, urn, f"it refers to {reference}, which does not stand before it")
    return _finding(Wrong.DANGLING, urn, f"it refers to {reference}, which does not exist")


def _provider_urn(raw: Mapping[str, Any]) -> str | None:
    return str(raw.get("provider") or "").rpartition("::")[0] or None


def _finding(wrong: Wrong, subject: str, message: str) -> Finding:
    return Finding(wrong=wrong, subject=subject, message=message, hint=_RESTORE)
