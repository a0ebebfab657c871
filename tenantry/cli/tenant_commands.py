"""`tenantry tenant …`: tenants from their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenantry.cli import (
    backup_commands,
    deletion_commands,
    drift_commands,
    edit_commands,
    release_commands,
    status_commands,
    tables,
)
from tenantry.cli.asking import YesOption, confirm
from tenantry.cli.declaring import declare, objects_of
from tenantry.cli.engine_commands import EngineOption
from tenantry.cli.live import LiveRuns, LiveTenants
from tenantry.cli.loading import load_files
from tenantry.cli.object_deletion import ask_for_deletion, await_deletion
from tenantry.cli.opening import checking, open_fleet
from tenantry.cli.options import CellOption, LocalOption, TimeoutOption, WaitOption
from tenantry.cli.origins import begin, check_origins
from tenantry.cli.reporting import (
    JsonOption,
    exit_code_of,
    out,
    print_json,
    report_error,
    say,
)
from tenantry.fleet import Fleet, check_test_environment, manifests
from tenantry.fleet.shown import told_conditions
from tenantry.tenancy.manifest import TenantFile

if TYPE_CHECKING:
    from tenantry.fleet.tenant_objects import TenantObjects

_DESTROY_S = 900.0

__all__ = ["app"]

app = typer.Typer(help="Validate, preview, apply and inspect tenants.", no_args_is_help=True)

FilesArgument = Annotated[list[Path], typer.Argument(help="Tenant files, or folders of them.", show_default=False)]
FileArgument = Annotated[Path, typer.Argument(help="A tenant file.", show_default=False)]
NameArgument = Annotated[str, typer.Argument(help="A tenant of the cell.", show_default=False)]


@app.command()
def validate(
    files: FilesArgument, cell: CellOption = None, local: LocalOption = "default", as_json: JsonOption = False
) -> None:
    """Check tenant files against the plans, the catalogue and the cell. Needs no running cell."""
    found = load_files(files, cell, local)
    with checking(cell, local) as fleet:
        specs = fleet.specs.resolve_all(found)
    if as_json:
        print_json({"valid": [{"tenant": spec.name, "plan": spec.plan, "hosts": spec.hosts} for spec in specs]})
        return
    for file, spec in zip(found, specs, strict=True):
        out.print(f"[green]✓[/] {file.source}: {spec.name}, plan {spec.plan}, {len(spec.workload.modules)} modules")


@app.command()
def preview(
    files: FilesArgument,
    cell: CellOption = None,
    local: LocalOption = "default",
    engine: EngineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what `up` would change, and what each change does to the running tenant."""
    found = load_files(files, cell, local)
    with open_fleet(cell, local, engine=engine) as fleet:
        specs = fleet.specs.resolve_all(found)
        with LiveRuns(quiet=True):
            previews = [(spec, fleet.preview(spec)) for spec in specs]
    if as_json:
        documents = [tables.preview_document(spec, one) for spec, one in previews]
        print_json({"engine": fleet.engine.name, "tenants": documents})
        return
    say(f"by {fleet.engine.name}")
    for spec, one in previews:
        tables.print_preview(spec, one)


@app.command()
def up(
    files: FilesArgument,
    cell: CellOption = None,
    local: LocalOption = "default",
    parallel: Annotated[int, typer.Option("--parallel", "-p", min=1, max=64, help="Tenants at the same time.")] = 8,
    if_changed: Annotated[
        bool,
        typer.Option("--if-changed", help="Skip a tenant whose inputs are as in its last run, without looking at it."),
    ] = False,
    tree: Annotated[bool, typer.Option("--tree", help="Print each tenant's resource tree.")] = False,
    wait: WaitOption = True,
    timeout_s: TimeoutOption = 1800,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="With an operator: also fields that another driver wrote.")
    ] = False,
    engine: EngineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring tenants to what their files say. Run it again after any failure; a second run changes nothing.

    In a cell with an operator it writes the Tenant objects and waits until the operator has done the work; in a cell
    without one it runs the stacks itself.
    """
    found = load_files(files, cell, local)
    with open_fleet(cell, local, tenants=min(parallel, len(found)), engine=engine) as fleet:
        specs = fleet.specs.resolve_all(found)
        objects = objects_of(fleet)
        check_origins(fleet, objects, found)
        if objects is not None:
            _declare(fleet, objects, found, take_over=take_over, wait=wait, timeout_s=timeout_s, as_json=as_json)
            return
        with LiveRuns(quiet=as_json) as live:
            applied = fleet.up(
                list(zip(found, specs, strict=True)), parallel=parallel, if_changed=if_changed, on_event=live
            )
        failed = [one for one in applied if one.error is not None]
        if not failed:
            begin(fleet, found, progress=(lambda _line: None) if as_json else say)
        if as_json:
            documents = [tables.applied_document(one) for one in applied]
            print_json({"engine": fleet.engine.name, "tenants": documents})
        else:
            say(f"by {fleet.engine.name}")
            for one in applied:
                if tree or len(applied) == 1:
                    tables.print_tree(fleet.resources(one.spec), title=one.spec.name)
            tables.print_applied(fleet, applied)
            for one in failed:
                if one.error is not None:
                    report_error(one.error, prefix=f"{one.spec.name}: ")
    if failed:
        raise typer.Exit(exit_code_of([one.error for one in failed if one.error is not None]))


def _declare(
    fleet: Fleet,
    objects: TenantObjects,
    files: Sequence[TenantFile],
    *,
    take_over: bool,
    wait: bool,
    timeout_s: int,
    as_json: bool,
) -> None:
    with LiveTenants(quiet=as_json) as live:
        declared = declare(fleet, objects, files, take_over=take_over, wait=wait, timeout_s=timeout_s, tell=live)
    errors = [one.error for one in declared if one.error is not None]
    if as_json:
        print_json({"engine": "the operator", "tenants": [tables.declared_document(one) for one in declared]})
    else:
        say("by the operator" if wait else "written; the operator does the rest: `tenantry tenant status NAME --wait`")
        tables.print_declared(fleet, declared)
        for error in errors:
            report_error(error)
    if errors:
        raise typer.Exit(exit_code_of(errors))


@app.command("list")
def list_tenants(cell: CellOption = None, local: LocalOption = "default", as_json: JsonOption = False) -> None:
    """List the tenants of the cell."""
    with open_fleet(cell, local) as fleet:
        records = fleet.registry.all()
        objects = objects_of(fleet)
        bodies = {str(one["metadata"]["name"]): one for one in objects.all()} if objects is not None else {}
    if as_json:
        print_json({"tenants": tables.listed_documents(records, bodies)})
    else:
        tables.print_records(records, bodies)


@app.command()
def show(
    name: NameArgument, cell: CellOption = None, local: LocalOption = "default", as_json: JsonOption = False
) -> None:
    """Show one tenant: names, hosts, what runs, and its resource tree."""
    with open_fleet(cell, local) as fleet:
        shown = fleet.show(name)
        objects = objects_of(fleet)
        body = objects.get(name) if objects is not None else None
        if body is not None and body.get("status"):
            shown = replace(shown, conditions=told_conditions(body["status"]))
        if as_json:
            print_json(tables.shown_document(shown))
        else:
            tables.print_shown(shown)


@app.command()
def render(
    file: FileArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to; it is replaced whole.")],
    cell: CellOption = None,
    local: LocalOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Write a tenant's Kubernetes manifests as a tree of files, the same bytes for the same input."""
    found = load_files([file], cell, local)
    with open_fleet(cell, local) as fleet:
        spec = fleet.specs.resolve_all(found)[0]
        written = manifests.write_tree(fleet.manifests(spec), output)
    if as_json:
        print_json({"tenant": spec.name, "files": [str(path) for path in written]})
    else:
        say(f"{len(written)} files written to {output}")


@app.command()
def diff(
    file: FileArgument, cell: CellOption = None, local: LocalOption = "default", as_json: JsonOption = False
) -> None:
    """Show, line by line, how the manifests would differ from those last applied. Exit code 0 either way."""
    found = load_files([file], cell, local)
    with open_fleet(cell, local) as fleet:
        spec = fleet.specs.resolve_all(found)[0]
        differences = manifests.differences(fleet.applied_manifests(spec), fleet.manifests(spec))
    if as_json:
        print_json({"tenant": spec.name, "differences": [{"file": name, "diff": text} for name, text in differences]})
        return
    if not differences:
        say(f"{spec.name}: no difference")
    for _, text in differences:
        tables.print_diff(text)


@app.command()
def destroy(
    name: NameArgument,
    yes: YesOption = False,
    cell: CellOption = None,
    local: LocalOption = "default",
    engine: EngineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a test environment with all its data. Refused for staging and production."""
    with open_fleet(cell, local, engine=engine) as fleet:
        objects = objects_of(fleet)
        body = objects.get(name) if objects is not None else None
        if body is not None:
            check_test_environment(name, body["spec"].get("environment", "production"))
        else:
            fleet.check_destroyable(name)
        confirm(f"remove test environment {name} with all its data", yes=yes, as_json=as_json)
        if objects is not None and body is not None:
            ask_for_deletion(fleet, objects, body, now=True)
            await_deletion(objects, name, timeout_s=_DESTROY_S, quiet=as_json)
            if as_json:
                print_json({"engine": "the operator", "tenant": name, "deleted": body["status"].get("resources")})
            else:
                say(f"{name}: destroyed by the operator")
            return
        with LiveRuns(quiet=as_json) as live:
            result = fleet.destroy(name, on_event=lambda event: live(name, event))
    if as_json:
        print_json({"engine": fleet.engine.name, "tenant": name, "deleted": len(result.changes)})
    else:
        seconds = f"{result.seconds:.1f} s"
        say(f"{name}: destroyed by {fleet.engine.name}, {len(result.changes)} resources in {seconds}")


deletion_commands.register(app)
backup_commands.register(app)
edit_commands.register(app)
status_commands.register(app)
release_commands.register(app)
drift_commands.register(app)
