"""`tenantry`: the command line. This module joins the command groups and maps errors to exit codes.

Exit codes: 0 done · 1 a run failed · 2 bad input, nothing made · 3 something that is needed is down ·
4 locked by another run · 5 a state file is damaged · 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from tenantry.cli.reporting import err, error_document, exit_code_of, flatten, print_json, report_error
from tenantry.tenancy.errors import InvalidInput, TenantryError

__all__ = ["app", "main"]

_GROUPS = ("local", "cell", "operator", "tenant", "rollout", "policy", "engine", "state")


class _Commands(Mapping[str, Any]):
    """The groups by name, each loaded when it is asked for: a command starts without the modules of all others."""

    def __getitem__(self, name: str) -> Any:
        if name not in _GROUPS:
            raise KeyError(name)
        group = typer.main.get_group(import_module(f"tenantry.cli.{name}_commands").app)
        group.name = name
        return group

    def __iter__(self) -> Iterator[str]:
        return iter(_GROUPS)

    def __len__(self) -> int:
        return len(_GROUPS)


class _Tenantry(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = cast("dict[str, Any]", _Commands())


app = typer.Typer(
    cls=_Tenantry,
    name="tenantry",
    help="Isolated marketing automation stacks, one per tenant, on Kubernetes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tenantry {version('tenantry')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the `tenantry` command."""
    as_json = "--json" in sys.argv
    try:
        # With --json what was typed wrong comes to us as well: Typer would tell it in a box on standard error.
        sys.exit(app(prog_name="tenantry", standalone_mode=not as_json) or 0)
    except KeyboardInterrupt:
        err.print("interrupted; run the same command again to finish what it began")
        sys.exit(130)
    except TyperException as error:
        ours = [_mistyped(error)]
    except Exception as error:
        ours = list(flatten(error))
        if not ours:
            raise
    if as_json:
        print_json({"errors": [error_document(one) for one in ours]})
    else:
        for one in ours:
            report_error(one)
    sys.exit(exit_code_of(ours))


def _mistyped(error: TyperException) -> TenantryError:
    """What Typer does not understand: an option, an argument, a command."""
    context: typer.Context | None = getattr(error, "ctx", None)
    command = "tenantry" if context is None else context.command_path
    return InvalidInput(error.format_message(), source=command, hint=f"see `{command} --help`")
