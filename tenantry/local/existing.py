"""A cluster that is there already (kind, k3d, EKS …), used instead of an own control plane."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tenantry.local.part import PartStatus, State
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["ExistingCluster"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingCluster:
    """A kubeconfig, and the kubectl that speaks for it; kubectl also runs the log-in helpers that it may name."""

    kubeconfig: Path
    kubectl: Path

    def problem(self) -> str | None:
        """Why the cluster cannot be used; None when it answers that it is ready."""
        if not self.kubeconfig.is_file():
            return f"{self.kubeconfig} is not a file"
        kubectl = str(self.kubectl) if self.kubectl.exists() else shutil.which("kubectl")
        if kubectl is None:
            return "kubectl is missing"
        command = [kubectl, f"--kubeconfig={self.kubeconfig}", "--request-timeout=5s", "get", "--raw", "/readyz"]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False
            )
        except subprocess.TimeoutExpired:
            return "no answer within 20 s"
        return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no message"])[-1]

    def require_reachable(self) -> None:
        """Raise DependencyUnavailable unless the cluster is ready."""
        problem = self.problem()
        if problem is not None:
            raise DependencyUnavailable(
                f"the cluster cannot be used: {problem}",
                where=str(self.kubeconfig),
                hint="check the kubeconfig with `kubectl get --raw /readyz`, and that the cluster runs",
            )

    def status(self) -> PartStatus:
        problem = self.problem()
        return PartStatus(
            name="kubernetes",
            state=State.RUNNING if problem is None else State.UNHEALTHY,
            address=str(self.kubeconfig),
            pid=None,
            since=None,
            message=problem or "",
            hint="" if problem is None else "this cluster is not the platform's: start it where it belongs",
        )
