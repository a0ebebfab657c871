"""The token under which tenants' stacks run: OpenBao's policy `tenantry-provisioner`, and nothing more.

The cell's stack makes the policy and a token role for it; whoever sets the cell up (with an administrator's token)
leaves a token of that role in the cell's folder, mode 0600. It lives for 30 days from its last renewal, and is renewed
by use. An operator in the cluster logs in with its service account at its start and keeps what it gets in the same way.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from tenantry.engine.storage import storage_error, write_atomically
from tenantry.fleet.home import cell_home
from tenantry.openbao import OpenBaoServer, Refused, openbao
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import StateCorrupt

__all__ = ["DEPROVISIONER", "PROVISIONER", "ProvisionerToken"]

PROVISIONER = "tenantry-provisioner"
"""Name of the policy and of the token role."""
DEPROVISIONER = "tenantry-deprovisioner"
"""The same for what a deletion needs besides: ending a tenant's logins, looking everywhere, signing its certificate."""
_RENEW_AFTER_S = 3_600


class _Kept(BaseModel):
    """The file. address: the server that gave the token; an OpenBao made anew elsewhere knows nothing of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    address: str
    token: SecretStr


class ProvisionerToken:
    """The provisioner's token of one cell, or the deprovisioner's. root: the machine's data folder. OpenBao's
    certificate is checked against VAULT_CACERT's authority."""

    def __init__(self, cell: Cell, *, root: Path | None = None, role: str = PROVISIONER) -> None:
        self.address = cell.spec.openbao.address
        self.role = role
        self.path = cell_home(cell.metadata.name, root=root) / f"{role.removeprefix('tenantry-')}.json"

    def keep(self) -> bool:
        """Make sure that the kept token works, under the administrator's token of the environment; whether a new one
        was made. Raises DependencyUnavailable when OpenBao cannot be asked or makes none."""
        kept = self._read()
        if kept is not None and self._renewed(kept):
            return False
        self._write(openbao().create_token(self.role, display_name=self.role))
        return True

    def log_in(self, service_account_token: str, *, mount: str) -> None:
        """Keep the token that a Kubernetes login at `mount` gives to a pod's service account.

        Raises DependencyUnavailable when OpenBao does not let it in or cannot be asked.
        """
        server = OpenBaoServer(address=self.address, token=None, ca_file=os.environ.get("VAULT_CACERT"))
        try:
            self._write(server.log_in(mount, role=self.role.removeprefix("tenantry-"), token=service_account_token))
        finally:
            server.close()

    def _write(self, token: str) -> None:
        # By hand: a model never prints its secret.
        write_atomically(self.path, json.dumps({"address": self.address, "token": token}).encode())

    def environment(self) -> dict[str, str]:
        """The variables that make this process the provisioner; empty where no token of this server is kept, and the
        caller's own stays. Raises Refused for a token that has run out."""
        token = self.token()
        return {"VAULT_TOKEN": token, "BAO_TOKEN": token} if token is not None else {}

    def token(self) -> str | None:
        """The token itself; None where none of this server is kept. Raises Refused for one that has run out."""
        kept = self._read()
        if kept is None:
            return None
        if time.time() - self.path.stat().st_mtime > _RENEW_AFTER_S and not self._renewed(kept):
            raise Refused(
                f"OpenBao no longer knows the token of {self.role}: it was revoked, or not used for 30 days",
                where=str(self.path),
                hint="run `tenantry cell up` with an administrator's token, or locally `tenantry local up`",
            )
        return kept.token.get_secret_value()

    def _read(self) -> _Kept | None:
        try:
            kept = _Kept.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error(error, self.path) from error
        except ValidationError:
            raise StateCorrupt(
                f"the token of {self.role} cannot be read from its file",
                where=str(self.path),
                hint="delete the file and run `tenantry cell up` again: it makes a new one",
            ) from None
        return kept if kept.address == self.address else None

    def _renewed(self, kept: _Kept) -> bool:
        """Renew it; False when OpenBao refuses it."""
        server = OpenBaoServer(
            address=kept.address, token=kept.token.get_secret_value(), ca_file=os.environ.get("VAULT_CACERT")
        )
        try:
            server.write("auth/token/renew-self")
        except Refused:
            return False
        finally:
            server.close()
        self.path.touch()
        return True
