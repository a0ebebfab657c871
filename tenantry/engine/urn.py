"""URNs: the names that Pulumi gives to resources. Pure.

`urn:pulumi:<stack>::<project>::<qualified type>::<name>`; the qualified type carries the types of all parents
but the root stack, joined by `$`.
"""

from __future__ import annotations

__all__ = ["ROOT_TYPE", "make", "name_of", "package_of", "qualified_type_of", "type_of"]

ROOT_TYPE = "pulumi:pulumi:Stack"


def make(*, stack: str, project: str, parent: str | None, type_: str, name: str) -> str:
    """The URN of a resource below `parent` (a URN, or None)."""
    prefix = ""
    if parent:
        parent_type = qualified_type_of(parent)
        if parent_type != ROOT_TYPE:
            prefix = f"{parent_type}$"
    return f"urn:pulumi:{stack}::{project}::{prefix}{type_}::{name}"


def qualified_type_of(urn: str) -> str:
    return urn.split("::", 3)[2]


def type_of(urn: str) -> str:
    return qualified_type_of(urn).rsplit("$", 1)[-1]


def name_of(urn: str) -> str:
    return urn.split("::", 3)[3]


def package_of(type_: str) -> str:
    """`kubernetes` of `kubernetes:core/v1:ConfigMap`, and of its provider `pulumi:providers:kubernetes`."""
    head, _, rest = type_.partition(":")
    if head == "pulumi" and rest.startswith("providers:"):
        return rest.removeprefix("providers:")
    return head
