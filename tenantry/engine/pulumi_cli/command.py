"""The `pulumi` command: where it is, whether its version is one that we know, and running it.

It is looked for on PATH, then where the SDK's installer puts the version that belongs to the SDK
(`~/.pulumi/versions/<version>`).
"""

from __future__ import annotations

import copy
import os
import shutil
import signal
import subprocess
import threading
import urllib.error
from collections.abc import Callable, Mapping
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from pulumi.automation import CommandResult, InvalidVersionError, PulumiCommand
from pulumi.automation.errors import CommandError, create_command_error
from semver import VersionInfo

from tenantry.tenancy.errors import DependencyUnavailable, RunFailed, Unsupported

__all__ = ["Command", "Failure", "find", "install", "pinned"]

_INSTALL = "run `tenantry engine install`, or put `pulumi` on PATH"
_OLDEST = VersionInfo(3, 220)
"""The oldest CLI whose exit codes and events are those that this package reads."""
OnStart = Callable[[int], None]


class Failure(Exception):
    """A command of the CLI ended with an error. error: the SDK's classification of it."""

    def __init__(self, result: CommandResult, error: CommandError) -> None:
        super().__init__(f"pulumi ended with exit code {result.code}")
        self.result = result
        self.error = error


class Command(PulumiCommand):
    """The SDK's command, whose runs can be stopped. on_start: told the process id of each run."""

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(str(root) if root is not None else None, version=_OLDEST)
        self.command = shutil.which(self.command) or self.command
        self.on_start: OnStart | None = None
        self._running: dict[int, tuple[subprocess.Popen[str], list[str]]] = {}
        self._lock = threading.Lock()

    def for_run(self, on_start: OnStart) -> Command:
        """The same command for one run, whose process ids `on_start` is told."""
        twin = copy.copy(self)
        twin.on_start = on_start
        return twin

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], Any] | None = None,
        on_error: Callable[[str], Any] | None = None,
    ) -> CommandResult:
        """As the SDK's, but in a session of its own: a Ctrl-C reaches it once, from `stop`. Raises the SDK's
        CommandError with a `Failure` as its cause, which knows the exit code."""
        folder = Path(self.command).parent
        environment = {**os.environ, **additional_env, "PULUMI_AUTOMATION_API": "true"}
        environment["PATH"] = os.pathsep.join((str(folder), environment.get("PATH", os.defpath)))
        process = subprocess.Popen(
            [self.command, "--non-interactive", *args],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        with self._lock:
            self._running[process.pid] = (process, args)
        try:
            if self.on_start is not None:
                self.on_start(process.pid)
            result = self._collected(process, on_output, on_error)
        finally:
            with self._lock:
                self._running.pop(process.pid, None)
        if result.code:
            error = create_command_error(result)
            raise error from Failure(result, error)
        return result

    def stop(self, stack: str | None = None) -> None:
        """Ask every run that is under way (of this stack) to end in order: it finishes what it began, saves, and
        fails."""
        with self._lock:
            running = [
                process
                for process, args in self._running.values()
                if stack is None or any(one.rpartition("/")[2] == stack for one in args)
            ]
        for process in running:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)

    def _collected(
        self,
        process: subprocess.Popen[str],
        on_output: Callable[[str], Any] | None,
        on_error: Callable[[str], Any] | None,
    ) -> CommandResult:
        lines: tuple[list[str], list[str]] = ([], [])

        def read(stream: Any, callback: Callable[[str], Any] | None, into: list[str]) -> None:
            with stream:
                for line in stream:
                    into.append(line.rstrip())
                    if callback is not None:
                        callback(into[-1])

        readers = [
            threading.Thread(target=read, args=(process.stdout, on_output, lines[0]), daemon=True),
            threading.Thread(target=read, args=(process.stderr, on_error, lines[1]), daemon=True),
        ]
        for reader in readers:
            reader.start()
        try:
            code = process.wait()
        except KeyboardInterrupt:
            self.stop()
            process.wait()
            raise
        for reader in readers:
            reader.join()
        return CommandResult(stdout="\n".join(lines[0]), stderr="\n".join(lines[1]), code=code)


def pinned() -> str:
    """The version that belongs to the installed SDK."""
    return version_of("pulumi")


def installed_root() -> Path:
    """Where the SDK's installer puts the pinned version."""
    return Path.home() / ".pulumi" / "versions" / pinned()


def find() -> Command:
    """The CLI of this machine. Raises DependencyUnavailable where there is none, Unsupported for a version that the
    SDK cannot drive."""
    root = None if shutil.which("pulumi") else installed_root()
    if root is not None and not (root / "bin" / "pulumi").exists():
        raise DependencyUnavailable("the Pulumi CLI is not on this machine", where="pulumi", hint=_INSTALL)
    try:
        return Command(root)
    except (InvalidVersionError, subprocess.CalledProcessError, OSError, UnicodeDecodeError) as error:
        where = shutil.which("pulumi") or str(root)
        what = "has a version that is not known here" if isinstance(error, InvalidVersionError) else "does not start"
        raise Unsupported(f"the Pulumi CLI {what}", where=where, hint=f"version {pinned()} fits: {_INSTALL}") from error


def install() -> Command:
    """Fetch the pinned version by the SDK's own installer, unless it is there, and check it."""
    root = installed_root()
    try:
        PulumiCommand.install(root=str(root), version=VersionInfo.parse(pinned()))
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise DependencyUnavailable(
            "the Pulumi CLI cannot be fetched from here: no way to Pulumi's download site",
            where="get.pulumi.com",
            hint=f"fetch version {pinned()} on another machine, unpack it to {root / 'bin'}, and run this again; the "
            "embedded engine needs no CLI",
        ) from error
    except (subprocess.CalledProcessError, InvalidVersionError, OSError) as error:
        raise RunFailed(
            f"the installer of the Pulumi CLI failed ({type(error).__name__})",
            where=str(root),
            hint="remove that folder and run `tenantry engine install` again",
        ) from error
    return Command(root)
