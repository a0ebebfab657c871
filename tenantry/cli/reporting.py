"""How the command line speaks: results to standard output, progress and errors to standard error.

Colour only on a terminal (Rich decides, NO_COLOR is honoured). With `--json` standard output is one JSON document,
errors included.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from tenantry.tenancy.errors import InvalidInput, TenantryError

__all__ = ["JsonOption", "err", "error_document", "exit_code_of", "flatten", "out", "print_json", "report_error", "say"]

_PIPE_WIDTH = 240
"""Columns of a table that goes to a file or a pipe, where no window folds it."""


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


out = _console(stderr=False)
err = _console(stderr=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def say(line: str) -> None:
    """A line of progress."""
    err.print(escape(line))


def print_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    typer.echo(json.dumps(document, indent=2, default=str))


def flatten(error: BaseException) -> Iterator[TenantryError]:
    """The errors of ours inside a group, in order; nothing for other exceptions."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from flatten(inner)
    elif isinstance(error, TenantryError):
        yield error


def exit_code_of(errors: Sequence[TenantryError]) -> int:
    """The code they share; 1 when they differ."""
    codes = {error.exit_code for error in errors}
    return codes.pop() if len(codes) == 1 else 1


def report_error(error: TenantryError, *, prefix: str = "") -> None:
    """Say what was wrong, where, and what to do."""
    place = f"{error.where}: " if error.where else ""
    err.print(f"[bold red]error:[/] {escape(prefix + place + error.message)}")
    if isinstance(error, InvalidInput):
        for problem in error.problems:
            position = ":".join(str(part) for part in (error.source, problem.line, problem.column) if part is not None)
            lead = " ".join(part for part in (position, f"{problem.path}:" if problem.path else "") if part)
            err.print(f"  {escape(lead)} {escape(problem.message)}")
            if problem.hint:
                err.print(f"    [dim]→[/] {escape(problem.hint)}")
    if error.hint:
        err.print(f"  [dim]→[/] {escape(error.hint)}")


def error_document(error: TenantryError) -> dict[str, Any]:
    """The JSON form of an error."""
    document: dict[str, Any] = {
        "code": error.code,
        "message": error.message,
        "where": error.where,
        "hint": error.hint,
    }
    if isinstance(error, InvalidInput):
        document["problems"] = [
            {
                "path": problem.path,
                "line": problem.line,
                "column": problem.column,
                "message": problem.message,
                "hint": problem.hint,
            }
            for problem in error.problems
        ]
    return document
