"""The live view of runs and of Tenant objects: one line a tenant on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from tenantry.cli.reporting import err, say
from tenantry.engine.interface import (
    Diagnostic,
    Event,
    Op,
    ResourceFinished,
    ResourceStarted,
    RunFinished,
    RunStarted,
)
from tenantry.tenancy.standing import Standing

__all__ = ["LiveRuns", "LiveTenants"]


class _Live:
    """What is drawn while a `with` lasts, on a terminal alone."""

    _terminal: bool
    _progress: Progress

    def __enter__(self) -> Self:
        if self._terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal:
            self._progress.stop()


class LiveTenants(_Live):
    """Shows where several Tenant objects stand while somebody waits for them; a context manager.

    quiet: show nothing (for `--json`).
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._terminal = err.is_terminal and not quiet
        self._tasks: dict[str, TaskID] = {}
        self._said: dict[str, str] = {}
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("[bold]{task.fields[tenant]}"),
            TextColumn("{task.fields[phase]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.description}"),
            console=err,
        )

    def __call__(self, tenant: str, standing: Standing) -> None:
        if self._quiet:
            return
        if self._terminal:
            task = self._tasks.get(tenant)
            if task is None:
                task = self._tasks[tenant] = self._progress.add_task("", tenant=tenant, phase="", total=1)
            self._progress.update(
                task,
                phase=standing.phase,
                description=escape(standing.doing),
                completed=1 if standing.reached else 0,
            )
        elif self._said.get(tenant) != standing.doing:
            self._said[tenant] = standing.doing
            say(f"{tenant}: {standing.phase}: {standing.doing}")


class LiveRuns(_Live):
    """Shows the events of several runs at once; a context manager. Calls may come from several threads.

    quiet: show nothing (for `--json`).
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._terminal = err.is_terminal and not quiet
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("[bold]{task.fields[tenant]}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.description}"),
            console=err,
        )

    def __call__(self, tenant: str, event: Event) -> None:
        if self._quiet:
            return
        with self._lock:
            if self._terminal:
                self._draw(tenant, event)
            else:
                self._write(tenant, event)

    def _draw(self, tenant: str, event: Event) -> None:
        task = self._tasks.get(tenant)
        if task is None:
            task = self._tasks[tenant] = self._progress.add_task("", tenant=tenant, total=None)
        match event:
            case RunStarted(operation=operation, total=total):
                self._progress.update(task, total=total, description=operation)
            case ResourceStarted(change=change):
                self._progress.update(task, description=escape(f"{change.op} {change.name}"))
            case ResourceFinished(change=change, error=error):
                if change.op is not Op.SAME:
                    self._progress.advance(task)
                if error:
                    self._progress.console.print(f"[red]{escape(tenant)}: {escape(change.name)}: {escape(error)}[/]")
            case RunFinished():
                whole = self._progress.tasks[task].total or 1
                self._progress.update(task, total=whole, completed=whole, description="done")
            case Diagnostic(severity=severity, message=message):
                self._progress.console.print(escape(f"{tenant}: {severity}: {message}"))

    @staticmethod
    def _write(tenant: str, event: Event) -> None:
        match event:
            case RunStarted(operation=operation, total=total):
                say(f"{tenant}: {operation}, {total} resources")
            case ResourceFinished(change=change, error=str(error)):
                say(f"{tenant}: {change.op} {change.name} failed: {error}")
            case RunFinished(seconds=seconds, counts=counts):
                done = ", ".join(f"{count} {op}" for op, count in counts.items() if count) or "nothing to do"
                say(f"{tenant}: finished in {seconds:.1f} s ({done})")
            case Diagnostic(severity=severity, message=message):
                say(f"{tenant}: {severity}: {message}")
