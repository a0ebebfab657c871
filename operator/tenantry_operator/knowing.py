"""Gathers what is known of a tenant, from which its status is rendered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tenantry.tenancy.conditions import ConditionType, Reason, Status
from tenantry.tenancy.resolving import wish
from tenantry.tenancy.spec import Activity
from tenantry_operator.contract import Action, Context, ModuleState, TellsStatus
from tenantry_operator.holding import closed_by
from tenantry_operator.observing import Observed
from tenantry_operator.rendering import Known
from tenantry_operator.trouble import Trouble

__all__ = ["known_of"]


def known_of(
    context: Context,
    found: Observed,
    trouble: Trouble | None,
    working: tuple[Reason, str] | None,
    actions: Sequence[Action],
) -> Known:
    """trouble: the worst there is. working: what is under way, as (reason, sentence)."""
    record, spec, file = found.record, found.spec, found.file
    made = record is not None and record.finished_at is not None
    current = made and record is not None and spec is not None and file is not None
    if current and record is not None and spec is not None and file is not None:
        current = record.wish == wish(file.tenant, spec)
    more = [one for action in actions for one in action.conditions(context)]
    # A release that is due or went wrong: what is ready is not yet what was asked for.
    current = current and not any(
        one.type is ConditionType.RELEASED and one.status is Status.FALSE and one.reason is not Reason.WAITS_FOR_WINDOW
        for one in more
    )
    names: dict[str, Any] = {"incarnation": context.incarnation, "namespace": context.namespace}
    if record is not None:
        names |= {
            "release": record.release,
            "templateVersion": record.template_version,
            "hosts": list(record.hosts),
            "resources": record.resources,
        }
    for action in actions:
        if isinstance(action, TellsStatus):
            names |= action.status(context)
    day = file.tenant.spec.expires_on if file is not None else None
    return Known(
        generation=int(context.body["metadata"].get("generation") or 1),
        names=names,
        made=made,
        current=current,
        activity=Activity(record.activity) if made and record is not None else None,
        modules=_as_decided(context.modules, names.get("modules") or ()),
        expiry=found.expiry,
        expires_on=day.isoformat() if day is not None else None,
        simulated=context.cell.spec.kubernetes.simulated_nodes,
        deleting=context.deleting,
        trouble=trouble,
        working=working,
        closed_by=closed_by(context, more),
        more=more,
    )


def _as_decided(
    modules: Sequence[ModuleState] | None, rows: Iterable[Mapping[str, Any]]
) -> tuple[ModuleState, ...] | None:
    """The modules with as many replicas wanted as they are about to be given: a new one has a single one until then,
    and is not ready with that where its plan gives it two."""
    if modules is None:
        return None
    decided = {str(row["name"]): int(row["replicas"]) for row in rows}
    return tuple(replace(one, wanted=max(one.wanted, decided.get(one.name, 0))) for one in modules)
