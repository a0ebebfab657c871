"""A platform whose tenants' pods really run, where the machine can carry that; else every test here is skipped."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tenantry.local.layout import Layout
from tests.e2e.user import User


@pytest.fixture(scope="session")
def kernel_settings() -> dict[str, str]:
    """What a kubelet changes on a machine that is its own; filled before one has ever run here."""
    return {}


@pytest.fixture(scope="session")
def user(tmp_path_factory: pytest.TempPathFactory, kernel_settings: dict[str, str]) -> Iterator[User]:
    """A user who typed `tenantry local up --nodes real`."""
    someone = User(home=tmp_path_factory.mktemp("real"))
    someone.home.chmod(0o755)
    kernel_settings |= settings_now()
    try:
        done = someone.types("tenantry", "local", "up", "--nodes", "real", code=None)
        cannot = ("cannot run a real node", "missing on this machine", "is missing to build")
        if done.returncode == 3 and any(reason in done.stderr for reason in cannot):
            pytest.skip(next(line for line in done.stderr.splitlines() if line.startswith("error: ")))
        assert done.returncode == 0, done.stdout + done.stderr
        yield someone
    finally:
        someone.types("tenantry", "local", "down", "--remove", "--yes", code=None)


@pytest.fixture(scope="session")
def layout(user: User) -> Layout:
    return Layout.of("default", user.home / "local" / "default")


Kubectl = Callable[..., str]


@pytest.fixture(scope="session")
def kubectl(layout: Layout) -> Kubectl:
    """kubectl as the platform's administrator: what it prints. It must not fail."""

    def run(*arguments: str, text: str | None = None) -> str:
        command = [str(layout.tools / "kubectl"), f"--kubeconfig={layout.client / 'kubeconfig'}", *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    return run


def settings_now() -> dict[str, str]:
    folder = Path("/proc/sys")
    names = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")
    return {name: (folder / name).read_text() for name in names if (folder / name).exists()}
