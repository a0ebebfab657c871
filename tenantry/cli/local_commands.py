"""`tenantry local …`: a whole cell on this machine."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from tenantry.cli.asking import YesOption, confirm
from tenantry.cli.live import LiveRuns
from tenantry.cli.opening import checking, no_platform, open_fleet
from tenantry.cli.physical_table import physical_document, print_physical
from tenantry.cli.reporting import JsonOption, out, print_json, say
from tenantry.cli.validity_table import print_validities, validity_documents
from tenantry.fleet.home import cell_home, home
from tenantry.fleet.programs import build
from tenantry.local import LocalPlatform, Nodes, Operated
from tenantry.tenancy.manifest import load_cell
from tenantry.tenancy.physical_standing import PhysicalStanding

__all__ = ["app"]

app = typer.Typer(
    help="A whole cell on this machine: Kubernetes, OpenBao, MariaDB, Redis, RabbitMQ.", no_args_is_help=True
)

NameOption = Annotated[str, typer.Option("--name", "-n", help="Several platforms live side by side by name.")]
KubeconfigOption = Annotated[
    Path | None,
    typer.Option("--kubeconfig", help="Use this existing cluster instead of a control plane of our own."),
]
NodesOption = Annotated[
    Nodes | None,
    typer.Option(
        "--nodes",
        help="Whether tenants' pods really run on this machine (root on Linux). "
        "Without it: as the platform was made, simulated for a new one.",
        show_default=False,
    ),
]


@app.command()
def up(
    name: NameOption = "default",
    kubeconfig: KubeconfigOption = None,
    nodes: NodesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start the platform, set up its shared services and start its operator; a second time it changes nothing.

    The first run on a machine fetches or builds the Kubernetes binaries, which can take ten minutes.
    """
    platform = LocalPlatform(name, kubeconfig=kubeconfig, nodes=nodes)
    tell: Callable[[str], None] = (lambda _line: None) if as_json else say
    platform.up(tell, operated=Operated(records=home(), build=build()))
    with LiveRuns(quiet=as_json) as live, open_fleet(None, name, administrator=True) as fleet:
        result = fleet.prepare_cell(on_event=lambda event: live("cell", event))
    platform.operate(tell)
    if as_json:
        print_json(
            {"name": name, "cell": str(platform.cell_file), "changes": len(result.changes), "parts": _parts(platform)}
        )
        return
    _print_status(platform)
    out.print(f"\nTo use kubectl, bao and mariadb on it:  [bold]{escape(_env_command(name))}[/]")


@app.command()
def down(
    name: NameOption = "default",
    remove: Annotated[bool, typer.Option("--remove", help="Also delete all its data, tenants included.")] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Stop the platform. Its data stays unless --remove is given."""
    platform = LocalPlatform(name)
    if remove:
        confirm(f"delete the local platform {name} with every tenant on it", yes=yes, as_json=as_json)
        records = cell_home(load_cell(platform.cell_file).metadata.name) if platform.cell_file.exists() else None
        platform.remove()
        if records is not None:
            shutil.rmtree(records, ignore_errors=True)
    else:
        platform.down()
    if as_json:
        print_json({"name": name, "removed": remove})
    else:
        say(f"local platform {name!r} {'removed' if remove else 'stopped'}")


@app.command()
def status(name: NameOption = "default", as_json: JsonOption = False) -> None:
    """Ask each part how it is, until when its certificates and tokens are good (`up` renews them in time), and for its
    physical backups.

    Exit code 3 when any part is not running, or there is no platform.
    """
    platform = LocalPlatform(name)
    if not platform.exists:
        raise no_platform(name, hint="start one with `tenantry local up`")
    parts, physical = platform.status(), _physical(platform)
    if as_json:
        validities = validity_documents(platform.validities())
        document = {"name": name, "parts": _parts(platform), "validities": validities}
        print_json({**document, "physicalBackups": physical_document(physical)})
    else:
        _print_status(platform)
        out.print()
        print_validities(platform.validities())
        print_physical(physical)
    if any(part.state != "running" for part in parts):
        raise typer.Exit(3)


@app.command()
def env(name: NameOption = "default", as_json: JsonOption = False) -> None:
    """Print exports after which plain kubectl, bao and mariadb work on the platform."""
    variables = LocalPlatform(name).environment()
    if as_json:
        print_json(variables)
        return
    for variable, value in sorted(variables.items()):
        typer.echo(f"export {variable}={shlex.quote(value)}")


@app.command()
def logs(
    part: Annotated[str, typer.Argument(help="A part, as `tenantry local status` names it.")],
    name: NameOption = "default",
    lines: Annotated[int, typer.Option("--lines", "-l", min=1, help="How many of the last lines.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Print the end of one part's log."""
    path = LocalPlatform(name).logs(part)
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    found = text.splitlines()[-lines:]
    if as_json:
        print_json({"name": name, "part": part, "file": str(path), "lines": found})
        return
    for line in found:
        typer.echo(line)


def _env_command(name: str) -> str:
    option = "" if name == "default" else f" --name {name}"
    return f'eval "$(tenantry local env{option})"'


def _physical(platform: LocalPlatform) -> PhysicalStanding | None:
    from tenantry.recovery.physical import physical_standing

    if not platform.cell_file.exists():
        return None
    with checking(platform.cell_file, platform.name) as fleet:
        return physical_standing(fleet)


def _parts(platform: LocalPlatform) -> list[dict[str, object]]:
    return [
        {
            "name": part.name,
            "state": part.state,
            "address": part.address,
            "pid": part.pid,
            "since": part.since,
            "message": part.message,
            "hint": part.hint,
        }
        for part in platform.status()
    ]


def _print_status(platform: LocalPlatform) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("PART", "STATE", "ADDRESS", "PID", "MESSAGE"):
        table.add_column(column)
    for part in platform.status():
        colour = "green" if part.state == "running" else "red"
        message = part.message if not part.hint else f"{part.message} → {part.hint}"
        table.add_row(part.name, f"[{colour}]{part.state}[/]", part.address, str(part.pid or ""), escape(message))
    out.print(table)
