"""Each rule: sound stacks break none, and each way to break one is found, under its name and at its resource."""

from __future__ import annotations

from collections import Counter

import pytest

from tenantry.tenancy.judgement import Level
from tenantry_policies.judging import judge
from tenantry_policies.rule import ResourceRule
from tenantry_policies.rules import RULES
from tests.unit.policies.cases import CASES, GONE, NAMES, Case
from tests.unit.policies.sound import stack

BY_NAME = {rule.name: rule for rule in RULES}


def titled(case: Case) -> str:
    value = "gone" if case.value is GONE else str(case.value)
    return f"{case.rule}: {case.at} {value}"[:120]


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_stack_breaks_no_rule(name: str) -> None:
    judgement = judge(stack(name).values())
    assert [(one.rule, one.resource, one.message) for one in (*judgement.refused, *judgement.advised)] == []
    assert judgement.remedied == ()


@pytest.mark.parametrize("case", CASES, ids=titled)
def test_a_violation_is_found_at_its_level_and_says_what_to_change(case: Case) -> None:
    rule = BY_NAME[case.rule]
    judgement = judge(case.resources())
    found = judgement.advised if rule.level is Level.ADVISORY else judgement.refused
    ours = [one for one in found if one.rule == case.rule]
    assert ours
    for one in ours:
        assert "; " in one.message
        assert one.message.endswith(f"(why: docs/policies.md#{case.rule})")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_meets_a_resource_that_passes_and_one_that_breaks_it(rule: ResourceRule) -> None:
    assert any(case.rule == rule.name for case in CASES)
    if isinstance(rule, ResourceRule):
        sound = [one for name in NAMES for one in stack(name).values() if one.key in rule.keys]
        assert sound
        assert all(not list(rule.check(one)) for one in sound)


def test_rules_have_names_of_their_own() -> None:
    assert [name for name, count in Counter(rule.name for rule in RULES).items() if count > 1] == []


@pytest.mark.parametrize(
    ("at", "rule"),
    [
        ("tenant Deployment/web spec.template.spec.automountServiceAccountToken", "kubernetes-token-in-tenant"),
        ("tenant ServiceAccount/workload automountServiceAccountToken", "kubernetes-token-in-tenant"),
        ("tenant Deployment/web spec.template.spec.securityContext.seccompProfile", "unconfined-container"),
        (
            "tenant CronJob/backup spec.jobTemplate.spec.template.spec.securityContext.seccompProfile",
            "unconfined-container",
        ),
        (
            "tenant Deployment/web spec.template.spec.containers.0.securityContext.allowPrivilegeEscalation",
            "privilege-escalation",
        ),
    ],
)
def test_what_was_left_out_is_filled_in_and_nothing_else_is_touched(at: str, rule: str) -> None:
    broken = Case(rule=rule, at=at, value=GONE).resources()
    before = {one.urn: repr(one.inputs) for one in broken}
    judgement = judge(broken)
    assert judgement.refused == ()
    assert [one.rule for one in judgement.remedied] == [rule]
    sound = {one.urn: one.inputs for one in stack("tenant").values()}
    assert judgement.inputs == {urn: sound[urn] for urn in judgement.inputs}
    assert len(judgement.inputs) == 1
    assert {one.urn: repr(one.inputs) for one in broken} == before


def test_a_test_environment_may_be_without_protection_and_backup() -> None:
    resources = stack("tenant")
    for one in resources.values():
        labels = one.inputs.get("metadata", {}).get("labels", {})
        if labels:
            labels["tenantry.dev/environment"] = "test"
    del resources["CronJob/backup"]
    loose = [type(one)(**{**vars(one), "protect": False}) for one in resources.values()]
    assert [one.message for one in judge(loose).refused] == []


def test_a_tenants_object_is_not_the_cells_for_a_label() -> None:
    resources = stack("tenant")
    web = resources["Deployment/web"].inputs
    web["metadata"]["labels"]["tenantry.dev/cell"] = "one"
    web["spec"]["template"]["spec"]["automountServiceAccountToken"] = True
    assert "kubernetes-token-in-tenant" in {one.rule for one in judge(resources.values()).refused}


def test_a_violation_names_its_resource() -> None:
    case = Case(rule="host-access", at="tenant Deployment/web spec.template.spec.hostNetwork", value=True)
    (violation,) = judge(case.resources()).refused
    assert violation.resource == "Deployment web"
    assert violation.urn == "urn:pulumi:tenant::tenantry::kubernetes:apps/v1:Deployment::web"
    assert violation.message == ("the pod sets hostNetwork; take it away (why: docs/policies.md#host-access)")
