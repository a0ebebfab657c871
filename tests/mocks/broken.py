"""A program that registers given resources, and one that adds them to a tenant's: a component with a mistake in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from stacks.tenant_stack import tenant_stack
from tenantry.tenancy.spec import TenantSpec

__all__ = ["Registration", "registering", "tenant_and"]

Registration = tuple[str, str, Mapping[str, Any], bool]
"""Type token, name, inputs, protect."""


class Mistaken(pulumi.ComponentResource):
    def __init__(self, registrations: Sequence[Registration]) -> None:
        super().__init__("tenantry:tenant:Mistaken", "mistaken")
        for type_, name, inputs, protect in registrations:
            options = pulumi.ResourceOptions(parent=self, protect=protect)
            pulumi.CustomResource(type_, name, dict(inputs), options)
        self.register_outputs({})


def registering(*, registrations: Sequence[Registration]) -> None:
    Mistaken(registrations)


def tenant_and(*, spec: TenantSpec, registrations: Sequence[Registration]) -> None:
    tenant_stack(spec=spec)
    Mistaken(registrations)
