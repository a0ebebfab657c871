"""A stack's removal that is killed is finished by the next."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tenantry.engine.interface import Stack
from tenantry.engine.locking import hold
from tenantry.engine.storage import StackFiles

_KILLED = """
import os, signal, sys
from pathlib import Path
from tenantry.engine.interface import Stack
from tenantry.engine.locking import hold
from tenantry.engine.storage import StackFiles
files = StackFiles(Stack(project="shop", name="one", backend=Path(sys.argv[1]), secrets_provider=""))
with hold(files):
    files.remove()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_before_its_locks_are_gone_it_holds_nobody_up(tmp_path: Path) -> None:
    """The files are gone by then, and with them what would tell whose Pulumi's lock is."""
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    files = StackFiles(Stack(project="shop", name="one", backend=tmp_path, secrets_provider=""))
    assert list(files.locks.glob("*.json"))
    with hold(files):
        files.remove()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
