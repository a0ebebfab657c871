"""`tenantry tenant status | events`: what the operator says of a tenant, now and as it happens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import Event
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from tenantry.cli.declaring import follow, objects_of
from tenantry.cli.live import LiveTenants
from tenantry.cli.opening import open_fleet
from tenantry.cli.options import CellOption, LocalOption, TimeoutOption
from tenantry.cli.reporting import JsonOption, out, print_json
from tenantry.fleet import Fleet
from tenantry.tenancy.errors import RunFailed, Unsupported
from tenantry.tenancy.standing import Standing, standing_of

__all__ = ["register"]

NameArgument = Annotated[str, typer.Argument(help="A tenant of the cell.", show_default=False)]
_POLL_S = 1.0
_COLOURS = {"True": "green", "False": "dim", "Unknown": "yellow"}


def register(app: typer.Typer) -> None:
    """Add the commands to `tenantry tenant`."""
    for command in (status, events):
        app.command()(command)


def status(
    name: NameArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Until what is asked for stands, or needs a hand.")] = False,
    timeout_s: TimeoutOption = 1800,
    cell: CellOption = None,
    local: LocalOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Show what is true of a tenant: conditions, what is under way, what to do next.

    With --wait the exit code tells the end: 0 as asked for, else that of what is in the way.
    """
    with open_fleet(cell, local) as fleet:
        objects = objects_of(fleet)
        body = _without_object(fleet, name) if objects is None else objects.require(name)
        standing = standing_of(body)
        if wait and objects is not None:
            with LiveTenants(quiet=as_json) as live:
                watched = follow(objects, [name], timeout_s=timeout_s, tell=live, until=_settled)
                body, standing = next((found, last) for _, found, last in watched)
            body = body or {"metadata": {"name": name}}
    if as_json:
        print_json(_document(body, standing))
    else:
        _print(body, standing)
    if wait:
        if standing.trouble is not None:
            raise typer.Exit(standing.trouble.exit_code)
        if not standing.reached:
            raise typer.Exit(RunFailed.exit_code)


def events(
    name: NameArgument,
    follow_: Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")] = False,
    cell: CellOption = None,
    local: LocalOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Show what happened to a tenant: each turn of a condition, the oldest first. The cluster keeps about an hour."""
    with open_fleet(cell, local) as fleet:
        objects = objects_of(fleet)
        if objects is None:
            raise Unsupported(
                f"cell {fleet.cell.metadata.name} has no operator, which is who tells events",
                hint=f"tenantry tenant show {name}",
            )
        told: set[tuple[str, str]] = set()
        found = _new(objects.events(name), told)
        if as_json and not follow_:
            print_json({"tenant": name, "events": [_event_document(one) for one in found]})
            return
        if not found and not follow_:
            objects.require(name)
            out.print(f"{escape(name)}: nothing happened in the last hour")
        pause = Event()
        try:
            while True:
                for one in found:
                    _print_event(one, as_json=as_json)
                if not follow_:
                    return
                pause.wait(_POLL_S)
                found = _new(objects.events(name), told)
        except KeyboardInterrupt:
            return  # that is how a follower ends


def _settled(_body: Mapping[str, Any], standing: Standing) -> bool:
    return standing.reached or standing.trouble is not None


def _without_object(fleet: Fleet, name: str) -> dict[str, Any]:
    """The same in a cell without an operator, from the record and the cluster."""
    shown = fleet.show(name)
    conditions = [
        {
            "type": one.type,
            "status": one.status,
            "reason": one.reason,
            "message": one.message,
            "observedGeneration": 1,
        }
        for one in shown.conditions
    ]
    record = shown.record
    names = {
        "incarnation": record.incarnation,
        "namespace": record.namespace,
        "release": record.release,
        "templateVersion": record.template_version,
        "hosts": list(record.hosts),
    }
    return {
        "metadata": {"name": name, "generation": 1},
        "spec": {"plan": record.plan, "environment": record.environment},
        "status": {"observedGeneration": 1, "phase": "", **names, "conditions": conditions},
    }


def _document(body: Mapping[str, Any], standing: Standing) -> dict[str, Any]:
    return {
        "tenant": body["metadata"]["name"],
        "generation": body["metadata"].get("generation"),
        "reached": standing.reached,
        "doing": standing.doing,
        "status": body.get("status") or {},
    }


def _print(body: Mapping[str, Any], standing: Standing) -> None:
    told: Mapping[str, Any] = body.get("status") or {}
    spec: Mapping[str, Any] = body.get("spec") or {}
    title = f"[bold]{escape(str(body['metadata']['name']))}[/]"
    out.print(title + (f"  {escape(standing.phase)}" if standing.phase else ""))
    facts = Table(box=None, show_header=False, pad_edge=False)
    for label, value in (
        ("plan", f"{spec.get('plan')}, {spec.get('environment', 'production')}"),
        ("release", f"{told.get('release', '-')}, template version {told.get('templateVersion', '-')}"),
        ("namespace", told.get("namespace", "-")),
        ("hosts", ", ".join(told.get("hosts") or ()) or "-"),
        ("asked for", f"generation {body['metadata'].get('generation', '-')}"),
        ("acted on", f"generation {told.get('observedGeneration', '-')}"),
    ):
        facts.add_row(f"[dim]{label}[/]", escape(str(value)))
    out.print(facts)
    conditions = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"):
        conditions.add_column(column, overflow="fold")
    for one in told.get("conditions") or ():
        conditions.add_row(
            str(one["type"]),
            f"[{_COLOURS.get(str(one['status']), 'white')}]{one['status']}[/]",
            str(one["reason"]),
            str(one.get("lastTransitionTime", "")),
            escape(str(one["message"])),
        )
    out.print(conditions)
    if told.get("modules"):
        out.print(_modules(told["modules"]))
    if standing.trouble is not None:
        out.print(f"[bold red]needs a hand:[/] {escape(standing.doing)}")
    elif not standing.reached:
        out.print(f"[bold]under way:[/] {escape(standing.doing)}")


def _modules(told: Iterable[Mapping[str, Any]]) -> Table:
    """How many replicas each module has, and why."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("MODULE", "READY", "CAPPED BY", "WHY"):
        table.add_column(column, overflow="fold")
    for one in told:
        table.add_row(
            escape(str(one["name"])),
            f"{one['ready']}/{one['replicas']}",
            str(one.get("cappedBy", "-")),
            escape(str(one["why"])),
        )
    return table


def _new(found: Iterable[dict[str, Any]], told: set[tuple[str, str]]) -> list[dict[str, Any]]:
    """Events that were not told yet; an event that happens again is one."""
    fresh = []
    for one in found:
        mark = (str(one["metadata"]["uid"]), str(one["metadata"]["resourceVersion"]))
        if mark not in told:
            told.add(mark)
            fresh.append(one)
    return fresh


def _event_document(event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "time": event.get("lastTimestamp"),
        "type": event.get("type"),
        "reason": event.get("reason"),
        "message": event.get("message"),
    }


def _print_event(event: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(_event_document(event))
        return
    colour = "yellow" if event.get("type") == "Warning" else "dim"
    out.print(
        f"[dim]{event.get('lastTimestamp')}[/]  [{colour}]{event.get('type')}[/]  "
        f"[bold]{event.get('reason')}[/]  {escape(str(event.get('message')))}"
    )
