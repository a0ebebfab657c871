"""What the machine and the backup store hold: names of objects, and names and contents of the cell's own files."""

from __future__ import annotations

import mmap
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from tenantry.inventory.findings import Finding, Searched, Subject
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["search_files", "search_store"]

_FOLDERS = (None, "tenants/", "exports/")
"""Levels of the store that are listed; a name below them repeats the folder's."""


def search_files(subject: Subject, root: Path) -> Searched:
    """Every file below the cell's folder: state, history, backups of state, records, journals, locks."""
    looked_at, findings = 0, []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if not path.is_file():
            if subject.marks(path.name):
                findings.append(Finding(system="files", kind="folder", name=name))
            continue
        looked_at += 1
        if subject.marks(name) or _holds(path, subject.incarnation.encode()):
            findings.append(Finding(system="files", kind="file", name=name))
    return Searched(system="files", looked_at=looked_at, findings=tuple(findings))


def _holds(path: Path, mark: bytes) -> bool:
    try:
        if path.stat().st_size == 0:
            return False
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(mark) >= 0
    except FileNotFoundError:  # another run replaced or removed it meanwhile
        return False
    except OSError as error:
        raise DependencyUnavailable(f"the inventory cannot read a file ({error.strerror})", where=str(path)) from None


def search_store(subject: Subject, cell: Cell) -> Searched:
    """Names in the backup store, as folders and single objects; backups themselves are ciphertext."""
    looked_at, findings = 0, []
    try:
        store = _open(cell)
        for folder in _FOLDERS:
            listed = obstore.list_with_delimiter(store, folder)
            names = [*(f"{one}/" for one in listed["common_prefixes"]), *(one["path"] for one in listed["objects"])]
            looked_at += len(names)
            findings += [Finding(system="store", kind="objects", name=name) for name in names if subject.marks(name)]
    except (BaseError, OSError) as error:
        raise DependencyUnavailable(
            f"the inventory cannot list the backup store ({type(error).__name__})",
            where=cell.spec.backups.url,
            hint="is it there, and do the surroundings' credentials allow a list?",
        ) from None
    return Searched(system="store", looked_at=looked_at, findings=tuple(findings))


def _open(cell: Cell) -> LocalStore | S3Store:
    backups = cell.spec.backups
    if backups.kind == "folder":
        return LocalStore(Path(backups.url))
    parts = urlsplit(backups.url)
    options: dict[str, Any] = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=60)}
    if authority := cell.spec.store_authority:
        options["root_certificate"] = authority.encode()
    return S3Store(
        bucket=parts.path.strip("/"),
        endpoint=f"{parts.scheme}://{parts.netloc}",
        virtual_hosted_style_request=False,
        client_options=options,  # type: ignore[arg-type]
    )
