"""Plans and environment classes: what a customer buys, and what a kind of environment may do.

Files: `tenant_templates/plans/*.yaml` (kind Plan) and `tenant_templates/environments/*.yaml` (kind EnvironmentClass).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from tenantry.tenancy.model import Fields, Flag, Whole
from tenantry.tenancy.quantity import Cpu, Mebibytes
from tenantry.tenancy.spec import DatabaseTier, DeletionPolicy, Environment, MessagingKind

__all__ = [
    "BackupSchedule",
    "Ceiling",
    "EnvironmentClass",
    "EnvironmentFields",
    "Plan",
    "PlanCache",
    "PlanDatabase",
    "PlanFields",
    "PlanLimit",
    "PlanMessaging",
    "SizeName",
    "TemplateMetadata",
]

Positive = Annotated[int, Field(ge=1, strict=True)]
SizeName = Literal["small", "medium", "large"]


class TemplateMetadata(Fields):
    """Name of a template, as tenant files refer to it."""

    name: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,28}[a-z0-9])?$")]


class Ceiling(Fields):
    """The most that a tenant's namespace may take; its computed quota must fit."""

    cpu: Cpu
    """Sum of CPU requests."""
    memory: Mebibytes
    """Sum of memory limits."""
    storage: Mebibytes
    """Sum of persistent volumes."""
    pods: Positive


class PlanDatabase(Fields):
    tiers: Annotated[tuple[DatabaseTier, ...], Field(min_length=1)]
    """Tiers on offer; the first is the default."""
    storage: Mebibytes
    """Size of an own server's volume; for the shared server the size that is sold."""
    connections: Positive
    """Cap of both accounts together."""
    engine_version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+(\.[0-9]+)?$")]
    cpu: Cpu
    """Of an own server."""
    memory: Mebibytes
    """Of an own server."""
    instance_class: str | None = None
    """Of an RDS instance; required where rds is on offer."""
    rotation_days: Positive
    """Age at which a database password is replaced."""

    @model_validator(mode="after")
    def _complete(self) -> PlanDatabase:
        if DatabaseTier.RDS in self.tiers and self.instance_class is None:
            raise PydanticCustomError("plan", "tier rds needs an instanceClass", {"hint": "such as db.t4g.medium"})
        return self


class PlanCache(Fields):
    dedicated: Flag
    """true: an own Redis in the namespace; false: an account on the cell's."""
    memory: Mebibytes


class PlanMessaging(Fields):
    kind: MessagingKind
    """rabbitmq: an own virtual host; database: the workload queues in its own schema."""
    max_queues: Whole = 0
    max_connections: Whole = 0


class PlanLimit(Fields):
    """Default where the tenant says nothing, and the most that it may ask for."""

    default: Positive
    most: Positive

    @model_validator(mode="after")
    def _ordered(self) -> PlanLimit:
        if self.default > self.most:
            raise PydanticCustomError("plan", "default is larger than most", {"hint": f"write most: {self.default}"})
        return self


class PlanLimits(Fields):
    contacts: PlanLimit
    messages_per_month: PlanLimit
    api_requests_per_minute: PlanLimit
    retention_days: PlanLimit
    integrations: Whole
    """How many outside systems."""
    hosts: Positive
    """How many public host names."""


class BackupSchedule(Fields):
    schedule: Annotated[str, Field(pattern=r"^(\S+ ){4}\S+$")]
    """Cron, UTC."""
    keep_daily: Positive
    keep_weekly: Whole
    keep_monthly: Whole
    deadline_minutes: Positive


class PlanFields(Fields):
    title: str
    size: SizeName
    """Which size of each module of the workload the plan buys."""
    ceiling: Ceiling
    database: PlanDatabase
    cache: PlanCache
    messaging: PlanMessaging
    limits: PlanLimits
    backup: BackupSchedule


class Plan(Fields):
    """A commercial tier."""

    api_version: Literal["tenantry.dev/v1alpha1"]
    kind: Literal["Plan"]
    metadata: TemplateMetadata
    spec: PlanFields

    @property
    def name(self) -> str:
        return self.metadata.name


class EnvironmentFields(Fields):
    title: str
    expiry: Flag
    """Whether a tenant may carry expiresOn."""
    deletion_policies: Annotated[tuple[DeletionPolicy, ...], Field(min_length=1)]
    """Allowed policies; the first is the default."""
    max_replicas: Positive | None = None
    """Cap of every module's replicas; None: the plan's sizes."""
    database_tiers: tuple[DatabaseTier, ...] = ()
    """Narrows the plan's tiers; empty: all of the plan's."""
    backup_optional: Flag
    """Whether backups may be switched off."""
    expiry_warning_days: Whole = 0
    """How long before its day people are told that a tenant expires."""
    expiry_grace_days: Whole = 0
    """How long an expired tenant's data is kept, so that a later date can bring it back."""
    grace_days_default: Whole
    grace_days_minimum: Whole


class EnvironmentClass(Fields):
    """What a kind of environment reduces or forbids."""

    api_version: Literal["tenantry.dev/v1alpha1"]
    kind: Literal["EnvironmentClass"]
    metadata: TemplateMetadata
    spec: EnvironmentFields

    @property
    def environment(self) -> Environment:
        return Environment(self.metadata.name)

    @model_validator(mode="after")
    def _known(self) -> EnvironmentClass:
        known = [one.value for one in Environment]
        if self.metadata.name not in known:
            raise PydanticCustomError(
                "environment", "{name} is not an environment", {"name": self.metadata.name, "hint": ", ".join(known)}
            )
        return self
