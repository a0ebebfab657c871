"""`tenantry tenant drift`: what was changed behind tenants' backs, and putting it back."""

from __future__ import annotations

from functools import partial
from threading import Event
from typing import Annotated

import typer
from rich.markup import escape

from tenantry.cli.live import LiveRuns
from tenantry.cli.opening import open_fleet
from tenantry.cli.options import CellOption, LocalOption
from tenantry.cli.reporting import JsonOption, out, print_json, say
from tenantry.fleet import Fleet
from tenantry.tenancy.drift import Finding

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to `tenantry tenant`."""
    app.command()(drift)


def drift(
    names: Annotated[
        list[str] | None, typer.Argument(help="Tenants of the cell; none: all of them.", show_default=False)
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Put back what can be, whatever the tenants' driftPolicy says.")
    ] = False,
    cell: CellOption = None,
    local: LocalOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Find what was changed or deleted behind tenants' backs in Kubernetes, OpenBao and MariaDB, field by field.

    Compares with each tenant's last run; runs no program. Exit code 1 while something is otherwise.
    """
    with open_fleet(cell, local) as fleet:
        asked = [fleet.record(name).name for name in names] if names else _suspected(fleet)
        found = {name: fleet.drift(name) for name in asked}
        mended: dict[str, tuple[Finding, ...]] = {}
        if repair:
            with LiveRuns(quiet=as_json) as live:
                for name in [name for name, findings in found.items() if any(one.mendable for one in findings)]:
                    mended[name] = fleet.mend(name, on_event=partial(live, name))
                    found[name] = fleet.drift(name)
    if as_json:
        print_json({"tenants": [_document(name, found[name], mended.get(name, ())) for name in asked]})
    else:
        _print(found, mended)
    if any(found.values()):
        raise typer.Exit(1)


def _suspected(fleet: Fleet) -> list[str]:
    """Whom a look at the whole cell finds perhaps changed: each of them is then looked at exactly."""
    # Imported here: it needs the database's client, and most commands do without.
    from tenantry.drift import Survey
    from tenantry.engine.cluster import connect

    seen = Survey(fleet, connect({})).run(Event())
    say(f"looked at {seen.objects} objects of {seen.tenants} tenants in {seen.seconds:.1f} s")
    return sorted(seen.suspected)


def _print(found: dict[str, tuple[Finding, ...]], mended: dict[str, tuple[Finding, ...]]) -> None:
    for name, findings in found.items():
        for one in mended.get(name, ()):
            out.print(f"[bold]{name}[/]: [green]put back[/] {escape(str(one))}")
        for one in findings:
            out.print(f"[bold]{name}[/]: [red]{one.what}[/] {escape(str(one))}")
    if not any(found.values()):
        out.print("everything is as the last runs left it")


def _document(name: str, findings: tuple[Finding, ...], mended: tuple[Finding, ...]) -> dict[str, object]:
    return {
        "name": name,
        "drifted": [one.model_dump(mode="json") for one in findings],
        "repaired": [one.model_dump(mode="json") for one in mended],
    }
