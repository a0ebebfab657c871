"""Where backups are kept: an S3-compatible bucket or a folder, through one library (obstore).

Every object is written by one request of bounded size. There is thus no multipart upload that a killed run could
leave behind unseen, and no limit on the number of parts of one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from tenantry.backup.settings import Settings
from tenantry.tenancy.cell import CellSpec
from tenantry.tenancy.errors import DependencyUnavailable, InvalidInput

__all__ = ["CREDENTIALS", "Store", "StoredObject", "cell_store", "open_store"]

CREDENTIALS = "backup-store"
"""Name of the tenant's kv secret with `access_key_id`, `secret_access_key` and perhaps `session_token`."""
_CREDENTIAL_FIELDS = frozenset({"access_key_id", "secret_access_key", "session_token"})
_STAGED = re.compile(r"#\d+$")
"""obstore writes a file under a name of this form first, and never lists it."""
_DELETE_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    name: str
    size: int


class Store:
    """Objects below one tenant's prefix; names are relative to it. Errors are DependencyUnavailable."""

    def __init__(self, backend: S3Store | LocalStore, *, prefix: str, url: str, folder: Path | None = None) -> None:
        self._backend = backend
        self._prefix = prefix
        self._url = url
        self._folder = folder

    def where(self, name: str = "") -> str:
        return f"{self._url.rstrip('/')}/{self._prefix}{name}"

    def put(self, name: str, data: bytes) -> None:
        """Whole or not at all: a reader never sees half an object."""
        with self._errors("write", name):
            obstore.put(self._backend, self._prefix + name, data, use_multipart=False)

    def get(self, name: str) -> bytes | None:
        """None when there is no such object. Only for objects that fit into memory."""
        with self._errors("read", name):
            try:
                return bytes(obstore.get(self._backend, self._prefix + name).bytes())
            except FileNotFoundError:
                return None

    def objects(self) -> Iterator[StoredObject]:
        """All of them, in no order."""
        with self._errors("list", ""):
            for page in obstore.list(self._backend, self._prefix):
                for entry in page:
                    yield StoredObject(name=entry["path"].removeprefix(self._prefix), size=entry["size"])

    def delete(self, names: Iterable[str]) -> None:
        """Absent is success."""
        paths = [self._prefix + name for name in names]
        for start in range(0, len(paths), _DELETE_AT_ONCE):
            with self._errors("delete", paths[start].removeprefix(self._prefix)):
                for path in self._existing(paths[start : start + _DELETE_AT_ONCE]):
                    obstore.delete(self._backend, path)

    def sweep(self) -> int:
        """Remove files that a killed write left half-written, and folders that a killed removal left empty (a bucket
        has neither); the number of the files."""
        if self._folder is None:
            return 0
        folder = self._folder / self._prefix
        half = [path for path in folder.rglob("*#*") if _STAGED.search(path.name) and path.is_file()]
        for path in half:
            with self._errors("delete", str(path.relative_to(folder))):
                path.unlink(missing_ok=True)
        for inside, _, _ in os.walk(folder, topdown=False):
            with suppress(OSError):  # not empty
                Path(inside).rmdir()
        return len(half)

    def _existing(self, paths: list[str]) -> Iterator[Any]:
        """A bucket takes many names in one request and passes over absent ones; a folder does neither."""
        if self._folder is None:
            yield paths
        else:
            yield from (path for path in paths if (self._folder / path).exists())

    @contextmanager
    def _errors(self, verb: str, name: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise DependencyUnavailable(
                f"the backup store failed to {verb}: {reason}",
                where=self.where(name),
                hint="it is full, out of reach, or refuses the credentials; run again when it is healthy",
            ) from None


def open_store(settings: Settings, credentials: dict[str, Any] | None) -> Store:
    """credentials: the kv secret, or None for what the surroundings give (a pod's identity, AWS_… variables)."""
    given = (
        {field: str(credentials[field]) for field in _CREDENTIAL_FIELDS & set(credentials or {})} if credentials else {}
    )
    if credentials and not {"access_key_id", "secret_access_key"} <= set(given):
        raise InvalidInput(
            "the store's secret lacks access_key_id or secret_access_key",
            source=f"{settings.kv_mount}/{settings.kv_path}/{CREDENTIALS}",
        )
    return _store_at(
        settings.store_url,
        kind=settings.store_kind,
        prefix=settings.store_prefix,
        region=settings.store_region,
        authority=_authority(settings.store_ca),
        credentials=given,
    )


def cell_store(cell: CellSpec, prefix: str) -> Store:
    """The objects below a prefix of the cell's backup store, with the credentials that the surroundings give (a pod's
    identity, AWS_… variables)."""
    backups = cell.backups
    return _store_at(backups.url, kind=backups.kind, prefix=prefix, authority=cell.store_authority.encode() or None)


def _authority(file: Path | None) -> bytes | None:
    try:
        return file.read_bytes() if file is not None else None
    except OSError as error:
        raise InvalidInput(f"the authority's file cannot be read ({type(error).__name__})", source=str(file)) from None


def _store_at(
    url: str,
    *,
    kind: Literal["s3", "folder"],
    prefix: str,
    region: str = "us-east-1",
    authority: bytes | None = None,
    credentials: Mapping[str, str] | None = None,
) -> Store:
    """The objects below a prefix. authority: PEM that signed the store's certificate, None for the public ones.
    credentials: None or empty for what the surroundings give."""
    if kind == "folder":
        root = Path(url)
        if not root.is_dir():
            raise DependencyUnavailable(
                "the backup folder does not exist", where=str(root), hint="make it, or mount the volume it is on"
            )
        return Store(LocalStore(root, automatic_cleanup=True), prefix=prefix, url=url, folder=root)
    parts = urlsplit(url)
    client: dict[str, Any] = {
        "allow_http": parts.scheme == "http",  # Settings lets http through on loopback only
        "connect_timeout": timedelta(seconds=5),
        "timeout": timedelta(seconds=120),
    }
    if authority is not None:
        client["root_certificate"] = authority
    backend = S3Store(
        bucket=parts.path.strip("/"),
        endpoint=f"{parts.scheme}://{parts.netloc}",
        region=region,
        virtual_hosted_style_request=False,
        client_options=client,  # type: ignore[arg-type]
        retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=60)},
        **(credentials or {}),  # type: ignore[arg-type]
    )
    return Store(backend, prefix=prefix, url=url)
