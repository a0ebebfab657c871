"""Whose the fields of a Tenant object are, as the API server notes it in `metadata.managedFields`. Pure.

By server-side apply a field goes with the file that it was taken out of, but only where nobody else has written it. An
entry says who wrote which fields, and how: by apply, or by any other edit, which the API server counts as another owner
even for the same name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["APPLIER", "adopted", "owners"]

APPLIER = "tenantry"
"""The field manager under which drivers apply a Tenant."""
_OURS = frozenset({APPLIER, "tenantry-operator"})
_SPEC = "f:spec"

Body = Mapping[str, Any]


def owners(body: Body, fields: Sequence[str] | None = None) -> tuple[str, ...]:
    """Who but us wrote the object's spec. fields: of these only, by their names in spec; None: of any."""
    written = {
        str(one.get("manager")): _fields(one)[_SPEC]
        for one in body["metadata"].get("managedFields") or ()
        if _SPEC in _fields(one)
    }
    return tuple(
        sorted(
            name
            for name, spec in written.items()
            if name not in _OURS and (fields is None or any(f"f:{field}" in spec for field in fields))
        )
    )


def adopted(body: Body, *, everybody: bool) -> list[dict[str, Any]] | None:
    """The entries, with what stands in spec moved to who applies it: what we wrote in another way, and for `everybody`
    what anybody did. What they say of labels and annotations stays. None where nothing is to be moved."""
    version = body["apiVersion"]
    mine: dict[str, Any] = {}
    rest: list[dict[str, Any]] = []
    moved: list[Mapping[str, Any]] = []
    for one in body["metadata"].get("managedFields") or ():
        same, ours = one.get("apiVersion") == version, one.get("manager") in _OURS
        if same and (one.get("manager"), one.get("operation")) == (APPLIER, "Apply"):
            mine = dict(one)
        elif same and (everybody or ours) and _SPEC in _fields(one):
            moved.append(_fields(one)[_SPEC])
            left = {key: value for key, value in _fields(one).items() if key != _SPEC}
            rest += [{**one, "fieldsV1": left}] if left else []
        else:
            rest.append(dict(one))
    if not moved:
        return None
    entry = {"manager": APPLIER, "operation": "Apply", "apiVersion": version, "fieldsType": "FieldsV1", **mine}
    spec = _fields(mine).get(_SPEC) or {}
    for fields in moved:
        spec = _union(spec, fields)
    return [{**entry, "fieldsV1": {**_fields(mine), _SPEC: spec}}, *rest]


def _fields(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return {} if entry.get("subresource") else entry.get("fieldsV1") or {}


def _union(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Sets of fields are trees, of which a leaf is an empty mapping."""
    return {**one, **{key: _union(one.get(key) or {}, inner) for key, inner in other.items()}}
