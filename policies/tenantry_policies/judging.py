"""Judging: apply the rules to a stack's resources. Remedies first, so that the other rules see what will be made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from tenantry.tenancy.judgement import Judgement, Level, Violation
from tenantry_policies.rule import ResourceRule, StackRule
from tenantry_policies.rules import RULES
from tenantry_policies.view import Resource, Stack

__all__ = ["judge", "remedied"]


def judge(resources: Iterable[Resource]) -> Judgement:
    """All that the rules find, in the order of the resources; what concerns the whole stack comes last."""
    inputs: dict[str, Mapping[str, Any]] = {}
    remedies: list[Violation] = []
    found: list[Violation] = []
    mended: list[Resource] = []
    for one in resources:
        resource, applied = remedied(one)
        if applied:
            inputs[one.urn] = resource.inputs
            remedies += applied
        mended.append(resource)
        for rule in _rules_for(resource.key):
            found += rule.violations(resource)
    stack = Stack(resources=tuple(mended))
    for whole in _STACK_RULES:
        found += whole.violations(stack)
    return Judgement(
        refused=tuple(one for one in found if one.level is not Level.ADVISORY),
        advised=tuple(one for one in found if one.level is Level.ADVISORY),
        remedied=tuple(remedies),
        inputs=inputs,
    )


def remedied(resource: Resource) -> tuple[Resource, tuple[Violation, ...]]:
    """The resource with what was left out filled in, and what that was."""
    applied: list[Violation] = []
    for rule in _rules_for(resource.key):
        inputs = rule.remedied(resource)
        if inputs is not None:
            applied.append(rule.violation(resource, f"filled in: {rule.title}"))
            resource = replace(resource, inputs=inputs)
    return resource, tuple(applied)


_STACK_RULES = tuple(rule for rule in RULES if isinstance(rule, StackRule))


@cache
def _rules_for(key: str) -> tuple[ResourceRule, ...]:
    return tuple(rule for rule in RULES if isinstance(rule, ResourceRule) and key in rule.keys)
