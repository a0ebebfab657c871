"""The pack as the Pulumi CLI calls it: each rule as a policy of its own, by pulumi-policy.

Every policy is mandatory or advisory as its rule says; a stack's own policy configuration may change that. A value that
is only known after the run makes the CLI skip the rule in its preview, with a note, and apply it in the update.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyPack,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from tenantry.tenancy.judgement import Level
from tenantry_policies.rule import ResourceRule, Rule, StackRule
from tenantry_policies.rules import RULES
from tenantry_policies.view import Resource, Stack

__all__ = ["main", "policies"]

_LEVELS = {
    Level.MANDATORY: EnforcementLevel.MANDATORY,
    Level.ADVISORY: EnforcementLevel.ADVISORY,
    Level.REMEDIATING: EnforcementLevel.REMEDIATE,
}


def main() -> None:
    """Serve the pack to the CLI that started this process, until it ends."""
    PolicyPack(name="tenantry", policies=policies(), enforcement_level=EnforcementLevel.MANDATORY)


def policies() -> list[Policy]:
    return [_policy(rule) for rule in RULES]


def _policy(rule: Rule) -> Policy:
    described: dict[str, Any] = {
        "name": rule.name,
        "description": f"{rule.title} {rule.why}",
        "enforcement_level": _LEVELS[rule.level],
    }
    if isinstance(rule, ResourceRule):
        return ResourceValidationPolicy(
            **described,
            validate=_resource_validation(rule),
            remediate=None if rule.remedy is None else _remediation(rule),
        )
    assert isinstance(rule, StackRule)
    return StackValidationPolicy(**described, validate=_stack_validation(rule))


def _resource_validation(rule: ResourceRule) -> Callable[[ResourceValidationArgs, ReportViolation], None]:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        for violation in rule.violations(_resource(args)):
            report(violation.message, None)

    return validate


def _remediation(rule: ResourceRule) -> Callable[[ResourceValidationArgs], Any]:
    """pulumi-policy takes plain inputs from it as well as an awaitable, though its types know only the latter."""
    return lambda args: rule.remedied(_resource(args))


def _stack_validation(rule: StackRule) -> Callable[[StackValidationArgs, ReportViolation], None]:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        stack = Stack(resources=tuple(_resource(one) for one in args.resources if _is_real(one.resource_type)))
        for violation in rule.violations(stack):
            report(violation.message, violation.urn)

    return validate


def _is_real(type_: str) -> bool:
    """Whether a provider makes it; components, providers and the stack exist in state only."""
    return not type_.startswith("pulumi:") and type_.count(":") == 2 and not type_.startswith("tenantry:")


def _resource(shown: ResourceValidationArgs | PolicyResource) -> Resource:
    refers: set[str] = set()
    if isinstance(shown, PolicyResource):
        refers.update(one.urn for one in shown.dependencies)
        refers.update(one.urn for ones in shown.property_dependencies.values() for one in ones)
    return Resource(
        urn=shown.urn,
        type=shown.resource_type,
        name=shown.name,
        inputs=shown.props,
        protect=bool(shown.opts.protect),
        refers=frozenset(refers),
    )
