"""Take a backup, and prune: the two commands that write to the store. Both hold the schema's lock."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from tenantry.backup.catalogue import catalogue, remove
from tenantry.backup.database import Login, Session
from tenantry.backup.envelope import part_of
from tenantry.backup.manifest import MANIFEST, Content, Manifest, Part, new_id
from tenantry.backup.media import pack
from tenantry.backup.stopping import StoppableSink
from tenantry.backup.surroundings import Surroundings
from tenantry.tenancy.errors import Locked, TenantryError

__all__ = ["APPLICATION_SECRETS", "Pruned", "prune", "take"]

APPLICATION_SECRETS = "app"
"""Name of the tenant's kv secret with what its application made or was given at its first start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """expired: ids that retention let go. stale: ids of interrupted runs that were cleaned away."""

    expired: tuple[str, ...]
    stale: tuple[str, ...]


def take(
    around: Surroundings, *, retain: bool = True, stopping: Callable[[], bool] = lambda: False
) -> tuple[Manifest, Pruned]:
    """One backup, then retention unless `retain` is false. A failure before the manifest removes what was written, and
    raises. stopping: asked all the time while it is written; when it says so, Stopped is raised."""
    with around.database.session() as (session, login):
        session.lock()
        stale = _clean(around)
        identifier = new_id(datetime.now(UTC))
        try:
            manifest = _write(around, session, login, identifier, stopping)
        except BaseException:
            # A store that is out of reach keeps the pieces; the next run finds them without a manifest.
            with suppress(TenantryError):
                remove(around.store, catalogue(around.store), identifier)
            raise
        return manifest, Pruned(expired=_expire(around) if retain else (), stale=stale)


def prune(around: Surroundings) -> Pruned:
    """Retention alone."""
    with around.database.session() as (session, _):
        session.lock()
        stale = _clean(around)
        return Pruned(expired=_expire(around), stale=stale)


def _write(
    around: Surroundings, session: Session, login: Login, identifier: str, stopping: Callable[[], bool]
) -> Manifest:
    settings = around.settings
    started = datetime.now(UTC)
    left_out: list[str] = []
    events = session.may_see_events()
    if not events:
        left_out.append("events: the account has no EVENT privilege")

    def part(name: str, kind: Literal["database", "media", "secrets"], fill: Callable[[Any], None]) -> Part:
        with part_of(
            store=around.store,
            openbao=around.openbao,
            namespace=settings.namespace,
            incarnation=settings.incarnation,
            identifier=identifier,
            name=name,
        ) as envelope:
            fill(StoppableSink(envelope.sink, stopping))
        return envelope.part(kind)

    dumped: list[Content] = []
    parts = [
        part("database", "database", lambda sink: dumped.append(around.database.dump(login, sink, events=events))),
    ]
    for name, folder in sorted(settings.media.items()):
        parts.append(part(f"media-{name}", "media", lambda sink, folder=folder: left_out.extend(pack(folder, sink))))  # type: ignore[misc]
    secrets = around.openbao.secret(APPLICATION_SECRETS)
    if secrets is None:
        left_out.append("secrets: the tenant has none")
    else:
        parts.append(part("secrets", "secrets", lambda sink: _write_json(sink, secrets)))
    if not session.still_locked():
        raise Locked(
            "the lock on the schema was lost while the backup ran",
            where=around.database.name,
            hint="the connection to the server broke; run again",
        )
    manifest = Manifest(
        id=identifier,
        namespace=settings.namespace,
        incarnation=settings.incarnation,
        database_schema=settings.database_schema,
        release=settings.release,
        started_at=started,
        finished_at=datetime.now(UTC),
        transit_key=around.openbao.key_name,
        parts=tuple(parts),
        content=dumped[0],
        left_out=tuple(left_out),
    )
    around.store.put(f"{identifier}/{MANIFEST}", manifest.text())
    return manifest


def _write_json(sink: Any, fields: dict[str, Any]) -> None:
    sink.write(json.dumps(fields, sort_keys=True).encode())


def _clean(around: Surroundings) -> tuple[str, ...]:
    """Remove what interrupted runs left. Only with the lock: a run that goes on looks the same."""
    around.store.sweep()
    found = catalogue(around.store)
    for identifier in found.stale:
        remove(around.store, found, identifier)
    return found.stale


def _expire(around: Surroundings) -> tuple[str, ...]:
    found = catalogue(around.store)
    expired = around.retention.expired([manifest.id for manifest in found.whole])
    for identifier in expired:
        remove(around.store, found, identifier)
    return expired
