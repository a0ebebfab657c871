"""The one supervisor of a platform: supervisord, asked over a Unix socket in a closed folder."""

from __future__ import annotations

import configparser
import hashlib
import io
import os
import socket
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from threading import Event
from typing import Any, cast

import psutil
from supervisor.xmlrpc import Faults, SupervisorTransport

from tenantry.local.layout import Layout, make_folder, write_file
from tenantry.local.part import Program
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["Supervised", "Supervisor"]

_LONGEST_SOCKET_PATH = 100
"""A Unix socket's path has room for 107 bytes, and the supervisor adds its pid while it binds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervised:
    """What the supervisor says of a program. pid None: no process. since: seconds since the epoch, None when down."""

    running: bool
    given_up: bool
    pid: int | None
    since: int | None
    message: str


class Supervisor:
    """Starts, stops and restarts the programs of one platform. Programs never start by themselves with it: the
    order of their start is known to the platform only; a program that ends unasked is started again."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._folder = layout.supervisor
        self.log = layout.logs / "supervisor.log"

    @property
    def socket(self) -> Path:
        """In the platform's home, or in the folder for temporary files where the home's path is too long for one."""
        path = self._folder / "socket"
        if len(os.fsencode(path)) + 8 <= _LONGEST_SOCKET_PATH:
            return path
        mark = hashlib.sha256(os.fsencode(self._folder)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"tenantry-{os.geteuid()}-{mark}" / "socket"

    def configure(self, programs: Mapping[str, Program]) -> None:
        """Write the configuration; a supervisor that runs takes over the sections that differ."""
        self._make_socket_folder()
        text = self._render(programs)
        file = self._folder / "supervisord.conf"
        changed = not file.exists() or file.read_text() != text
        write_file(file, text)
        if changed and self.running():
            self._adopt()

    def _make_socket_folder(self) -> None:
        folder = self.socket.parent
        make_folder(folder, 0o700)
        found = folder.lstat()
        if folder.is_symlink() or found.st_uid != os.geteuid():
            raise DependencyUnavailable(
                "the folder for the supervisor's socket belongs to somebody else",
                where=str(folder),
                hint="remove it, or give the platform a home with a shorter path (TENANTRY_HOME)",
            )

    def _adopt(self) -> None:
        with self._rpc() as supervisor:
            added, changed, removed = supervisor.reloadConfig()[0]
            for name in (*changed, *removed):
                supervisor.stopProcessGroup(name, True)
                supervisor.removeProcessGroup(name)
            for name in (*added, *changed):
                supervisor.addProcessGroup(name)

    def _render(self, programs: Mapping[str, Program]) -> str:
        config = configparser.RawConfigParser()
        config["unix_http_server"] = {"file": _escaped(self.socket), "chmod": "0600"}
        config["supervisord"] = {
            "logfile": _escaped(self.log),
            "logfile_maxbytes": "5MB",
            "logfile_backups": "1",
            "pidfile": _escaped(self._folder / "pid"),
            "directory": "/",
            "umask": "077",
            "minfds": "8192",
            "strip_ansi": "true",
        }
        if os.geteuid() == 0:
            config["supervisord"]["user"] = "root"
        config["rpcinterface:supervisor"] = {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        }
        for name, program in programs.items():
            section = {
                "command": " ".join(_quoted(word) for word in program.command),
                "autostart": "false",
                "autorestart": "true",
                "startsecs": "1",
                "startretries": "5",
                "stopsignal": "TERM",
                "stopwaitsecs": str(program.stop_seconds),
                "stopasgroup": "true",
                "killasgroup": "true",
                "redirect_stderr": "true",
                "stdout_logfile": _escaped(self._layout.logs / f"{name}.log"),
                "stdout_logfile_maxbytes": "20MB",
                "stdout_logfile_backups": "1",
            }
            if program.environment:
                section["environment"] = ",".join(
                    f'{key}="{_escaped(value)}"' for key, value in program.environment.items()
                )
            if program.owner.name:
                section["user"] = program.owner.name
            config[f"program:{name}"] = section
        text = io.StringIO()
        config.write(text)
        return text.getvalue()

    def launch(self) -> None:
        """Start the supervisor if it isn't running. It outlives this process."""
        if self.running():
            return
        if not self.log.exists():
            # It opens its log before it sets its umask.
            write_file(self.log, "")
        # A cleared environment: what the programs need stands in the configuration, and no secret leaks into them.
        environment = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TZ") if key in os.environ}
        done = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._folder / "supervisord.conf")],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        deadline = time.monotonic() + 15
        pause = Event()
        while done.returncode == 0 and not self.running() and time.monotonic() < deadline:
            pause.wait(0.05)
        if not self.running():
            raise DependencyUnavailable(
                f"the supervisor did not start: {(done.stderr or done.stdout).strip()[-300:] or 'no message'}",
                where=str(self.log),
                hint="read its log; then run `tenantry local up` again",
            )

    def end_orphans(self, order: Sequence[str], *, seconds: float = 60.0) -> None:
        """End, one after the other in this order, the programs that a supervisor which was killed has left behind:
        nobody would start them again, and their ports stay taken. Does nothing while a supervisor runs."""
        if self.running():
            return
        found: dict[str, list[psutil.Process]] = {}
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                variables = process.environ()
                # supervisord tells each program by whom it was started.
                if variables.get("SUPERVISOR_SERVER_URL") == f"unix://{self.socket}":
                    found.setdefault(variables.get("SUPERVISOR_PROCESS_NAME", ""), []).append(process)
        for name in sorted(found, key=lambda name: order.index(name) if name in order else -1):
            for process in found[name]:
                with suppress(psutil.NoSuchProcess):
                    process.terminate()
            _, stubborn = psutil.wait_procs(found[name], timeout=seconds)
            for process in stubborn:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(stubborn, timeout=10)

    def running(self) -> bool:
        try:
            with self._rpc() as supervisor:
                return bool(supervisor.getState()["statename"] == "RUNNING")
        except (OSError, HTTPException, xmlrpc.client.Error):
            return False

    def states(self) -> dict[str, Supervised]:
        """Every program by name; empty when the supervisor isn't running."""
        try:
            with self._rpc() as supervisor:
                found = supervisor.getAllProcessInfo()
        except (OSError, HTTPException, xmlrpc.client.Error):
            return {}
        return {
            info["name"]: Supervised(
                running=info["statename"] in {"RUNNING", "STARTING"},
                given_up=info["statename"] in {"FATAL", "EXITED"},
                pid=info["pid"] or None,
                since=info["start"] if info["statename"] in {"RUNNING", "STARTING"} else None,
                message=info["spawnerr"] or "",
            )
            for info in found
        }

    def start(self, name: str) -> None:
        """Start a program without waiting until it answers; one that runs is left alone."""
        with self._rpc() as supervisor:
            try:
                supervisor.startProcess(name, False)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode != Faults.ALREADY_STARTED:
                    raise DependencyUnavailable(
                        f"the supervisor cannot start {name}: {fault.faultString}",
                        where=str(self._layout.logs / f"{name}.log"),
                        hint="read its log, then run `tenantry local up` again",
                    ) from fault

    def stop(self, name: str) -> None:
        """Stop a program and wait for its end; one that is down is left alone."""
        with self._rpc() as supervisor:
            try:
                supervisor.stopProcess(name, True)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode not in {Faults.NOT_RUNNING, Faults.BAD_NAME}:
                    raise

    def hang_up(self, name: str) -> None:
        """Send SIGHUP to a program that runs; one that is down is left alone."""
        with self._rpc() as supervisor:
            try:
                supervisor.signalProcess(name, "HUP")
            except xmlrpc.client.Fault as fault:
                if fault.faultCode not in {Faults.NOT_RUNNING, Faults.BAD_NAME}:
                    raise

    def shut_down(self, *, seconds: float = 60.0) -> None:
        """End the supervisor with everything that still runs under it, and wait until it has gone."""
        try:
            with self._rpc() as supervisor:
                process = psutil.Process(supervisor.getPID())
                supervisor.shutdown()
            process.wait(timeout=seconds)
        except (OSError, HTTPException, xmlrpc.client.Error, psutil.NoSuchProcess):
            return
        except psutil.TimeoutExpired as error:
            raise DependencyUnavailable(
                f"the supervisor did not end within {seconds:.0f} s",
                where=str(self.log),
                hint="read its log, then run `tenantry local down` again",
            ) from error

    def _rpc(self) -> _Connection:
        return _Connection(self.socket)


class _Connection:
    """One conversation with supervisord; a connection serves one thread only."""

    def __init__(self, path: Path) -> None:
        self._transport = SupervisorTransport(None, None, f"unix://{path}")

    def __enter__(self) -> Any:
        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=cast(xmlrpc.client.Transport, self._transport))
        return proxy.supervisor

    def __exit__(self, *_: object) -> None:
        connection = self._transport.connection
        if connection is not None and isinstance(connection.sock, socket.socket):
            connection.sock.close()
        self._transport.close()


def _escaped(value: object) -> str:
    """supervisord expands % in every value."""
    return str(value).replace("%", "%%")


def _quoted(word: str) -> str:
    """supervisord splits a command like a shell does, after it has expanded %."""
    if word and all(letter.isalnum() or letter in "-_./:=@,*+[]" for letter in word):
        return word
    return "'" + _escaped(word).replace("'", "'\"'\"'") + "'"
