"""A tenant with the rds tier in an AWS cell: from its file to the resource graph, and what refuses it elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from tenantry.engine.desired import Desired, DesiredResource
from tenantry.engine.embedded import EmbeddedEngine
from tenantry.engine.evaluating import evaluate
from tenantry.engine.interface import Program, Stack
from tenantry.engine.properties import plain
from tenantry.fleet import Fleet
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.cloud import load_cloud
from tenantry.tenancy.cloud_cell import Made, cell_of
from tenantry.tenancy.errors import Conflict, InvalidInput, Unsupported
from tenantry.tenancy.manifest import TenantFile, load_cell, parse_tenant
from tenantry.tenancy.resolving import resolve
from tenantry.tenancy.spec import TenantSpec
from tenantry_policies.embedded import judge_desired
from tests.mocks.aws_account import evaluate_on_aws

CATALOGUE = Catalogue.load()
MADE = Made(
    data_range="10.64.224.0/20",
    database_host="tenantry-eu-one.abcdefghijkl.eu-central-1.rds.amazonaws.com",
    database_secret="arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-1",
    database_subnet_group="tenantry-eu-one",
    database_security_group="sg-databases",
    rds_domain="abcdefghijkl.eu-central-1.rds.amazonaws.com",
    cache_host="master.tenantry-eu-one.cache.amazonaws.com",
    cache_user_group="tenantry-eu-one",
    messaging_host="b-1.mq.eu-central-1.on.aws",
    management_url="https://b-1.mq.eu-central-1.on.aws",
    backups_url="https://s3.eu-central-1.amazonaws.com/tenantry-eu-one-123456789012",
)


def tenant_file(environment: str = "production", plan: str = "enterprise", tier: str = "rds") -> TenantFile:
    return parse_tenant(
        f"""\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {{name: acme}}
spec:
  displayName: Acme
  owner: ops@acme.example
  plan: {plan}
  environment: {environment}
  database: {{tier: {tier}}}
""",
        source="acme.yaml",
    )


@pytest.fixture(scope="module")
def aws_cell() -> Cell:
    return cell_of(load_cloud(Catalogue.root() / "cells" / "aws-example.yaml"), MADE, authorities="PEM")


@pytest.fixture
def spec(aws_cell: Cell) -> TenantSpec:
    return decided(aws_cell)


def decided(cell: Cell, **fields: str) -> TenantSpec:
    return resolve(
        tenant_file(**fields), catalogue=CATALOGUE, cell=cell, incarnation="abcd2345", today=date(2026, 11, 24)
    )


def run(spec: TenantSpec, folder: Path) -> Desired:
    stack = Stack(project="tenantry", name=spec.name, backend=folder, secrets_provider="hashivault://state")
    return evaluate_on_aws(stack, Program(entry="stacks.tenant_stack:tenant_stack", arguments={"spec": spec}))


def one(desired: Desired, kind: str, name: str | None = None) -> DesiredResource:
    (found,) = (it for it in desired.resources if it.type.endswith(f":{kind}") and name in (None, it.name))
    return found


def test_the_instance_is_encrypted_private_and_hard_to_lose(spec: TenantSpec, tmp_path: Path) -> None:
    desired = run(spec, tmp_path)
    instance = one(desired, "Instance")
    key = one(desired, "Key")
    assert instance.inputs["identifier"] == spec.names.rds_instance
    assert instance.inputs["kmsKeyId"] == instance.inputs["masterUserSecretKmsKeyId"]
    assert key.urn in instance.property_dependencies["kmsKeyId"]
    expected = {
        "storageEncrypted": True,
        "publiclyAccessible": False,
        "deletionProtection": True,
        "skipFinalSnapshot": False,
        "manageMasterUserPassword": True,
        "multiAz": True,
        "vpcSecurityGroupIds": ["sg-databases"],
        "dbSubnetGroupName": "tenantry-eu-one",
    }
    assert {name: plain(instance.inputs[name]) for name in expected} == expected
    assert "password" not in instance.inputs
    assert instance.inputs["backupRetentionPeriod"] == min(35, spec.backup.keep_daily)
    for held in (instance, key, one(desired, "Schema")):
        assert (held.protect, held.retain_on_delete) == (True, True), held.urn
    parameters = {it["name"]: it["value"] for it in one(desired, "ParameterGroup").inputs["parameters"]}
    assert parameters["require_secure_transport"] == "1"
    assert instance.inputs["tags"]["cost-center"] == "marketing-platform"
    assert instance.inputs["tags"]["tenantry.dev/tenant"] == "acme"


def test_its_key_is_used_through_rds_alone(spec: TenantSpec, tmp_path: Path) -> None:
    statements = json.loads(one(run(spec, tmp_path), "Key").inputs["policy"])["Statement"]
    for statement in statements:
        assert not [it for it in statement["Action"] if it in ("*", "kms:*")]
    uses = [it for it in statements if it["Sid"] == "UseByServices"]
    assert uses[0]["Condition"]["StringEquals"]["kms:ViaService"] == [
        "rds.eu-central-1.amazonaws.com",
        "secretsmanager.eu-central-1.amazonaws.com",
    ]


def test_schema_and_accounts_are_made_on_the_instance_after_openbao_holds_it(spec: TenantSpec, tmp_path: Path) -> None:
    desired = run(spec, tmp_path)
    connection = one(desired, "RdsConnection")
    provisioner = one(desired, "DatabaseStaticRole", "provisioner")
    schema = one(desired, "Schema")
    assert one(desired, "Instance").urn in connection.dependencies
    assert connection.urn in provisioner.dependencies
    assert provisioner.urn in schema.dependencies
    role = f"tenantry-provisioner-{spec.names.namespace}"
    for made in (schema, one(desired, "Account", "account-a")):
        assert made.inputs["host"] == spec.database.host
        assert made.inputs["provisioner"] == role
    assert one(desired, "DatabaseStaticRole", "role-a").inputs["connection"] == spec.names.namespace
    assert role in connection.inputs["roles"]


def test_modules_are_told_the_name_that_the_certificate_has(spec: TenantSpec, tmp_path: Path) -> None:
    assert spec.database.host == "t-acme-abcd2345.abcdefghijkl.eu-central-1.rds.amazonaws.com"
    policy = one(run(spec, tmp_path), "NetworkPolicy", "reach-database")
    (rule,) = policy.inputs["spec"]["egress"]
    assert rule["to"] == [{"ipBlock": {"cidr": MADE.data_range}}]


def test_an_address_that_was_not_decided_ends_the_run(spec: TenantSpec, tmp_path: Path) -> None:
    elsewhere = replace(spec, database=replace(spec.database, host="t-acme-abcd2345.other.rds.amazonaws.com"))
    with pytest.raises(Conflict) as refused:
        run(elsewhere, tmp_path)
    assert refused.value.where == "spec.aws.rdsDomain"


def test_the_embedded_engine_refuses_it_by_name(spec: TenantSpec, tmp_path: Path) -> None:
    stack = Stack(project="tenantry", name="acme", backend=tmp_path, secrets_provider="hashivault://state")
    program = Program(entry="stacks.tenant_stack:tenant_stack", arguments={"spec": spec})
    with pytest.raises(Unsupported) as refused:
        evaluate(stack, program, known_ids={}, emit=lambda _message: None)
    assert refused.value.where == "pulumi:providers:aws aws"


def test_a_fleet_without_the_cli_records_nothing(aws_cell: Cell, spec: TenantSpec, tmp_path: Path) -> None:
    with EmbeddedEngine(workers=1) as engine:
        fleet = Fleet(cell=aws_cell, engine=engine, catalogue=CATALOGUE, root=tmp_path)
        with pytest.raises(Unsupported):
            fleet.up([(tenant_file(), spec)])
        assert fleet.registry.get("acme") is None


def test_a_plan_that_shares_a_cache_is_refused_at_elasticache(aws_cell: Cell) -> None:
    with pytest.raises(InvalidInput) as refused:
        decided(aws_cell, plan="starter", tier="shared")
    (problem,) = refused.value.problems
    assert (problem.path, problem.line) == ("spec.plan", 7)


def test_a_cell_elsewhere_has_no_rds() -> None:
    cell = load_cell(Catalogue.root() / "cells" / "example.yaml")
    with pytest.raises(InvalidInput) as refused:
        decided(cell)
    (problem,) = refused.value.problems
    assert (problem.path, problem.line) == ("spec.database.tier", 9)


def test_other_tenants_pay_nothing_for_aws() -> None:
    """A worker that has imported both programs holds neither AWS's SDK nor its client."""
    code = "import sys, stacks.tenant_stack, stacks.cell_stack; print({'pulumi_aws', 'boto3'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.strip() == "set()"


def test_the_policy_pack_finds_nothing(spec: TenantSpec, tmp_path: Path) -> None:
    judgement = judge_desired(run(spec, tmp_path).resources)
    assert (judgement.refused, judgement.advised, judgement.remedied) == ((), (), ())
