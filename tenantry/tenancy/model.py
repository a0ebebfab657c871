"""The tenant file: kind `Tenant`, `tenantry.dev/v1alpha1`. The same text in git, in the API and in the cluster.

Only what one file can say by itself is checked here: types, units, grammar. What needs a plan, the catalogue or the
cell is checked by `resolving.resolve`. docs/tenant-file.md is the reference for people.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from tenantry.tenancy.campaigns import never_comes
from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.naming import NAME_LENGTH, NAME_PATTERN
from tenantry.tenancy.quantity import Cpu, Mebibytes
from tenantry.tenancy.recovery import parse_goal
from tenantry.tenancy.spec import DatabaseTier, DeletionPolicy, DriftPolicy, Environment
from tenantry.tenancy.window import check_zone, parse_window

__all__ = [
    "Backup",
    "Database",
    "Integration",
    "IntegrationKind",
    "Limits",
    "Metadata",
    "ModuleOverride",
    "Origin",
    "Placement",
    "Replicas",
    "Retention",
    "Tenant",
    "TenantFields",
]

IntegrationKind = Literal["cms", "crm", "ecommerce", "erp", "mail", "other", "push", "sms", "social"]

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_HOST = re.compile(r"(?=.{1,253}$)([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def _tenant_name(value: str) -> str:
    if len(value) > NAME_LENGTH:
        raise PydanticCustomError(
            "tenant_name",
            "a tenant name has at most {most} characters, this one has {length}",
            {"most": NAME_LENGTH, "length": len(value), "hint": "shorten it; displayName can be longer"},
        )
    if not re.fullmatch(NAME_PATTERN, value):
        raise PydanticCustomError(
            "tenant_name",
            "{given} is not a DNS label",
            {"given": repr(value), "hint": "begin with a letter, go on with a-z, 0-9 and -, do not end with -"},
        )
    return value


def _email(value: str) -> str:
    if not _EMAIL.fullmatch(value):
        raise PydanticCustomError(
            "email", "{given} is not an e-mail address", {"given": repr(value), "hint": "such as ops@example.com"}
        )
    return value


def _public_host(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise PydanticCustomError(
            "host",
            "{given} is not a host name",
            {
                "given": repr(value),
                "hint": "a full name in lower case such as mail.example.com: no scheme, port, path or wildcard",
            },
        )
    return value


def _window(value: str) -> str:
    parse_window(value)
    return value


TenantName = Annotated[
    str,
    AfterValidator(_tenant_name),
    Field(json_schema_extra={"pattern": NAME_PATTERN, "maxLength": NAME_LENGTH}),
]
Host = Annotated[str, AfterValidator(_public_host)]
Whole = Annotated[int, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]


class Fields(BaseModel):
    """Base of everything in a file: camelCase, frozen, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


class Metadata(Fields):
    """What Kubernetes calls metadata. Fields that an API server adds are accepted and ignored."""

    name: TenantName
    """The tenant's name: a DNS label of at most 30 characters. It never changes."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the Tenant object, for your own selection."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations of the Tenant object."""
    uid: str | None = None
    """Set by the API server."""
    resource_version: str | None = None
    """Set by the API server."""
    generation: Whole | None = None
    """Set by the API server."""
    creation_timestamp: str | None = None
    """Set by the API server."""
    deletion_timestamp: str | None = None
    """Set by the API server."""
    deletion_grace_period_seconds: Whole | None = None
    """Set by the API server."""
    finalizers: tuple[str, ...] = ()
    """Set by the operator."""
    managed_fields: tuple[dict[str, Any], ...] = ()
    """Set by the API server."""


class Placement(Fields):
    """Where the tenant runs and where its data may lie."""

    cell: str | None = None
    """Name of the cell; left out: any cell that fits."""
    region: str | None = None
    """Region, where the cell doesn't matter; excludes cell."""
    residency: str = "any"
    """Where data must stay, in the words of the cells (`eu`, `us`); `any`: no demand."""

    @model_validator(mode="after")
    def _one_of(self) -> Placement:
        if self.cell is not None and self.region is not None:
            raise PydanticCustomError(
                "placement", "cell and region exclude each other", {"hint": "keep cell, it implies the region"}
            )
        return self


class Replicas(Fields):
    """How far a module scales. Equal numbers: no autoscaling."""

    min: Annotated[int, Field(ge=1, le=1000, strict=True)]
    """Replicas that always run."""
    max: Annotated[int, Field(ge=1, le=1000, strict=True)]
    """Replicas at full load."""

    @model_validator(mode="after")
    def _ordered(self) -> Replicas:
        if self.min > self.max:
            raise PydanticCustomError(
                "replicas", "min is larger than max", {"hint": "raise max as far as the plan goes, or lower min"}
            )
        return self


class ModuleOverride(Fields):
    """Changes to one module of the workload, within the plan's bounds. What is left out stays as the plan has it."""

    enabled: Flag | None = None
    """false switches an optional module off, true an off-by-default one on."""
    replicas: Replicas | None = None
    """Services and workers only."""
    scale: Annotated[int, Field(ge=0, le=1000, strict=True)] | None = None
    """By hand: exactly so many replicas, whatever is measured; 0 stops it. Left out: it follows its load. Services and
    workers only."""
    cpu: Cpu | None = None
    """CPU request of one replica; its limit grows in proportion."""
    memory: Mebibytes | None = None
    """Memory of one replica, request and limit alike."""


class Database(Fields):
    """Which database server the tenant gets."""

    tier: DatabaseTier | None = None
    """shared: own schema on the cell's server; dedicated: own server with its own key; rds: own Amazon RDS
    instance. Left out: the plan's default."""


class Integration(Fields):
    """An outside system that the workload talks to, through the cell's egress proxy; all others are out of reach."""

    name: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$")]
    """Your name for it, unique in this file."""
    kind: IntegrationKind
    """What sort of system it is."""
    host: str
    """Its public host name. Addresses of the cluster, private networks and metadata services are refused."""
    port: Annotated[int, Field(ge=1, le=65535, strict=True)] = 443
    """TCP port."""
    credentials: str | None = None
    """Path of its secret in OpenBao, below the tenant's own folder; None: it needs none."""


class Limits(Fields):
    """Commercial limits, at most the plan's. What is left out is the plan's."""

    contacts: Annotated[int, Field(ge=1, strict=True)] | None = None
    """Contacts stored."""
    messages_per_month: Annotated[int, Field(ge=1, strict=True)] | None = None
    """Messages sent in a calendar month, all channels."""
    api_requests_per_minute: Annotated[int, Field(ge=1, strict=True)] | None = None
    """API requests a minute."""


class Retention(Fields):
    """How long the workload keeps personal event data."""

    days: Annotated[int, Field(ge=1, le=3650, strict=True)]
    """Days after which events of inactive contacts are cleaned up."""


def _goal(value: str) -> str:
    try:
        parse_goal(value)
    except InvalidInput as error:
        raise PydanticCustomError("backup", "{message}", {"message": error.message, "hint": error.hint}) from None
    return value


class Origin(Fields):
    """Another tenant of the same cell whose backup this one begins from, with the secrets of its application."""

    tenant: TenantName
    """That tenant's name; it has to be there until this one runs."""
    backup: Annotated[str, AfterValidator(_goal)] = "latest"
    """Which: latest, a backup's id, or a moment such as 2026-11-26T01:02:03Z where the cell can go there."""


class Backup(Fields):
    """Scheduled backups, encrypted with the tenant's own key."""

    enabled: Flag = True
    """false only in environments that allow it (test)."""


def _cron(value: str) -> str:
    if len(value.split()) != 5 or never_comes(value):
        raise PydanticCustomError(
            "cron",
            "{given} is no time that ever comes",
            {"given": repr(value), "hint": "minute hour day month weekday, such as 0 8 * * FRI"},
        )
    return value


def _zone(value: str) -> str:
    return check_zone(value)


Cron = Annotated[str, AfterValidator(_cron), Field(max_length=100)]


class ScheduledReplicas(Fields):
    """Replicas of one module during a campaign."""

    least: Annotated[int, Field(ge=0, le=1000, strict=True)] | None = None
    """At least so many, within the module's maximum."""
    most: Annotated[int, Field(ge=0, le=1000, strict=True)] | None = None
    """At most so many; 0 switches it off for the time."""

    @model_validator(mode="after")
    def _ordered(self) -> ScheduledReplicas:
        if self.least is None and self.most is None:
            raise PydanticCustomError("campaign", "neither least nor most is given", {"hint": "write one of them"})
        if self.least is not None and self.most is not None and self.least > self.most:
            raise PydanticCustomError("campaign", "least is larger than most", {"hint": "raise most, or lower least"})
        return self


class CalendarEntry(Fields):
    """A campaign, or a time off season: what modules have at that time."""

    name: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$")]
    """Your name for it, unique in this file."""
    start: Cron
    """When it begins, as a cron expression in local time: `0 8 * * FRI`."""
    end: Cron
    """When it ends, likewise."""
    time_zone: Annotated[str, AfterValidator(_zone)] = "Etc/UTC"
    """IANA name such as Europe/Berlin."""
    first_day: date | None = None
    """It does not count before this day."""
    last_day: date | None = None
    """It does not count after this day."""
    modules: Annotated[dict[str, ScheduledReplicas], Field(min_length=1)]
    """By module name."""

    @model_validator(mode="after")
    def _ordered(self) -> CalendarEntry:
        if self.first_day is not None and self.last_day is not None and self.first_day > self.last_day:
            raise PydanticCustomError("campaign", "firstDay is after lastDay", {"hint": "swap them"})
        return self


class Scaling(Fields):
    """How the tenant follows its load, within the plan."""

    calendar: Annotated[tuple[CalendarEntry, ...], Field(max_length=100)] = ()
    """Times at which more, or less, is needed than measured."""
    idle: Literal["minimum", "zero"] = "minimum"
    """What modules that work off messages have while there are none: the plan's minimum, or nothing."""


class TenantFields(Fields):
    """What the tenant wants; everything optional is decided by plan, environment and catalogue when left out."""

    display_name: Annotated[str, Field(min_length=1, max_length=120)]
    """The customer's name as people write it."""
    owner: Annotated[str, AfterValidator(_email)]
    """E-mail address of who answers for the tenant; also the first administrator's address."""
    plan: str
    """The plan: starter, growth, enterprise."""
    environment: Environment = Environment.PRODUCTION
    """production, staging or test."""
    placement: Placement = Placement()
    """Where it runs."""
    hosts: tuple[Host, ...] = ()
    """Public host names, the first is the main one. None: `<name>.<domain of the cell>`."""
    workload: str = "mautic"
    """The application, by its name in the catalogue."""
    release: str | None = None
    """The application's version. Left out: the default at creation, kept from then on."""
    template_version: Annotated[int, Field(ge=1, strict=True)] | None = None
    """Version of the catalogue entry. Left out: the newest at creation, kept from then on."""
    modules: dict[str, ModuleOverride] = Field(default_factory=dict)
    """Overrides by module name."""
    database: Database = Database()
    """The database server."""
    integrations: tuple[Integration, ...] = ()
    """Outside systems."""
    limits: Limits = Limits()
    """Commercial limits."""
    retention: Retention | None = None
    """Cleaning of old data; None: the plan's."""
    maintenance_window: Annotated[str, AfterValidator(_window)] | None = None
    """When disruptive work may happen: `Sun 02:00-04:00 Europe/Berlin`. None: at any time."""
    expires_on: date | None = None
    """Test environments only: the day on which it is deleted."""
    deletion_policy: DeletionPolicy | None = None
    """What deleting the Tenant does: backup-then-delete, protect, or (test only) delete."""
    grace_days: Annotated[int, Field(ge=0, le=365, strict=True)] | None = None
    """Days between the wish to delete and the deletion; at least the environment's minimum."""
    drift_policy: DriftPolicy = DriftPolicy.REPAIR
    """What happens to what was changed behind its back: repair puts it back, report only says so."""
    backup: Backup = Backup()
    """Scheduled backups."""
    origin: Origin | None = None
    """Data that a new tenant begins with; of no meaning afterwards."""
    scaling: Scaling = Scaling()
    """Campaigns and idle times."""
    suspended: Flag = False
    """true stops the workload and keeps all data; unsubscribe links are still answered."""


class Tenant(Fields):
    """A tenant of Tenantry: one customer's isolated stack of a marketing automation application."""

    api_version: Literal["tenantry.dev/v1alpha1"]
    """Version of this file's format."""
    kind: Literal["Tenant"]
    """Always Tenant."""
    metadata: Metadata
    """Name and labels."""
    spec: TenantFields
    """What the tenant wants."""
    status: dict[str, Any] | None = None
    """Written by the operator, ignored in a file."""
