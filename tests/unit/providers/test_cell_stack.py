"""The policies that the cell installs, as texts."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

import pytest

from tenantry_components.providers.openbao_cell import ACCESSOR

POLICIES = Path(__file__).resolve().parents[3] / "policies" / "openbao"
NAMES = {"cell": "test", "transit_mount": "transit", "kv_mount": "kv", "database_mount": "database"}


def filled_in(name: str) -> str:
    text = (POLICIES / f"{name}.hcl").read_text(encoding="utf-8")
    return Template(text).safe_substitute(NAMES).replace(ACCESSOR, "auth_kubernetes_1")


@pytest.mark.parametrize("path", sorted(POLICIES.glob("*.hcl")), ids=lambda path: path.stem)
def test_no_placeholder_is_left_open(path: Path) -> None:
    rules = [line for line in filled_in(path.stem).splitlines() if not line.startswith("#")]
    assert "${" not in "\n".join(rules)


def test_every_path_of_the_tenants_policy_is_bound_to_its_namespace() -> None:
    paths = re.findall(r'^path "(.+)" {$', filled_in("tenant"), re.MULTILINE)
    bound = "{{identity.entity.aliases.auth_kubernetes_1.metadata.service_account_namespace}}"
    assert len(paths) == 6
    assert all(path.count(bound) == 1 for path in paths)


def test_no_policy_gives_root_rights_but_to_list_tokens_and_leases() -> None:
    for path in POLICIES.glob("*.hcl"):
        rules = re.findall(r'^path "(.+)" {\n  capabilities = \[(.+)\]', path.read_text(encoding="utf-8"), re.MULTILINE)
        root = {(rule, rights) for rule, rights in rules if "sudo" in rights}
        allowed = {"auth/token/accessors", "auth/token/accessors/", "sys/leases/lookup/*"}
        assert root == ({(rule, '"list", "sudo"') for rule in allowed} if path.stem == "deprovisioner" else set())
