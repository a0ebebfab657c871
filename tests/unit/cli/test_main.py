"""The command as a whole: what every one of its commands has, and how it tells what was typed wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from tenantry.cli.main import app, main


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", {})
    for name, one in inner.items():
        yield from commands(one, (*path, name))
    if not inner:
        yield " ".join(path), command


def typed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tenantry", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_every_command_that_ends_has_json() -> None:
    found = dict(commands(typer.main.get_command(app)))
    without = {name for name, one in found.items() if "--json" not in {text for had in one.params for text in had.opts}}
    assert without == {"operator run"}
    assert len(found) > 40


@pytest.mark.parametrize(
    ("arguments", "command", "said"),
    [
        (("tenant", "up", "--json"), "tenantry tenant up", "files"),
        (("tenant", "show", "--json"), "tenantry tenant show", "name"),
        (("tenant", "show", "acme", "--colour", "--json"), "tenantry tenant show", "--colour"),
        (("tenant", "paint", "--json"), "tenantry tenant", "paint"),
        (("tenant", "up", "a.yaml", "--parallel", "many", "--json"), "tenantry tenant up", "--parallel"),
        (("paint", "--json"), "tenantry", "paint"),
    ],
)
def test_what_was_typed_wrong_is_one_document_with_json(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    command: str,
    said: str,
) -> None:
    assert typed(monkeypatch, *arguments) == 2
    told = capsys.readouterr()
    (error,) = json.loads(told.out)["errors"]
    assert (error["code"], error["where"]) == ("InvalidInput", command)
    assert said in error["message"]
    assert error["hint"] == f"see `{command} --help`"
    assert told.err == ""


def test_without_json_it_is_told_as_ever(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(monkeypatch, "tenant", "show") == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "Usage: tenantry tenant show" in told.err


@pytest.mark.parametrize(("arguments", "code"), [(("policy", "list", "--json"), 0), (("local", "status", "--json"), 3)])
def test_codes_are_the_same_with_json(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Any,
    arguments: tuple[str, ...],
    code: int,
) -> None:
    monkeypatch.setenv("TENANTRY_HOME", str(tmp_path))
    assert typed(monkeypatch, *arguments) == code
    assert json.loads(capsys.readouterr().out)


def test_the_end_of_a_log_is_a_document_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    monkeypatch.setenv("TENANTRY_HOME", str(tmp_path))
    log = tmp_path / "local" / "default" / "logs" / "redis.log"
    log.parent.mkdir(parents=True)
    log.write_text("one\ntwo\nthree\n")
    assert typed(monkeypatch, "local", "logs", "redis", "--lines", "2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["lines"] == ["two", "three"]
