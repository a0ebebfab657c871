"""Property values as the engine holds them: JSON values, with `Secret` around what must not be shown. Pure.

Integral numbers are ints (the wire knows only doubles, the Kubernetes API wants integers).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import struct_pb2

from tenantry.tenancy.errors import Unsupported

__all__ = [
    "RESOURCE_SIGNATURE",
    "SECRET_SIGNATURE",
    "SIGNATURE_KEY",
    "Secret",
    "at",
    "contains_secret",
    "differing_paths",
    "from_struct",
    "matches",
    "plain",
    "pruned",
    "without",
]

SIGNATURE_KEY = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 (a type tag of Pulumi's wire format)
RESOURCE_SIGNATURE = "5cf8f73096256a8f31e491e813e4eb8e"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class Secret:
    """A value that is encrypted at rest and never shown. Equal to another secret with an equal value."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(Secret)

    def __repr__(self) -> str:
        return "[secret]"


def from_struct(struct: struct_pb2.Struct, *, where: str) -> dict[str, Any]:
    """Properties of a registration. where: the resource, for the error.

    Raises Unsupported for what only exists after another resource was made (unknown), for assets and archives.
    """
    return {key: _from_value(value, where, key) for key, value in struct.fields.items()}


def _from_value(value: struct_pb2.Value, where: str, path: str) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text = value.string_value
        if text == UNKNOWN:
            raise Unsupported(
                f"property {path} is only known after another resource was made",
                where=where,
                hint="hand a decided value to it instead of another resource's computed output, or run the stack by "
                "the Pulumi CLI",
            )
        return text
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_from_value(item, where, f"{path}[{i}]") for i, item in enumerate(value.list_value.values)]
    if kind == "struct_value":
        fields = value.struct_value.fields
        if SIGNATURE_KEY in fields:
            signature = fields[SIGNATURE_KEY].string_value
            if signature == SECRET_SIGNATURE:
                return Secret(plain(_from_value(fields["value"], where, path)))
            if signature != RESOURCE_SIGNATURE:
                raise Unsupported(
                    f"property {path} is an asset or another special value",
                    where=where,
                    hint="run the stack by the Pulumi CLI",
                )
        return {key: _from_value(item, where, f"{path}.{key}") for key, item in fields.items()}
    return None


def plain(value: Any) -> Any:
    """The value without secret wrappers. For comparing and for sending; never for showing."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def contains_secret(value: Any) -> bool:
    if isinstance(value, Secret):
        return True
    if isinstance(value, dict):
        return any(contains_secret(item) for item in value.values())
    return isinstance(value, list) and any(contains_secret(item) for item in value)


def matches(left: Any, right: Any) -> bool:
    """Whether two values are equal apart from secret wrappers."""
    if isinstance(left, Secret) or isinstance(right, Secret):
        return bool(plain(left) == plain(right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(matches(item, right[key]) for key, item in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(matches, left, right))
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def differing_paths(old: Any, new: Any, prefix: str = "") -> Iterator[str]:
    """Dotted paths at which two values differ; below a secret only the secret itself is named."""
    if isinstance(old, Secret) or isinstance(new, Secret):
        if plain(old) != plain(new):
            yield prefix
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            path = f"{prefix}.{key}" if prefix else key
            if key in old and key in new:
                yield from differing_paths(old[key], new[key], path)
            else:
                yield path
        return
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (left, right) in enumerate(zip(old, new, strict=True)):
            yield from differing_paths(left, right, f"{prefix}[{index}]")
        return
    if not matches(old, new):
        yield prefix


def pruned(live: Any, shape: Any) -> Any:
    """The part of a live object that an input speaks about: its keys, recursively; equally long lists by position."""
    if isinstance(shape, Secret):
        shape = shape.value
    if isinstance(live, Secret):
        live = live.value
    if isinstance(shape, dict) and isinstance(live, dict):
        return {key: pruned(live[key], item) for key, item in shape.items() if key in live}
    if isinstance(shape, list) and isinstance(live, list) and len(shape) == len(live):
        return [pruned(left, right) for left, right in zip(live, shape, strict=True)]
    return live


def at(value: Any, path: str) -> Any:
    """The value at a dotted path of keys, or None."""
    for key in path.split("."):
        if isinstance(value, Secret):
            value = value.value
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return value


def without(value: dict[str, Any], path: str, replacement: Any = None) -> dict[str, Any]:
    """A copy in which the value at a dotted path is replaced, or removed when the replacement is None."""
    head, _, rest = path.partition(".")
    copy = dict(value)
    if not rest:
        if replacement is None:
            copy.pop(head, None)
        else:
            copy[head] = replacement
    elif isinstance(copy.get(head), dict):
        copy[head] = without(copy[head], rest, replacement)
    elif head not in copy and replacement is not None:
        copy[head] = without({}, rest, replacement)
    return copy
