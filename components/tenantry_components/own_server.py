"""Servers of a tenant's own in its namespace, MariaDB and Redis, as manifests. Pure.

Their certificate, and the database's at-rest key and root password, come from OpenBao by the agent beside them,
into memory; trust.py gives it to the clients. The database's files are useless without
OpenBao: the key that opens them is in no volume.
"""

from __future__ import annotations

from tenantry.tenancy.quota import CACHE_CPU_M, CACHE_OVERHEAD_MIB, server_footprint
from tenantry.tenancy.spec import TenantSpec
from tenantry.tenancy.workload_spec import Configuration
from tenantry_components.agent import (
    agent_container,
    agent_volumes,
    ca_mount,
    configuration_digest,
    configuration_manifest,
    rendered_mounts,
)
from tenantry_components.manifest import (
    Manifest,
    component_labels,
    container_security,
    metadata,
    resources,
    selector,
)
from tenantry_components.namespace import CACHE_ACCOUNT, DATABASE_ACCOUNT
from tenantry_components.network_rules import CACHE, DATABASE
from tenantry_components.pod import placement, pod_security
from tenantry_components.providers.mariadb import TENANT_PRIVILEGES
from tenantry_components.providers.redis_acl import COMMANDS
from tenantry_components.trust import secret_field, server_path

__all__ = ["cache_manifests", "database_manifests"]

_UID = 999
"""`mysql` in MariaDB's image, `redis` in Redis's."""
_TLS = "/etc/tenantry/tls"


def database_manifests(spec: TenantSpec) -> tuple[Manifest, ...]:
    """The volume claim first; then the configuration, the service, the budget and the server."""
    files = _database_files(spec)
    configuration = configuration_manifest(spec, DATABASE, files)
    configuration["data"]["server.cnf"] = _server_cnf(spec, files)
    claim: Manifest = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(spec, DATABASE, component=DATABASE),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": f"{spec.database.storage_mib}Mi"}},
        },
    }
    if spec.cell.spec.kubernetes.storage_class is not None:
        claim["spec"]["storageClassName"] = spec.cell.spec.kubernetes.storage_class
    budget: Manifest = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(spec, DATABASE, component=DATABASE),
        # One server, no second: a drain waits for a person, who chooses the moment.
        "spec": {"minAvailable": 1, "selector": {"matchLabels": selector(spec, DATABASE)}},
    }
    server: Manifest = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(spec, DATABASE, component=DATABASE),
        "spec": {
            "serviceName": DATABASE,
            "selector": {"matchLabels": selector(spec, DATABASE)},
            "template": _database_pod(spec, files, configuration_digest(configuration)),
        },
    }
    return claim, configuration, _service(spec, DATABASE, spec.database.port), budget, server


def cache_manifests(spec: TenantSpec) -> tuple[Manifest, ...]:
    """A Redis that keeps nothing on disk: a cache may be lost, and nothing of the tenant is left behind."""
    files = _cache_files(spec)
    configuration = configuration_manifest(spec, CACHE, files)
    server: Manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(spec, CACHE, component=CACHE),
        "spec": {
            "selector": {"matchLabels": selector(spec, CACHE)},
            "strategy": {"type": "Recreate"},
            "revisionHistoryLimit": 3,
            "template": _cache_pod(spec, files, configuration_digest(configuration)),
        },
    }
    return configuration, _service(spec, CACHE, spec.cache.port), server


def _tls_files(spec: TenantSpec) -> tuple[Configuration, ...]:
    return (
        Configuration(path=f"{_TLS}/server.crt", template=secret_field(spec, server_path(spec), "certificate")),
        Configuration(path=f"{_TLS}/server.key", template=secret_field(spec, server_path(spec), "private_key")),
    )


def _database_files(spec: TenantSpec) -> tuple[Configuration, ...]:
    return (
        *_tls_files(spec),
        # Key 1 is what MariaDB uses for tables, logs and temporary files alike.
        Configuration(
            path="/etc/tenantry/at-rest/keys", template=f"1;{secret_field(spec, server_path(spec), 'encryption_key')}\n"
        ),
        Configuration(
            path="/etc/tenantry/root/password", template=secret_field(spec, server_path(spec), "root_password")
        ),
        Configuration(path="/docker-entrypoint-initdb.d/tenant.sql", template=_first_start(spec)),
    )


def _first_start(spec: TenantSpec) -> str:
    """The schema and both accounts. Their first passwords are the root's: OpenBao's static roles change them before
    anybody else is told one. Restores make schemas beside the tenant's: on this server it has no neighbour."""
    schema = spec.names.schema
    # Unescaped, an underscore in a grant stands for any character.
    pattern = schema.replace("_", r"\_")
    privileges = ", ".join(TENANT_PRIVILEGES)
    accounts = "".join(
        f"CREATE USER IF NOT EXISTS '{name}'@'%' IDENTIFIED BY '{{{{ .Data.data.root_password }}}}' REQUIRE SSL "
        f"WITH MAX_USER_CONNECTIONS {spec.database.connections};\n"
        f"GRANT {privileges} ON `{pattern}`.* TO '{name}'@'%';\n"
        f"GRANT {privileges} ON `{pattern}\\_%`.* TO '{name}'@'%';\n"
        for name in (spec.names.account_a, spec.names.account_b)
    )
    return (
        f'{{{{ with secret "{spec.cell.spec.openbao.kv_mount}/data/{server_path(spec)}" }}}}'
        f"CREATE DATABASE IF NOT EXISTS `{schema}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;\n"
        f"{accounts}{{{{ end }}}}"
    )


def _server_cnf(spec: TenantSpec, files: tuple[Configuration, ...]) -> str:
    certificate, key, at_rest = (file.path for file in files[:3])
    settings = {
        "plugin_load_add": "file_key_management",
        "file_key_management_filename": at_rest,
        "file_key_management_encryption_algorithm": "AES_CTR",
        "innodb_encrypt_tables": "FORCE",
        "innodb_encrypt_log": "ON",
        "innodb_encryption_threads": "2",
        "encrypt_binlog": "ON",
        "encrypt_tmp_files": "ON",
        "encrypt_tmp_disk_tables": "ON",
        "aria_encrypt_tables": "ON",
        "enforce_storage_engine": "InnoDB",
        "require_secure_transport": "ON",
        "ssl_cert": certificate,
        "ssl_key": key,
        "tmpdir": "/tmp",  # noqa: S108 (a volume of the container's own)
        "max_connections": str(2 * spec.database.connections + 10),
        # Half for its pages; sessions and the encryption threads take from the rest.
        "innodb_buffer_pool_size": f"{spec.database.memory_mib // 2}M",
        "character_set_server": "utf8mb4",
        "collation_server": "utf8mb4_unicode_ci",
        "local_infile": "OFF",
        # Accounts are for any host; a name service that hangs would hold up every login.
        "skip_name_resolve": "ON",
    }
    return "[mariadbd]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items())


def _database_pod(spec: TenantSpec, files: tuple[Configuration, ...], digest: str) -> Manifest:
    container: Manifest = {
        "name": DATABASE,
        "image": spec.cell.spec.images.located(spec.cell.spec.images.mariadb),
        "env": [
            {"name": "MARIADB_ROOT_PASSWORD_FILE", "value": files[3].path},
            {"name": "MARIADB_ROOT_HOST", "value": "%"},
            {"name": "MARIADB_AUTO_UPGRADE", "value": "1"},
        ],
        "ports": [{"name": DATABASE, "containerPort": spec.database.port, "protocol": "TCP"}],
        "resources": resources(server_footprint(cpu_m=spec.database.cpu_m, memory_mib=spec.database.memory_mib)),
        "securityContext": container_security(),
        "startupProbe": _tcp(spec.database.port, period_s=5, failures=120),
        "readinessProbe": _tcp(spec.database.port, period_s=10, failures=3),
        "livenessProbe": _tcp(spec.database.port, period_s=20, failures=6),
        "volumeMounts": [
            {"name": "data", "mountPath": "/var/lib/mysql", "subPath": "mysql"},
            {"name": "scratch", "mountPath": "/tmp", "subPath": "tmp"},  # noqa: S108
            {"name": "scratch", "mountPath": "/run/mysqld", "subPath": "run"},
            {"name": "agent", "mountPath": "/etc/mysql/conf.d/server.cnf", "subPath": "server.cnf", "readOnly": True},
            *rendered_mounts(files),
        ],
    }
    pod = _server_pod(spec, DATABASE, DATABASE_ACCOUNT, container, files, digest)
    pod["spec"]["terminationGracePeriodSeconds"] = 120
    pod["spec"]["volumes"] += [
        {"name": "data", "persistentVolumeClaim": {"claimName": DATABASE}},
    ]
    return pod


def _cache_files(spec: TenantSpec) -> tuple[Configuration, ...]:
    secret = f"{spec.cell.spec.openbao.kv_mount}/data/{spec.names.kv_path}/{spec.cache.login}"
    prefix = spec.names.cache_prefix
    users = (
        "user default off\n"
        f'{{{{ with secret "{secret}" }}}}user {{{{ .Data.data.username }}}} on >{{{{ .Data.data.password }}}} '
        f"~{prefix}* &{prefix}* {' '.join(COMMANDS)}\n{{{{ end }}}}"
    )
    return (*_tls_files(spec), Configuration(path="/etc/tenantry/redis/users.acl", template=users))


def _cache_pod(spec: TenantSpec, files: tuple[Configuration, ...], digest: str) -> Manifest:
    certificate, key, users = (file.path for file in files)
    settings = {
        "port": "0",
        "tls-port": str(spec.cache.port),
        "tls-cert-file": certificate,
        "tls-key-file": key,
        "tls-ca-cert-file": certificate,
        "tls-auth-clients": "no",
        "aclfile": users,
        "maxmemory": f"{spec.cache.memory_mib}mb",
        "maxmemory-policy": "allkeys-lru",
        "save": "",
        "appendonly": "no",
        "dir": "/data",
    }
    container: Manifest = {
        "name": CACHE,
        "image": spec.cell.spec.images.located(spec.cell.spec.images.redis),
        "command": ["redis-server", *(part for name, value in settings.items() for part in (f"--{name}", value))],
        "ports": [{"name": CACHE, "containerPort": spec.cache.port, "protocol": "TCP"}],
        "resources": resources(
            server_footprint(cpu_m=CACHE_CPU_M, memory_mib=spec.cache.memory_mib + CACHE_OVERHEAD_MIB)
        ),
        "securityContext": container_security(),
        "readinessProbe": _tcp(spec.cache.port, period_s=10, failures=3),
        "livenessProbe": _tcp(spec.cache.port, period_s=20, failures=6),
        "volumeMounts": [{"name": "scratch", "mountPath": "/data"}, *rendered_mounts(files)],
    }
    return _server_pod(spec, CACHE, CACHE_ACCOUNT, container, files, digest)


def _server_pod(
    spec: TenantSpec,
    component: str,
    account: str,
    container: Manifest,
    files: tuple[Configuration, ...],
    digest: str,
) -> Manifest:
    container["volumeMounts"] += ca_mount(spec.cell.spec)
    return {
        "metadata": {
            "labels": component_labels(spec, component),
            "annotations": {"tenantry.dev/configuration": digest},
        },
        "spec": {
            "serviceAccountName": account,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": pod_security(_UID, _UID),
            **placement(spec.cell.spec),
            "initContainers": [agent_container(spec.cell.spec, files, stays=True)],
            "containers": [container],
            "volumes": [
                {"name": "scratch", "emptyDir": {"sizeLimit": "256Mi"}},
                *agent_volumes(spec.cell.spec, component),
            ],
        },
    }


def _service(spec: TenantSpec, component: str, port: int) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(spec, component, component=component),
        "spec": {
            # One server: its name leads to its pod, and nothing in between.
            "type": "ClusterIP",
            "clusterIP": "None",
            "selector": selector(spec, component),
            "ports": [{"name": component, "port": port, "targetPort": component, "protocol": "TCP"}],
        },
    }


def _tcp(port: int, *, period_s: int, failures: int) -> Manifest:
    return {"tcpSocket": {"port": port}, "periodSeconds": period_s, "timeoutSeconds": 5, "failureThreshold": failures}
