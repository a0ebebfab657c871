"""Projecting: a resource as Pulumi's checkpoint stores it.

Formats: `ResourceV3` of Pulumi's apitype; for Kubernetes objects, what Pulumi's Kubernetes provider keeps (inputs as
checked, outputs the whole live object with `__inputs`, `__initialApiVersion` and `__fieldManager`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenantry.engine.checkpoint import Recorded, now
from tenantry.engine.desired import DesiredResource
from tenantry.engine.properties import Secret, plain
from tenantry.engine.sealing import Sealer

__all__ = ["kubernetes_outputs", "project", "provider_outputs"]

_TIMES = ("created", "modified")


def project(
    resource: DesiredResource,
    *,
    id_: str,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any] | None,
    prior: Recorded | None,
    sealer: Sealer,
    init_errors: tuple[str, ...] = (),
) -> Recorded:
    """The checkpoint entry. outputs: None keeps the prior ones (and the prior inputs' text). An entry that differs
    from the prior one in nothing but its times is the prior one."""
    before: Mapping[str, Any] = prior.raw if prior is not None else {}
    raw: dict[str, Any] = {"urn": resource.urn, "custom": resource.custom, "type": resource.type}
    if id_:
        raw["id"] = id_
    raw["inputs"] = sealer.seal(dict(inputs), before.get("inputs"))
    raw["outputs"] = before.get("outputs") if outputs is None else sealer.seal(dict(outputs), before.get("outputs"))
    raw.update(_options(resource))
    if init_errors:
        raw["initErrors"] = list(init_errors)
    raw = {key: value for key, value in raw.items() if value not in (None, {}, [], ())}
    raw["custom"] = resource.custom
    if prior is not None and not prior.pending and raw == _timeless(before):
        return prior
    stamp = now()
    raw["created"] = before.get("created") or stamp
    raw["modified"] = stamp
    return Recorded(raw)


def _timeless(raw: Mapping[str, Any]) -> dict[str, Any]:
    bare = {key: value for key, value in raw.items() if key not in _TIMES and value not in (None, {}, [], ())}
    bare["custom"] = bool(raw.get("custom"))
    if "propertyDependencies" in bare:
        bare["propertyDependencies"] = {key: value or [] for key, value in bare["propertyDependencies"].items()}
    for key in ("dependencies", "additionalSecretOutputs"):
        if key in bare:
            bare[key] = sorted(bare[key])
    # The CLI notes where in its program a resource was declared; this engine does not know that.
    for key in ("sourcePosition", "stackTrace"):
        bare.pop(key, None)
    return bare


def _options(resource: DesiredResource) -> dict[str, Any]:
    timeouts = resource.timeouts
    return {
        "parent": resource.parent,
        "dependencies": list(resource.dependencies),
        "propertyDependencies": {key: list(urns) for key, urns in resource.property_dependencies.items()},
        "provider": resource.provider,
        "protect": resource.protect or None,
        "retainOnDelete": resource.retain_on_delete or None,
        "deletedWith": resource.deleted_with,
        "additionalSecretOutputs": list(resource.additional_secret_outputs),
        "ignoreChanges": list(resource.ignore_changes),
        "replaceOnChanges": list(resource.replace_on_changes),
        "customTimeouts": (
            {
                key: value
                for key, value in (
                    ("create", timeouts.create),
                    ("update", timeouts.update),
                    ("delete", timeouts.delete),
                )
                if value
            }
            if timeouts
            else None
        ),
    }


def provider_outputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in inputs.items() if key != "__internal"}


def kubernetes_outputs(
    live: Mapping[str, Any], inputs: Mapping[str, Any], *, manager: str, initial_api_version: str | None
) -> dict[str, Any]:
    """The stored outputs of an object: secret where its inputs are, and always a Secret's data."""
    outputs: dict[str, Any] = _mirror(live, inputs)
    if live.get("kind") == "Secret":
        for key in ("data", "stringData"):
            if key in outputs and not isinstance(outputs[key], Secret):
                outputs[key] = Secret(outputs[key])
    outputs["__inputs"] = dict(inputs)
    outputs["__initialApiVersion"] = initial_api_version or str(live.get("apiVersion"))
    outputs["__fieldManager"] = manager
    return outputs


def _mirror(value: Any, shape: Any) -> Any:
    """The value with secrets where the shape has secrets."""
    if isinstance(shape, Secret):
        return Secret(plain(value))
    if isinstance(value, dict) and isinstance(shape, Mapping):
        return {key: _mirror(item, shape[key]) if key in shape else item for key, item in value.items()}
    if isinstance(value, list) and isinstance(shape, list) and len(value) == len(shape):
        return [_mirror(item, one) for item, one in zip(value, shape, strict=True)]
    return value
