"""What a stack's first run fixes is written once and never changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stacks.pins import keep, pins_of
from tenantry.tenancy.errors import InvalidInput

TEXT = "# ours\nencryptionsalt: v1:a\nconfig:\n  tenantry:stack: tenant # said by hand\n"


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "Pulumi.acme.yaml"
    path.write_text(TEXT)
    return path


def test_the_first_run_fixes_and_later_ones_keep(settings: Path) -> None:
    first = replace(pins_of(settings), release="7.1.3", template_version=1)
    keep(settings, first)
    assert pins_of(settings) == first
    keep(settings, replace(first, incarnation="zzzzzzzz", release="8.0.0", template_version=2))
    assert pins_of(settings) == first


def test_what_else_stands_in_the_file_stays(settings: Path) -> None:
    keep(settings, replace(pins_of(settings), release="7.1.3", template_version=1))
    text = settings.read_text()
    assert text.startswith(TEXT)
    assert "tenantry:release: 7.1.3\n" in text


def test_settings_that_are_not_there_are_no_first_run(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        pins_of(tmp_path / "Pulumi.acme.yaml")
