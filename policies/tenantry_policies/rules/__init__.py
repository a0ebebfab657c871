"""All rules of the pack, in the order in which docs/policies.md lists them."""

from __future__ import annotations

from tenantry_policies.rule import Rule
from tenantry_policies.rules import (
    aws_access,
    aws_data,
    backups,
    containers,
    cost,
    encryption,
    exposure,
    grants,
    images,
    limits,
    namespaces,
    network,
    protection,
    residency,
    secrecy,
)

__all__ = ["RULES"]

RULES: tuple[Rule, ...] = (
    *network.RULES,
    *namespaces.RULES,
    *containers.RULES,
    *limits.RULES,
    *images.RULES,
    *exposure.RULES,
    *secrecy.RULES,
    *encryption.RULES,
    *grants.RULES,
    *protection.RULES,
    *backups.RULES,
    *residency.RULES,
    *cost.RULES,
    *aws_data.RULES,
    *aws_access.RULES,
)
