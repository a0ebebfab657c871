"""The operator's tokens for OpenBao: a login at its start where it is a pod, and their renewal for as long as it runs.

Its workers have the token in their environment, so a token that has to be replaced ends the operator in order; the next
start begins with the new one.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from tenantry.fleet import Fleet
from tenantry.fleet.provisioner import DEPROVISIONER, PROVISIONER, ProvisionerToken
from tenantry.openbao import Refused
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import DependencyUnavailable, InvalidInput, TenantryError

__all__ = ["Keeping", "log_in"]

_log = logging.getLogger(__name__)
_EVERY_S = 600.0


def log_in(cell: Cell, token_file: Path) -> None:
    """Log in with a pod's projected token and keep what it gives for the provisioner and the deprovisioner."""
    try:
        token = token_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InvalidInput(
            f"the service account's token cannot be read: {error.strerror}",
            source=str(token_file),
            hint="project one into the pod with OpenBao's audience, as the Helm chart does",
        ) from None
    for role in (PROVISIONER, DEPROVISIONER):
        ProvisionerToken(cell, role=role).log_in(token, mount=cell.spec.openbao.kubernetes_mount)


class Keeping:
    """on_lost: told once, why the tokens that this process has are no longer good."""

    def __init__(self, fleet: Fleet, *, on_lost: Callable[[str], None]) -> None:
        self._fleet = fleet
        self._on_lost = on_lost
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="tokens", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _keep(self) -> None:
        while not self._stop.wait(_EVERY_S):
            problem = self.check()
            if problem:
                self._on_lost(problem)
                return

    def check(self) -> str:
        """Renew what is due; "" when this process can go on with what it has."""
        try:
            kept = self._fleet.provisioner.token()
            self._fleet.deprovisioner.token()
        except Refused as error:
            return error.message
        except DependencyUnavailable as error:
            _log.warning("the tokens for OpenBao cannot be renewed now: %s", error)
            return ""
        except TenantryError as error:
            return error.message
        if kept is not None and kept != os.environ.get("VAULT_TOKEN"):
            return "another token was left for the provisioner"
        return ""
