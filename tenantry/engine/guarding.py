"""Guarding: have a program's resources judged by its policies before anything is planned.

The policies are a function by reference, like the program: the engine knows none. It takes the registrations and
gives a `Judgement`. Called by run.py for previews and updates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tenantry.engine.desired import Desired, DesiredResource
from tenantry.engine.evaluating import load
from tenantry.engine.interface import Diagnostic
from tenantry.tenancy.errors import PolicyViolated
from tenantry.tenancy.judgement import Judgement

__all__ = ["Policies", "guarded"]

Policies = Callable[[Sequence[DesiredResource]], Judgement]


def guarded(desired: Desired, reference: str, *, where: str, emit: Callable[[Diagnostic], None]) -> Desired:
    """What may be planned: `desired`, with what the policies filled in. reference: `module:function`, "" for none.

    Advice and remedies are emitted. Raises PolicyViolated with every mandatory violation.
    """
    if not reference:
        return desired
    policies: Policies = load(reference)
    judgement = policies(desired.resources)
    for severity, found in (("advice", judgement.advised), ("remedied", judgement.remedied)):
        for one in found:
            emit(Diagnostic(severity=severity, message=f"{one.resource}: {one.message}", urn=one.urn))
    if judgement.refused:
        raise PolicyViolated(judgement.refused, where=where)
    if not judgement.inputs:
        return desired
    resources = tuple(
        replace(one, inputs=judgement.inputs[one.urn]) if one.urn in judgement.inputs else one
        for one in desired.resources
    )
    return replace(desired, resources=resources)
