"""A cell of the suite's own: a local platform with its operator under the supervisor, as `make up` makes it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import psutil
import urllib3

from tenantry.engine import EmbeddedEngine
from tenantry.engine.cluster import Cluster, connect
from tenantry.fleet import Fleet
from tenantry.fleet.programs import build
from tenantry.fleet.tenant_objects import TenantObjects
from tenantry.local import LocalPlatform, Operated
from tenantry.local.keys import OpenBao
from tenantry.local.layout import Layout
from tenantry.local.part import State
from tenantry.local.supervisor import Supervisor
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.manifest import load_cell

__all__ = ["FaultCell", "fault_cell"]

_DISK_MIB = 768
_START_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultCell:
    """platform, fleet: this process is its administrator. disk: a small file system that holds nothing but MariaDB's
    data; None where none may be mounted."""

    platform: LocalPlatform
    fleet: Fleet
    disk: Path | None

    @property
    def cluster(self) -> Cluster:
        return connect({})

    @property
    def objects(self) -> TenantObjects:
        return TenantObjects(self.cluster)

    @property
    def supervisor(self) -> Supervisor:
        return Supervisor(self.platform.site().layout)

    @property
    def openbao(self) -> OpenBao:
        return OpenBao(self.platform.site())

    def process(self, part: str) -> psutil.Process:
        """Of a part that runs, perhaps in a moment."""
        deadline, pause = time.monotonic() + _START_S, Event()
        while time.monotonic() < deadline:
            found = self.supervisor.states().get(part)
            if found is not None and found.pid is not None:
                return psutil.Process(found.pid)
            pause.wait(0.1)
        raise TimeoutError(f"{part} does not run: {self.platform.logs(part)}")

    def bring_back(self) -> None:
        """Start what is down and unseal what is sealed, as a person would, until each part is well."""
        self.platform.up(lambda _: None)
        self.platform.operate(lambda _: None)

    def await_well(self, part: str) -> None:
        deadline, pause = time.monotonic() + _START_S, Event()
        while {one.name: one.state for one in self.platform.status()}.get(part) is not State.RUNNING:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{part} is not well again: {self.platform.logs(part)}")
            pause.wait(0.2)

    def await_operator(self) -> None:
        """Until it has the Lease and looks at tenants."""
        address = f"http://127.0.0.1:{self.platform.site().ports['operator']}/readyz"
        deadline, pause = time.monotonic() + _START_S, Event()
        with urllib3.PoolManager(retries=False, timeout=1.0) as web:
            while time.monotonic() < deadline:
                with suppress(urllib3.exceptions.HTTPError):
                    if web.request("GET", address).status == 200:
                        return
                pause.wait(0.05)

    def log_of_operator(self) -> Path:
        return self.platform.logs("operator")


@contextmanager
def fault_cell(say: Callable[[str], None] = lambda _: None) -> Iterator[FaultCell]:
    """Made from nothing, and gone with all its data at the end."""
    home = Path(tempfile.mkdtemp(prefix="tenantry-faults-"))
    home.chmod(0o755)
    before = dict(os.environ)
    os.environ["TENANTRY_HOME"] = str(home)
    platform = LocalPlatform("faults")
    disk = None
    try:
        disk = _mounted(platform)
        platform.up(say, operated=Operated(records=home, build=build()))
        os.environ.update(platform.environment())
        with EmbeddedEngine() as engine:
            fleet = Fleet(cell=load_cell(platform.cell_file), engine=engine, catalogue=Catalogue.load(), root=home)
            fleet.prepare_cell()
            platform.operate(say)
            yield FaultCell(platform=platform, fleet=fleet, disk=disk)
    finally:
        platform.down()
        if disk is not None:
            subprocess.run(["umount", str(disk)], check=True)
        platform.remove()
        shutil.rmtree(home, ignore_errors=True)
        os.environ.clear()
        os.environ.update(before)


def _mounted(platform: LocalPlatform) -> Path | None:
    """A file system of its own where MariaDB will have its data, so that it can be filled without filling another's."""
    folder = Layout.of(platform.name, platform.home).part("mariadb") / "data"
    folder.mkdir(parents=True)
    image = platform.home.parent / "disk.img"
    with image.open("wb") as file:
        file.truncate(_DISK_MIB * 2**20)
    for command in (["mkfs.ext4", "-q", "-m", "0", str(image)], ["mount", "-o", "loop", str(image), str(folder)]):
        if shutil.which(command[0]) is None or subprocess.run(command, capture_output=True, check=False).returncode:
            return None
    (folder / "lost+found").rmdir()
    return folder
