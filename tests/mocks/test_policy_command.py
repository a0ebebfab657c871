"""`tenantry policy …` as a user types it; nothing runs, and nothing is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tenantry.tenancy.catalogue import Catalogue
from tenantry_policies.rules import RULES

EXAMPLES = Catalogue.root() / "examples"
CELL = Catalogue.root() / "cells" / "example.yaml"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def tenantry(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [str(Path(sys.prefix) / "bin" / "tenantry"), "policy", *arguments],
        env={**kept, "TENANTRY_HOME": str(home)},
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )


def test_the_examples_pass_and_nothing_is_written(home: Path) -> None:
    done = tenantry(home, "check", str(EXAMPLES), "--json")
    assert done.returncode == 0, done.stderr
    tenants = json.loads(done.stdout)["tenants"]
    assert {one["tenant"] for one in tenants} == {path.stem for path in EXAMPLES.glob("*.yaml")}
    assert [(one["passed"], one["refused"], one["advised"]) for one in tenants] == [(True, [], [])] * len(tenants)
    assert not home.exists()


def test_a_cell_file_is_checked_beside_tenants_by_its_kind(home: Path) -> None:
    done = tenantry(home, "check", str(CELL), str(EXAMPLES / "globex-bank.yaml"), "--cell", str(CELL), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one["tenant"] for one in found["tenants"]] == ["globex-bank"]
    assert found["cells"] == [{"cell": "example", "passed": True, "refused": [], "advised": [], "remedied": []}]
    assert not home.exists()


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        ("managementUrl: https://", "managementUrl: http://", "plain-connection"),
        ("url: https://s3.eu-central-1.amazonaws.com", "url: http://store.example.org", "backup-not-sealed"),
        ("url: https://s3.eu-central-1.", "url: https://s3.us-east-1.", "data-outside-residency"),
        ("spec:\n", "spec:\n  images: {sources: [registry.example.org]}\n", "foreign-image"),
    ],
)
def test_a_cell_with_a_mistake_takes_no_tenant(home: Path, tmp_path: Path, right: str, wrong: str, rule: str) -> None:
    text = CELL.read_text(encoding="utf-8")
    assert right in text
    cell = tmp_path / "cell.yaml"
    cell.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    done = tenantry(home, "check", str(EXAMPLES / "globex-bank.yaml"), "--cell", str(cell), "--json")
    assert done.returncode == 2, done.stderr
    (tenant,) = json.loads(done.stdout)["tenants"]
    assert not tenant["passed"]
    assert rule in {one["rule"] for one in tenant["refused"]}
    assert all(f"(why: docs/policies.md#{one['rule']})" in one["message"] for one in tenant["refused"])


def test_the_text_names_the_resource_and_goes_to_standard_error(home: Path, tmp_path: Path) -> None:
    cell = tmp_path / "cell.yaml"
    cell.write_text(CELL.read_text(encoding="utf-8").replace("managementUrl: https", "managementUrl: http"))
    done = tenantry(home, "check", str(EXAMPLES / "globex-bank.yaml"), "--cell", str(cell))
    assert done.returncode == 2
    assert "✗ globex-bank: MessagingUser messaging: management_url speaks plain http to" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_list_has_every_rule(home: Path) -> None:
    done = tenantry(home, "list", "--json")
    assert done.returncode == 0, done.stderr
    assert [one["name"] for one in json.loads(done.stdout)["rules"]] == [rule.name for rule in RULES]
    shown = tenantry(home, "list").stdout
    assert all(f"{rule.name} " in shown for rule in RULES)


def test_a_file_that_is_no_tenant_is_said_with_its_line(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "tenant.yaml"
    file.write_text("apiVersion: tenantry.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme}\nspec: {plan: gold}\n")
    done = tenantry(home, "check", str(file))
    assert done.returncode == 2
    assert "tenant.yaml:4" in done.stderr
    assert "Traceback" not in done.stderr
