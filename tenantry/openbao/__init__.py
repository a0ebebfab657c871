"""OpenBao as everything of ours reaches it: one client, and one meaning for each of its refusals."""

from tenantry.openbao.problems import Absent, Refused, Sealed
from tenantry.openbao.server import OpenBaoServer, VersionMoved, openbao

__all__ = ["Absent", "OpenBaoServer", "Refused", "Sealed", "VersionMoved", "openbao"]
