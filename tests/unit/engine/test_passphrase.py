"""Secrets under a passphrase: the CLI's format, a wrong passphrase, and none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenantry.engine.passphrase import new_salt, passphrase_key
from tenantry.engine.sealing import open_sealer
from tenantry.tenancy.errors import InvalidInput, StateCorrupt


@pytest.fixture(autouse=True)
def _passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE", raising=False)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "only for this test")


def test_what_is_sealed_by_a_new_salt_is_opened_by_the_passphrase_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    salt, key = new_salt()
    assert passphrase_key(salt, where="s") == key
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "another")
    with pytest.raises(InvalidInput, match="not the one") as caught:
        passphrase_key(salt, where="Pulumi.acme.yaml")
    assert caught.value.where == "Pulumi.acme.yaml"
    assert "another" not in f"{caught.value} {caught.value.hint}"


def test_a_passphrase_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    salt, key = new_salt()
    file = tmp_path / "passphrase"
    file.write_text("only for this test\n")
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(file))
    assert passphrase_key(salt, where="s") == key
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(tmp_path / "absent"))
    with pytest.raises(InvalidInput, match="cannot be read"):
        passphrase_key(salt, where="s")


def test_no_passphrase_is_said_with_the_variables_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    salt, _ = new_salt()
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    with pytest.raises(InvalidInput, match="none is given") as caught:
        open_sealer({"type": "passphrase", "state": {"salt": salt}}, where="s")
    assert "PULUMI_CONFIG_PASSPHRASE" in str(caught.value.hint)


@pytest.mark.parametrize("salt", ["", "v1:abc", "v2:a:v1:b:c", "v1:*:v1:*:*"], ids=str)
def test_a_salt_that_was_edited_is_told(salt: str) -> None:
    with pytest.raises(StateCorrupt, match="salt"):
        passphrase_key(salt, where="s")
