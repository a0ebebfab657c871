"""Where a local platform keeps its files, and how it writes them.

A home holds what belongs to the whole platform. Each part has one folder with everything that it reads and
writes, owned by the account that it runs as, so that no part can read another's. As root the servers run as
their own accounts, which must be able to reach their folders: where the home stands below a closed folder
(`/root`), the parts stand in `/var/lib/tenantry` instead.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import secrets
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

__all__ = ["Layout", "Owner", "default_home", "make_folder", "owner_of", "read_json", "write_file", "write_json"]

_CLOSED_HOME_PARTS = Path("/var/lib/tenantry/local")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The account that a part runs as. name None: the account that runs Tenantry."""

    name: str | None = None
    uid: int = -1
    gid: int = -1
    """-1: leave as it is."""


def owner_of(account: str) -> Owner:
    """The system account, where we are root and it exists; else our own."""
    if os.geteuid() != 0:
        return Owner()
    try:
        entry = pwd.getpwnam(account)
    except KeyError:
        return Owner()
    return Owner(name=account, uid=entry.pw_uid, gid=entry.pw_gid)


def default_home(name: str) -> Path:
    """`<data folder>/local/<name>`, where TENANTRY_HOME replaces the user's data folder."""
    chosen = os.environ.get("TENANTRY_HOME")
    base = Path(chosen).expanduser().absolute() if chosen else user_data_path("tenantry")
    return base / "local" / name


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Paths of one platform; nothing is made by asking for them."""

    name: str
    home: Path
    parts: Path

    @classmethod
    def of(cls, name: str, home: Path) -> Layout:
        """The layout of a platform; a home that has been used keeps the place of its parts."""
        kept = read_json(home / "platform.json").get("parts")
        return cls(name=name, home=home, parts=Path(kept) if kept else _parts_folder(name, home))

    def part(self, name: str) -> Path:
        return self.parts / name

    @property
    def record(self) -> Path:
        """Ports and places that were chosen once; no secrets."""
        return self.home / "platform.json"

    @property
    def restoring(self) -> Path:
        """There while a restore of the whole cell has not ended: of which backup it is, and how far; no secrets."""
        return self.home / "restoring.json"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def authorities(self) -> Path:
        return self.home / "authorities"

    @property
    def bootstrap(self) -> Path:
        return self.home / "bootstrap"

    @property
    def accounts(self) -> Path:
        """Least-privilege accounts that Tenantry itself asks the parts with."""
        return self.home / "accounts"

    @property
    def client(self) -> Path:
        """What a user's own commands read: kubeconfig, option files."""
        return self.home / "client"

    @property
    def tools(self) -> Path:
        return self.home / "bin"

    @property
    def backups(self) -> Path:
        return self.home / "backups"

    @property
    def cell_file(self) -> Path:
        return self.home / "cell.yaml"

    @property
    def supervisor(self) -> Path:
        return self.home / "supervisor"

    @property
    def ca_file(self) -> Path:
        """The certificate of the local authority that signs every server certificate."""
        return self.authorities / "local" / "ca.pem"

    def make(self) -> None:
        """Make the home's folders: closed to others, except that the parts' own accounts may pass through."""
        inside = self.parts.is_relative_to(self.home)
        make_folder(self.home, 0o711 if inside and os.geteuid() == 0 else 0o700)
        make_folder(self.parts, 0o711 if os.geteuid() == 0 else 0o700)
        for folder in (
            self.logs,
            self.authorities,
            self.bootstrap,
            self.accounts,
            self.client,
            self.tools,
            self.backups,
            self.supervisor,
        ):
            make_folder(folder, 0o700)

    def remove(self) -> None:
        """Delete every file of the platform."""
        for folder in (self.parts, self.home):
            if folder.exists():
                shutil.rmtree(folder)


def _parts_folder(name: str, home: Path) -> Path:
    if os.geteuid() != 0 or all(_passable(folder) for folder in home.parents):
        return home / "parts"
    mark = hashlib.sha256(str(home).encode()).hexdigest()[:8]
    return _CLOSED_HOME_PARTS / f"{name}-{mark}"


def _passable(folder: Path) -> bool:
    return not folder.exists() or bool(folder.stat().st_mode & stat.S_IXOTH)


def make_folder(folder: Path, mode: int, owner: Owner | None = None) -> None:
    """Make a folder, or correct the mode and owner of one that exists. Missing parents take the umask's mode."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=mode)
    except FileExistsError:
        if stat.S_IMODE(folder.stat().st_mode) != mode:
            folder.chmod(mode)
    if owner is not None and owner.name is not None:
        os.chown(folder, owner.uid, owner.gid)


def write_file(path: Path, content: str | bytes, *, mode: int = 0o600, owner: Owner | None = None) -> None:
    """Replace a file in one step; it never exists with a wider mode, and an unchanged one is left alone."""
    data = content.encode() if isinstance(content, str) else content
    if _same(path, data, mode):
        return
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if owner is not None and owner.name is not None:
                os.fchown(file.fileno(), owner.uid, owner.gid)
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _same(path: Path, data: bytes, mode: int) -> bool:
    try:
        return stat.S_IMODE(path.stat().st_mode) == mode and path.read_bytes() == data
    except OSError:
        return False


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty when there is no such file."""
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    return content


def write_json(path: Path, content: dict[str, Any], *, mode: int = 0o600, owner: Owner | None = None) -> None:
    write_file(path, json.dumps(content, indent=2) + "\n", mode=mode, owner=owner)
