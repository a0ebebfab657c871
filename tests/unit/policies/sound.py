"""Stacks that break no rule: a tenant's, a cell's and an AWS account's, as small as the rules allow.

Each resource is found by `Kind/name`; the cases change one value each.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from tenantry_policies.view import Resource

HOME = "t-acme-a1b2c3d4"
_LABELS = {
    "app.kubernetes.io/managed-by": "tenantry",
    "tenantry.dev/tenant": "acme",
    "tenantry.dev/incarnation": "a1b2c3d4",
    "tenantry.dev/plan": "growth",
    "tenantry.dev/environment": "production",
}
_RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "v1.34",
}
_SOURCES = {"tenantry.dev/image-sources": "docker.io,ghcr.io"}
_CELL_LABELS = {"tenantry.dev/cell": "one"}
_TAGS = {"tenantry.dev/cell": "one"}


def _meta(name: str, labels: Mapping[str, str] = _LABELS, namespace: str = HOME, **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "labels": dict(labels), **more}


def _container(name: str, image: str, **more: Any) -> dict[str, Any]:
    amounts = {"cpu": "100m", "memory": "64Mi", "ephemeral-storage": "32Mi"}
    return {
        "name": name,
        "image": image,
        "resources": {"requests": dict(amounts), "limits": dict(amounts)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
        },
        **more,
    }


def _pod(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 33,
            "seccompProfile": {"type": "RuntimeDefault"},
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
        },
        "initContainers": [
            _container("agent", "openbao/openbao:2.7.2", volumeMounts=[{"name": "token", "mountPath": "/token"}])
        ],
        "containers": list(containers),
        "volumes": [
            {"name": "scratch", "emptyDir": {"sizeLimit": "64Mi"}},
            {
                "name": "token",
                "projected": {"sources": [{"serviceAccountToken": {"audience": "openbao", "path": "token"}}]},
            },
        ],
        **more,
    }


def _owner(name: str, pod: dict[str, Any], component: str = "", **spec: Any) -> dict[str, Any]:
    labels = {**_LABELS, **({"app.kubernetes.io/component": component} if component else {})}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {"metadata": _meta(name, labels), "spec": {"template": template, **spec}}


def _cron(name: str, pod: dict[str, Any], component: str) -> dict[str, Any]:
    inner = _owner(name, pod, component, activeDeadlineSeconds=600)
    job = {"spec": inner["spec"]}
    return {"metadata": inner["metadata"], "spec": {"concurrencyPolicy": "Forbid", "jobTemplate": job}}


def _policy(name: str, namespace: str, labels: Mapping[str, str], **spec: Any) -> dict[str, Any]:
    return {"metadata": _meta(name, labels, namespace), "spec": spec}


_WEB = _container(
    "web",
    "mautic/mautic:7.1.3-apache",
    ports=[{"containerPort": 80}],
    readinessProbe={"tcpSocket": {"port": 80}},
    livenessProbe={"tcpSocket": {"port": 80}},
    env=[{"name": "SITE_URL", "value": "https://acme.example.org"}, {"name": "DB_PASSWORD_FILE", "value": "/run/pw"}],
)
_BACKUP = _container(
    "backup",
    "ghcr.io/tenantry/backup:0.1.0",
    env=[
        {"name": "VAULT_ADDR", "value": "http://127.0.0.1:8100"},
        {"name": "TENANTRY_BACKUP_TRANSIT_KEY", "value": HOME},
        {"name": "TENANTRY_BACKUP_STORE_KIND", "value": "s3"},
        {"name": "TENANTRY_BACKUP_STORE_URL", "value": "https://s3.eu-central-1.amazonaws.com/backups"},
        {"name": "TENANTRY_BACKUP_STORE_PREFIX", "value": f"tenants/{HOME}/"},
        {"name": "TENANTRY_BACKUP_KEEP_DAILY", "value": "7"},
    ],
)
_PEER = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}
_OPENBAO_PEER = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openbao"}}}

TENANT: dict[str, tuple[str, dict[str, Any], bool]] = {
    "Namespace/home": (
        "kubernetes:core/v1:Namespace",
        {
            "metadata": {
                "name": HOME,
                "labels": {**_LABELS, **_RESTRICTED},
                "annotations": {
                    **_SOURCES,
                    "tenantry.dev/residency": "eu",
                    "tenantry.dev/kept-in": "eu",
                    "tenantry.dev/region": "eu-central-1",
                },
            }
        },
        False,
    ),
    "NetworkPolicy/default-deny": (
        "kubernetes:networking.k8s.io/v1:NetworkPolicy",
        _policy(
            "default-deny", HOME, _LABELS, podSelector={}, policyTypes=["Ingress", "Egress"], ingress=[], egress=[]
        ),
        False,
    ),
    "NetworkPolicy/public": (
        "kubernetes:networking.k8s.io/v1:NetworkPolicy",
        _policy(
            "public",
            HOME,
            _LABELS,
            podSelector={"matchLabels": {"app.kubernetes.io/component": "web"}},
            policyTypes=["Ingress", "Egress"],
            ingress=[{"from": [_PEER], "ports": [{"port": 80}]}],
            egress=[{"to": [_OPENBAO_PEER, {"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"port": 8200}]}],
        ),
        False,
    ),
    "ResourceQuota/tenant": (
        "kubernetes:core/v1:ResourceQuota",
        {
            "metadata": _meta("tenant"),
            "spec": {
                "hard": {
                    "requests.cpu": "1",
                    "limits.cpu": "2",
                    "requests.memory": "1Gi",
                    "limits.memory": "2Gi",
                    "requests.storage": "5Gi",
                    "pods": "10",
                    "services.nodeports": "0",
                    "services.loadbalancers": "0",
                }
            },
        },
        False,
    ),
    "LimitRange/tenant": (
        "kubernetes:core/v1:LimitRange",
        {"metadata": _meta("tenant"), "spec": {"limits": []}},
        False,
    ),
    "ServiceAccount/workload": (
        "kubernetes:core/v1:ServiceAccount",
        {"metadata": _meta("workload"), "automountServiceAccountToken": False},
        False,
    ),
    "Deployment/web": ("kubernetes:apps/v1:Deployment", _owner("web", _pod(_WEB), "web"), False),
    "Job/install": (
        "kubernetes:batch/v1:Job",
        _owner("install", _pod(_container("install", "mautic/mautic:7.1.3-apache")), activeDeadlineSeconds=600),
        False,
    ),
    "CronJob/backup": ("kubernetes:batch/v1:CronJob", _cron("backup", _pod(_BACKUP), "backup"), False),
    "ConfigMap/database": (
        "kubernetes:core/v1:ConfigMap",
        {
            "metadata": _meta("database"),
            "data": {
                "agent.json": json.dumps({"vault": {"address": "https://openbao.openbao.svc:8200"}}),
                "server.cnf": "innodb_encrypt_tables = FORCE\ninnodb_encrypt_log = ON\nencrypt_binlog = ON\n"
                "encrypt_tmp_files = ON\naria_encrypt_tables = ON\nrequire_secure_transport = ON\n",
            },
        },
        False,
    ),
    "Secret/web-tls": (
        "kubernetes:core/v1:Secret",
        {"metadata": _meta("web-tls"), "type": "kubernetes.io/tls", "data": {}},
        False,
    ),
    "Service/web": ("kubernetes:core/v1:Service", {"metadata": _meta("web"), "spec": {"type": "ClusterIP"}}, False),
    "Ingress/web": (
        "kubernetes:networking.k8s.io/v1:Ingress",
        {
            "metadata": _meta("web"),
            "spec": {
                "rules": [{"host": "acme.example.org"}],
                "tls": [{"hosts": ["acme.example.org"], "secretName": "web-tls"}],
            },
        },
        False,
    ),
    "Role/viewer": (
        "kubernetes:rbac.authorization.k8s.io/v1:Role",
        {
            "metadata": _meta("viewer"),
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}],
        },
        False,
    ),
    "RoleBinding/viewer": (
        "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding",
        {
            "metadata": _meta("viewer"),
            "roleRef": {"kind": "Role", "name": "viewer"},
            "subjects": [{"kind": "Group", "name": f"tenantry:{HOME}:viewers"}],
        },
        False,
    ),
    "PersistentVolumeClaim/media": (
        "kubernetes:core/v1:PersistentVolumeClaim",
        {"metadata": _meta("media"), "spec": {}},
        True,
    ),
    "Schema/tenant": (
        "pulumi-python:dynamic/tenantry:Schema",
        {"host": "mariadb.data.svc", "schema": "t_acme_a1b2c3d4"},
        True,
    ),
    "Account/a": (
        "pulumi-python:dynamic/tenantry:Account",
        {"username": "t_acme_a1b2c3d4_a", "schema": "t_acme_a1b2c3d4", "grants": "exact"},
        False,
    ),
    "CacheUser/cache": (
        "pulumi-python:dynamic/tenantry:CacheUser",
        {"username": HOME, "prefix": f"{HOME}:", "kv_path": f"tenants/{HOME}", "rules": "exact"},
        False,
    ),
    "MessagingUser/messaging": (
        "pulumi-python:dynamic/tenantry:MessagingUser",
        {
            "username": HOME,
            "vhost": HOME,
            "kv_path": f"tenants/{HOME}",
            "permissions": "exact",
            "management_url": "https://rabbitmq.data.svc:15671",
        },
        False,
    ),
    "TransitKey/tenant": ("pulumi-python:dynamic/tenantry:TransitKey", {"key_name": HOME}, True),
    "KvSecrets/application": ("pulumi-python:dynamic/tenantry:KvSecrets", {"path": f"tenants/{HOME}/app"}, True),
    "KvSecrets/cache": ("pulumi-python:dynamic/tenantry:KvSecrets", {"path": f"tenants/{HOME}/cache"}, False),
    "EgressEntry/egress": (
        "pulumi-python:dynamic/tenantry:EgressEntry",
        {"namespace": HOME, "kv_path": f"tenants/{HOME}/egress", "hosts": ["api.crm.example.com:443"]},
        False,
    ),
}

_SYSTEM = "tenantry-system"

CELL: dict[str, tuple[str, dict[str, Any], bool]] = {
    "Namespace/system": (
        "kubernetes:core/v1:Namespace",
        {"metadata": {"name": _SYSTEM, "labels": {**_CELL_LABELS, **_RESTRICTED}, "annotations": _SOURCES}},
        False,
    ),
    "NetworkPolicy/deny-all": (
        "kubernetes:networking.k8s.io/v1:NetworkPolicy",
        _policy("deny-all", _SYSTEM, _CELL_LABELS, podSelector={}, policyTypes=["Ingress", "Egress"]),
        False,
    ),
    "NetworkPolicy/egress": (
        "kubernetes:networking.k8s.io/v1:NetworkPolicy",
        _policy(
            "egress",
            _SYSTEM,
            _CELL_LABELS,
            podSelector={"matchLabels": {"app": "egress"}},
            policyTypes=["Egress"],
            egress=[
                {
                    "to": [
                        {
                            "ipBlock": {
                                "cidr": "0.0.0.0/0",
                                "except": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"],
                            }
                        }
                    ],
                    "ports": [{"protocol": "TCP"}],
                }
            ],
        ),
        False,
    ),
    "ClusterRole/reviewer": (
        "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole",
        {
            "metadata": {"name": "reviewer", "labels": _CELL_LABELS},
            "rules": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}],
        },
        False,
    ),
    "Mount/kv": ("pulumi-python:dynamic/tenantry:Mount", {"mount": "kv", "kind": "kv"}, True),
    "DatabaseConnection/database": (
        "pulumi-python:dynamic/tenantry:DatabaseConnection",
        {
            "host": "mariadb.data.svc",
            "provisioner": [
                "GRANT CREATE USER, CONNECTION ADMIN ON *.* TO 'provisioner'@'%'",
                "GRANT SELECT, INSERT ON `t\\_%`.* TO 'provisioner'@'%' WITH GRANT OPTION",
            ],
        },
        False,
    ),
    "Policy/deprovisioner": (
        "pulumi-python:dynamic/tenantry:Policy",
        {
            "policy": "tenantry-deprovisioner",
            "text": 'path "auth/token/accessors" {\n  capabilities = ["list", "sudo"]\n}\n'
            'path "identity/entity/id/+" {\n  capabilities = ["read", "delete"]\n}\n'
            'path "+/keys" {\n  capabilities = ["list"]\n}\n',
            "kubernetes_mount": "kubernetes",
        },
        False,
    ),
    "Policy/tenant": (
        "pulumi-python:dynamic/tenantry:Policy",
        {
            "policy": "tenant",
            "text": '# path "sys/*" is not for tenants\n'
            'path "kv/data/tenants/{{identity.entity.aliases.x.metadata.service_account_namespace}}/*" {\n'
            '  capabilities = ["read"]\n}\n'
            'path "transit/keys/t-*" {\n  capabilities = ["read"]\n}\n',
        },
        False,
    ),
    "KubernetesAuthRole/tenant": (
        "pulumi-python:dynamic/tenantry:KubernetesAuthRole",
        {
            "namespace_selector": json.dumps({"matchLabels": {"app.kubernetes.io/managed-by": "tenantry"}}),
            "service_accounts": ["*"],
            "policies": ["tenantry-tenant"],
            "audience": "openbao",
            "ttl_s": 3600,
        },
        False,
    ),
}

_KEY_ARN = "arn:aws:kms:eu-central-1:111111111111:key/one"
_NARROW = json.dumps({"Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::b/*"}]})
_TRUST = json.dumps(
    {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "pods.eks.amazonaws.com"}}]}
)

CLOUD: dict[str, tuple[str, dict[str, Any], bool]] = {
    "Instance/database": (
        "aws:rds/instance:Instance",
        {
            "storageEncrypted": True,
            "kmsKeyId": _KEY_ARN,
            "publiclyAccessible": False,
            "deletionProtection": True,
            "skipFinalSnapshot": False,
            "backupRetentionPeriod": 7,
            "tags": _TAGS,
        },
        True,
    ),
    "ReplicationGroup/cache": (
        "aws:elasticache/replicationGroup:ReplicationGroup",
        {
            "atRestEncryptionEnabled": True,
            "transitEncryptionEnabled": True,
            "kmsKeyId": _KEY_ARN,
            "tags": _TAGS,
        },
        False,
    ),
    "Broker/messaging": (
        "aws:mq/broker:Broker",
        {
            "encryptionOptions": {"kmsKeyId": _KEY_ARN, "useAwsOwnedKey": False},
            "publiclyAccessible": False,
            "tags": _TAGS,
        },
        False,
    ),
    "Cluster/eks": (
        "aws:eks/cluster:Cluster",
        {
            "encryptionConfig": {"resources": ["secrets"], "provider": {"keyArn": _KEY_ARN}},
            "vpcConfig": {"endpointPublicAccess": False},
            "tags": _TAGS,
        },
        False,
    ),
    "LaunchTemplate/nodes": (
        "aws:ec2/launchTemplate:LaunchTemplate",
        {"blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": {"encrypted": "true"}}]},
        False,
    ),
    "Key/cell": (
        "aws:kms/key:Key",
        {
            "enableKeyRotation": True,
            "deletionWindowInDays": 30,
            "policy": json.dumps(
                {
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Action": "kms:*",
                            "Resource": "*",
                            "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
                        }
                    ]
                }
            ),
            "tags": _TAGS,
        },
        True,
    ),
    "Bucket/backups": ("aws:s3/bucket:Bucket", {"bucket": "backups", "objectLockEnabled": True, "tags": _TAGS}, True),
    "BucketPublicAccessBlock/backups": (
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        {
            "bucket": "backups",
            "blockPublicAcls": True,
            "blockPublicPolicy": True,
            "ignorePublicAcls": True,
            "restrictPublicBuckets": True,
        },
        False,
    ),
    "BucketServerSideEncryptionConfiguration/backups": (
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        {"bucket": "backups"},
        False,
    ),
    "SecurityGroup/database": (
        "aws:ec2/securityGroup:SecurityGroup",
        {"ingress": [{"cidrBlocks": ["10.0.0.0/16"]}], "egress": [{"cidrBlocks": ["0.0.0.0/0"]}]},
        False,
    ),
    "SecurityGroupIngressRule/database": (
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        {"cidrIpv4": "10.0.0.0/16"},
        False,
    ),
    "Subnet/private": ("aws:ec2/subnet:Subnet", {"mapPublicIpOnLaunch": False}, False),
    "Role/backup": ("aws:iam/role:Role", {"assumeRolePolicy": _TRUST}, False),
    "RolePolicy/backup": ("aws:iam/rolePolicy:RolePolicy", {"policy": _NARROW}, False),
    "RolePolicyAttachment/nodes": (
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        {"policyArn": "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"},
        False,
    ),
}

STACKS = {"tenant": TENANT, "cell": CELL, "cloud": CLOUD}


def stack(name: str) -> dict[str, Resource]:
    """A copy of one of the stacks, by `Kind/name`."""
    return {
        key: Resource(
            urn=f"urn:pulumi:{name}::tenantry::{type_}::{key.partition('/')[2]}",
            type=type_,
            name=key.partition("/")[2],
            inputs=copy.deepcopy(inputs),
            protect=protect,
        )
        for key, (type_, inputs, protect) in STACKS[name].items()
    }
