"""`tenantry operator …`: the operator of a cell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from stacks import PRELOAD
from tenantry.cli.options import CellOption, LocalOption
from tenantry.engine import EmbeddedEngine
from tenantry.tenancy.errors import InvalidInput

__all__ = ["app"]

app = typer.Typer(help="Run the operator, which keeps a cell's tenants as their objects say.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `run` a subcommand while it is the only one."""


@app.command()
def run(
    cell: CellOption = None,
    local: LocalOption = "default",
    host: Annotated[str, typer.Option("--host", help="Address for health and metrics.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port for health and metrics.")] = 8470,
    slots: Annotated[
        int,
        typer.Option(
            "--slots",
            min=1,
            max=256,
            help="Tenants worked on at the same time; half as many backups and restores more.",
        ),
    ] = 8,
    deadline_s: Annotated[
        int, typer.Option("--deadline", min=10, help="Seconds after which an attempt is stopped and made again.")
    ] = 900,
    sample_s: Annotated[
        float, typer.Option("--sample", min=0.5, help="Seconds between two readings of what waits for a busy tenant.")
    ] = 15.0,
    login: Annotated[
        Path | None,
        typer.Option("--login", help="A pod's projected token, with which to log in to OpenBao.", show_default=False),
    ] = None,
    webhook_port: Annotated[
        int | None,
        typer.Option("--webhook-port", min=0, max=65535, help="Where versions of the API are converted, over TLS."),
    ] = None,
    webhook_folder: Annotated[
        Path | None, typer.Option("--webhook-tls", help="Folder with its tls.crt and tls.key.")
    ] = None,
    drift_minutes: Annotated[
        int, typer.Option("--drift-minutes", min=0, help="Minutes between two looks for drift; 0: none.")
    ] = 15,
) -> None:
    """Watch the Tenant objects of a cell and make each what its object says, until a signal.

    Logs are JSON lines on standard output; /healthz, /readyz and /metrics are answered on the port.
    """
    if (webhook_port is None) is not (webhook_folder is None):
        raise InvalidInput("--webhook-port and --webhook-tls belong together", hint="give both, or none")
    # A worker takes as long to start as the operator itself: it begins before everything else is imported.
    with EmbeddedEngine(workers=min(slots, os.cpu_count() or 1), preload=PRELOAD) as engine:
        from tenantry.cli.opening import find_cell, open_fleet
        from tenantry.local import LocalPlatform
        from tenantry_operator.running import Settings, configure_logs
        from tenantry_operator.running import run as run_operator

        configure_logs()
        if login is not None:
            from tenantry_operator.keeping import log_in

            log_in(find_cell(cell, local), login)
        settings = Settings(
            host=host,
            port=port,
            slots=slots,
            deadline_s=deadline_s,
            sample_s=sample_s,
            webhook_port=webhook_port,
            webhook_folder=webhook_folder,
            drift_s=drift_minutes * 60,
        )
        more = LocalPlatform(local).validities if cell is None else tuple
        with open_fleet(cell, local, warm=engine) as fleet:
            code = run_operator(fleet, settings, more=more)
    raise typer.Exit(code)
