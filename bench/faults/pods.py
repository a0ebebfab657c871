"""What pods would do to a tenant's data that simulated nodes only pretend to run."""

from __future__ import annotations

import threading
from contextlib import suppress

from bench.faults.cases import Operation
from bench.faults.following import Follower
from bench.faults.operations import allow_jobs
from bench.faults.tenants import Tenant
from tenantry.engine.cluster import ApiError
from tenantry.tenancy.errors import TenantryError
from tenantry.tenancy.release import Step

__all__ = ["Pods"]


class Pods:
    """Migrates as long as that step of a release is under way, and lets Jobs be again once a release that could have
    none leads back."""

    def __init__(self, tenant: Tenant, operation: Operation) -> None:
        self._tenant = tenant
        self._follower = Follower(tenant, operation)
        self._stop = threading.Event()
        self._migrated = False
        self._thread: threading.Thread | None = None
        if operation in (Operation.UPGRADE, Operation.FAILING_UPGRADE):
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def finish(self, outcome: str) -> None:
        """A real Job would have waited for the database; a simulated one has not."""
        if outcome == "new" and self._thread is not None and not self._migrated:
            self._tenant.migrate()

    def _work(self) -> None:
        allowed = False
        while not self._stop.wait(0.02):
            step = self._follower.step()
            with suppress(ApiError, TenantryError):
                if step in (Step.MIGRATE, Step.ROLL, Step.VERIFY) and not self._migrated:
                    self._tenant.migrate()
                    self._migrated = True
                if step == Step.REOPEN and not allowed:
                    allow_jobs(self._tenant)
                    allowed = True
