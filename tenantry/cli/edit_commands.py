"""`tenantry tenant scale | suspend | resume | extend`: one edit of a tenant, made where it is kept.

In a cell with an operator that is its Tenant object, and the operator does the rest; in a cell without one it is the
record, and a run of the stack follows at once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenantry.cli import tables
from tenantry.cli.declaring import follow, objects_of
from tenantry.cli.live import LiveRuns, LiveTenants
from tenantry.cli.opening import open_fleet
from tenantry.cli.options import CellOption, LocalOption, TimeoutOption, WaitOption
from tenantry.cli.reporting import JsonOption, print_json, say
from tenantry.fleet import Fleet
from tenantry.tenancy.editing import Edit, difference, edited, extending, scaling, suspending
from tenantry.tenancy.errors import RunFailed
from tenantry.tenancy.manifest import TenantFile, parse_tenant
from tenantry.tenancy.standing import Standing
from tenantry.tenancy.workload_spec import ModuleKind

if TYPE_CHECKING:
    from tenantry.fleet.tenant_objects import TenantObjects

__all__ = ["register"]

NameArgument = Annotated[str, typer.Argument(help="A tenant of the cell.", show_default=False)]
_ELSEWHERE = ("gitops", "pulumi")
"""Drivers that write their own text again."""
_WITH_REPLICAS = (ModuleKind.SERVICE, ModuleKind.WORKER)


def register(app: typer.Typer) -> None:
    """Add the commands to `tenantry tenant`."""
    for command in (scale, suspend, resume, extend):
        app.command()(command)


def scale(
    name: NameArgument,
    wishes: Annotated[
        list[str], typer.Argument(metavar="MODULE=N...", help="N replicas, or `auto` to follow the load again.")
    ],
    wait: WaitOption = True,
    timeout_s: TimeoutOption = 600,
    cell: CellOption = None,
    local: LocalOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Give modules a fixed number of replicas, whatever is measured, or let them follow their load again.

    The number stands in the tenant's file as modules.MODULE.scale; it is within what the plan allows.
    """

    def making(fleet: Fleet, file: TenantFile) -> Edit:
        versions = fleet.catalogue.workloads.get(file.tenant.spec.workload) or {}
        known = [
            module.name
            for entry in versions.values()
            for module in entry.workload.spec.modules
            if module.kind in _WITH_REPLICAS
        ]
        return scaling(wishes, modules=sorted(set(known)))

    _edit(name, making, "scaled", wait=wait, timeout_s=timeout_s, cell=cell, local=local, as_json=as_json)


def suspend(
    name: NameArgument,
    wait: WaitOption = True,
    timeout_s: TimeoutOption = 600,
    cell: CellOption = None,
    local: LocalOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Stop a tenant's workload and keep all its data; unsubscribe links are still answered. `resume` undoes it."""

    def making(_fleet: Fleet, _file: TenantFile) -> Edit:
        return suspending(suspended=True)

    _edit(name, making, "suspended", wait=wait, timeout_s=timeout_s, cell=cell, local=local, as_json=as_json)


def resume(
    name: NameArgument,
    wait: WaitOption = True,
    timeout_s: TimeoutOption = 600,
    cell: CellOption = None,
    local: LocalOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Let a suspended tenant run again, with the replicas that it had."""

    def making(_fleet: Fleet, _file: TenantFile) -> Edit:
        return suspending(suspended=False)

    _edit(name, making, "running again", wait=wait, timeout_s=timeout_s, cell=cell, local=local, as_json=as_json)


def extend(
    name: NameArgument,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="So many days longer.")] = 30,
    until: Annotated[
        datetime | None,
        typer.Option("--until", formats=["%Y-%m-%d"], help="Until this day instead.", show_default=False),
    ] = None,
    wait: WaitOption = True,
    timeout_s: TimeoutOption = 600,
    cell: CellOption = None,
    local: LocalOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Keep a test environment longer. One that has expired comes back with all its data while its grace lasts."""

    def making(fleet: Fleet, file: TenantFile) -> Edit:
        environment = fleet.catalogue.environments[file.tenant.spec.environment]
        day: date | None = until.date() if until is not None else None
        return extending(file.tenant, environment, today=datetime.now(UTC).date(), days=days, until=day)

    _edit(name, making, "extended", wait=wait, timeout_s=timeout_s, cell=cell, local=local, as_json=as_json)


def _edit(
    name: str,
    making: Callable[[Fleet, TenantFile], Edit],
    done: str,
    *,
    wait: bool,
    timeout_s: int,
    cell: Path | None,
    local: str,
    as_json: bool,
) -> None:
    with open_fleet(cell, local) as fleet:
        objects = objects_of(fleet)
        if objects is None:
            _in_record(fleet, name, making, done, as_json=as_json)
        else:
            _in_object(fleet, objects, name, making, done, wait=wait, timeout_s=timeout_s, as_json=as_json)


def _in_object(
    fleet: Fleet,
    objects: TenantObjects,
    name: str,
    making: Callable[[Fleet, TenantFile], Edit],
    done: str,
    *,
    wait: bool,
    timeout_s: int,
    as_json: bool,
) -> None:
    from tenantry.fleet.tenant_objects import MANAGED_BY, file_of

    body = objects.require(name)
    found = file_of(body)
    wanted = parse_tenant(edited(found.text, making(fleet, found)), source=f"tenant/{name}")
    patch = difference(found.document.content["spec"], wanted.document.content["spec"])
    made_by = str((body["metadata"].get("labels") or {}).get(MANAGED_BY) or "kubectl")
    fleet.specs.admit(
        wanted, uid=str(body["metadata"]["uid"]), managed_by=made_by
    )  # refused before anything is written
    if made_by in _ELSEWHERE:
        say(f"{name}: it is managed by {made_by}: change it there too, or this is undone")
    else:
        say(f"{name}: write it in its file too: the next `tenantry tenant up` of that file undoes it")
    written = objects.edit(body, patch)
    standing = None
    if wait:
        with LiveTenants(quiet=as_json) as live:
            watched = follow(objects, [name], timeout_s=timeout_s, tell=live, until=_settled)
            written, standing = next((found, last) for _, found, last in watched)
    if standing is not None and standing.trouble is not None:
        raise standing.trouble
    if standing is not None and not standing.reached:
        raise RunFailed(
            f"not as asked for after {timeout_s} s: {standing.doing}",
            where=f"tenant/{name}",
            hint=f"the operator goes on with it: `tenantry tenant status {name} --wait`",
        )
    if as_json:
        status: dict[str, Any] = written.get("status") or {}
        print_json(
            {
                "tenant": name,
                "edit": patch,
                "generation": written["metadata"].get("generation"),
                "reached": standing is not None,
                "modules": status.get("modules") or [],
            }
        )
    else:
        say(f"{name}: {done}" if standing is not None else f"{name}: asked for; the operator does it")


def _in_record(
    fleet: Fleet, name: str, making: Callable[[Fleet, TenantFile], Edit], done: str, *, as_json: bool
) -> None:
    record = fleet.record(name)
    patch = making(fleet, parse_tenant(record.manifest, source=record.source))
    file = parse_tenant(edited(record.manifest, patch), source=record.source)
    (spec,) = fleet.specs.resolve_all([file])
    with LiveRuns(quiet=as_json) as live:
        (applied,) = fleet.up([(file, spec)], on_event=live)
    if applied.error is not None:
        raise applied.error
    if as_json:
        print_json({"tenant": name, "edit": patch, **tables.applied_document(applied)})
        return
    say(f"{name}: {done}")
    if Path(record.source).is_file():
        say(f"  write it in {record.source} too: the next `tenantry tenant up` of that file would undo it")


def _settled(_body: dict[str, Any], standing: Standing) -> bool:
    return standing.reached or standing.trouble is not None
