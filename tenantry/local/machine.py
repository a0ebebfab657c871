"""A whole cell on one machine: what `tenantry local up | down | status | env | logs` do."""

from __future__ import annotations

import datetime as dt
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from tenantry.local.cache import Redis
from tenantry.local.cluster import ApiServer, Authorities, ControllerManager, Etcd, Scheduler
from tenantry.local.database import MariaDB
from tenantry.local.description import describe, render
from tenantry.local.existing import ExistingCluster
from tenantry.local.keys import OpenBao
from tenantry.local.layout import Layout, default_home, make_folder, read_json, write_file, write_json
from tenantry.local.messaging import Epmd, RabbitMQ
from tenantry.local.packages import find_servers
from tenantry.local.part import Part, PartStatus, Site, State
from tenantry.local.pki import Authority
from tenantry.local.ports import LOOPBACK, choose
from tenantry.local.simulation import Kwok
from tenantry.local.startup import Startup
from tenantry.local.supervisor import Supervised, Supervisor
from tenantry.local.toolchain import TOOLS, Toolchain
from tenantry.tenancy.errors import Conflict, DependencyUnavailable, InvalidInput, Locked

__all__ = ["LocalPlatform"]

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,28}[a-z0-9])?")
_SERVICES = (OpenBao.name, MariaDB.name, Redis.name, Epmd.name, RabbitMQ.name)
_CONTROL_PLANE = (Etcd.name, ApiServer.name, ControllerManager.name, Scheduler.name, Kwok.name)
_MORE_PORTS = ("openbao-cluster", "rabbitmq-management", "rabbitmq-distribution", "etcd-peer")
_LEAST_FREE_MIB = 1024


class LocalPlatform:
    """One local platform, by name. Several stand side by side; nothing is read or made before a method is called.

    home: its folder; None: `local/<name>` below the user's data folder. kubeconfig: use this cluster instead of
    an own control plane; None: as the platform was made, an own control plane for a new one.
    """

    def __init__(self, name: str = "default", home: Path | None = None, *, kubeconfig: Path | None = None) -> None:
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                f"{name!r} cannot be the name of a local platform",
                source="name",
                hint="use up to 30 lower-case letters, digits and hyphens, beginning with a letter",
            )
        self.name = name
        self.home = (home or default_home(name)).absolute()
        self._kubeconfig = kubeconfig.expanduser().absolute() if kubeconfig else None

    @property
    def cell_file(self) -> Path:
        """Where the cell file stands once the platform has been up."""
        return self._layout.cell_file

    @property
    def exists(self) -> bool:
        """Whether `up` has ever begun."""
        return self._layout.record.exists()

    @property
    def _layout(self) -> Layout:
        return Layout.of(self.name, self.home)

    @property
    def _lock_file(self) -> Path:
        """Beside the home, so that `remove` can delete the home while it holds the lock."""
        return self.home.with_name(f".{self.home.name}.lock")

    def up(self, on_progress: Callable[[str], None]) -> None:
        """Bring every part up, from nothing or from kept data. What runs well is left alone.

        on_progress gets a line of text a step, from several threads. Raises DependencyUnavailable, which says what
        stands in the way, and Locked while another `up`, `down` or `remove` is at work. Whatever cuts it short,
        the next `up` continues and `down` stops what runs.
        """
        with self._at_work():
            layout = self._layout
            _require_room(self.home)
            layout.make()
            record = self._recorded(layout)
            existing = self._existing(layout)
            if existing is not None:
                existing.require_reachable()
            site = Site(
                layout=layout,
                ports=record,
                authority=Authority(layout.authorities, "local"),
                tools=self._tools(on_progress, own_cluster=existing is None),
            )
            _link_tools(site)
            chains = _chains(site, own_cluster=existing is None)
            supervisor = Supervisor(layout)
            supervisor.configure({part.name: part.program() for chain in chains for part in chain})
            supervisor.launch()
            Startup(layout, supervisor, on_progress).run(chains)
            if OpenBao(site).set_audit_log_aside():
                supervisor.hang_up(OpenBao.name)
            _leave_for_users(site, simulated=existing is None)

    def down(self) -> None:
        """Stop every part and the supervisor; all data stays. Does nothing when nothing runs."""
        if self.exists:
            with self._at_work():
                self._stop()

    def remove(self) -> None:
        """Stop everything and delete all of its data, keys included: nothing of it can ever be read again."""
        if self.home.exists():
            with self._at_work():
                self._stop()
                self._layout.remove()
                self._lock_file.unlink(missing_ok=True)

    def status(self) -> tuple[PartStatus, ...]:
        """Ask every part by its own protocol. Empty when there is no such platform."""
        if not self.exists:
            return ()
        layout = self._layout
        existing = self._existing(layout)
        states = Supervisor(layout).states()
        parts = [part for chain in _chains(self._asking(layout), own_cluster=existing is None) for part in chain]
        with ThreadPoolExecutor(max_workers=len(parts)) as pool:
            found = tuple(pool.map(lambda part: _status(part, states.get(part.name)), parts))
        return found if existing is None else (*found, existing.status())

    def environment(self) -> dict[str, str]:
        """Variables after which plain `kubectl`, `bao` and `mariadb` reach the platform; they hold the
        administrator's token. Raises DependencyUnavailable for a platform that has not been up."""
        layout = self._layout
        if not layout.cell_file.exists():
            raise DependencyUnavailable(
                f"the local platform {self.name} has not been up yet",
                where=str(self.home),
                hint="run `tenantry local up`",
            )
        site = self._asking(layout)
        existing = self._existing(layout)
        openbao = OpenBao(site)
        authority, token = str(layout.ca_file), openbao.admin_token() or ""
        return {
            "PATH": os.pathsep.join([str(layout.tools), os.environ.get("PATH", os.defpath)]),
            "KUBECONFIG": str(existing.kubeconfig if existing else layout.client / "kubeconfig"),
            **{f"{prefix}_ADDR": openbao.url for prefix in ("VAULT", "BAO")},
            **{f"{prefix}_TOKEN": token for prefix in ("VAULT", "BAO")},
            **{f"{prefix}_CACERT": authority for prefix in ("VAULT", "BAO")},
            # `mariadb` reads my.cnf in MYSQL_HOME: host, port and the authority to trust.
            "MYSQL_HOME": str(layout.client),
            "MYSQL_HOST": LOOPBACK,
            "MYSQL_TCP_PORT": str(site.ports[MariaDB.name]),
            "TENANTRY_BOOTSTRAP": str(layout.bootstrap),
            "TENANTRY_CELL": str(layout.cell_file),
        }

    def logs(self, part: str) -> Path:
        """The log file of a part, or of the `supervisor`. Raises InvalidInput for a name that is neither."""
        known = (*_SERVICES, *_CONTROL_PLANE, "supervisor")
        if part not in known:
            raise InvalidInput(f"there is no part {part!r}", source="part", hint=f"one of {', '.join(known)}")
        return self._layout.logs / f"{part}.log"

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Hold the platform's lock, and say plainly what the file system refuses."""
        try:
            self.home.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._lock_file, timeout=0, mode=0o600):
                if not self._lock_file.exists():  # removed, with the platform, while we were waiting in its door
                    raise Timeout(str(self._lock_file))
                yield
        except Timeout as error:
            raise Locked(
                f"the local platform {self.name} is being changed by another command",
                where=str(self.home),
                hint="wait until that one has ended, then run it again",
            ) from error
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}:
                raise
            full = error.errno in {errno.ENOSPC, errno.EDQUOT}
            raise DependencyUnavailable(
                f"the disk is full ({error.strerror})" if full else f"cannot write: {error.strerror}",
                where=str(error.filename or self.home),
                hint="free some space and run it again: it continues" if full else "choose another TENANTRY_HOME",
            ) from error

    def _recorded(self, layout: Layout) -> dict[str, int]:
        """The platform's ports, chosen and kept at the first `up`, with the cluster that it uses."""
        record = read_json(layout.record)
        kept = record.get("kubeconfig")
        if record and self._kubeconfig and str(self._kubeconfig) != kept:
            raise Conflict(
                f"the local platform {self.name} was made "
                + (f"with the cluster of {kept}" if kept else "with a control plane of its own"),
                where=str(layout.record),
                hint="choose another name, or remove this one first: `tenantry local remove`",
            )
        if not record:
            names = (*_SERVICES, *_CONTROL_PLANE, *_MORE_PORTS)
            record = {
                "ports": choose(names, taken=_ports_of_neighbours(self.home)),
                "parts": str(layout.parts),
                "kubeconfig": str(self._kubeconfig) if self._kubeconfig else None,
            }
            write_json(layout.record, record)
        return dict(record["ports"])

    def _existing(self, layout: Layout) -> ExistingCluster | None:
        kept = self._kubeconfig or read_json(layout.record).get("kubeconfig")
        return ExistingCluster(kubeconfig=Path(kept), kubectl=layout.tools / "kubectl") if kept else None

    def _tools(self, say: Callable[[str], None], *, own_cluster: bool) -> dict[str, Path]:
        wanted = [tool for tool in TOOLS if own_cluster or tool.name in {"bao", "kubectl"}]
        return find_servers(say) | Toolchain().find(wanted, say)

    def _asking(self, layout: Layout) -> Site:
        """A site that is good for asking the parts, not for starting them."""
        ports = read_json(layout.record)["ports"]
        return Site(layout=layout, ports=ports, authority=Authority(layout.authorities, "local"), tools={})

    def _stop(self) -> None:
        layout = self._layout
        supervisor = Supervisor(layout)
        if not supervisor.running():
            return
        # In the opposite order of the start: MariaDB writes with OpenBao's keys until its very end.
        order = (RabbitMQ.name, Epmd.name, Redis.name, MariaDB.name, *reversed(_CONTROL_PLANE), OpenBao.name)
        running = {name for name, state in supervisor.states().items() if state.pid}
        first = [name for name in order if name in running and name not in {OpenBao.name, Etcd.name, Epmd.name}]
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(supervisor.stop, first))
        for name in order:
            if name in running and name not in first:
                supervisor.stop(name)
        supervisor.shut_down()


def _chains(site: Site, *, own_cluster: bool) -> list[list[Part]]:
    """Parts that wait for one another, in the order of their start; the chains are independent."""
    openbao = OpenBao(site)
    chains: list[list[Part]] = [[openbao, MariaDB(site, openbao)], [Redis(site)], [Epmd(site), RabbitMQ(site)]]
    if own_cluster:
        authorities = Authorities.of(site.layout.authorities)
        kinds = (Etcd, ApiServer, ControllerManager, Scheduler, Kwok)
        chains.append([kind(site, authorities) for kind in kinds])
    return chains


def _status(part: Part, found: Supervised | None) -> PartStatus:
    health = part.probe() if found is not None and found.running else None
    if health is not None:
        state, message, hint = health.state, health.message, health.hint
    elif found is not None and found.given_up:
        state, message, hint = State.FAILED, found.message or "it ended again and again", f"read {part.log}"
    else:
        state, message, hint = State.STOPPED, "", "run `tenantry local up`"
    since = dt.datetime.fromtimestamp(found.since, dt.UTC).isoformat() if found and found.since else None
    return PartStatus(
        name=part.name,
        state=state,
        address=part.address,
        pid=found.pid if found else None,
        since=since,
        message=message,
        hint=hint,
    )


def _require_room(home: Path) -> None:
    folder = next(parent for parent in (home, *home.parents) if parent.exists())
    free_mib = shutil.disk_usage(folder).free // 2**20
    if free_mib < _LEAST_FREE_MIB:
        raise DependencyUnavailable(
            f"only {free_mib} MiB are free; a platform needs {_LEAST_FREE_MIB} MiB",
            where=str(folder),
            hint="free some space, or choose a folder on another disk with TENANTRY_HOME",
        )


def _ports_of_neighbours(home: Path) -> set[int]:
    """Ports that the other platforms beside this one own, running or not."""
    return {
        port for record in home.parent.glob("*/platform.json") for port in read_json(record).get("ports", {}).values()
    }


def _link_tools(site: Site) -> None:
    """Put the commands that fit this platform into one folder for the user's PATH."""
    for name in ("kubectl", "bao"):
        link = site.layout.tools / name
        if not (link.is_symlink() and link.readlink() == site.tools[name]):
            link.unlink(missing_ok=True)
            link.symlink_to(site.tools[name])


def _leave_for_users(site: Site, *, simulated: bool) -> None:
    """Write what others read: the cell file and MariaDB's client options."""
    layout = site.layout
    make_folder(layout.client, 0o700)
    write_file(
        layout.client / "my.cnf",
        f"[client]\nhost = {LOOPBACK}\nport = {site.ports[MariaDB.name]}\nprotocol = tcp\n"
        f"ssl-ca = {layout.ca_file}\nssl-verify-server-cert\n",
    )
    write_file(layout.cell_file, render(describe(site, simulated=simulated)), mode=0o644)
