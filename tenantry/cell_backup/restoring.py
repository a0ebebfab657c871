"""A cell made anew from its backup: the same names, ports, keys and data, as of the backup's moment.

The target must not exist; what a restore that failed has made is deleted again. Database passwords are all set anew
at the end: OpenBao may have rotated some between the two copies. Until `finished` is called, a note keeps everybody
else from starting the platform, and the same restore goes on from it.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tenantry.cell_backup.archive import Header, Member, members, read_header
from tenantry.cell_backup.keys import read_private
from tenantry.engine.storage import make_folder
from tenantry.fleet.home import cell_home
from tenantry.local import LocalPlatform
from tenantry.local.cache import Redis
from tenantry.local.cluster import Authorities, Etcd
from tenantry.local.copies import EtcdCopy, MariaDbCopy, OpenBaoCopy, RabbitMqCopy
from tenantry.local.database import MariaDB
from tenantry.local.keys import OpenBao
from tenantry.local.layout import Layout, read_json, write_file, write_json
from tenantry.local.layout import make_folder as make_owned
from tenantry.local.machine import Bring
from tenantry.local.messaging import Epmd, RabbitMQ
from tenantry.local.part import Account, Part, Site
from tenantry.local.toolchain import ETCDUTL, Toolchain
from tenantry.tenancy.errors import Conflict, StateCorrupt

__all__ = ["Restored", "finished", "restore"]

_TOKENS = ("admin.token.json", "reader.token.json", "recovery.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """platform: the new one, up. moment: what it is of. copier: the database account that the copy was made under, and
    which is in it. seconds: from the start until every part ran."""

    platform: LocalPlatform
    moment: datetime
    copier: str
    seconds: float


@dataclass(slots=True)
class _Content:
    """What was read, as far as it is not written to its place at once."""

    openbao: bytearray = field(default_factory=bytearray)
    rabbitmq: bytes = b""
    health: bytes = b""
    tokens: dict[str, bytes] = field(default_factory=dict)
    moment: dict[str, Any] = field(default_factory=dict)


def restore(source: Path, *, private: Path, root: Path | None = None, progress: Callable[[str], None]) -> Restored:
    """Make the platform and the cell's folder of a backup, or go on with that where it was cut off. root: the machine's
    data folder, None: the usual one.

    Raises InvalidInput for a file or key that is not right, Conflict where a platform or tenants of this cell are here
    already, StateCorrupt for a damaged file: then nothing is left behind.
    """
    started = time.monotonic()
    opening = read_private(private)
    header = read_header(source)
    name = header.cell
    platform = LocalPlatform(name, home=root / "local" / name if root else None)
    cell = cell_home(name, root=root)
    layout = Layout.of(name, platform.home)
    begun = _begun(layout, header)
    if "moment" in begun:
        progress(f"going on with the restore of cell {name}, which was cut off")
        platform.up_from(progress, lambda _site, _bring: None)
        return _restored(platform, begun, started)
    if begun:  # what it has made is a part of the backup, and nobody has used it
        shutil.rmtree(cell, ignore_errors=True)
        platform.remove()
    _require_room_for(platform, cell)
    etcdutl = Toolchain().find([ETCDUTL], progress)[ETCDUTL.name]
    try:
        progress(f"opening the backup of cell {name}")
        layout.make()
        begun = {"backup": header.begun_at.isoformat(), "file": str(source.absolute())}
        write_json(layout.restoring, begun)
        content = _Filling(platform, cell).run(members(source, opening))
        platform.up_from(progress, lambda site, bring: _make_stores(site, bring, content, etcdutl))
        begun |= {"moment": str(content.moment["moment"]), "copier": str(content.moment["copier"])}
        write_json(layout.restoring, begun)
    except BaseException:
        platform.remove()
        shutil.rmtree(cell, ignore_errors=True)
        raise
    return _restored(platform, begun, started)


def finished(restored: Restored) -> None:
    """Passwords fit and deleted tenants are deleted again: from now on the platform is like any other."""
    platform = restored.platform
    Layout.of(platform.name, platform.home).restoring.unlink(missing_ok=True)


def _restored(platform: LocalPlatform, begun: Mapping[str, str], started: float) -> Restored:
    return Restored(
        platform=platform,
        moment=datetime.fromisoformat(begun["moment"]),
        copier=begun["copier"],
        seconds=time.monotonic() - started,
    )


def _begun(layout: Layout, header: Header) -> dict[str, str]:
    """What a restore that was cut off has noted, empty where there was none. Raises Conflict for another backup's."""
    begun = read_json(layout.restoring)
    if begun and begun["backup"] != header.begun_at.isoformat():
        raise Conflict(
            f"a restore of cell {layout.name} from another backup has not ended",
            where=str(layout.home),
            hint=f"finish that one: `tenantry cell restore {begun['file']}`",
        )
    return begun


def _require_room_for(platform: LocalPlatform, cell: Path) -> None:
    if platform.exists:
        raise Conflict(
            f"there is a local platform {platform.name} on this machine",
            where=str(platform.home),
            hint="restore elsewhere, or remove it first: `tenantry local down --remove`",
        )
    if cell.exists() and any(cell.iterdir()):
        raise Conflict(
            "there are records of tenants of this cell on this machine",
            where=str(cell),
            hint="move the folder away, and name its folder `tombstones` with --tombstones",
        )


class _Filling:
    """Puts members into their places."""

    def __init__(self, platform: LocalPlatform, cell: Path) -> None:
        self._layout = Layout.of(platform.name, platform.home)
        self._cell = cell
        self._content = _Content()
        self._site: Site | None = None
        self._platform = platform

    def run(self, found: Iterable[Member]) -> _Content:
        unpacking = None
        for one in found:
            kind, _, rest = one.name.partition("/")
            match kind:
                case "home":
                    self._home(rest, one.content)
                case "parts":
                    self._part(rest, one.content)
                case "mariadb":
                    unpacking = unpacking or MariaDbCopy(self._mariadb()).unpacking()
                    unpacking.write(one.content)
                case "cell":
                    self._put(self._cell / rest, one.content)
                case "etcd":
                    with self.etcd_file(self._layout).open("ab") as file:
                        file.write(one.content)
                case _:
                    self._keep(kind, one)
        if unpacking is None or not self._content.moment:
            raise StateCorrupt("the backup is not whole", hint="use another one")
        unpacking.close()
        return self._content

    @staticmethod
    def etcd_file(layout: Layout) -> Path:
        return layout.supervisor / "etcd.snapshot"

    def _home(self, name: str, content: bytes) -> None:
        if name == "platform.json":  # the same ports; parts may have another place on this machine
            record = json.loads(content) | {"parts": str(self._layout.parts)}
            record.pop("operator", None)  # it is started last, as this machine has it
            write_json(self._layout.record, record)
        elif name == "accounts/rabbitmq.json":
            self._content.health = content
        else:
            mode = 0o644 if name == "cell.yaml" else 0o600
            self._put(self._layout.home / name, content, mode=mode)

    def _part(self, name: str, content: bytes) -> None:
        part, _, inner = name.partition("/")
        if part == "openbao" and inner in _TOKENS:
            self._content.tokens[inner] = content
        else:
            make_owned(self._layout.part(part), 0o700)
            self._put(self._layout.part(part) / inner, content)

    def _keep(self, kind: str, one: Member) -> None:
        match kind:
            case "openbao":
                self._content.openbao += one.content
            case "rabbitmq":
                self._content.rabbitmq = one.content
            case "moment":
                self._content.moment = json.loads(one.content)
            case _:
                raise StateCorrupt(
                    f"the backup holds {one.name}, which this version does not know", hint="restore it with a newer one"
                )

    def _put(self, path: Path, content: bytes, *, mode: int = 0o600) -> None:
        make_folder(path.parent)
        write_file(path, content, mode=mode)

    def _mariadb(self) -> MariaDB:
        site = self._platform.site()
        return MariaDB(site, OpenBao(site))


def _make_stores(site: Site, bring: Bring, content: _Content, etcdutl: Path) -> None:
    openbao, rabbitmq = OpenBao(site), RabbitMQ(site)
    mariadb = MariaDB(site, openbao)
    for part in (mariadb, rabbitmq, Redis(site), Epmd(site)):
        _give_to_owner(part)
    snapshot = _Filling.etcd_file(site.layout)
    EtcdCopy(Etcd(site, Authorities.of(site.layout.authorities))).write(snapshot, etcdutl)
    snapshot.unlink()
    bring(openbao)
    OpenBaoCopy(openbao).write(bytes(content.openbao), content.tokens)
    bring(openbao)
    MariaDbCopy(mariadb).prepare(openbao)
    bring(Epmd(site), rabbitmq)
    first = read_json(site.layout.bootstrap / "rabbitmq.json")
    RabbitMqCopy(rabbitmq).write(content.rabbitmq, Account(username=first["username"], password=first["password"]))
    write_file(rabbitmq.account_file(), content.health)
    (site.layout.bootstrap / "rabbitmq.json").unlink()


def _give_to_owner(part: Part) -> None:
    """Files that a part reads under an account of its own."""
    owner = part.owner
    if owner.name is None or not part.folder.exists():
        return
    for path in (part.folder, *part.folder.rglob("*")):
        os.chown(path, owner.uid, owner.gid)
