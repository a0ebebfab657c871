"""The question before something is deleted or replaced. It is put to a person at a terminal; a script says `--yes`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.markup import escape
from rich.prompt import Confirm

from tenantry.cli.reporting import err
from tenantry.tenancy.errors import InvalidInput

__all__ = ["YesOption", "confirm"]

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed without a terminal and with --json.")]


def confirm(deed: str, *, yes: bool, as_json: bool) -> None:
    """Ask on standard error whether to go on. deed: what would be done, beginning with its verb.

    Raises InvalidInput where nobody can be asked and `yes` was not given, Abort when the answer is no.
    """
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        reason = "--json asks no question" if as_json else "there is no terminal to ask at"
        raise InvalidInput(
            f"this would {deed}: that is not confirmed, and {reason}", hint="nothing was done; add --yes to do it"
        )
    if not Confirm.ask(escape(f"{deed[:1].upper()}{deed[1:]}?"), console=err, default=False):
        raise typer.Abort
