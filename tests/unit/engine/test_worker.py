"""A worker process that is told to end while it has nothing to do."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

from tenantry.engine.worker import Greeting

MODULE = """\
import atexit, pathlib
here = pathlib.Path(__file__).parent
atexit.register(lambda: (here / "left in order").touch())
(here / "begun").touch()
"""


def test_an_idle_worker_ends_in_order_so_that_libraries_clean_up_after_themselves(tmp_path: Path) -> None:
    (tmp_path / "marks_its_exit.py").write_text(MODULE)
    ours, theirs = multiprocessing.Pipe()
    start = f"from tenantry.engine.worker import main; main({theirs.fileno()})"
    with subprocess.Popen([sys.executable, "-c", start], pass_fds=(theirs.fileno(),)) as process:
        theirs.close()
        ours.send(Greeting([str(tmp_path), *filter(None, sys.path)], ("marks_its_exit",)))
        deadline = time.monotonic() + 60
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert (tmp_path / "left in order").exists()
