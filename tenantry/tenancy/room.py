"""The room that a tenant has (quota, connections, volumes), and the order in which a change of it is safe. Pure.

More room comes before what needs it, which is the order of every run. Less room comes after: a quota that is lowered
first would keep the smaller pods from starting beside the larger ones, and a lowered cap would turn their connections
away. So a change that takes room away is two runs: the modules first, in the room that they had, then the room.
A volume never shrinks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tenantry.tenancy.errors import Problem
from tenantry.tenancy.spec import DatabaseTier, MessagingKind, TenantSpec

__all__ = ["Usage", "Volume", "asks_for_measuring", "over", "room_of", "roomier", "stages", "untold", "volumes_of"]

_QUOTA = (
    "cpu_request_m",
    "cpu_limit_m",
    "memory_request_mib",
    "memory_limit_mib",
    "storage_mib",
    "ephemeral_mib",
    "pods",
    "volumes",
)
_CONNECTIONS = "connections"
_QUEUES, _LINKS = "queues", "messaging_connections"
_CONTACTS, _DATABASE = "contacts", "database_mib"

Room = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume that stands: it can grow, and become nothing else. shared: several nodes may have it."""

    size_mib: int
    shared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How much a tenant uses of what its plan sells; None where it cannot be told. messages: waiting in RabbitMQ."""

    contacts: int | None
    database_mib: int | None
    messages: int | None


def room_of(spec: TenantSpec) -> dict[str, int]:
    """What a run of this spec gives, by names that a record keeps."""
    room = {f"quota.{name}": int(getattr(spec.quota, name)) for name in _QUOTA}
    return room | {
        _CONNECTIONS: spec.database.connections,
        _QUEUES: spec.messaging.max_queues,
        _LINKS: spec.messaging.max_connections,
        _CONTACTS: spec.limits.contacts,
        _DATABASE: spec.database.storage_mib,
    }


def roomier(one: Room, other: Room) -> dict[str, int]:
    """The larger of each: what may stand while a run goes from one to the other."""
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in sorted(one.keys() | other.keys())}


def volumes_of(spec: TenantSpec) -> dict[str, Volume]:
    """The volumes of a spec by name; the own database server's is `database`."""
    found = {one.name: Volume(size_mib=one.size_mib, shared=one.shared) for one in spec.workload.storage}
    if spec.database.tier is not DatabaseTier.SHARED:
        found["database"] = Volume(size_mib=spec.database.storage_mib, shared=False)
    return found


def stages(spec: TenantSpec, room: Room) -> tuple[TenantSpec, ...]:
    """What to run, one after the other. room: what stands, or may. One run, unless room is taken away."""
    kept = roomier(room, room_of(spec))
    queues = spec.messaging.kind is MessagingKind.RABBITMQ
    before = replace(
        spec,
        quota=replace(spec.quota, **{name: kept[f"quota.{name}"] for name in _QUOTA}),
        database=replace(spec.database, connections=kept[_CONNECTIONS]),
        messaging=replace(spec.messaging, max_queues=kept[_QUEUES], max_connections=kept[_LINKS])
        if queues
        else spec.messaging,
    )
    return (spec,) if before == spec else (before, spec)


def asks_for_measuring(spec: TenantSpec, room: Room) -> bool:
    """Whether what the tenant uses decides if it fits: something is sold that is less than what it had."""
    less = any(room_of(spec)[name] < room.get(name, 0) for name in (_CONTACTS, _DATABASE))
    return less or _loses_queues(spec, room)


def over(spec: TenantSpec, room: Room, usage: Usage) -> tuple[Problem, ...]:
    """What of a tenant does not fit into what it asks for now. What could not be told is not over."""
    sold = room_of(spec)
    found = []
    if usage.contacts is not None and sold[_CONTACTS] < room.get(_CONTACTS, 0) and usage.contacts > sold[_CONTACTS]:
        found.append(
            Problem(
                path="spec.plan",
                message=f"{usage.contacts} contacts are stored, {usage.contacts - sold[_CONTACTS]} more than plan "
                f"{spec.plan} leaves this tenant ({sold[_CONTACTS]})",
                hint="delete contacts, raise limits.contacts within the plan, or keep the larger plan",
            )
        )
    size = usage.database_mib
    if size is not None and sold[_DATABASE] < room.get(_DATABASE, 0) and size > sold[_DATABASE]:
        found.append(
            Problem(
                path="spec.plan",
                message=f"the database takes {size} MiB, {size - sold[_DATABASE]} MiB more than plan {spec.plan} has "
                f"({sold[_DATABASE]} MiB)",
                hint="shorten retention.days and let the clean-up run, or keep the larger plan",
            )
        )
    if usage.messages and _loses_queues(spec, room):
        found.append(
            Problem(
                path="spec.plan",
                message=f"{usage.messages} messages wait in RabbitMQ, which plan {spec.plan} does not have: they would "
                "be lost",
                hint="wait until they are sent; this is looked at again by itself where an operator runs",
            )
        )
    return tuple(found)


def untold(spec: TenantSpec, room: Room, usage: Usage) -> bool:
    """Whether something that decides if the tenant fits could have been told and was not. A server of the tenant's own
    is open to its own modules alone: what lies there is not counted."""
    if usage.messages is None and _loses_queues(spec, room):
        return True
    if spec.database.tier is not DatabaseTier.SHARED:
        return False
    return usage.database_mib is None or (usage.contacts is None and spec.workload.contacts_query is not None)


def _loses_queues(spec: TenantSpec, room: Room) -> bool:
    return bool(room.get(_QUEUES)) and spec.messaging.kind is not MessagingKind.RABBITMQ
