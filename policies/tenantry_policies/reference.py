"""docs/policies.md, written from the rules: `python -m tenantry_policies.reference > docs/policies.md`."""

from __future__ import annotations

import sys
from textwrap import fill

from tenantry.tenancy.judgement import Level
from tenantry_policies.rules import RULES

__all__ = ["BREAKABLE_BY_TEMPLATES", "reference"]

BREAKABLE_BY_TEMPLATES = (
    "floating-image",
    "foreign-image",
    "credential-in-environment",
    "plain-connection",
    "database-not-encrypted",
    "data-without-backup",
    "backup-kept-too-short",
    "data-outside-residency",
)
"""Mandatory and remediating rules that a file in `tenant_templates/` can break, by a field or a file beside it."""


def _of_templates() -> str:
    names = ", ".join(f"`{name}`" for name in BREAKABLE_BY_TEMPLATES)
    text = f"Of the rules that refuse, a workload, a plan or an environment class can break these: {names}."
    return fill(text, width=120, break_on_hyphens=False)


_INTRODUCTION = f"""\
# Policies

What the resources of a tenant, a cell or an AWS account must never break. The same rules run in three ways, with the
same messages:

| way | when | what a mandatory violation does |
|---|---|---|
| embedded engine | every preview and update, before anything is planned | exit code 2, nothing is made |
| `tenantry policy check FILE…` | when you ask, of tenant and cell files; nothing is touched or need run | exit code 2 |
| `pulumi up --policy-pack policies` | with the Pulumi CLI, at the preview and at each resource | Pulumi refuses |

A rule is *mandatory* (refuses), *advisory* (is said, and the run goes on) or *remediating*: what was left out is filled
in, and said; what contradicts the rule is refused.

`tenantry policy list` prints this list. A message names what to change and, at its end, the rule's heading below. The
API server of a cell holds the most important of these rules a second time (`policies/admission/`), against whoever
goes round Tenantry; a preview of plain `pulumi` there may end at the first object that the API server refuses, before
the pack has seen the others.

## When a rule refuses you

1. `tenantry policy check FILE` shows every violation of a tenant file or a cell file, with the resource that has it.
2. Mend what the message names: the tenant file, the workload in `tenant_templates/workloads/`, the cell file, or the
   component that makes the resource.
3. A rule has no switch in a tenant file. With the Pulumi CLI, `--policy-pack-config` can change a rule's level for a
   stack; the embedded engine has no such exception.

A tenant file alone breaks no rule: what it could break (data outside of its residency, no backup, a wildcard among its
hosts or destinations, an image of its own) is refused by its model, with file and line, before any resource is thought
of. So the rules are about mistakes in the cell file, in `tenant_templates/` and in components.

{_of_templates()}
What the other ones hold for a tenant (its fence, its pods' security, limits, rights, labels) is set by components
alone: a template has no field for it, or its schema refuses the value, with file and line.

Where images may come from is said by the cell file: `spec.images.sources`, or `spec.images.registry` for a registry of
your own, which is then the only source. Where data may lie is said by the cell file as well (`spec.region`,
`spec.residency`), and demanded by the tenant file (`placement.residency`).

To add a rule, write a function in `policies/tenantry_policies/rules/`, named as the violation that it finds, with a
case that passes and one that breaks it in `tests/unit/policies/`, and run
`python -m tenantry_policies.reference > docs/policies.md`.

## The rules
"""


def reference() -> str:
    parts = [_INTRODUCTION, "| rule | level | what holds |", "|---|---|---|"]
    parts += [f"| [{rule.name}](#{rule.name}) | {rule.level} | {rule.title} |" for rule in RULES]
    for rule in RULES:
        level = rule.level.capitalize()
        filled = " What is left out is filled in." if rule.level is Level.REMEDIATING else ""
        parts += ["", f"### {rule.name}", "", f"{level}.{filled} {rule.title}", "", rule.why]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
