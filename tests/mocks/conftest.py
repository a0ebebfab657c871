"""Tenants for the component tests, and what their stack registers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tenantry.engine.desired import Desired
from tenantry.engine.evaluating import evaluate
from tenantry.engine.interface import Program, Stack
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.cloud import Cloud, load_cloud
from tenantry.tenancy.naming import names
from tenantry.tenancy.quota import quota_of
from tenantry.tenancy.spec import (
    BackupSpec,
    CacheSpec,
    DatabaseSpec,
    DatabaseTier,
    DeletionPolicy,
    Environment,
    IntegrationSpec,
    LimitSpec,
    MessagingKind,
    MessagingSpec,
    TenantSpec,
)
from tenantry.tenancy.workload_spec import (
    Configuration,
    ModuleKind,
    ModuleSpec,
    Probe,
    Reach,
    ScheduledTask,
    StorageSpec,
    WorkloadSpec,
)
from tests.mocks.aws_account import evaluate_on_aws

CELL = Cell.model_validate(
    {
        "metadata": {"name": "test"},
        "spec": {
            "region": "local",
            "domain": "tenants.example.org",
            "kubernetes": {"clusterIssuer": "letsencrypt", "storageClass": "fast", "sharedStorageClass": "shared"},
            "openbao": {
                "address": "https://openbao.openbao.svc:8200",
                "peer": {"namespace": "openbao", "podLabels": {"app": "openbao"}},
            },
            "database": {"host": "mariadb.data.svc", "peer": {"namespace": "data", "podLabels": {"app": "mariadb"}}},
            "cache": {"host": "redis.data.svc", "peer": {"namespace": "data", "podLabels": {"app": "redis"}}},
            "messaging": {
                "host": "rabbitmq.data.svc",
                "managementUrl": "https://rabbitmq.data.svc:15671",
                "peer": {"namespace": "data", "podLabels": {"app": "rabbitmq"}},
            },
            "egress": {"host": "egress.tenantry-egress.svc", "peer": {"namespace": "tenantry-egress"}},
            "backups": {"url": "https://objects.example.net/backups"},
            "caBundle": "-----BEGIN CERTIFICATE-----\ncell\n-----END CERTIFICATE-----\n",
        },
    }
)


def module(name: str, kind: ModuleKind, **changes: object) -> ModuleSpec:
    """A module that reaches database and OpenBao; `changes` replace fields."""
    plain = ModuleSpec(
        name=name,
        title=name.capitalize(),
        kind=kind,
        command=() if kind is ModuleKind.SCHEDULED else ("php", "bin/console", name),
        tasks=(ScheduledTask(name="update", schedule="0,15,30,45 * * * *", command=("php", "update"), deadline_s=840),)
        if kind is ModuleKind.SCHEDULED
        else (),
        environment=(("APP_ROLE", name),),
        port=None,
        public=False,
        replicas_min=1,
        replicas_max=1,
        cpu_target_percent=70,
        cpu_request_m=100,
        cpu_limit_m=200,
        memory_request_mib=256,
        memory_limit_mib=256,
        scratch_mib=64,
        readiness=None,
        liveness=Probe(command=("php", "alive")) if kind is ModuleKind.WORKER else None,
        startup=None,
        mounts=("media",),
        reach=frozenset({Reach.DATABASE, Reach.OPENBAO}),
        metrics_path=None,
        database_connections=1,
        stop_grace_s=30,
        run_before=kind is ModuleKind.TASK,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def tenant(name: str = "acme", incarnation: str = "abcdefgh") -> TenantSpec:
    """A production tenant on shared servers with RabbitMQ."""
    derived = names(name, incarnation)
    modules = (
        module("install", ModuleKind.TASK),
        module("migrate", ModuleKind.TASK),
        module(
            "web",
            ModuleKind.SERVICE,
            port=80,
            public=True,
            replicas_min=2,
            replicas_max=4,
            readiness=Probe(path="/health", port=80),
            liveness=Probe(port=80),
            metrics_path="/metrics",
            reach=frozenset(Reach),
        ),
        module("mail", ModuleKind.WORKER, replicas_max=3, reach=frozenset({Reach.MESSAGING, Reach.DATABASE})),
        module("segmenter", ModuleKind.SCHEDULED),
    )
    storage = (StorageSpec(name="media", mount_path="/app/media", size_mib=1024, shared=True, backup=True),)
    workload = WorkloadSpec(
        name="mautic",
        title="Mautic",
        release="6.0.3",
        image="mautic/mautic:6.0.3-apache",
        template_version=1,
        uid=33,
        gid=33,
        unprivileged_port_start=0,
        modules=modules,
        storage=storage,
        configuration=(
            Configuration(
                path="/app/config/local.php",
                template=f'{{{{ with secret "database/static-creds/{derived.database_role_a}" }}}}x{{{{ end }}}}',
            ),
        ),
        scripts=(("exclusive.php", "<?php\n"),),
        scripts_path="/opt/tenantry/scripts",
        generated_secrets=(("secret_key", 32),),
        writable_paths=("/tmp", "/app/var"),
        alerts=(),
    )
    database = DatabaseSpec(
        tier=DatabaseTier.SHARED,
        host="mariadb.data.svc",
        port=3306,
        storage_mib=2048,
        connections=20,
        engine_version="10.11",
        cpu_m=0,
        memory_mib=0,
        instance_class=None,
        rotation_days=7,
    )
    cache = CacheSpec(dedicated=False, host="redis.data.svc", port=6379, memory_mib=64)
    return TenantSpec(
        name=name,
        incarnation=incarnation,
        display_name="Acme & Söhne",
        owner="owner@example.org",
        plan="growth",
        environment=Environment.PRODUCTION,
        managed_by="cli",
        region="local",
        residency="any",
        hosts=(f"{name}.example.org",),
        names=derived,
        workload=workload,
        database=database,
        cache=cache,
        messaging=MessagingSpec(
            kind=MessagingKind.RABBITMQ, host="rabbitmq.data.svc", port=5671, max_queues=20, max_connections=20
        ),
        integrations=(IntegrationSpec(name="crm", kind="crm", host="api.crm.example.com", port=443, credentials=None),),
        quota=quota_of(modules, storage, database=database, cache=cache, backup=True),
        limits=LimitSpec(contacts=1000, messages_per_month=1000, api_requests_per_minute=60),
        backup=BackupSpec(
            enabled=True, schedule="30 2 * * *", keep_daily=7, keep_weekly=4, keep_monthly=6, deadline_s=3600
        ),
        retention_days=365,
        maintenance_window=None,
        expires_on=None,
        deletion_policy=DeletionPolicy.BACKUP_THEN_DELETE,
        grace_days=30,
        cell=CELL,
    )


def own_servers(spec: TenantSpec) -> TenantSpec:
    """The same tenant with a database and a cache of its own."""
    own = f"{spec.names.namespace}.svc"
    return replace(
        spec,
        database=replace(
            spec.database, tier=DatabaseTier.DEDICATED, host=f"database.{own}", cpu_m=500, memory_mib=1024
        ),
        cache=CacheSpec(dedicated=True, host=f"cache.{own}", port=6379, memory_mib=64),
    )


def database_transport(spec: TenantSpec) -> TenantSpec:
    """The same tenant in a test environment, its messages in its database."""
    messaging = MessagingSpec(kind=MessagingKind.DATABASE, host="", port=0, max_queues=0, max_connections=0)
    return replace(spec, environment=Environment.TEST, messaging=messaging)


TENANTS = {
    "shared servers": tenant(),
    "own servers": own_servers(tenant()),
    "test environment, database transport": database_transport(tenant()),
}


@pytest.fixture(params=list(TENANTS))
def spec(request: pytest.FixtureRequest) -> TenantSpec:
    return TENANTS[request.param]


@pytest.fixture
def registered(tmp_path: Path) -> Callable[[TenantSpec], Desired]:
    """What the tenant's program registers with the engine."""

    def run(spec: TenantSpec) -> Desired:
        stack = Stack(project="tenantry", name=spec.name, backend=tmp_path, secrets_provider="hashivault://state")
        program = Program(entry="stacks.tenant_stack:tenant_stack", arguments={"spec": spec})
        return evaluate(stack, program, known_ids={}, emit=lambda _message: None)

    return run


CLOUD_AUTHORITIES = "-----BEGIN CERTIFICATE-----\ncell\n-----END CERTIFICATE-----\n"


@pytest.fixture(scope="session")
def cloud() -> Cloud:
    return load_cloud(Catalogue.root() / "cells" / "aws-example.yaml")


@pytest.fixture(scope="session")
def cloud_registered(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Desired:
    """What the program of an AWS cell registers, with the outputs that AWS would decide."""
    stack = Stack(
        project="tenantry",
        name="cloud",
        backend=tmp_path_factory.mktemp("cloud"),
        secrets_provider="hashivault://state",
    )
    program = Program(
        entry="tests.mocks.aws_account:cloud_program",
        arguments={"cloud": cloud, "authorities": CLOUD_AUTHORITIES},
    )
    return evaluate_on_aws(stack, program)
