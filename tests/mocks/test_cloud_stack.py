"""The resource graph of an AWS cell: encrypted, private, tagged, least-privileged, and hard to lose."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tenantry.engine.desired import Desired, DesiredResource
from tenantry.engine.evaluating import evaluate
from tenantry.engine.interface import Program, Stack
from tenantry.engine.properties import Secret, plain
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.cloud import Cloud
from tenantry.tenancy.errors import Unsupported
from tenantry_policies.embedded import judge_desired

CA = "-----BEGIN CERTIFICATE-----\ncell\n-----END CERTIFICATE-----\n"
# AWS gives these no tags.
UNTAGGED = {
    "AccessPolicyAssociation",
    "Alias",
    "BackupPolicy",
    "BucketLifecycleConfiguration",
    "BucketObjectLockConfiguration",
    "BucketOwnershipControls",
    "BucketPolicy",
    "BucketPublicAccessBlock",
    "BucketServerSideEncryptionConfiguration",
    "BucketVersioning",
    "MountTarget",
    "RolePolicy",
    "RolePolicyAttachment",
    "Route",
    "RouteTableAssociation",
}


@pytest.fixture(scope="module")
def desired(cloud_registered: Desired) -> Desired:
    return cloud_registered


def of(desired: Desired, type_: str) -> list[DesiredResource]:
    return [one for one in desired.resources if one.type == f"aws:{type_}"]


def inputs(desired: Desired, type_: str) -> list[dict[str, Any]]:
    found = [plain(dict(one.inputs)) for one in of(desired, type_)]
    assert found, type_
    return found


def aws(desired: Desired) -> Iterator[DesiredResource]:
    return (one for one in desired.resources if one.type.startswith("aws:"))


def statements(desired: Desired) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(owner, statement) of every policy document of the graph."""
    for one in aws(desired):
        for field in ("policy", "assumeRolePolicy"):
            if field in one.inputs:
                for statement in json.loads(str(plain(one.inputs[field])))["Statement"]:
                    yield f"{one.type} {one.name}", statement


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_everything_carries_the_tags_by_which_costs_are_told_apart(desired: Desired, cloud: Cloud) -> None:
    for one in aws(desired):
        if one.type.rpartition(":")[2] in UNTAGGED:
            continue
        tags = one.inputs.get("tags", {})
        assert tags.get("cost-center") == cloud.spec.cost_center, one.urn
        assert tags.get("tenantry.dev/cell") == cloud.metadata.name, one.urn


def test_every_store_is_encrypted_by_a_key_of_the_cell(desired: Desired) -> None:
    (database,) = inputs(desired, "rds/instance:Instance")
    assert database["storageEncrypted"] is True
    assert database["performanceInsightsKmsKeyId"] == database["kmsKeyId"] == database["masterUserSecretKmsKeyId"]
    (cache,) = inputs(desired, "elasticache/replicationGroup:ReplicationGroup")
    assert cache["atRestEncryptionEnabled"] is True
    assert (cache["transitEncryptionEnabled"], cache["transitEncryptionMode"]) == (True, "required")
    (broker,) = inputs(desired, "mq/broker:Broker")
    assert broker["encryptionOptions"]["useAwsOwnedKey"] is False
    (files,) = inputs(desired, "efs/fileSystem:FileSystem")
    assert files["encrypted"] is True
    (cluster,) = inputs(desired, "eks/cluster:Cluster")
    assert cluster["encryptionConfig"]["resources"] == ["secrets"]
    (template,) = inputs(desired, "ec2/launchTemplate:LaunchTemplate")
    disk = template["blockDeviceMappings"][0]["ebs"]
    assert disk["encrypted"] == "true"
    (bucket,) = inputs(desired, "s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration")
    rule = bucket["rules"][0]["applyServerSideEncryptionByDefault"]
    assert rule["sseAlgorithm"] == "aws:kms"
    used = {
        database["kmsKeyId"],
        cache["kmsKeyId"],
        broker["encryptionOptions"]["kmsKeyId"],
        files["kmsKeyId"],
        cluster["encryptionConfig"]["provider"]["keyArn"],
        disk["kmsKeyId"],
        rule["kmsMasterKeyId"],
        *(group["kmsKeyId"] for group in inputs(desired, "cloudwatch/logGroup:LogGroup")),
    }
    assert len(used) == 8, "one key a purpose"
    assert all(arn.startswith("arn:aws:kms:") for arn in used)


def test_keys_rotate_and_cannot_be_lost_by_a_run(desired: Desired) -> None:
    for key in of(desired, "kms/key:Key"):
        assert key.inputs["enableKeyRotation"] is True
        assert key.inputs["deletionWindowInDays"] == 30
        assert (key.protect, key.retain_on_delete) == (True, True)


def test_nothing_has_a_public_address_or_a_public_door(desired: Desired) -> None:
    (cluster,) = inputs(desired, "eks/cluster:Cluster")
    access = cluster["vpcConfig"]
    assert (access["endpointPrivateAccess"], access["endpointPublicAccess"]) == (True, False)
    for type_ in ("rds/instance:Instance", "mq/broker:Broker"):
        assert inputs(desired, type_)[0]["publiclyAccessible"] is False
    for subnet in inputs(desired, "ec2/subnet:Subnet"):
        assert subnet["mapPublicIpOnLaunch"] is False
    (block,) = inputs(desired, "s3/bucketPublicAccessBlock:BucketPublicAccessBlock")
    assert {block[name] for name in block if name != "bucket"} == {True}
    (group,) = inputs(desired, "ec2/defaultSecurityGroup:DefaultSecurityGroup")
    assert (group["ingress"], group["egress"]) == ([], [])


def test_no_security_group_lets_the_world_in_and_servers_take_the_cluster_alone(desired: Desired) -> None:
    groups = {one["name"]: one for one in inputs(desired, "ec2/securityGroup:SecurityGroup")}
    for name, group in groups.items():
        assert group["egress"] == [], name
        for rule in group["ingress"]:
            assert all(not cidr.startswith("0.") for cidr in rule.get("cidrBlocks", [])), name
    for part in ("databases", "cache", "messaging", "files"):
        for rule in groups[f"tenantry-eu-one-{part}"]["ingress"]:
            assert rule["securityGroups"] == ["sg-cluster"]
            assert "cidrBlocks" not in rule


def test_the_data_layer_has_no_way_out(desired: Desired) -> None:
    assert {one.name[:-2] for one in of(desired, "ec2/route:Route")} == {"public", "nodes"}
    subnets = {one.urn: one for one in of(desired, "ec2/subnet:Subnet")}
    for type_, field in (
        ("rds/subnetGroup:SubnetGroup", "subnetIds"),
        ("elasticache/subnetGroup:SubnetGroup", "subnetIds"),
        ("mq/broker:Broker", "subnetIds"),
    ):
        (server,) = of(desired, type_)
        names = {subnets[reference].name[:-2] for reference in server.property_dependencies[field]}
        assert names == {"data"}, type_
        assert len(server.inputs[field]) == 3


def test_servers_and_storage_survive_a_mistake(desired: Desired) -> None:
    for type_ in ("rds/instance:Instance", "eks/cluster:Cluster"):
        assert inputs(desired, type_)[0]["deletionProtection"] is True
    for type_ in (
        "rds/instance:Instance",
        "eks/cluster:Cluster",
        "mq/broker:Broker",
        "s3/bucket:Bucket",
        "efs/fileSystem:FileSystem",
        "route53/zone:Zone",
    ):
        assert [one.protect for one in of(desired, type_)] == [True], type_
    (database,) = inputs(desired, "rds/instance:Instance")
    assert database["skipFinalSnapshot"] is False
    assert database["backupRetentionPeriod"] >= 7
    assert database["multiAz"] is True


def test_backups_are_locked_and_reached_over_tls_alone(desired: Desired, cloud: Cloud) -> None:
    (bucket,) = inputs(desired, "s3/bucket:Bucket")
    assert (bucket["objectLockEnabled"], bucket["forceDestroy"]) == (True, False)
    (lock,) = inputs(desired, "s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration")
    assert lock["rule"]["defaultRetention"] == {"mode": "GOVERNANCE", "days": cloud.spec.backups.lock_days}
    (versioning,) = inputs(desired, "s3/bucketVersioning:BucketVersioning")
    assert versioning["versioningConfiguration"]["status"] == "Enabled"
    (policy,) = inputs(desired, "s3/bucketPolicy:BucketPolicy")
    conditions = [one["Condition"] for one in json.loads(policy["policy"])["Statement"] if one["Effect"] == "Deny"]
    assert {"Bool": {"aws:SecureTransport": "false"}} in conditions


def test_every_statement_names_its_actions_and_where_it_can_its_things(desired: Desired) -> None:
    anywhere = {"route53:ListHostedZones", "route53:ListHostedZonesByName"}
    for owner, statement in statements(desired):
        if statement["Effect"] == "Deny":
            continue
        actions = listed(statement["Action"])
        assert not [one for one in actions if one == "*" or one.endswith(":*")], owner
        assert statement.get("Principal") != "*", owner
        assert statement.get("Principal", {}).get("AWS") != "*", owner
        if owner.startswith("aws:kms/") or "Resource" not in statement:
            continue  # a key's policy is about that key; a role's trust is about that role
        if "*" in listed(statement["Resource"]):
            assert set(actions) <= anywhere, owner


def test_a_role_is_taken_by_one_service_of_this_account(desired: Desired, cloud: Cloud) -> None:
    for role in of(desired, "iam/role:Role"):
        (statement,) = json.loads(role.inputs["assumeRolePolicy"])["Statement"]
        (service,) = statement["Principal"].values()
        assert service.endswith(".amazonaws.com")
        if service != "ec2.amazonaws.com":
            assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": cloud.spec.account}}


def test_a_key_is_used_through_its_services_alone(desired: Desired) -> None:
    for key in of(desired, "kms/key:Key"):
        for statement in json.loads(key.inputs["policy"])["Statement"]:
            if statement["Sid"] in {"Administer", "UseByLinkedRoles"}:
                continue
            assert statement["Condition"], (key.name, statement["Sid"])


def test_the_network_plugin_enforces_policies_before_the_first_node(desired: Desired) -> None:
    (plugin,) = [one for one in of(desired, "eks/addon:Addon") if one.name == "vpc-cni"]
    assert json.loads(plugin.inputs["configurationValues"])["enableNetworkPolicy"] == "true"
    (nodes,) = of(desired, "eks/nodeGroup:NodeGroup")
    assert plugin.urn in nodes.dependencies
    (template,) = inputs(desired, "ec2/launchTemplate:LaunchTemplate")
    assert template["metadataOptions"]["httpTokens"] == "required"
    assert template["metadataOptions"]["httpPutResponseHopLimit"] == 1


def test_the_control_plane_tells_everything_and_its_maker_has_no_rights(desired: Desired) -> None:
    (cluster,) = inputs(desired, "eks/cluster:Cluster")
    assert len(cluster["enabledClusterLogTypes"]) == 5
    assert cluster["accessConfig"] == {
        "authenticationMode": "API",
        "bootstrapClusterCreatorAdminPermissions": False,
    }


def test_no_password_is_plain_in_the_graph(desired: Desired) -> None:
    (broker,) = of(desired, "mq/broker:Broker")
    assert isinstance(broker.inputs["users"][0]["password"], Secret) or isinstance(broker.inputs["users"], Secret)
    (database,) = inputs(desired, "rds/instance:Instance")
    assert "password" not in database
    assert database["manageMasterUserPassword"] is True


def test_the_cell_file_is_one_that_the_other_stacks_read(desired: Desired, cloud: Cloud) -> None:
    cell = Cell.model_validate(YAML(typ="safe").load(desired.outputs[desired.root]["cellFile"]))
    assert cell.metadata.name == cloud.metadata.name
    assert cell.spec.database.host == "tenantry-eu-one.abcdefghijkl.eu-central-1.rds.amazonaws.com"
    assert cell.spec.aws is not None
    assert cell.spec.aws.rds_domain == "abcdefghijkl.eu-central-1.rds.amazonaws.com"
    assert cell.spec.ca_bundle == CA


def test_the_classes_of_volumes_are_encrypted(desired: Desired) -> None:
    classes = list(YAML(typ="safe").load_all(desired.outputs[desired.root]["volumeClasses"]))
    assert classes[0]["parameters"]["encrypted"] == "true"
    assert classes[1]["mountOptions"] == ["tls"]


def test_the_embedded_engine_refuses_it_by_name(cloud: Cloud, tmp_path: Path) -> None:
    stack = Stack(project="tenantry", name="cloud", backend=tmp_path, secrets_provider="hashivault://state")
    program = Program(entry="tests.mocks.aws_account:cloud_program", arguments={"cloud": cloud, "authorities": CA})
    with pytest.raises(Unsupported) as refused:
        evaluate(stack, program, known_ids={}, emit=lambda _message: None)
    assert refused.value.where == "pulumi:providers:aws aws"
    assert "pulumi up" in str(refused.value.hint)


def test_the_policy_pack_finds_nothing(desired: Desired) -> None:
    judgement = judge_desired(desired.resources)
    assert (judgement.refused, judgement.advised, judgement.remedied) == ((), (), ())
