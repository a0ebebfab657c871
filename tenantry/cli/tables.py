"""What commands print: tables, trees and their JSON twins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table
from rich.tree import Tree

from tenantry.cli.declaring import Declared
from tenantry.cli.reporting import error_document, out
from tenantry.engine.interface import Change, Effect, Op, Preview
from tenantry.fleet import Applied, Fleet, Record, Shown
from tenantry.fleet.shown import Node
from tenantry.tenancy.spec import TenantSpec

__all__ = [
    "applied_document",
    "declared_document",
    "listed_documents",
    "preview_document",
    "print_applied",
    "print_declared",
    "print_diff",
    "print_preview",
    "print_records",
    "print_shown",
    "print_tree",
    "shown_document",
]

_SIGN = {
    Op.CREATE: "[green]+[/]",
    Op.UPDATE: "[yellow]~[/]",
    Op.REPLACE: "[magenta]±[/]",
    Op.DELETE: "[red]-[/]",
    Op.READ: " ",
    Op.SAME: " ",
}
_COLOUR = {
    Effect.NONE: "dim",
    Effect.IN_PLACE: "green",
    Effect.RESTART: "yellow",
    Effect.DOWNTIME: "red",
    Effect.DATA_LOSS: "bold red",
}


def _table(*columns: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def print_preview(spec: TenantSpec, preview: Preview) -> None:
    wanted = [change for change in preview.changes if change.op is not Op.SAME]
    if not wanted:
        out.print(f"[bold]{spec.name}[/]: no changes, {preview.resources} resources ({preview.seconds:.2f} s)")
        return
    out.print(f"[bold]{spec.name}[/]: {len(wanted)} of {preview.resources} resources change ({preview.seconds:.2f} s)")
    table = _table("", "RESOURCE", "KIND", "EFFECT", "WHAT")
    for change in wanted:
        what = change.reason or ", ".join(change.paths)
        table.add_row(
            _SIGN[change.op],
            escape(change.name),
            _kind(change.type),
            f"[{_COLOUR[change.effect]}]{change.effect}[/]",
            escape(what),
        )
    out.print(table)
    out.print(f"worst effect: [{_COLOUR[preview.worst]}]{preview.worst}[/]")


def print_applied(fleet: Fleet, applied: Sequence[Applied]) -> None:
    """The table after a run, and where to look next."""
    rows = [
        _Row(spec=one.spec)
        if one.result is None
        else _Row(
            spec=one.spec,
            objects=str(one.result.resources),
            changed=str(len(one.result.changes)),
            seconds=f"{one.result.seconds:.1f}",
            state="[green]provisioned[/]",
        )
        for one in applied
    ]
    _print_rows(fleet, rows)


def print_declared(fleet: Fleet, declared: Sequence[Declared]) -> None:
    """The same after an operator's work. One whose names the operator has not told yet is passed over."""
    rows = [
        _Row(
            spec=one.spec,
            objects=str(one.body["status"].get("resources", "-")),
            changed=one.change,
            seconds=f"{one.seconds:.1f}",
            state=f"[green]{one.body['status'].get('phase')}[/]",
        )
        for one in declared
        if one.spec is not None
    ]
    if rows:
        _print_rows(fleet, rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    spec: TenantSpec
    objects: str = "-"
    changed: str = "-"
    seconds: str = "-"
    state: str = "[red]failed[/]"


def _print_rows(fleet: Fleet, rows: Sequence[_Row]) -> None:
    table = _table(
        "TENANT",
        "NAMESPACE",
        "OBJECTS",
        "CHANGED",
        "DATABASE",
        "KEY",
        "HOSTS",
        "SECONDS",
        "STATE",
        right=("OBJECTS", "CHANGED", "SECONDS"),
    )
    simulated = fleet.cell.spec.kubernetes.simulated_nodes
    for row in rows:
        spec, done = row.spec, row.objects != "-"
        table.add_row(
            spec.name,
            spec.names.namespace,
            row.objects,
            row.changed,
            f"{spec.database.tier}: {spec.names.schema}",
            spec.names.transit_key,
            ", ".join(spec.hosts),
            row.seconds,
            row.state + (" [yellow](pods simulated)[/]" if simulated and done else ""),
        )
    out.print(table)
    done_spec = next((row.spec for row in rows if row.objects != "-"), None)
    if done_spec is not None:
        out.print("\nLook around:")
        out.print(f"  tenantry tenant show {done_spec.name}")
        if simulated:
            out.print('  eval "$(tenantry local env)"')
        out.print(f"  kubectl -n {done_spec.names.namespace} get all,networkpolicy,resourcequota")
        openbao = fleet.cell.spec.openbao
        out.print(
            f"  bao read {openbao.database_mount}/static-creds/{done_spec.names.database_role_a}"
            if done_spec.login_kept
            else f"  bao kv list {openbao.kv_mount}/{done_spec.names.kv_path}"
        )


def print_records(records: Sequence[Record], bodies: Mapping[str, Mapping[str, Any]]) -> None:
    """bodies: Tenant objects by name, where the cell has an operator."""
    listed = listed_documents(records, bodies)
    if not listed:
        out.print("no tenants yet; apply a tenant file with `tenantry tenant up FILE`")
        return
    table = _table("TENANT", "PLAN", "ENVIRONMENT", "RELEASE", "NAMESPACE", "HOSTS", "LAST FINISHED", "PHASE")
    for one in listed:
        table.add_row(
            one["name"],
            one["plan"],
            one["environment"],
            one.get("release") or "-",
            one.get("namespace") or "-",
            ", ".join(one.get("hosts") or ()) or "-",
            (one.get("finished_at") or "[yellow]never[/]")[:19].replace("T", " "),
            one.get("phase") or "-",
        )
    out.print(table)


def listed_documents(records: Sequence[Record], bodies: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every tenant by name: its record where it is kept here, and what its object says."""
    found = {one.name: one.model_dump(mode="json", exclude={"manifest"}) for one in records}
    for name, body in bodies.items():
        status, spec = body.get("status") or {}, body["spec"]
        told = {
            "name": name,
            "plan": spec.get("plan"),
            "environment": spec.get("environment", "production"),
            "incarnation": status.get("incarnation"),
            "namespace": status.get("namespace"),
            "release": status.get("release"),
            "template_version": status.get("templateVersion"),
            "hosts": status.get("hosts") or spec.get("hosts") or [],
        }
        found[name] = {**told, **found.get(name, {}), "phase": status.get("phase") or "Pending"}
    return [found[name] for name in sorted(found)]


def print_tree(nodes: Sequence[Node], *, title: str) -> None:
    tree = Tree(f"[bold]{escape(title)}[/]")
    for node in nodes:
        _grow(tree, node)
    out.print(tree)


def _grow(tree: Tree, node: Node) -> None:
    branch = tree.add(f"{escape(node.name)} [dim]{_kind(node.type)}[/]")
    for child in node.children:
        _grow(branch, child)


def print_shown(shown: Shown) -> None:
    record = shown.record
    facts = _table("", "")
    for label, value in (
        ("plan", f"{record.plan}, {record.environment}"),
        ("release", f"{record.release}, template version {record.template_version}"),
        ("namespace", record.namespace),
        ("hosts", ", ".join(record.hosts)),
        ("owner of the spec", record.managed_by),
        ("applied from", record.source),
    ):
        facts.add_row(f"[dim]{label}[/]", escape(value))
    out.print(f"[bold]{record.name}[/]")
    out.print(facts)
    conditions = _table("CONDITION", "STATUS", "REASON", "MESSAGE")
    for condition in shown.conditions:
        conditions.add_row(condition.type, condition.status, condition.reason, escape(condition.message))
    out.print(conditions)
    if shown.modules:
        modules = _table("MODULE", "KIND", "READY", right=("READY",))
        for module in shown.modules:
            modules.add_row(module.name, module.kind, f"{module.ready}/{module.wanted}")
        out.print(modules)
    print_tree(shown.resources, title="resources")


def print_diff(text: str) -> None:
    if out.is_terminal:
        out.print(Syntax(text, "diff", background_color="default"))
    else:
        out.print(escape(text), end="")


def preview_document(spec: TenantSpec, preview: Preview) -> dict[str, Any]:
    return {
        "tenant": spec.name,
        "resources": preview.resources,
        "seconds": round(preview.seconds, 3),
        "worst": preview.worst,
        "changes": [_change_document(change) for change in preview.changes if change.op is not Op.SAME],
    }


def applied_document(applied: Applied) -> dict[str, Any]:
    document = _names_document(applied.spec)
    if applied.error is not None:
        return document | {"error": error_document(applied.error)}
    if applied.result is None:
        return document
    return document | {
        "seconds": round(applied.result.seconds, 3),
        "recognised": applied.result.recognised,
        "counts": dict(applied.result.counts),
        "timings": {phase: round(seconds, 4) for phase, seconds in applied.result.timings.items()},
        "changes": [_change_document(change) for change in applied.result.changes],
    }


def declared_document(declared: Declared) -> dict[str, Any]:
    status = declared.body.get("status") or {}
    document = (
        {"tenant": declared.file.tenant.metadata.name} if declared.spec is None else _names_document(declared.spec)
    )
    document |= {
        "change": declared.change,
        "seconds": round(declared.seconds, 3),
        "phase": status.get("phase"),
        "resources": status.get("resources"),
    }
    return document if declared.error is None else document | {"error": error_document(declared.error)}


def _names_document(spec: TenantSpec) -> dict[str, Any]:
    return {
        "tenant": spec.name,
        "namespace": spec.names.namespace,
        "tier": spec.database.tier,
        "schema": spec.names.schema,
        "databaseRole": spec.names.database_role_a,
        "transitKey": spec.names.transit_key,
        "hosts": spec.hosts,
    }


def shown_document(shown: Shown) -> dict[str, Any]:
    return {
        "record": shown.record.model_dump(mode="json", exclude={"manifest"}),
        "conditions": [
            {"type": one.type, "status": one.status, "reason": one.reason, "message": one.message}
            for one in shown.conditions
        ],
        "modules": [
            {"name": one.name, "kind": one.kind, "ready": one.ready, "wanted": one.wanted} for one in shown.modules
        ],
        "resources": [_node_document(node) for node in shown.resources],
    }


def _node_document(node: Node) -> dict[str, Any]:
    return {"name": node.name, "type": node.type, "children": [_node_document(child) for child in node.children]}


def _change_document(change: Change) -> dict[str, Any]:
    return {
        "urn": change.urn,
        "op": change.op,
        "effect": change.effect,
        "paths": change.paths,
        "reason": change.reason,
    }


def _kind(resource_type: str) -> str:
    """The last word of a type token: `kubernetes:apps/v1:Deployment` gives `Deployment`."""
    return resource_type.rsplit(":", 1)[-1]
