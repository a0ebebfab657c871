"""Whose it is: what every bill, every dashboard and every deletion goes by."""

from __future__ import annotations

from tenantry_policies.rule import Findings, Rule, stack_rule
from tenantry_policies.view import CELL, ENVIRONMENT, INCARNATION, TENANT, Resource, Stack, mapping, named

__all__ = ["RULES"]

_PLAN = "tenantry.dev/plan"


@stack_rule()
def missing_cost_labels(stack: Stack) -> Findings:
    """Every Kubernetes object says whose it is: tenant, incarnation, plan and environment, or the cell.

    Costs are added up by these labels, and what a deleted tenant left behind is found by them.
    """
    tenant = stack.tenant
    for one in stack.resources:
        if not one.is_kubernetes:
            continue
        if tenant is None:
            if not named(one.labels, CELL) and not named(one.labels, TENANT):
                yield one, f"nothing says whose it is; add the label {CELL} or {TENANT}"
            continue
        wrong = [
            label
            for label in (TENANT, INCARNATION, _PLAN, ENVIRONMENT)
            if one.labels.get(label) is None or one.labels.get(label) != tenant.labels.get(label)
        ]
        if wrong:
            yield one, f"it does not carry the tenant's labels {', '.join(wrong)}; add them as on its namespace"
        pod_labels = _labels_of_pods(one)
        if pod_labels is not None and pod_labels.get(TENANT) != tenant.labels.get(TENANT):
            yield one, f"its pods do not say whose they are; add the label {TENANT} to the template's metadata"


def _labels_of_pods(owner: Resource) -> dict[str, object] | None:
    """Labels of the pods that it makes, None where it makes none (or is one)."""
    if not owner.pod or owner.key == "Pod":
        return None
    spec = owner.spec
    if owner.key == "CronJob":
        spec = mapping(mapping(spec.get("jobTemplate")).get("spec"))
    return dict(mapping(mapping(mapping(spec.get("template")).get("metadata")).get("labels")))


RULES: tuple[Rule, ...] = (missing_cost_labels,)
