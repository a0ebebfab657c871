"""Marking a CLI run as ours: which process on this machine runs a stack, so that its lock can be told from others'.

The Pulumi CLI's lock files name a process and a host, and nobody drops them when it is killed. The marker adds when
that process started, since process ids come again.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from tenantry.engine.storage import StackFiles, write_atomically

__all__ = ["Marker", "is_alive", "started_at"]


@dataclass(frozen=True, slots=True)
class Marker:
    files: StackFiles

    def set(self, pid: int) -> None:
        """Note the process that runs the stack now; durable when this returns."""
        entry = {"pid": pid, "hostname": socket.gethostname(), "started": started_at(pid)}
        write_atomically(self.files.marker, json.dumps(entry).encode())

    def clear(self) -> None:
        self.files.marker.unlink(missing_ok=True)

    def wrote(self, lock: Path) -> bool:
        """Whether a Pulumi lock file was written by the process that we marked, and that process is dead."""
        try:
            marked = json.loads(self.files.marker.read_bytes())
            owner = json.loads(lock.read_bytes())
            pid = int(marked["pid"])
            same = (owner["pid"], owner["hostname"]) == (pid, marked["hostname"])
            return same and marked["hostname"] == socket.gethostname() and not is_alive(pid, marked["started"])
        except (OSError, ValueError, KeyError, TypeError):
            return False


def is_alive(pid: int, started: str) -> bool:
    """Whether the very process still runs: the same id and the same start."""
    return started_at(pid) == started and started != ""


def started_at(pid: int) -> str:
    """When a process started, in the kernel's ticks since boot, with the boot's id; "" when it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return _without_proc(pid)
    return "" if fields[0] == "Z" else f"{boot}/{fields[19]}"


def _without_proc(pid: int) -> str:
    """Where there is no /proc (macOS) only the id is known; one that came again counts as the same process."""
    if Path("/proc/self").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return str(pid)
