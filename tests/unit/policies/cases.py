"""One change of a sound stack for each way to break a rule."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tenantry_policies.view import Resource
from tests.unit.policies.sound import HOME, STACKS, stack

GONE = object()
"""As a value: take the key (or, without a path, the resource) away."""
POD = "spec.template.spec"
CRON_POD = "spec.jobTemplate.spec.template.spec"
WEB = f"{POD}.containers.0"
ADMIN = json.dumps({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
ALL_OF_S3 = json.dumps({"Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["*"]}]})
ALL_BUT = json.dumps({"Statement": [{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}]})
ANYBODY = json.dumps({"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}]})


@dataclass(frozen=True, kw_only=True)
class Case:
    """at: `stack Kind/name path`; the path is dotted, a number is a place in a list, `protect` is the option."""

    rule: str
    at: str
    value: Any

    @property
    def stack(self) -> str:
        return self.at.split(" ")[0]

    @property
    def title(self) -> str:
        kind, name = self.at.split(" ")[1].split("/")
        return f"{kind} {name}"

    def resources(self) -> list[Resource]:
        which, key, *path = self.at.split(" ")
        found = stack(which)
        if not path:
            del found[key]
        elif path == ["protect"]:
            found[key] = replace(found[key], protect=self.value)
        else:
            _put(found[key].inputs, path[0].split("."), self.value)
        return list(found.values())


def _put(where: Any, path: Sequence[str], value: Any) -> None:
    # A dot inside of a key is written as |.
    first, *rest = (part.replace("|", ".") for part in path)
    key = int(first) if first.isdecimal() else first
    if rest:
        if isinstance(where, dict) and key not in where:
            where[key] = {}
        _put(where[key], [part.replace(".", "|") for part in rest], value)
    elif value is GONE:
        del where[key]
    elif isinstance(where, list) and key == len(where):
        where.append(value)
    else:
        where[key] = value


def _case(rule: str, at: str, value: Any = GONE) -> Case:
    return Case(rule=rule, at=at, value=value)


_STATEMENT = "cell DatabaseConnection/database provisioner.2"
_RULES = "tenant Role/viewer rules.0"
_INGRESS = "tenant NetworkPolicy/public spec.ingress.0"
_BACKUP_ENV = f"tenant CronJob/backup {CRON_POD}.containers.0.env"
_NAMESPACE = "tenant Namespace/home metadata"
_HARD = "tenant ResourceQuota/tenant spec.hard"
_DEPLOYMENT = "tenant Deployment/web"
_SECURITY = f"{_DEPLOYMENT} {WEB}.securityContext"
_VOLUME = f"{_DEPLOYMENT} {POD}.volumes.2"

CASES = (
    # network
    _case("namespace-without-default-deny", "tenant NetworkPolicy/default-deny"),
    _case("namespace-without-default-deny", "tenant NetworkPolicy/default-deny spec.policyTypes", ["Ingress"]),
    _case("namespace-without-default-deny", "tenant NetworkPolicy/default-deny spec.egress", [{}]),
    _case(
        "namespace-without-default-deny",
        "tenant NetworkPolicy/default-deny spec.podSelector",
        {"matchLabels": {"app": "web"}},
    ),
    _case("namespace-without-default-deny", "cell NetworkPolicy/deny-all"),
    _case("network-policy-too-wide", f"{_INGRESS}.from", []),
    _case("network-policy-too-wide", f"{_INGRESS}.ports"),
    _case("network-policy-too-wide", f"{_INGRESS}.from.0", {}),
    _case("network-policy-too-wide", f"{_INGRESS}.from.0.namespaceSelector", {}),
    _case("network-policy-too-wide", "tenant NetworkPolicy/public spec.egress.0.to.1.ipBlock.cidr", "0.0.0.0/0"),
    _case("network-policy-too-wide", "tenant NetworkPolicy/public spec.egress.0.to.1.ipBlock.cidr", "nowhere"),
    _case("network-policy-too-wide", "cell NetworkPolicy/egress spec.egress.0.to.0.ipBlock.except.3"),
    # namespaces
    _case("namespace-not-restricted", f"{_NAMESPACE}.labels.pod-security|kubernetes|io/enforce", "baseline"),
    _case("namespace-not-restricted", f"{_NAMESPACE}.labels.pod-security|kubernetes|io/enforce"),
    _case("namespace-not-restricted", f"{_NAMESPACE}.labels.pod-security|kubernetes|io/enforce-version", "v1.19"),
    _case("namespace-without-quota", "tenant ResourceQuota/tenant"),
    _case("namespace-without-quota", f"{_HARD}.pods"),
    _case("namespace-without-quota", f"{_HARD}.services|loadbalancers", "1"),
    _case("namespace-without-limit-defaults", "tenant LimitRange/tenant"),
    _case("object-outside-the-tenant", "tenant Service/web metadata.namespace", "kube-system"),
    _case("object-outside-the-tenant", "tenant Role/viewer metadata.namespace"),
    # containers
    _case("host-access", f"{_DEPLOYMENT} {POD}.hostNetwork", True),
    _case("host-access", f"tenant CronJob/backup {CRON_POD}.hostPID", True),
    _case("host-access", f"tenant Job/install {POD}.hostIPC", True),
    _case("host-access", _VOLUME, {"name": "node", "hostPath": {"path": "/"}}),
    _case("host-access", f"{_DEPLOYMENT} {WEB}.ports.0.hostPort", 80),
    _case("host-access", f"{_SECURITY}.windowsOptions", {"hostProcess": True}),
    _case("privileged-container", f"{_SECURITY}.privileged", True),
    _case("privileged-container", f"{_SECURITY}.capabilities"),
    _case("privileged-container", f"{_SECURITY}.capabilities.add", ["SYS_ADMIN"]),
    _case("privileged-container", f"{_SECURITY}.procMount", "Unmasked"),
    _case("privilege-escalation", f"{_SECURITY}.allowPrivilegeEscalation", True),
    _case("container-as-root", f"{_DEPLOYMENT} {POD}.securityContext.runAsNonRoot"),
    _case("container-as-root", f"{_SECURITY}.runAsNonRoot", False),
    _case("container-as-root", f"{_SECURITY}.runAsUser", 0),
    _case("unconfined-container", f"{_SECURITY}.seccompProfile", {"type": "Unconfined"}),
    _case("unconfined-container", f"{_SECURITY}.appArmorProfile", {"type": "Unconfined"}),
    _case("unconfined-container", f"{_SECURITY}.seLinuxOptions", {"role": "sysadm_r"}),
    _case("unconfined-container", f"{_DEPLOYMENT} {POD}.securityContext.sysctls.0.name", "kernel.msgmax"),
    _case("foreign-volume", _VOLUME, {"name": "shared", "nfs": {"server": "10.0.0.1"}}),
    _case("kubernetes-token-in-tenant", f"{_DEPLOYMENT} {POD}.automountServiceAccountToken", True),
    _case("kubernetes-token-in-tenant", "tenant ServiceAccount/workload automountServiceAccountToken", True),
    _case("kubernetes-token-in-tenant", f"{_DEPLOYMENT} {WEB}.volumeMounts", [{"name": "token"}]),
    _case(
        "kubernetes-token-in-tenant",
        f"{_DEPLOYMENT} {POD}.volumes.1.projected.sources.0.serviceAccountToken.audience",
    ),
    _case("shared-processes", f"{_DEPLOYMENT} {POD}.shareProcessNamespace", True),
    _case("writable-root", f"{_SECURITY}.readOnlyRootFilesystem", False),
    # limits
    _case("container-without-limits", f"{_DEPLOYMENT} {WEB}.resources"),
    _case("container-without-limits", f"{_DEPLOYMENT} {WEB}.resources.limits.memory"),
    _case("unbounded-scratch", f"{_DEPLOYMENT} {POD}.volumes.0.emptyDir", {}),
    _case("job-without-deadline", "tenant Job/install spec.activeDeadlineSeconds"),
    _case("job-without-deadline", "tenant CronJob/backup spec.concurrencyPolicy", "Allow"),
    _case("server-without-probes", f"{_DEPLOYMENT} {WEB}.readinessProbe"),
    # images
    _case("floating-image", f"{_DEPLOYMENT} {WEB}.image", "mautic/mautic:latest"),
    _case("floating-image", f"{_DEPLOYMENT} {WEB}.image", "docker.io/mautic/mautic"),
    _case("foreign-image", f"{_DEPLOYMENT} {WEB}.image", "registry.example.net/mautic:7.1.3"),
    _case("foreign-image", f"{_NAMESPACE}.annotations.tenantry|dev/image-sources", "registry.example.net"),
    # exposure
    _case("public-service", "tenant Service/web spec.type", "LoadBalancer"),
    _case("public-service", "tenant Service/web spec.type", "NodePort"),
    _case("public-service", "tenant Service/web spec.externalIPs", ["203.0.113.1"]),
    _case("ingress-without-tls", "tenant Ingress/web spec.tls"),
    _case("ingress-without-tls", "tenant Ingress/web spec.tls.0.hosts", ["other.example.org"]),
    _case(
        "ingress-without-tls",
        "tenant Ingress/web metadata.annotations",
        {"nginx.ingress.kubernetes.io/ssl-redirect": "false"},
    ),
    _case("ingress-too-wide", "tenant Ingress/web spec.rules.0.host"),
    _case("ingress-too-wide", "tenant Ingress/web spec.rules.0.host", "*.example.org"),
    _case("ingress-too-wide", "tenant Ingress/web spec.defaultBackend", {"service": {"name": "web"}}),
    _case(
        "ingress-too-wide",
        "tenant Ingress/web metadata.annotations",
        {"nginx.ingress.kubernetes.io/server-snippet": "return 200;"},
    ),
    # secrecy
    _case("credential-in-secret", "tenant Secret/web-tls type", "Opaque"),
    _case("credential-in-environment", f"{_DEPLOYMENT} {WEB}.env.0", {"name": "DB_PASSWORD", "value": "x"}),
    _case("credential-in-environment", f"{_DEPLOYMENT} {WEB}.env.0.value", "https://user:pass@crm.example.org"),
    _case("credential-in-environment", f"{_DEPLOYMENT} {WEB}.envFrom", [{"secretRef": {"name": "login"}}]),
    _case(
        "credential-in-environment",
        f"{_DEPLOYMENT} {WEB}.env.0",
        {"name": "LOGIN", "valueFrom": {"secretKeyRef": {"name": "login", "key": "x"}}},
    ),
    # encryption
    _case("plain-connection", f"{_DEPLOYMENT} {WEB}.env.0.value", "http://openbao.openbao.svc:8200"),
    _case("plain-connection", "tenant MessagingUser/messaging management_url", "http://rabbitmq.data.svc:15672"),
    _case(
        "plain-connection",
        "tenant ConfigMap/database data.agent|json",
        json.dumps({"vault": {"address": "http://openbao.openbao.svc:8200"}}),
    ),
    _case("database-not-encrypted", "tenant ConfigMap/database data.server|cnf", "innodb_encrypt_tables = OFF\n"),
    # grants
    _case("wildcard-role", f"{_RULES}.verbs", ["*"]),
    _case("wildcard-role", f"{_RULES}.resources", ["*"]),
    _case("wildcard-role", f"{_RULES}.apiGroups", ["*"]),
    _case("wildcard-role", "cell ClusterRole/reviewer rules.0.verbs", ["*"]),
    _case("powerful-role-in-tenant", f"{_RULES}.resources", ["pods", "secrets"]),
    _case("powerful-role-in-tenant", f"{_RULES}.resources", ["pods/exec"]),
    _case("powerful-role-in-tenant", f"{_RULES}.verbs", ["escalate"]),
    _case("broad-binding", "tenant RoleBinding/viewer roleRef", {"kind": "ClusterRole", "name": "cluster-admin"}),
    _case("broad-binding", "tenant RoleBinding/viewer subjects.0.name", "system:authenticated"),
    _case(
        "broad-binding",
        "tenant RoleBinding/viewer subjects.0",
        {"kind": "ServiceAccount", "name": "workload", "namespace": "t-other-a1b2c3d5"},
    ),
    _case("wildcard-sql-grant", _STATEMENT, "GRANT ALL PRIVILEGES ON `t\\_%`.* TO 'provisioner'@'%'"),
    _case("wildcard-sql-grant", _STATEMENT, "GRANT SELECT ON *.* TO 'provisioner'@'%'"),
    _case("wildcard-sql-grant", _STATEMENT, "GRANT CREATE USER ON *.* TO 'provisioner'@'%' WITH GRANT OPTION"),
    _case("loose-account", "tenant Account/a grants", "kept"),
    _case("loose-account", "tenant Account/a schema", "t_acme_a1b2c3d4%"),
    _case("loose-account", "tenant CacheUser/cache prefix", HOME),
    _case("loose-account", "tenant MessagingUser/messaging permissions", "kept"),
    *(
        _case("wildcard-openbao-policy", "cell Policy/tenant text", f'path "{path}" {{\n capabilities = ["read"]\n}}\n')
        for path in ("*", "kv/*", "kv/data/*", "kv/+/tenants", "transit/keys/*", "sys/policies/*", "auth/token/*")
    ),
    _case("wildcard-openbao-policy", "cell Policy/tenant text", 'path "sys/raw" {\n capabilities = ["sudo"]\n}\n'),
    *(
        # What deprovisioning may do is no other policy's, and deprovisioning may do no more.
        _case(
            "wildcard-openbao-policy", f"cell Policy/{name} text", f'path "{path}" {{\n capabilities = [{rights}]\n}}\n'
        )
        for name, path, rights in (
            ("tenant", "auth/token/accessors", '"list", "sudo"'),
            ("tenant", "identity/entity/id/+", '"delete"'),
            ("deprovisioner", "auth/token/accessors", '"list", "read", "sudo"'),
            ("deprovisioner", "identity/entity/id/+", '"delete", "update"'),
        )
    ),
    _case("unbound-login", "cell KubernetesAuthRole/tenant namespace_selector", ""),
    _case("unbound-login", "cell KubernetesAuthRole/tenant namespace_selector", '{"matchLabels": {}}'),
    _case("unbound-login", "cell KubernetesAuthRole/tenant audience", ""),
    _case("unbound-login", "cell KubernetesAuthRole/tenant policies", ["root"]),
    _case("unbound-login", "cell KubernetesAuthRole/tenant ttl_s", 864_000),
    _case("open-egress", "tenant EgressEntry/egress hosts", ["*.example.com:443"]),
    _case("open-egress", "tenant EgressEntry/egress hosts", ["api.crm.example.com"]),
    _case("open-egress", "tenant EgressEntry/egress hosts", ["203.0.113.9:443"]),
    _case("name-of-another-tenant", "tenant Schema/tenant schema", "t_globex_a1b2c3d5"),
    _case("name-of-another-tenant", "tenant TransitKey/tenant key_name", f"{HOME}x"),
    _case("name-of-another-tenant", "tenant KvSecrets/application path", "tenants/t-globex-a1b2c3d5/app"),
    # protection, backups, residency, cost
    _case("unprotected-data", "tenant Schema/tenant protect", False),
    _case("unprotected-data", "tenant PersistentVolumeClaim/media protect", False),
    _case("unprotected-data", "tenant TransitKey/tenant protect", False),
    _case("unprotected-data", "cell Mount/kv protect", False),
    _case("unprotected-data", "cloud Instance/database protect", False),
    _case("data-without-backup", "tenant CronJob/backup"),
    _case("data-without-backup", "tenant CronJob/backup spec.suspend", True),
    _case("backup-kept-too-short", f"{_BACKUP_ENV}.5.value", "3"),
    _case("backup-kept-too-short", f"{_BACKUP_ENV}.5"),
    _case("backup-not-sealed", f"{_BACKUP_ENV}.1.value", "shared"),
    _case("backup-not-sealed", f"{_BACKUP_ENV}.4.value", "all/"),
    _case("backup-not-sealed", f"{_BACKUP_ENV}.3.value", "http://store.example.org/backups"),
    _case("data-outside-residency", f"{_NAMESPACE}.annotations.tenantry|dev/kept-in", "us"),
    _case("data-outside-residency", f"{_BACKUP_ENV}.3.value", "https://s3.us-east-1.amazonaws.com/backups"),
    _case("missing-cost-labels", "tenant Service/web metadata.labels.tenantry|dev/plan"),
    _case("missing-cost-labels", "tenant Service/web metadata.labels.tenantry|dev/tenant", "globex"),
    _case("missing-cost-labels", f"{_DEPLOYMENT} spec.template.metadata.labels.tenantry|dev/tenant"),
    _case("missing-cost-labels", "cell ClusterRole/reviewer metadata.labels", {}),
    # AWS
    _case("aws-storage-not-encrypted", "cloud Instance/database storageEncrypted", False),
    _case("aws-storage-not-encrypted", "cloud Instance/database kmsKeyId"),
    _case("aws-storage-not-encrypted", "cloud ReplicationGroup/cache atRestEncryptionEnabled"),
    _case("aws-storage-not-encrypted", "cloud Broker/messaging encryptionOptions"),
    _case("aws-storage-not-encrypted", "cloud Cluster/eks encryptionConfig"),
    _case("aws-storage-not-encrypted", "cloud LaunchTemplate/nodes blockDeviceMappings.0.ebs.encrypted", "false"),
    _case("aws-transit-not-encrypted", "cloud ReplicationGroup/cache transitEncryptionEnabled", False),
    _case("aws-key-not-kept", "cloud Key/cell enableKeyRotation"),
    _case("aws-key-not-kept", "cloud Key/cell deletionWindowInDays", 1),
    _case("aws-database-unprotected", "cloud Instance/database deletionProtection", False),
    _case("aws-database-unprotected", "cloud Instance/database skipFinalSnapshot", True),
    _case("aws-database-without-backup", "cloud Instance/database backupRetentionPeriod", 0),
    _case("aws-database-without-backup", "cloud Instance/database backupRetentionPeriod"),
    _case("aws-bucket-not-sealed", "cloud BucketPublicAccessBlock/backups"),
    _case("aws-bucket-not-sealed", "cloud BucketPublicAccessBlock/backups blockPublicPolicy", False),
    _case("aws-bucket-not-sealed", "cloud BucketServerSideEncryptionConfiguration/backups"),
    _case("aws-bucket-not-sealed", "cloud Bucket/backups objectLockEnabled", False),
    _case("aws-untagged", "cloud Instance/database tags"),
    _case("aws-public-address", "cloud Instance/database publiclyAccessible", True),
    _case("aws-public-address", "cloud Cluster/eks vpcConfig.endpointPublicAccess", True),
    _case("aws-public-address", "cloud Subnet/private mapPublicIpOnLaunch", True),
    _case("aws-open-to-the-world", "cloud SecurityGroup/database ingress.0.cidrBlocks", ["0.0.0.0/0"]),
    _case("aws-open-to-the-world", "cloud SecurityGroupIngressRule/database cidrIpv4", "0.0.0.0/0"),
    _case("aws-wildcard-rights", "cloud RolePolicy/backup policy", ADMIN),
    _case("aws-wildcard-rights", "cloud RolePolicy/backup policy", ALL_OF_S3),
    _case("aws-wildcard-rights", "cloud RolePolicy/backup policy", ALL_BUT),
    _case(
        "aws-wildcard-rights",
        "cloud RolePolicyAttachment/nodes policyArn",
        "arn:aws:iam::aws:policy/AdministratorAccess",
    ),
    _case("aws-open-to-every-account", "cloud Role/backup assumeRolePolicy", ANYBODY),
)

NAMES = tuple(STACKS)
