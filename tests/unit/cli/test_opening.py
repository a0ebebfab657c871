"""Under which token a command works."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tenantry.cli.opening import open_fleet
from tenantry.tenancy.errors import StateCorrupt
from tenantry.tenancy.manifest import load_cell

CELL = Path(__file__).resolve().parents[3] / "tenant_templates" / "cells" / "example.yaml"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the provisioner's token of the example cell stands; the caller's own is `caller`."""
    monkeypatch.setenv("TENANTRY_HOME", str(tmp_path))
    monkeypatch.setenv("VAULT_TOKEN", "caller")
    monkeypatch.setenv("BAO_TOKEN", "caller")
    path = tmp_path / "cells" / load_cell(CELL).metadata.name / "provisioner.json"
    path.parent.mkdir(parents=True)
    return path


def _address() -> str:
    return load_cell(CELL).spec.openbao.address


def test_a_tenants_command_works_as_the_provisioner(kept: Path) -> None:
    kept.write_text(json.dumps({"address": _address(), "token": "provisioner"}))
    with open_fleet(CELL, "default"):
        assert os.environ["VAULT_TOKEN"] == "provisioner"


def test_setting_up_the_cell_works_with_the_callers_token(kept: Path) -> None:
    kept.write_text(json.dumps({"address": _address(), "token": "provisioner"}))
    with open_fleet(CELL, "default", administrator=True):
        assert os.environ["VAULT_TOKEN"] == "caller"


def test_without_a_kept_token_the_callers_serves(kept: Path) -> None:
    with open_fleet(CELL, "default"):
        assert os.environ["VAULT_TOKEN"] == "caller"


def test_a_token_of_another_openbao_is_left_alone(kept: Path) -> None:
    kept.write_text(json.dumps({"address": "https://elsewhere:8200", "token": "provisioner"}))
    with open_fleet(CELL, "default"):
        assert os.environ["VAULT_TOKEN"] == "caller"


@pytest.mark.parametrize("text", ["", "{}", '{"address": "a", "token": 1, "secret-word": 2}'])
def test_a_broken_file_is_said_without_its_content(kept: Path, text: str) -> None:
    kept.write_text(text)
    with pytest.raises(StateCorrupt) as caught, open_fleet(CELL, "default"):
        pass
    assert caught.value.where == str(kept)
    assert "secret-word" not in str(caught.value)
