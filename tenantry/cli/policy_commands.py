"""`tenantry policy …`: what tenants' resources must never break, listed and checked."""

from __future__ import annotations

from typing import Any

import typer
from rich.markup import escape

from tenantry.cli.opening import CellOption, LocalOption, cell_to_check_against
from tenantry.cli.reporting import JsonOption, err, out, print_json
from tenantry.cli.tenant_commands import FilesArgument, load_files
from tenantry.engine import EmbeddedEngine
from tenantry.fleet import Fleet
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.errors import PolicyViolated
from tenantry.tenancy.judgement import Judgement
from tenantry.tenancy.spec import TenantSpec

__all__ = ["app"]

app = typer.Typer(help="List the policies, and check tenant files against them.", no_args_is_help=True)


@app.command("list")
def list_policies(as_json: JsonOption = False) -> None:
    """List the rules: name, level, and what must hold. docs/policies.md says why."""
    from tenantry_policies.rules import RULES

    if as_json:
        rules = [{"name": one.name, "level": one.level, "title": one.title, "why": one.why} for one in RULES]
        print_json({"rules": rules})
        return
    width = max(len(one.name) for one in RULES)
    for one in RULES:
        out.print(f"[bold]{one.name:{width}}[/]  {one.level:12}  {escape(one.title)}")


@app.command()
def check(
    files: FilesArgument, cell: CellOption = None, local: LocalOption = "default", as_json: JsonOption = False
) -> None:
    """Check what tenant files would make, without making it. Needs no running cell. Exit code 2 on a violation."""
    found = load_files(files)
    with EmbeddedEngine() as engine:
        fleet = Fleet(cell=cell_to_check_against(cell, local), engine=engine, catalogue=Catalogue.load())
        judged = [(spec, fleet.judge(spec)) for spec in fleet.resolve_all(found)]
    if as_json:
        print_json({"tenants": [_document(spec, judgement) for spec, judgement in judged]})
    else:
        for spec, judgement in judged:
            _print(spec, judgement)
    if any(judgement.refused for _, judgement in judged):
        raise typer.Exit(PolicyViolated.exit_code)


def _document(spec: TenantSpec, judgement: Judgement) -> dict[str, Any]:
    return {
        "tenant": spec.name,
        "passed": not judgement.refused,
        **{
            kind: [
                {"rule": one.rule, "level": one.level, "resource": one.resource, "message": one.message}
                for one in violations
            ]
            for kind, violations in (
                ("refused", judgement.refused),
                ("advised", judgement.advised),
                ("remedied", judgement.remedied),
            )
        },
    }


def _print(spec: TenantSpec, judgement: Judgement) -> None:
    if not judgement.refused:
        out.print(f"[green]✓[/] {spec.name}: no rule is broken")
    for mark, violations in (
        ("[bold red]✗[/]", judgement.refused),
        ("[yellow]![/]", judgement.advised),
        ("[cyan]+[/]", judgement.remedied),
    ):
        for one in violations:
            err.print(f"{mark} {spec.name}: {escape(f'{one.resource}: ' if one.resource else '')}{escape(one.message)}")
