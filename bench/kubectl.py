"""The peer: `kubectl apply --server-side` of the manifests that make a tenant's Kubernetes objects, and no more."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tenantry.fleet import Fleet, manifests
from tenantry.tenancy.spec import TenantSpec

__all__ = ["Twin", "measure_kubectl", "twin_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """A tenant's manifests as a folder of files. first: its namespace, which the others need."""

    tree: Path
    first: Path
    namespace: str

    def apply(self) -> None:
        _run("apply", "--server-side", "-f", str(self.first))
        self.apply_again()

    def apply_again(self) -> None:
        _run("apply", "--server-side", "--recursive", "-f", str(self.tree))

    def wait(self) -> None:
        """Until every Deployment is available."""
        _run("-n", self.namespace, "wait", "--timeout=300s", "--all", "--for=condition=Available", "deployment")


@contextmanager
def twin_of(fleet: Fleet, spec: TenantSpec) -> Iterator[Twin]:
    """The manifests of a tenant that is not there yet; what kubectl makes of them is deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        files = fleet.manifests(spec)
        manifests.write_tree(files, tree)
        first = next(tree / name for name in files if "/namespace-" in name)
        yield Twin(tree=tree, first=first, namespace=spec.names.namespace)
    _run("delete", "namespace", spec.names.namespace, "--wait=false")


def measure_kubectl(twins: Sequence[Twin], *, parallel: int) -> float:
    """Apply these, `parallel` at once, until each is available: how many a second."""

    def make(twin: Twin) -> None:
        twin.apply()
        twin.wait()

    began = time.perf_counter()
    with ThreadPoolExecutor(parallel) as threads:
        list(threads.map(make, twins))
    return len(twins) / (time.perf_counter() - began)


def _run(*arguments: str) -> None:
    done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"kubectl {' '.join(arguments[:3])}: {done.stderr.strip()}")
