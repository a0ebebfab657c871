"""`TenantSpec`: a tenant, fully decided. Every name, size and limit is here; nothing is left to look up.

`resolve` (resolving.py) makes it from a tenant file, the plans, the workload catalogue and the cell; the
components turn it into resources. Units: CPU in milli-cores (`_m`), memory and storage in MiB.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tenantry.tenancy.campaigns import Campaign
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.workload_spec import WorkloadSpec

__all__ = [
    "Activity",
    "BackupSpec",
    "CacheSpec",
    "DatabaseSpec",
    "DatabaseTier",
    "DeletionPolicy",
    "DriftPolicy",
    "Environment",
    "Hold",
    "Installed",
    "IntegrationSpec",
    "LimitSpec",
    "MessagingKind",
    "MessagingSpec",
    "Names",
    "QuotaSpec",
    "ScalingSpec",
    "TenantSpec",
]


class Environment(StrEnum):
    PRODUCTION = "production"
    STAGING = "staging"
    TEST = "test"


class Activity(StrEnum):
    """How much of the workload stands. Data is kept at each.

    running: all of it. suspended: only what must always be answered (`essential_paths`). closed: nothing.
    """

    RUNNING = "running"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class Hold(StrEnum):
    """What a release under way keeps from running. Configuration and data stay at each.

    none: nothing. paused: schedules start no run. stopped: besides, nothing of the workload runs and the hosts lead
    nowhere. migrating: only the tasks that run before the modules. proving: these and the services, not yet reached
    from outside; no worker takes a message.
    """

    NONE = "none"
    PAUSED = "paused"
    STOPPED = "stopped"
    MIGRATING = "migrating"
    PROVING = "proving"


class DatabaseTier(StrEnum):
    SHARED = "shared"
    DEDICATED = "dedicated"
    RDS = "rds"


class MessagingKind(StrEnum):
    RABBITMQ = "rabbitmq"
    DATABASE = "database"


class DeletionPolicy(StrEnum):
    BACKUP_THEN_DELETE = "backup-then-delete"
    DELETE = "delete"
    PROTECT = "protect"


class DriftPolicy(StrEnum):
    """What happens to what was changed behind a tenant's back."""

    REPAIR = "repair"
    REPORT = "report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Every derived name. All but `stack`, `host label` and `state_key` carry the incarnation."""

    namespace: str
    """Also the tenant's folder in OpenBao's kv, its transit key and its vhost: policies are templated on it."""
    stack: str
    schema: str
    account_a: str
    """The workload's database account."""
    account_b: str
    """The backup's. Two accounts, each rotated by its own static role, so that a dump takes no connection from the
    workload's cap, and one password that leaks opens one of them. A workload stays on its account: sessions outlive a
    rotation, the agent renders the new password 0.7 s after it (measured), and run.sh restarts the process within
    seconds. Moving between two accounts at each rotation would need them to rotate at different times, which
    OpenBao's static roles, a period from their creation, do not promise."""
    transit_key: str
    kv_path: str
    """Under the kv mount, without `data/`: `tenants/<namespace>`."""
    database_role_a: str
    database_role_b: str
    messaging_vhost: str
    messaging_user: str
    cache_user: str
    cache_prefix: str
    """Ends with a colon."""
    backup_prefix: str
    """Ends with a slash."""
    state_key: str
    rds_instance: str
    """Identifier of an own RDS instance: the first label of its host name."""
    cache_user_id: str
    """Identifier of its user in ElastiCache; the user's name is `cache_user`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What a living tenant's stack was last made of. Another release or template version comes by a release action,
    never by a run of the stack alone."""

    release: str
    template_version: int
    hold: Hold = Hold.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingSpec:
    """What the tenant says about its load. idle_to_zero: measured modules stop while nothing waits."""

    calendar: tuple[Campaign, ...] = ()
    idle_to_zero: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSpec:
    tier: DatabaseTier
    host: str
    port: int
    storage_mib: int
    connections: int
    """Cap of each of the two accounts; together within the plan."""
    engine_version: str
    cpu_m: int
    """dedicated and rds: size of the own server; shared: 0."""
    memory_mib: int
    instance_class: str | None
    """rds only."""
    rotation_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSpec:
    dedicated: bool
    host: str
    port: int
    memory_mib: int

    @property
    def login(self) -> str:
        """Where OpenBao keeps its login, below the tenant's folder. Of each kind its own: a change of plan makes the
        new one before it removes the old."""
        return "own-cache" if self.dedicated else "cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagingSpec:
    kind: MessagingKind
    host: str
    port: int
    max_queues: int
    max_connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationSpec:
    """An outside system. `credentials`: path of its secret below the tenant's kv path, or None."""

    name: str
    kind: str
    host: str
    port: int
    credentials: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaSpec:
    """The namespace's ResourceQuota; everything that the modules may take at their maximum fits in."""

    cpu_request_m: int
    cpu_limit_m: int
    memory_request_mib: int
    memory_limit_mib: int
    storage_mib: int
    ephemeral_mib: int
    pods: int
    volumes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSpec:
    contacts: int
    messages_per_month: int
    api_requests_per_minute: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSpec:
    enabled: bool
    schedule: str
    keep_daily: int
    keep_weekly: int
    keep_monthly: int
    deadline_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSpec:
    name: str
    incarnation: str
    display_name: str
    owner: str
    plan: str
    environment: Environment
    managed_by: str
    region: str
    residency: str
    hosts: tuple[str, ...]
    names: Names
    workload: WorkloadSpec
    database: DatabaseSpec
    cache: CacheSpec
    messaging: MessagingSpec
    integrations: tuple[IntegrationSpec, ...]
    quota: QuotaSpec
    limits: LimitSpec
    backup: BackupSpec
    retention_days: int
    maintenance_window: str | None
    """`Sun 02:00-04:00 Europe/Berlin`; None: any time."""
    expires_on: str | None
    """ISO date; only test environments."""
    deletion_policy: DeletionPolicy
    grace_days: int
    cell: Cell
    scaling: ScalingSpec = ScalingSpec()
    activity: Activity = Activity.RUNNING
    hold: Hold = Hold.NONE

    @property
    def login_kept(self) -> bool:
        """Whether OpenBao holds and rotates the database accounts. A server of the tenant's own on simulated nodes only
        stands as an object: nobody can log in to it."""
        return self.database.tier is not DatabaseTier.DEDICATED or not self.cell.spec.kubernetes.simulated_nodes

    @property
    def labels(self) -> dict[str, str]:
        """Labels that every object of the tenant carries; deletion and drift find objects by them."""
        return {
            "app.kubernetes.io/managed-by": "tenantry",
            "app.kubernetes.io/part-of": self.workload.name,
            "tenantry.dev/tenant": self.name,
            "tenantry.dev/incarnation": self.incarnation,
            "tenantry.dev/plan": self.plan,
            "tenantry.dev/environment": self.environment.value,
        }
