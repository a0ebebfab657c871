"""The question before something is deleted: where it is put, and what is said where nobody can be asked."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import typer

from tenantry.cli import local_commands
from tenantry.cli.asking import confirm
from tenantry.cli.main import main
from tenantry.tenancy.errors import InvalidInput

DEED = "close tenant acme and erase all its data after the grace period"


class Terminal(io.StringIO):
    """Standard input as a terminal at which the text was typed."""

    def isatty(self) -> bool:
        return True


def ask(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    confirm(DEED, yes=False, as_json=False)


def test_a_yes_goes_on_and_the_question_stands_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(monkeypatch, "y\n")
    told = capsys.readouterr()
    assert told.out == ""
    assert "Close tenant acme and erase all its data after the grace period?" in told.err


@pytest.mark.parametrize("typed", ["n\n", "\n"])
def test_a_no_and_a_bare_enter_end_it(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    with pytest.raises(typer.Abort):
        ask(monkeypatch, typed)


def test_without_a_terminal_it_says_what_would_happen_and_what_to_add(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(InvalidInput) as caught:
        confirm(DEED, yes=False, as_json=False)
    assert DEED in caught.value.message
    assert "--yes" in str(caught.value.hint)


def test_json_asks_nobody_even_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    with pytest.raises(InvalidInput, match="--json"):
        confirm(DEED, yes=False, as_json=True)


def test_yes_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    confirm(DEED, yes=True, as_json=True)


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_command_that_is_not_confirmed_ends_with_2_and_one_document_with_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, more: tuple[str, ...]
) -> None:
    monkeypatch.setenv("TENANTRY_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys, "argv", ["tenantry", "local", "down", "--remove", *more])

    def meddle(_platform: object) -> None:
        raise AssertionError

    monkeypatch.setattr(local_commands.LocalPlatform, "remove", meddle)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    told = capsys.readouterr()
    if more:
        assert "delete the local platform default" in json.loads(told.out)["errors"][0]["message"]
    else:
        assert told.out == ""
        assert "--yes" in told.err
