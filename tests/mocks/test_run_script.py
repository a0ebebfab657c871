"""run.sh, for real: it runs a command, passes signals on, and ends it when its configuration changes."""

from __future__ import annotations

import signal
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

SCRIPT = str(files("tenantry_components").joinpath("run.sh"))
LISTENER = "trap 'echo ended; exit 7' TERM; echo started; while :; do sleep 0.1; done"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "0-settings").write_text("password one", encoding="utf-8")
    return {
        "PATH": "/usr/bin:/bin",
        "TENANTRY_CONFIGURATION": str(tmp_path),
        "TENANTRY_CHECK_SECONDS": "0.1",
        "TENANTRY_RESTART_SPREAD": "1",
    }


def start(environment: dict[str, str], text: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["sh", SCRIPT, "sh", "-c", text], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_the_commands_own_status_is_what_it_ends_with(environment: dict[str, str]) -> None:
    process = start(environment, "exit 3")
    process.communicate(timeout=20)
    assert process.returncode == 3


def test_a_new_rendering_ends_the_command_gently(environment: dict[str, str], tmp_path: Path) -> None:
    with start(environment, LISTENER) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        (tmp_path / "0-settings").write_text("password two", encoding="utf-8")
        output, said = process.communicate(timeout=20)
    assert output == "ended\n"
    assert process.returncode == 7
    assert "configuration changed" in said
    assert "password" not in said


def test_the_kubelets_signal_reaches_the_command(environment: dict[str, str]) -> None:
    with start(environment, LISTENER) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGTERM)
        output, _said = process.communicate(timeout=20)
    assert output == "ended\n"
    assert process.returncode == 7


def test_a_signal_that_comes_before_the_command_has_started_reaches_it_too(
    environment: dict[str, str], tmp_path: Path
) -> None:
    early = tmp_path / "bin" / "hostname"
    early.parent.mkdir()
    early.write_text("#!/bin/sh\nkill -TERM $(cut -d ' ' -f 4 /proc/$PPID/stat)\n", encoding="utf-8")
    early.chmod(0o755)
    process = start(environment | {"PATH": f"{early.parent}:{environment['PATH']}"}, "exec sleep 60")
    process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
