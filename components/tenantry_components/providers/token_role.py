"""A token role in OpenBao: tokens of a few policies, whoever makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi.dynamic import Resource
from pydantic import Field

from tenantry.openbao import openbao
from tenantry_components.providers.provider import Inputs, UpsertProvider

__all__ = ["TokenRole"]

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


class TokenRoleInputs(Inputs):
    role: str = Field(pattern=_NAME)
    policies: tuple[str, ...]
    period_s: int = Field(ge=3600)


class TokenRoleProvider(UpsertProvider[TokenRoleInputs]):
    model = TokenRoleInputs
    identity = ("role",)

    def ensure(self, wanted: TokenRoleInputs) -> None:
        openbao().write(
            _path(wanted),
            {
                "allowed_policies": list(wanted.policies),
                # It outlives the token that made it: an administrator's is revoked after the set-up.
                "orphan": True,
                "renewable": True,
                "token_period": wanted.period_s,
                "token_type": "service",
            },
        )

    def observe(self, wanted: TokenRoleInputs) -> Mapping[str, Any] | None:
        live = openbao().read(_path(wanted))
        if live is None:
            return None
        return {"policies": list(live["allowed_policies"]), "period_s": int(live["token_period"])}

    def remove(self, wanted: TokenRoleInputs) -> None:
        openbao().delete(_path(wanted))


def _path(wanted: TokenRoleInputs) -> str:
    return f"auth/token/roles/{wanted.role}"


class TokenRole(Resource, module="tenantry", name="TokenRole"):
    """Tokens for people and programs outside the cluster, made by `auth/token/create/<role>`.

    policies: what such a token may do, besides OpenBao's `default` (look at itself, renew itself).
    period_s: how long one lives when nobody renews it.
    """

    role: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        role: str,
        policies: Sequence[str],
        period_s: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {"role": role, "policies": list(policies), "period_s": period_s}
        super().__init__(TokenRoleProvider(), resource_name, props, opts)
