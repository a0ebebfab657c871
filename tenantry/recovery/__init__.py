"""Bringing tenants back: backups and restores that the platform does itself, their proof, and a point in time.

Used by the operator and the command line. Each works as the tenant whose data it is: with a short token of the
tenant's own service account, and nothing more.
"""

from tenantry.recovery.snapshots import let_go, put_back, snapshot

__all__ = ["let_go", "put_back", "snapshot"]
