"""What the store holds of a tenant: whole backups, damaged ones, and what interrupted runs left."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from tenantry.backup.manifest import ID, MANIFEST, Manifest
from tenantry.backup.segments import segment_name
from tenantry.backup.store import Store
from tenantry.tenancy.errors import Conflict, InvalidInput, StateCorrupt

__all__ = ["Catalogue", "Damaged", "catalogue", "remove"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged:
    """Its manifest cannot be read, or names objects that are not there. Never pruned without a person's word."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """whole: oldest first. objects: every object's name by backup. Objects that are not ours are in none of these."""

    whole: tuple[Manifest, ...]
    damaged: tuple[Damaged, ...]
    stale: tuple[str, ...]
    """Ids without a manifest: interrupted runs, or one that goes on now. Remove only while holding the lock."""
    objects: dict[str, tuple[str, ...]]

    def find(self, identifier: str | None) -> Manifest:
        """A whole backup by its id, the newest for None. Raises InvalidInput, Conflict or StateCorrupt."""
        for damaged in self.damaged:
            if damaged.id == identifier:
                raise StateCorrupt(f"backup {identifier} is damaged: {damaged.reason}", where=identifier)
        found = [manifest for manifest in self.whole if identifier in (None, manifest.id)]
        if found:
            return found[-1]
        if identifier is None:
            raise Conflict("there is no whole backup", hint="make one: `tenantry-backup run`")
        raise InvalidInput(
            f"there is no backup {identifier}",
            hint=f"the newest is {self.whole[-1].id}; all: `tenantry tenant backups`, or `tenantry-backup list`"
            if self.whole
            else "there is none at all yet",
        )


def catalogue(store: Store) -> Catalogue:
    sizes: dict[str, dict[str, int]] = defaultdict(dict)
    for entry in store.objects():
        identifier, _, rest = entry.name.partition("/")
        if ID.match(identifier) and rest:
            sizes[identifier][entry.name] = entry.size
    whole: list[Manifest] = []
    damaged: list[Damaged] = []
    stale: list[str] = []
    for identifier, found in sorted(sizes.items()):
        name = f"{identifier}/{MANIFEST}"
        text = store.get(name) if name in found else None
        if text is None:
            stale.append(identifier)
            continue
        try:
            manifest = Manifest.parse(text, where=store.where(name))
        except StateCorrupt as error:
            damaged.append(Damaged(id=identifier, reason=error.message))
            continue
        fault = _fault(manifest, identifier, found)
        if fault is None:
            whole.append(manifest)
        else:
            damaged.append(Damaged(id=identifier, reason=fault))
    return Catalogue(
        whole=tuple(whole),
        damaged=tuple(damaged),
        stale=tuple(stale),
        objects={identifier: tuple(sorted(found)) for identifier, found in sizes.items()},
    )


def remove(store: Store, found: Catalogue, identifier: str) -> None:
    """The manifest first: a removal that is interrupted leaves a stale backup, never a damaged one."""
    name = f"{identifier}/{MANIFEST}"
    names = found.objects.get(identifier, ())
    if name in names:
        store.delete([name])
    store.delete(other for other in names if other != name)


def _fault(manifest: Manifest, identifier: str, sizes: dict[str, int]) -> str | None:
    if manifest.id != identifier:
        return f"the manifest is that of {manifest.id}"
    for part in manifest.parts:
        for index, segment in enumerate(part.segments):
            name = segment_name(identifier, part.name, index)
            if name not in sizes:
                return f"object {name} is missing"
            if sizes[name] != segment.size:
                return f"object {name} has {sizes[name]} bytes instead of {segment.size}"
    return None
