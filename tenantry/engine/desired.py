"""What a program asks for: its registrations, complete and in registration order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tenantry.engine.urn import package_of

__all__ = ["CustomTimeouts", "Desired", "DesiredResource"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomTimeouts:
    """Seconds; None: the kind's default."""

    create: float | None = None
    update: float | None = None
    delete: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredResource:
    """One registration, with what it inherits from its parent already filled in.

    id: the name that the provider will give to it, "" where only the provider knows. provider: `urn::id`, "" for
    components and providers. aliases: earlier URNs of the same resource.
    """

    urn: str
    type: str
    name: str
    custom: bool
    id: str
    inputs: Mapping[str, Any]
    parent: str | None = None
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    provider: str = ""
    protect: bool = False
    retain_on_delete: bool = False
    delete_before_replace: bool = False
    deleted_with: str | None = None
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    additional_secret_outputs: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    timeouts: CustomTimeouts | None = None

    @property
    def is_provider(self) -> bool:
        return self.type.startswith("pulumi:providers:")

    @property
    def is_default_provider(self) -> bool:
        """One that the program did not declare."""
        return self.is_provider and self.parent is None and self.name.partition("_")[0] == "default"

    @property
    def is_logical(self) -> bool:
        """Components, the stack and providers: they exist in state only."""
        return not self.custom or self.is_provider

    @property
    def is_kubernetes(self) -> bool:
        return not self.is_logical and package_of(self.type) == "kubernetes"

    @property
    def is_dynamic(self) -> bool:
        return not self.is_logical and package_of(self.type) == "pulumi-python"

    @property
    def provider_urn(self) -> str | None:
        return self.provider.rpartition("::")[0] or None

    @property
    def references(self) -> tuple[str, ...]:
        """URNs that must stand before this one, in state and in time."""
        found = dict.fromkeys(self.dependencies)
        for urns in self.property_dependencies.values():
            found.update(dict.fromkeys(urns))
        for urn in (self.parent, self.provider_urn, self.deleted_with):
            if urn:
                found[urn] = None
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """outputs: of components and of the stack, by URN."""

    resources: tuple[DesiredResource, ...]
    outputs: Mapping[str, Mapping[str, Any]]
    root: str
