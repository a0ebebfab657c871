"""`tenantry engine …`: which engine runs the stacks, and the Pulumi CLI."""

from __future__ import annotations

from typing import Annotated

import typer

from tenantry.cli.reporting import JsonOption, out, print_json, say
from tenantry.engine.choosing import EngineKind
from tenantry.tenancy.errors import TenantryError

__all__ = ["EngineOption", "app"]

app = typer.Typer(help="The engine that runs the stacks, and the Pulumi CLI.", no_args_is_help=True)

EngineOption = Annotated[
    EngineKind | None,
    typer.Option(
        "--engine",
        envvar="TENANTRY_ENGINE",
        help="What runs the stack: `embedded` in-process, or `cli`, the Pulumi CLI. Default: as the cell file says.",
        show_default=False,
    ),
]


@app.command()
def show(engine: EngineOption = None, as_json: JsonOption = False) -> None:
    """Show which engine is chosen here, and the Pulumi CLI of this machine."""
    from tenantry.engine.pulumi_cli.command import find, pinned

    chosen = engine or EngineKind.EMBEDDED
    problem: TenantryError | None = None
    command = found = None
    try:
        cli = find()
        command, found = cli.command, str(cli.version)
    except TenantryError as error:
        problem = error
    if as_json:
        print_json(
            {
                "engine": chosen,
                "cli": {"command": command, "version": found, "sdk": pinned()},
                "problem": problem.message if problem else None,
            }
        )
        return
    out.print(f"engine       {chosen}{'' if engine else ' (unless the cell file says otherwise)'}")
    out.print(f"Pulumi CLI   {f'{found} at {command}' if problem is None else problem.message}")
    out.print(f"Pulumi SDK   {pinned()}")
    if problem is not None and problem.hint:
        say(problem.hint)


@app.command()
def install(as_json: JsonOption = False) -> None:
    """Fetch the Pulumi CLI that belongs to the SDK, by Pulumi's own installer. Does nothing when it is there."""
    from tenantry.engine.pulumi_cli.command import install as fetch
    from tenantry.engine.pulumi_cli.command import pinned

    say(f"looking for the Pulumi CLI {pinned()}, fetching it where it is missing")
    command = fetch()
    if as_json:
        print_json({"command": command.command, "version": str(command.version)})
    else:
        say(f"the Pulumi CLI {command.version} is at {command.command}")
