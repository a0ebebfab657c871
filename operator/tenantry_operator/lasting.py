"""Notes from time to time until when everything is good that the cell lives on, for the metrics."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from tenantry.fleet import Fleet
from tenantry.fleet.validity import cell_validities
from tenantry.tenancy.errors import TenantryError
from tenantry.tenancy.validity import Validity

__all__ = ["Lasting"]

_log = logging.getLogger(__name__)
_EVERY_S = 3600.0
_AGAIN_S = 300.0


class Lasting:
    """more: what else the cell lives on, as whoever started us knows it (a local platform's files)."""

    def __init__(self, fleet: Fleet, more: Callable[[], Iterable[Validity]]) -> None:
        self._fleet = fleet
        self._more = more
        self._found: tuple[Validity, ...] = ()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="lasting", daemon=True)

    @property
    def found(self) -> tuple[Validity, ...]:
        """As of the last look; empty before the first."""
        return self._found

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def once(self) -> None:
        """Look, now. Raises what stops it."""
        by_name = {one.what: one for one in (*cell_validities(self._fleet), *self._more())}
        self._found = tuple(by_name.values())

    def _serve(self) -> None:
        wait_s = 0.0
        while not self._stop.wait(wait_s):
            try:
                self.once()
                wait_s = _EVERY_S
            except TenantryError as error:
                _log.warning("could not see until when tokens and certificates are good: %s", error)
                wait_s = _AGAIN_S
            except Exception:  # noqa: BLE001 - a fault of ours must not end the looking for good
                _log.exception("a look at tokens and certificates failed")
                wait_s = _AGAIN_S
