"""Bring a backup back, and verify one without bringing it back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from tenantry.backup.envelope import opened
from tenantry.backup.manifest import Manifest, Part
from tenantry.backup.media import extract, require_empty
from tenantry.backup.segments import check_segment
from tenantry.backup.surroundings import Surroundings
from tenantry.tenancy.errors import Conflict, InvalidInput, StateCorrupt

__all__ = ["bring_media", "check", "check_with_keys", "open_all", "restore"]

_PIECE_BYTES = 1024 * 1024


def check(around: Surroundings, manifest: Manifest) -> None:
    """Every object against the manifest, without a key. Raises StateCorrupt naming the first that differs."""
    for part in manifest.parts:
        _check_part(around, manifest, part)


def check_with_keys(around: Surroundings, manifest: Manifest, parts: Sequence[Part] | None = None) -> None:
    """Every object of these parts (None: all) against the manifest, then that OpenBao unwraps their keys. Raises
    StateCorrupt or KeyDestroyed."""
    chosen = manifest.parts if parts is None else parts
    for part in chosen:
        _check_part(around, manifest, part)
    for part in chosen:
        around.openbao.unwrap(part.wrapped_key, context=manifest.context(part.name))


def open_all(around: Surroundings, manifest: Manifest) -> None:
    """Decrypt and decompress everything, keeping nothing. Raises KeyDestroyed or StateCorrupt."""
    for part in manifest.parts:
        with opened(manifest, part, store=around.store, openbao=around.openbao) as plain:
            _drain(around, manifest, part, plain)


def restore(
    around: Surroundings, manifest: Manifest, *, media_to: Path | None, secrets_to: Path | None, force: bool
) -> None:
    """Into the schema of the settings. Nothing is touched before everything has been checked, keys included.

    media_to, secrets_to: None leaves that kind of part out. force: empty a schema first that is not empty,
    and unpack over files that are there. Raises Conflict for a schema or folder with content without force.
    """
    folders = {part.name: _media_folder(media_to, part) for part in manifest.parts if part.kind == "media"}
    if secrets_to is not None and secrets_to.exists():
        raise Conflict("the file for secrets exists", where=str(secrets_to), hint="name another one")
    if not force:
        for folder in folders.values():
            if folder is not None:
                require_empty(folder)
    check_with_keys(around, manifest)
    with around.database.session() as (session, login):
        session.lock()
        content = session.content()
        if content and not force:
            raise Conflict(
                f"the schema is not empty: it holds {len(content)} tables, views, routines or events",
                where=around.database.name,
                hint="restore into an empty one, or use --force to drop what is there",
            )
        if content:
            session.clear()
        for part in manifest.parts:
            folder = folders.get(part.name)
            with opened(manifest, part, store=around.store, openbao=around.openbao) as plain:
                if part.kind == "database":
                    around.database.load(login, plain)
                elif folder is not None:
                    extract(plain, folder)
                elif part.kind == "secrets" and secrets_to is not None:
                    _keep_secret(secrets_to, plain.read())


def bring_media(around: Surroundings, manifest: Manifest, folders: Mapping[str, Path]) -> tuple[str, ...]:
    """Unpack the media that have a folder here, over what is there: files that came later stay. May be repeated.

    folders: by the name of the volume. Gives the names of what came back. Nothing is touched before all of it has been
    checked, keys included. Raises KeyDestroyed, StateCorrupt, or RunFailed where a folder takes no files.
    """
    parts = [one for one in manifest.parts if one.kind == "media" and one.volume in folders]
    check_with_keys(around, manifest, parts)
    for part in parts:
        with opened(manifest, part, store=around.store, openbao=around.openbao) as plain:
            extract(plain, folders[part.volume])
    return tuple(part.volume for part in parts)


def _media_folder(media_to: Path | None, part: Part) -> Path | None:
    return None if media_to is None else media_to / part.volume


def _check_part(around: Surroundings, manifest: Manifest, part: Part) -> None:
    whole = hashlib.sha256()
    for index in range(len(part.segments)):
        whole.update(check_segment(around.store, manifest.id, part, index))
    if whole.hexdigest() != part.sha256:
        raise StateCorrupt(
            f"part {part.name}: its segments are not in the order of the manifest",
            where=around.store.where(manifest.id),
        )


def _drain(around: Surroundings, manifest: Manifest, part: Part, plain: IO[bytes]) -> None:
    size = 0
    while piece := plain.read(_PIECE_BYTES):
        size += len(piece)
    if size != part.plain_size:
        raise StateCorrupt(
            f"part {part.name} opens to {size} bytes instead of {part.plain_size}",
            where=around.store.where(manifest.id),
        )


def _keep_secret(path: Path, data: bytes) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InvalidInput(f"the file for secrets cannot be made ({error.strerror})", source=str(path)) from None
    with os.fdopen(handle, "wb") as file:
        file.write(data)
