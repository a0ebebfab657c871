"""`tenantry policy …`: what tenants' resources must never break, listed and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from tenantry.cli.loading import load_files
from tenantry.cli.opening import checking
from tenantry.cli.options import CellOption, LocalOption
from tenantry.cli.reporting import JsonOption, err, out, print_json
from tenantry.engine import EmbeddedEngine
from tenantry.fleet import Fleet
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.document import parse, read
from tenantry.tenancy.errors import InvalidInput, PolicyViolated
from tenantry.tenancy.judgement import Judgement
from tenantry.tenancy.manifest import load_cell

__all__ = ["app"]

app = typer.Typer(help="List the policies, and check tenant files against them.", no_args_is_help=True)

CheckedArgument = Annotated[
    list[Path], typer.Argument(help="Tenant files, folders of them, and cell files.", show_default=False)
]


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
    files: CheckedArgument, cell: CellOption = None, local: LocalOption = "default", as_json: JsonOption = False
) -> None:
    """Check what tenant files and cell files would make, without making it. Needs no running cell. Exit code 2 on a
    violation."""
    cells = [load_cell(path) for path in files if _is_cell(path)]
    tenants = [path for path in files if not _is_cell(path)]
    judged: dict[str, list[tuple[str, Judgement]]] = {"tenant": [], "cell": []}
    if tenants:
        found = load_files(tenants, cell, local)
        with checking(cell, local) as fleet:
            judged["tenant"] = [(spec.name, fleet.judge(spec)) for spec in fleet.specs.resolve_all(found)]
    with EmbeddedEngine() as engine:
        for one in cells:
            fleet = Fleet(cell=one, engine=engine, catalogue=Catalogue.load())
            judged["cell"].append((one.metadata.name, fleet.judge_cell()))
    if as_json:
        print_json(
            {f"{kind}s": [_document(kind, name, found) for name, found in ones] for kind, ones in judged.items()}
        )
    else:
        for name, judgement in (*judged["tenant"], *judged["cell"]):
            _print(name, judgement)
    if any(judgement.refused for ones in judged.values() for _, judgement in ones):
        raise typer.Exit(PolicyViolated.exit_code)


def _is_cell(path: Path) -> bool:
    """Whether the file says so of itself; one that cannot be read is left to who reads it as a tenant's."""
    try:
        content = parse(read(path), source=str(path)).content if path.is_file() else None
    except InvalidInput:
        return False
    return isinstance(content, dict) and content.get("kind") == "Cell"


def _document(kind: str, name: str, judgement: Judgement) -> dict[str, Any]:
    return {
        kind: name,
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


def _print(name: str, judgement: Judgement) -> None:
    if not judgement.refused:
        out.print(f"[green]✓[/] {name}: no rule is broken")
    for mark, violations in (
        ("[bold red]✗[/]", judgement.refused),
        ("[yellow]![/]", judgement.advised),
        ("[cyan]+[/]", judgement.remedied),
    ):
        for one in violations:
            err.print(f"{mark} {name}: {escape(f'{one.resource}: ' if one.resource else '')}{escape(one.message)}")
