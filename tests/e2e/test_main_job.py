"""The main job: `make up` gives isolated tenants, and again changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.e2e.user import ROOT, User

EXAMPLES = sorted((ROOT / "tenant_templates" / "examples").glob("*.yaml"))


def _name(path: Path) -> str:
    return str(YAML(typ="safe").load(path)["metadata"]["name"])


NAMES = [_name(path) for path in EXAMPLES]


@pytest.fixture(scope="module")
def records(user: User) -> dict[str, dict[str, Any]]:
    return {record["name"]: record for record in user.json("tenant", "list")["tenants"]}


@pytest.fixture(scope="module")
def specs(user: User) -> dict[str, dict[str, Any]]:
    """Names of what each tenant has, from a run that changes nothing."""
    return {one["tenant"]: one for one in user.json("tenant", "up", "tenant_templates/examples")["tenants"]}


def test_there_are_at_least_three_examples() -> None:
    assert len(NAMES) >= 3


def test_it_ends_with_a_table_of_the_tenants_and_what_to_type_next(user: User, first_up: dict[str, str]) -> None:
    printed = first_up["stdout"]
    for column in ("TENANT", "NAMESPACE", "OBJECTS", "DATABASE", "KEY", "HOSTS", "SECONDS"):
        assert column in printed
    for name in NAMES:
        assert f"\n{name} " in printed
    assert "tenantry tenant show" in printed


def test_a_second_run_changes_nothing(user: User) -> None:
    before = user.shell("kubectl get ns,deploy,netpol,cm -A -l tenantry.dev/tenant -o json").stdout
    user.types("make", "up")
    after = user.shell("kubectl get ns,deploy,netpol,cm -A -l tenantry.dev/tenant -o json").stdout
    one, two = (
        {
            # How many replicas there are is an autoscaler's affair, which may still be at its first look.
            item["metadata"]["uid"]: {key: value for key, value in item.get("spec", {}).items() if key != "replicas"}
            for item in json.loads(text)["items"]
        }
        for text in (before, after)
    )
    assert one == two
    assert len(one) > len(NAMES)


def test_a_second_run_reports_no_change(specs: dict[str, dict[str, Any]]) -> None:
    assert {name: one["change"] for name, one in specs.items()} == dict.fromkeys(NAMES, "no")


@pytest.mark.parametrize("path", EXAMPLES, ids=NAMES)
def test_a_preview_after_it_is_empty(user: User, path: Path) -> None:
    (one,) = user.json("tenant", "preview", str(path))["tenants"]
    assert one["changes"] == []


@pytest.mark.parametrize("name", NAMES)
def test_show_tells_that_pods_are_simulated(user: User, name: str) -> None:
    conditions = {one["type"]: one for one in user.json("tenant", "show", name)["conditions"]}
    assert conditions["WorkloadSimulated"]["status"] == "True"
    assert conditions["Ready"]["status"] == "True"


def test_plain_kubectl_sees_each_namespace_restricted(user: User, records: dict[str, dict[str, Any]]) -> None:
    for record in records.values():
        namespace = json.loads(user.shell(f"kubectl get namespace {record['namespace']} -o json").stdout)
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_a_login_that_openbao_issued_reads_its_own_schema_and_no_other(
    user: User, specs: dict[str, dict[str, Any]]
) -> None:
    shared = [one for one in specs.values() if one["tier"] == "shared"]
    assert len(shared) >= 2
    for one in shared:
        seen = user.shell(
            f"bao read -format=json database/static-creds/{one['databaseRole']} > login.$$\n"
            "trap 'rm -f login.$$' EXIT\n"
            "umask 077\n"
            'python3 -c \'import json,sys; d=json.load(open(sys.argv[1]))["data"];'
            ' print("[client]\\nuser=%s\\npassword=\\"%s\\"" % (d["username"], d["password"]))\' login.$$ > my.$$\n'
            "trap 'rm -f login.$$ my.$$' EXIT\n"
            "mariadb --defaults-extra-file=my.$$ -N -e 'show databases'"
        ).stdout.split()
        assert set(seen) - {"information_schema"} == {one["schema"]}


def test_a_tenants_service_account_token_reads_its_own_paths_and_no_others(
    user: User, specs: dict[str, dict[str, Any]]
) -> None:
    for one in specs.values():
        other = next(found for found in specs.values() if found is not one)
        entries = json.loads(user.shell(f"bao kv list -format=json kv/tenants/{one['namespace']}").stdout)
        assert entries
        refused = (
            f"bao kv get kv/tenants/{other['namespace']}/egress",
            f"bao write transit/encrypt/{other['transitKey']} plaintext=aGk=",
            f"bao read database/static-creds/{other['databaseRole']}",
            "bao secrets list",
        )
        lines = (
            f"jwt=$(kubectl -n {one['namespace']} create token workload --audience openbao)",
            "unset VAULT_TOKEN BAO_TOKEN",
            'export BAO_TOKEN=$(printf %s "$jwt" | bao write -field=token auth/kubernetes/login role=tenant jwt=-)',
            *(f"bao kv get kv/tenants/{one['namespace']}/{entry} >/dev/null" for entry in entries),
            f"bao write transit/encrypt/{one['transitKey']} plaintext=aGk= >/dev/null",
            *(
                f"code=0; said=$({command} 2>&1) || code=$?; test $code = 2; echo ${{said##*permission denied*}}"
                for command in refused
            ),
        )
        said = user.shell("\n".join(lines)).stdout
        assert said == "\n" * len(refused)


def test_render_writes_the_same_bytes_twice(user: User, tmp_path: Path) -> None:
    for target in ("one", "two"):
        user.types("tenantry", "tenant", "render", str(EXAMPLES[0]), "-o", str(tmp_path / target))
    one, two = (
        {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
        for root in (tmp_path / "one", tmp_path / "two")
    )
    assert one == two
    assert len(one) > 20


def test_diff_and_preview_show_what_an_edit_changes_and_change_nothing(user: User, tmp_path: Path) -> None:
    assert user.json("tenant", "diff", str(EXAMPLES[0]))["differences"] == []
    edited = tmp_path / "edited.yaml"
    document = YAML(typ="safe").load(EXAMPLES[0])
    document["spec"]["hosts"] = ["edited.tenantry.example"]
    YAML(typ="safe").dump(document, edited)
    differences = user.json("tenant", "diff", str(edited))["differences"]
    assert any("ingress" in one["file"] and "edited.tenantry.example" in one["diff"] for one in differences)
    (preview,) = user.json("tenant", "preview", str(edited))["tenants"]
    assert any(change["urn"].endswith("Ingress::web") and change["op"] == "update" for change in preview["changes"])
    assert user.json("tenant", "diff", str(EXAMPLES[0]))["differences"] == []


def test_only_test_environments_can_be_destroyed(user: User, records: dict[str, dict[str, Any]]) -> None:
    protected = next(name for name, record in records.items() if record["environment"] == "production")
    refused = user.types("tenantry", "tenant", "destroy", protected, "--yes", code=2)
    assert "test environments" in refused.stderr
