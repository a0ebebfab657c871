"""`tenantry state …`: a stack's state as a thing to be looked at, carried away, brought back and repaired."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from tenantry.cli.engine_commands import EngineOption
from tenantry.cli.opening import open_fleet
from tenantry.cli.options import CellOption, LocalOption
from tenantry.cli.reporting import JsonOption, err, error_document, exit_code_of, out, print_json, report_error, say
from tenantry.engine.choosing import EngineKind, make_engine
from tenantry.engine.findings import Verification
from tenantry.engine.history import Entry, deployment_at
from tenantry.engine.interface import Engine, Stack
from tenantry.engine.storage import StackFiles, write_atomically
from tenantry.fleet.programs import PROJECT, cell_stack, tenant_stack
from tenantry.tenancy.errors import InvalidInput, RunFailed, StateCorrupt, TenantryError

__all__ = ["app"]

app = typer.Typer(
    help="Export, import, list, verify and recover the state of stacks, whichever engine wrote it.",
    no_args_is_help=True,
)

NameArgument = Annotated[
    str, typer.Argument(help="A tenant of the cell; with --backend the name of a stack.", show_default=False)
]
NamesArgument = Annotated[
    list[str] | None, typer.Argument(help="Tenants of the cell; default: all of them.", show_default=False)
]
OwnOption = Annotated[
    bool, typer.Option("--shared", help="The stack of the cell's shared services instead of a tenant's.")
]
BackendOption = Annotated[
    Path | None,
    typer.Option(
        "--backend",
        help="Folder with the state of stacks that are run by plain `pulumi` (it holds `.pulumi`). OpenBao and "
        "Kubernetes are then the environment's: VAULT_ADDR, VAULT_TOKEN, KUBECONFIG.",
        show_default=False,
    ),
]
ProjectOption = Annotated[str, typer.Option("--project", help="With --backend: the stacks' Pulumi project.")]


@dataclass(frozen=True, slots=True)
class _Chosen:
    """title: as the user named the stack."""

    title: str
    stack: Stack


@app.command("export")
def export_state(
    name: NameArgument = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write (0600); default: standard output.")
    ] = None,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="As an earlier run left it: see `history`.")
    ] = None,
    shared: OwnOption = False,
    backend: BackendOption = None,
    project: ProjectOption = PROJECT,
    cell: CellOption = None,
    local: LocalOption = "default",
    engine: EngineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a stack's state as `pulumi stack export` does: JSON, secrets still encrypted. Takes no lock.

    On standard output the state is the document, with and without --json.
    """
    with _opened(_named(name), shared, backend, project, cell, local, engine) as (running, (chosen,)):
        if version is None:
            document = dict(running.export(chosen.stack))
        else:
            document = deployment_at(StackFiles(chosen.stack), version)
    text = json.dumps(document, indent=2) + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        write_atomically(output.absolute(), text.encode())
        if as_json:
            print_json({"stack": chosen.stack.name, "written": str(output)})
        else:
            say(f"{chosen.title}: state written to {output}")


@app.command("import")
def import_state(
    file: Annotated[
        Path,
        typer.Option("--file", "-f", help="What `export` wrote, or a checkpoint file (.bak, from history)."),
    ],
    name: NameArgument = "",
    shared: OwnOption = False,
    backend: BackendOption = None,
    project: ProjectOption = PROJECT,
    cell: CellOption = None,
    local: LocalOption = "default",
    engine: EngineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a stack's state, keeping a copy of the one before. A damaged or foreign state is refused."""
    document = _read(file)
    with _opened(_named(name), shared, backend, project, cell, local, engine) as (running, (chosen,)):
        kept = running.import_state(chosen.stack, document, source=str(file))
    if as_json:
        print_json({"engine": running.name, "stack": chosen.stack.name, "kept": str(kept) if kept else None})
        return
    say(f"{chosen.title}: the state is now that of {file}")
    if kept is not None:
        say(f"  the one before is kept: {kept}")


@app.command()
def history(
    name: NameArgument = "",
    shared: OwnOption = False,
    backend: BackendOption = None,
    project: ProjectOption = PROJECT,
    cell: CellOption = None,
    local: LocalOption = "default",
    engine: EngineOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what the runs of a stack did, whichever engine did them, the newest first."""
    with _opened(_named(name), shared, backend, project, cell, local, engine) as (running, (chosen,)):
        entries = running.history(chosen.stack)[::-1]
    if as_json:
        print_json({"stack": chosen.stack.name, "runs": [_entry_document(one) for one in entries]})
        return
    table = Table("VERSION", "WHEN", "WHAT", "BY", "RESULT", "TOOK", "CHANGES", box=None, header_style="bold")
    for one in entries:
        changes = ", ".join(f"{count} {op}" for op, count in one.changes.items() if op != "same")
        took = f"{(one.ended - one.started).total_seconds():.0f} s"
        table.add_row(
            str(one.version), f"{one.started:%Y-%m-%d %H:%M}", one.kind, one.by, one.result, took, changes or "none"
        )
    out.print(table)


@app.command()
def verify(
    names: NamesArgument = None,
    shared: OwnOption = False,
    backend: BackendOption = None,
    project: ProjectOption = PROJECT,
    cell: CellOption = None,
    local: LocalOption = "default",
    engine: EngineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check states inside (order, references, secrets) and against what lives, both ways. Changes nothing.

    Exit code 0: all agree. 1: something is unsettled or differs; the next run mends it. 5: a state is damaged.
    """
    found: list[tuple[str, Verification | TenantryError]] = []
    with _opened(names, shared, backend, project, cell, local, engine) as (running, chosen):
        for one in chosen:
            try:
                found.append((one.title, running.verify(one.stack)))
            except TenantryError as error:
                found.append((one.title, error))
    if as_json:
        print_json({"stacks": [_verification_document(title, one) for title, one in found]})
    else:
        for title, outcome in found:
            _print_verification(title, outcome)
    errors = [one for _, one in found if isinstance(one, TenantryError)]
    if any(isinstance(one, Verification) and one.damaged for _, one in found):
        raise typer.Exit(StateCorrupt.exit_code)
    if errors:
        raise typer.Exit(exit_code_of(errors))
    if any(isinstance(one, Verification) and one.findings for _, one in found):
        raise typer.Exit(RunFailed.exit_code)


@app.command()
def recover(
    name: NameArgument = "",
    lock: Annotated[
        str,
        typer.Option(
            "--break-lock",
            metavar="ID",
            help="Also break this lock, whoever wrote it. Only for a run that is dead for certain; the error that "
            "names the lock says its id.",
            show_default=False,
        ),
    ] = "",
    shared: OwnOption = False,
    backend: BackendOption = None,
    project: ProjectOption = PROJECT,
    cell: CellOption = None,
    local: LocalOption = "default",
    engine: EngineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Settle what a killed run left, by either engine, so that either can go on. Changes nothing that lives."""
    with _opened(_named(name), shared, backend, project, cell, local, engine) as (running, (chosen,)):
        result = running.recover(chosen.stack, lock=lock)
    if as_json:
        changes = [{"urn": one.urn, "op": one.op, "reason": one.reason} for one in result.changes]
        print_json({"engine": running.name, "stack": chosen.stack.name, "changes": changes})
        return
    for one in result.changes:
        out.print(f"  {escape(one.type)} {escape(one.name)}: {escape(one.reason)}")
    say(f"{chosen.title}: settled, {len(result.changes)} resources brought in line; either engine can go on")


@contextmanager
def _opened(
    names: list[str] | None,
    shared: bool,
    backend: Path | None,
    project: str,
    cell: Path | None,
    local: str,
    engine: EngineKind | None,
) -> Iterator[tuple[Engine, list[_Chosen]]]:
    """The engine and the stacks that the user named. names: None for every tenant."""
    if shared and (names or backend is not None):
        raise InvalidInput("--shared is the cell's own stack", hint="leave the name and --backend out")
    if not names and not shared and (names is not None or backend is not None):
        raise InvalidInput(
            "which stack is not said", hint="give a tenant's name, or --shared; with --backend the name of a stack"
        )
    if backend is not None and names:
        # Imported here, so that other commands never load what verifies.
        from tenantry.engine.keeping import stack_in

        with make_engine(engine or EngineKind.EMBEDDED) as running:
            yield running, [_Chosen(one, stack_in(backend.absolute(), project, one)) for one in names]
        return
    with open_fleet(cell, local, administrator=shared, engine=engine) as fleet:
        if shared:
            chosen = [_Chosen(f"cell {fleet.cell.metadata.name}", cell_stack(fleet.cell, fleet.backend))]
        else:
            records = fleet.registry.all() if names is None else [fleet.record(one) for one in names]
            chosen = [_Chosen(one.name, tenant_stack(one.name, one.incarnation, fleet.backend)) for one in records]
        if not chosen:
            say(f"cell {fleet.cell.metadata.name} has no tenants")
        yield fleet.engine, chosen


def _named(name: str) -> list[str]:
    return [name] if name else []


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise InvalidInput(f"the file cannot be read: {error.strerror}", source=str(file)) from error
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise InvalidInput(
            "this is no JSON document, or it is cut short",
            source=str(file),
            hint="give what `tenantry state export` or `pulumi stack export` wrote",
        )
    return document


def _entry_document(one: Entry) -> dict[str, Any]:
    return {
        "version": one.version,
        "kind": one.kind,
        "by": one.by,
        "result": one.result,
        "started": one.started.isoformat(),
        "ended": one.ended.isoformat(),
        "message": one.message,
        "changes": dict(one.changes),
    }


def _verification_document(title: str, one: Verification | TenantryError) -> dict[str, Any]:
    if isinstance(one, TenantryError):
        return {"stack": title, "errors": [error_document(one)]}
    return {
        "stack": title,
        "damaged": one.damaged,
        "resources": one.resources,
        "secrets": one.secrets,
        "compared": one.compared,
        "findings": [
            {"kind": each.wrong, "subject": each.subject, "message": each.message, "hint": each.hint}
            for each in one.findings
        ],
    }


def _print_verification(title: str, one: Verification | TenantryError) -> None:
    if isinstance(one, TenantryError):
        report_error(one, prefix=f"{title}: ")
        return
    looked = f"{one.resources} resources, {one.secrets} secrets, {one.compared} compared with what lives"
    if not one.findings:
        out.print(f"[green]✓[/] {escape(title)}: {looked}")
        return
    mark = "[bold red]✗[/]" if one.damaged else "[yellow]![/]"
    out.print(f"{mark} {escape(title)}: {len(one.findings)} findings; {looked}")
    for each in one.findings:
        err.print(f"  {each.wrong}: {escape(each.subject)}: {escape(each.message)}")
        err.print(f"    [dim]→[/] {escape(each.hint)}")
