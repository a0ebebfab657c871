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

from tenantry.local.bridge import Bridge
from tenantry.local.cache import Redis
from tenantry.local.composition import PARTS, chains, note_operated, operator_of
from tenantry.local.containers import Containerd
from tenantry.local.database import MariaDB
from tenantry.local.description import describe, render
from tenantry.local.existing import ExistingCluster
from tenantry.local.keys import OpenBao
from tenantry.local.layout import Layout, default_home, make_folder, read_json, write_file, write_json
from tenantry.local.messaging import RabbitMQ
from tenantry.local.node import NodePlace, clear, require_machine, require_namespaces
from tenantry.local.operating import Operated
from tenantry.local.packages import find_servers, programs
from tenantry.local.part import Part, PartStatus, Site, State
from tenantry.local.pki import Authority
from tenantry.local.ports import LOOPBACK
from tenantry.local.record import Nodes, keep_record, require_as_made
from tenantry.local.shutdown import STOP_ORDER, shut_down
from tenantry.local.startup import Startup
from tenantry.local.supervisor import Supervised, Supervisor
from tenantry.local.toolchain import NODE_TOOLS, TOOLS, Toolchain, reference
from tenantry.local.validity import validities
from tenantry.tenancy.errors import Conflict, DependencyUnavailable, InvalidInput, Locked
from tenantry.tenancy.validity import Validity

__all__ = ["Bring", "LocalPlatform"]

Bring = Callable[..., None]
"""Brings the given parts up, one after the other."""

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,28}[a-z0-9])?")
_FOR_PODS = (OpenBao.name, MariaDB.name, Redis.name, RabbitMQ.name)
_LEAST_FREE_MIB = 1024


class LocalPlatform:
    """One local platform, by name. Several stand side by side; nothing is read or made before a method is called.

    home: its folder; None: `local/<name>` below the user's data folder. kubeconfig: use this cluster instead of
    an own control plane; None: as the platform was made, an own control plane for a new one. nodes: whether tenants'
    pods run; None: as the platform was made, simulated for a new one.
    """

    def __init__(
        self,
        name: str = "default",
        home: Path | None = None,
        *,
        kubeconfig: Path | None = None,
        nodes: Nodes | None = None,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                f"{name!r} cannot be the name of a local platform",
                source="name",
                hint="use up to 30 lower-case letters, digits and hyphens, beginning with a letter",
            )
        self.name = name
        self.home = (home or default_home(name)).absolute()
        self._kubeconfig = kubeconfig.expanduser().absolute() if kubeconfig else None
        self._nodes = nodes
        if kubeconfig is not None and nodes is not None:
            raise InvalidInput(
                "an existing cluster has its own nodes",
                source="nodes",
                hint="give --kubeconfig or --nodes, not both",
            )

    @property
    def cell_file(self) -> Path:
        """Where the cell file stands once the platform has been up."""
        return self._layout.cell_file

    @property
    def exists(self) -> bool:
        """Whether `up` has ever begun."""
        return self._layout.record.exists()

    @property
    def own_cluster(self) -> bool:
        """Whether it has a control plane of its own."""
        return self._existing(self._layout) is None

    def keep_copies(self, days: int) -> None:
        """Say in the cell file that backups of the whole cell are kept for so many days at least: for so long a deleted
        tenant's certificate does not call it unrecoverable."""
        with self._at_work():
            record = read_json(self._layout.record)
            if days > int(record.get("copies_days") or 0):
                write_json(self._layout.record, record | {"copies_days": days})
                site = self.site()
                _leave_for_users(site, simulated=self.own_cluster, operated=operator_of(site) is not None)

    def site(self) -> Site:
        """Its files and ports, for asking its parts and copying what they hold."""
        return self._site(self._layout, tools={})

    @property
    def _layout(self) -> Layout:
        return Layout.of(self.name, self.home)

    @property
    def _lock_file(self) -> Path:
        """Beside the home, so that `remove` can delete the home while it holds the lock."""
        return self.home.with_name(f".{self.home.name}.lock")

    def up(self, on_progress: Callable[[str], None], *, operated: Operated | None = None) -> None:
        """Bring every part up, from nothing or from kept data. What runs well is left alone.

        on_progress gets a line of text a step, from several threads. operated: make it a cell with an operator, which
        `operate` starts; None: as it was made. Where the cluster is somebody else's, its operator is too.
        Raises DependencyUnavailable, which says what stands in the way, Locked while another `up`, `down` or `remove`
        is at work, and Conflict where a restore of the whole cell has not ended. Whatever cuts it short, the next `up`
        continues and `down` stops what runs.
        """
        self._require_restored()
        self._up(on_progress, lambda _site, _bring: None, operated=operated)

    def up_from(self, on_progress: Callable[[str], None], stores: Callable[[Site, Bring], None]) -> None:
        """The same for a home that was filled with the files of a backup. stores: makes the servers' data before they
        start, with servers that it asks to be brought up in a row."""
        self._up(on_progress, stores)

    def _up(
        self,
        on_progress: Callable[[str], None],
        stores: Callable[[Site, Bring], None],
        *,
        operated: Operated | None = None,
    ) -> None:
        with self._at_work():
            layout = self._layout
            _require_room(self.home)
            require_as_made(layout, kubeconfig=self._kubeconfig, nodes=self._nodes)
            servers = self._servers(layout, on_progress)
            layout.make()
            keep_record(layout, kubeconfig=self._kubeconfig, nodes=self._nodes)
            existing = self._existing(layout)
            if existing is not None:
                existing.require_reachable()
            site = self._site(layout, tools=servers | self._built_tools(layout, on_progress))
            _link_tools(site)
            groups = chains(site, own_cluster=existing is None)
            if site.node is not None:
                Bridge(site.node, site.tools).ensure([site.ports[name] for name in _FOR_PODS])
            if operated is not None and existing is None:
                note_operated(layout, operated)
            operator = operator_of(site)
            supervisor = Supervisor(layout)
            supervisor.end_orphans(STOP_ORDER)
            parts = [part for chain in groups for part in chain] + ([operator] if operator else [])
            supervisor.configure({part.name: part.program() for part in parts})
            supervisor.launch()
            stores(site, lambda *parts: Startup(layout, supervisor, on_progress).run([parts]))
            Startup(layout, supervisor, on_progress).run(groups)
            if OpenBao(site).set_audit_log_aside():
                supervisor.hang_up(OpenBao.name)
            _leave_for_users(site, simulated=existing is None, operated=operator is not None)

    def operate(self, on_progress: Callable[[str], None]) -> None:
        """Start the operator of a platform that has one, once its cell is set up; one that runs this build is left
        alone. Raises like `up`."""
        self._require_restored()
        with self._at_work():
            layout = self._layout
            operator = operator_of(self._site(layout, tools={}))
            if operator is not None:
                Startup(layout, Supervisor(layout), on_progress).run([[operator]])

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

    def validities(self) -> tuple[Validity, ...]:
        """Until when its certificates and tokens are good, the soonest first. Empty when there is no such platform."""
        return validities(self.site()) if self.exists else ()

    def status(self) -> tuple[PartStatus, ...]:
        """Ask every part by its own protocol. Empty when there is no such platform."""
        if not self.exists:
            return ()
        layout = self._layout
        existing = self._existing(layout)
        states = Supervisor(layout).states()
        site = self._site(layout, tools={})
        parts = [part for chain in chains(site, own_cluster=existing is None) for part in chain]
        parts += [operator] if (operator := operator_of(site)) else []
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
        site = self._site(layout, tools={})
        existing = self._existing(layout)
        openbao = OpenBao(site)
        authority, token = str(layout.ca_file), openbao.admin_token() or ""
        return {
            "PATH": _path_with(layout.tools),
            "KUBECONFIG": str(existing.kubeconfig if existing else layout.client / "kubeconfig"),
            **{f"{prefix}_ADDR": openbao.url for prefix in ("VAULT", "BAO")},
            **{f"{prefix}_TOKEN": token for prefix in ("VAULT", "BAO")},
            **{f"{prefix}_CACERT": authority for prefix in ("VAULT", "BAO")},
            # `mariadb` reads my.cnf in MYSQL_HOME: the server's socket, where the system tells who we are; over TCP its
            # port and the authority to trust.
            "MYSQL_HOME": str(layout.client),
            "MYSQL_HOST": LOOPBACK,
            "MYSQL_TCP_PORT": str(site.ports[MariaDB.name]),
            "TENANTRY_BOOTSTRAP": str(layout.bootstrap),
            "TENANTRY_CELL": str(layout.cell_file),
        }

    def logs(self, part: str) -> Path:
        """The log file of a part, or of the `supervisor`. Raises InvalidInput for a name that is neither."""
        known = (*PARTS, "supervisor")
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

    def _require_restored(self) -> None:
        """Raise Conflict after a restore that was cut off: tenants that were deleted would live on in it."""
        begun = read_json(self._layout.restoring)
        if begun:
            raise Conflict(
                f"the restore of cell {self.name} has not ended",
                where=str(self.home),
                hint=f"finish it: `tenantry cell restore {begun['file']}` with the same --key and --tombstones",
            )

    def _real_nodes(self, layout: Layout) -> bool:
        record = read_json(layout.record)
        return record["subnet"] is not None if "subnet" in record else self._nodes is Nodes.REAL

    def _existing(self, layout: Layout) -> ExistingCluster | None:
        kept = self._kubeconfig or read_json(layout.record).get("kubeconfig")
        return ExistingCluster(kubeconfig=Path(kept), kubectl=layout.tools / "kubectl") if kept else None

    def _servers(self, layout: Layout, say: Callable[[str], None]) -> dict[str, Path]:
        """Programs of the operating system. Nothing of the platform is made before they are there."""
        real = self._real_nodes(layout)
        if real:
            require_machine()
        found = find_servers(say, real_node=real)
        if real:
            require_namespaces(found["unshare"], found["nft"])
        return found

    def _built_tools(self, layout: Layout, say: Callable[[str], None]) -> dict[str, Path]:
        wanted = [tool for tool in TOOLS if self._existing(layout) is None or tool.name in {"bao", "kubectl"}]
        toolchain = Toolchain()
        if self._real_nodes(layout):
            wanted += [*NODE_TOOLS, reference(toolchain.sources)]
        return toolchain.find(wanted, say)

    def _site(self, layout: Layout, *, tools: dict[str, Path]) -> Site:
        """What the parts share. tools: empty where they are only asked, not started."""
        record = read_json(layout.record)
        return Site(
            layout=layout,
            ports=record["ports"],
            authority=Authority(layout.authorities, "local"),
            tools=tools,
            node=NodePlace.of(layout, record["subnet"]) if record.get("subnet") else None,
        )

    def _stop(self) -> None:
        shut_down(Supervisor(self._layout))
        if self.exists:
            site = self._site(self._layout, tools=programs())
            if site.node is not None:
                clear(site.node, Containerd(site, site.node).init_file)
                Bridge(site.node, site.tools).remove()


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


def _link_tools(site: Site) -> None:
    """Put the commands that fit this platform into one folder for the user's PATH."""
    for name in ("kubectl", "bao"):
        link = site.layout.tools / name
        if not (link.is_symlink() and link.readlink() == site.tools[name]):
            link.unlink(missing_ok=True)
            link.symlink_to(site.tools[name])


def _path_with(folder: Path) -> str:
    """The search path with the folder in front, however often it is asked for."""
    there = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([str(folder), *(one for one in there if one != str(folder))])


def _leave_for_users(site: Site, *, simulated: bool, operated: bool) -> None:
    """Write what others read: the cell file and MariaDB's client options. These hold no password: on the server's
    socket it is the system that says who somebody is."""
    layout = site.layout
    make_folder(layout.client, 0o700)
    mariadb = MariaDB(site, OpenBao(site))
    write_file(
        layout.client / "my.cnf",
        f"[client]\nhost = localhost\nsocket = {mariadb.socket}\nuser = {mariadb.administrator}\n"
        f"port = {mariadb.port}\nssl-ca = {layout.ca_file}\nssl-verify-server-cert\n",
    )
    days = int(read_json(layout.record).get("copies_days") or 0)
    cell = describe(site, simulated=simulated, operated=operated, copies_days=days)
    write_file(layout.cell_file, render(cell), mode=0o644)
