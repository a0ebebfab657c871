"""A platform whose tenants' pods really run, where the machine can carry that; else every test here is skipped."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tenantry.local.layout import Layout
from tests.e2e.user import User


@pytest.fixture(scope="session")
def kernel_settings() -> dict[str, str]:
    """What a kubelet changes on a machine that is its own; filled before one has ever run here."""
    return {}


@pytest.fixture(scope="session")
def user(tmp_path_factory: pytest.TempPathFactory, kernel_settings: dict[str, str]) -> Iterator[User]:
    """A user who typed `tenantry local up --nodes real`."""
    kernel_settings |= settings_now()
    with real_platform(tmp_path_factory.mktemp("real")) as someone:
        yield someone


@contextmanager
def real_platform(home: Path) -> Iterator[User]:
    """A user with a platform of their own, which is removed afterwards."""
    someone = User(home=home)
    someone.home.chmod(0o755)
    try:
        done = someone.types("tenantry", "local", "up", "--nodes", "real", code=None)
        cannot = ("cannot run a real node", "missing on this machine", "is missing to build")
        if done.returncode == 3 and any(reason in done.stderr for reason in cannot):
            pytest.skip(next(line for line in done.stderr.splitlines() if line.startswith("error: ")))
        assert done.returncode == 0, done.stdout + done.stderr
        yield someone
    finally:
        someone.types("tenantry", "local", "down", "--remove", "--yes", code=None)


@pytest.fixture(scope="module")
def layout(user: User) -> Layout:
    return Layout.of("default", user.home / "local" / "default")


Kubectl = Callable[..., str]


@pytest.fixture(scope="module")
def kubectl(layout: Layout) -> Kubectl:
    """kubectl as the platform's administrator: what it prints. It must not fail."""

    def run(*arguments: str, text: str | None = None) -> str:
        command = [str(layout.tools / "kubectl"), f"--kubeconfig={layout.client / 'kubeconfig'}", *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    return run


def pods(kubectl: Kubectl, namespace: str, component: str) -> list[dict[str, Any]]:
    """Of a module, those that are not ending."""
    found = kubectl("get", "pods", f"-n={namespace}", f"-l=app.kubernetes.io/component={component}", "-o=json")
    return [pod for pod in json.loads(found)["items"] if "deletionTimestamp" not in pod["metadata"]]


def ask(kubectl: Kubectl, namespace: str, path: str, method: str = "GET") -> dict[str, Any]:
    """One of the web pods, from the machine."""
    pod = next(one for one in pods(kubectl, namespace, "web") if one["status"].get("podIP"))
    answer = urllib3.request(method, f"http://{pod['status']['podIP']}:8080{path}", timeout=20, retries=False)
    return dict(answer.json())


def settings_now() -> dict[str, str]:
    folder = Path("/proc/sys")
    names = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")
    return {name: (folder / name).read_text() for name in names if (folder / name).exists()}
