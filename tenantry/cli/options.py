"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["CellOption", "LocalOption", "TimeoutOption", "WaitOption"]

CellOption = Annotated[
    Path | None,
    typer.Option(
        "--cell", envvar="TENANTRY_CELL", help="Cell file; default: the local platform's.", show_default=False
    ),
]
LocalOption = Annotated[str, typer.Option("--local", help="Name of the local platform to use when no --cell is given.")]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the operator has done it.")]
TimeoutOption = Annotated[int, typer.Option("--timeout", min=1, help="Seconds to wait at most.")]
