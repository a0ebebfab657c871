"""Which cell a command works on, and the fleet opened on it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tenantry.cli.reporting import err, say
from tenantry.engine import EmbeddedEngine
from tenantry.engine.choosing import EngineKind, make_engine
from tenantry.fleet import Fleet
from tenantry.fleet.provisioner import ProvisionerToken
from tenantry.local import LocalPlatform
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import DependencyUnavailable
from tenantry.tenancy.manifest import load_cell

__all__ = [
    "checking",
    "find_cell",
    "no_platform",
    "open_fleet",
]


def no_platform(local: str, *, hint: str) -> DependencyUnavailable:
    """The error of a command that needs a local platform of this name. hint: what to do without."""
    return DependencyUnavailable(f"there is no local platform {local!r} on this machine", hint=hint)


def find_cell(cell_file: Path | None, local: str) -> Cell:
    """The cell to work on. With a cell file the environment (KUBECONFIG, VAULT_…) is the caller's; a local
    platform brings its own, whatever the caller's shell has set for other clusters."""
    if cell_file is not None:
        return load_cell(cell_file)
    platform = LocalPlatform(local)
    if not platform.cell_file.exists():
        raise no_platform(local, hint="start one with `tenantry local up`, or name your own cell with --cell FILE")
    os.environ.update(platform.environment())
    return load_cell(platform.cell_file)


@contextmanager
def checking(cell_file: Path | None, local: str) -> Iterator[Fleet]:
    """A fleet that is only asked what files mean, which needs no running cell: on the chosen cell, or on the example
    cell where there is no other."""
    if cell_file is None and not LocalPlatform(local).cell_file.exists():
        err.print("[dim]no cell named and no local platform here: checked against the example cell[/]")
        cell = load_cell(Catalogue.root() / "cells" / "example.yaml")
    else:
        cell = find_cell(cell_file, local)
    with EmbeddedEngine() as engine:
        yield Fleet(cell=cell, engine=engine, catalogue=Catalogue.load())


@contextmanager
def open_fleet(
    cell_file: Path | None,
    local: str,
    *,
    tenants: int = 1,
    warm: EmbeddedEngine | None = None,
    administrator: bool = False,
    engine: EngineKind | None = None,
) -> Iterator[Fleet]:
    """A fleet on the chosen cell, its runs ended in order at the end. tenants: how many it will run side by side; one
    runs in this process, more in a worker process for each processor. warm: an engine that was started beforehand, for
    a cell that is run by the embedded one.

    It works as the cell's provisioner, with the token that the cell's set-up left. administrator: with the
    environment's own token instead, as setting up the cell needs it. engine: None as the cell file says.
    """
    cell = find_cell(cell_file, local)
    if not administrator:
        os.environ.update(ProvisionerToken(cell).environment())
    workers = min(tenants, os.cpu_count() or 1) if tenants > 1 else 0
    kind = engine or EngineKind(cell.spec.engine)
    if warm is not None and kind is not EngineKind.EMBEDDED:
        warm.close()
        warm = None
    with warm or make_engine(kind, workers=workers) as running, _interruptible():
        yield Fleet(cell=cell, engine=running, catalogue=Catalogue.load())


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends a run like Ctrl-C does, in order; either way the user is told how to go on."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        say("interrupted; what was done is saved: run the same command again to finish it")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
