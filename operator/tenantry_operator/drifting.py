"""Looks at the whole cell from time to time, and wakes the tenants at which something seems changed.

A look is `tenantry.drift.Survey`; what is done about it is each tenant's own turn (actions/drift.py).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from secrets import SystemRandom

from tenantry.drift import Survey
from tenantry.engine.cluster import ApiError
from tenantry.tenancy.errors import TenantryError
from tenantry_operator.metrics import Metrics

__all__ = ["DriftWatch", "Suspicions"]

_log = logging.getLogger(__name__)
_random = SystemRandom()
_FIRST_S = 60.0
_AGAIN_S = 60.0


class Suspicions:
    """Why a tenant is to be looked at exactly, by tenant. Lost at a restart: the next look at the cell finds them
    again. Safe between threads."""

    def __init__(self) -> None:
        self._why: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()

    def add(self, name: str, why: tuple[str, ...]) -> None:
        with self._lock:
            self._why[name] = why

    def of(self, name: str) -> tuple[str, ...]:
        with self._lock:
            return self._why.get(name, ())

    def clear(self, name: str) -> None:
        with self._lock:
            self._why.pop(name, None)


class DriftWatch:
    """interval_s: between two looks, give or take a fifth, so that the operators of many cells spread. wake: puts a
    tenant into the queue. open_cases: tenants at which drift stands, who are looked at again each time."""

    def __init__(
        self,
        survey: Survey,
        suspicions: Suspicions,
        *,
        interval_s: float,
        wake: Callable[[str], None],
        open_cases: Callable[[], tuple[str, ...]],
        metrics: Metrics,
    ) -> None:
        self._survey = survey
        self._suspicions = suspicions
        self._interval_s = interval_s
        self._wake = wake
        self._open_cases = open_cases
        self._metrics = metrics
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="drift", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def look(self) -> None:
        """Once, now. Raises what stops a look; then nothing is known and nobody is woken."""
        found = self._survey.run(self._stop)
        if self._stop.is_set():
            return
        suspected = {**dict.fromkeys(self._open_cases(), ("its drift stands",)), **found.suspected}
        for name, why in suspected.items():
            self._suspicions.add(name, why)
            self._wake(name)
        self._metrics.drift_seconds.observe(found.seconds)
        self._metrics.drift_last.set_to_current_time()
        self._metrics.drift_suspected.set(len(found.suspected))
        _log.info(
            "looked for drift: %d objects of %d tenants, %d tenants to look at",
            found.objects,
            found.tenants,
            len(found.suspected),
            extra={"seconds": round(found.seconds, 1)},
        )

    def _serve(self) -> None:
        wait_s = min(_FIRST_S, self._interval_s) * _random.uniform(0.5, 1)
        while not self._stop.wait(wait_s):
            try:
                self.look()
                wait_s = self._interval_s * _random.uniform(0.8, 1.2)
            except (ApiError, TenantryError) as error:
                _log.warning("could not look for drift: %s", error)
                self._metrics.drift_failures.inc()
                wait_s = min(_AGAIN_S, self._interval_s)
            except Exception:  # noqa: BLE001 - a fault of ours must not end the looking for good
                _log.exception("a look for drift failed")
                self._metrics.drift_failures.inc()
                wait_s = self._interval_s
