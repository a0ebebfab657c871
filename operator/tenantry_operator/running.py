"""Runs the operator: takes the Lease, watches Tenants, works, and stops in order.

Called by `tenantry operator run`. A second operator of the same cell waits. Whoever loses the Lease cancels what it
does and ends before the Lease can be another's; what was begun is finished by the next.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import kopf
import psutil
from pythonjsonlogger.json import JsonFormatter

from tenantry.drift import Survey
from tenantry.engine.cluster import Cluster, connect
from tenantry.fleet import Fleet
from tenantry.fleet.gauges import Gauges
from tenantry.fleet.tenant_objects import LEASE, SYSTEM_NAMESPACE
from tenantry.tenancy.conversion import TENANT_VERSIONS
from tenantry.tenancy.validity import Validity
from tenantry_operator import handlers, tracing
from tenantry_operator.actions import all_actions
from tenantry_operator.actions.drift import open_cases
from tenantry_operator.backup_metrics import BackupTimes
from tenantry_operator.converting import Converting
from tenantry_operator.copying import Copying
from tenantry_operator.definition import await_definition
from tenantry_operator.drifting import DriftWatch, Suspicions
from tenantry_operator.keeping import Keeping
from tenantry_operator.lasting import Lasting
from tenantry_operator.lease import DURATION_S, GIVE_UP_S, Lease
from tenantry_operator.metrics import Metrics
from tenantry_operator.objects import Tenants
from tenantry_operator.queueing import Queue
from tenantry_operator.reconciling import Reconciler
from tenantry_operator.rollouts import Rollouts
from tenantry_operator.sampling import Sampler
from tenantry_operator.serving import Serving

__all__ = ["Settings", "configure_logs", "run"]

_log = logging.getLogger(__name__)
_END_S = 45.0
"""How long runs that were asked to stop may take to end their wave and save."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """slots: tenants worked on at the same time, besides half as many backups and restores. deadline_s: of one attempt.
    sample_s: between two readings of what waits for a tenant that has work. drift_s: between two looks at the cell for
    drift, 0 for none. namespace: of the Lease."""

    host: str = "127.0.0.1"
    port: int = 8470
    slots: int = 8
    deadline_s: float = 900.0
    sample_s: float = 15.0
    drift_s: float = 900.0
    webhook_port: int | None = None
    webhook_folder: Path | None = None
    namespace: str = SYSTEM_NAMESPACE
    lease: str = LEASE


def configure_logs(level: int = logging.INFO) -> None:
    """One JSON object a line to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("kopf", "urllib3", "aiohttp", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def run(fleet: Fleet, settings: Settings, *, more: Callable[[], Iterable[Validity]] = tuple) -> int:
    """Run until a signal asks to stop (0), or the Lease or the watch is lost (1). more: see `Lasting`."""
    end_traces = tracing.configure(fleet.cell.metadata.name)
    kubernetes = connect({})
    stop, lost = threading.Event(), threading.Event()
    waited_for = {"what": "starting"}
    metrics = Metrics()
    tenants = Tenants(kubernetes)
    sampler = Sampler(Gauges(fleet.cell).read, every_s=settings.sample_s)

    def lose() -> None:
        lost.set()
        _log.error("the Lease is lost: stopping at once")
        reconciler.cancel_all("another operator may have taken over")
        queue.stop()
        stop.set()
        _end_hard(DURATION_S - GIVE_UP_S - 1)

    def start_anew(why: str) -> None:
        lost.set()
        _log.error("stopping, to start anew with other tokens for OpenBao: %s", why)
        stop.set()

    keeping = Keeping(fleet, on_lost=start_anew)
    own = Cluster(kubernetes.configuration)
    lease = Lease(own, namespace=settings.namespace, name=settings.lease, on_lost=lose)
    suspicions = Suspicions()
    reconciler = Reconciler(
        fleet=fleet,
        kubernetes=kubernetes,
        tenants=tenants,
        actions=all_actions(sampler=sampler, suspicions=suspicions, metrics=metrics),
        metrics=metrics,
        fenced=lambda: lease.held,
        deadline_s=settings.deadline_s,
    )
    rollouts = Rollouts(
        fleet, kubernetes, tenants, fenced=lambda: lease.held, enqueue=lambda name: queue.add(name, after_s=0.0)
    )
    half = max(1, settings.slots // 2)
    queue = Queue(reconciler.look, slots=settings.slots, sick_slots=half, long_slots=half)
    reconciler.queue = queue
    drift = DriftWatch(
        Survey(fleet, kubernetes),
        suspicions,
        interval_s=settings.drift_s,
        wake=queue.add,
        open_cases=lambda: open_cases(fleet),
        metrics=metrics,
    )
    lasting = Lasting(fleet, more)
    copying = Copying(fleet, metrics=metrics)
    metrics.registry.register(copying)
    metrics.watch(tenants=tenants, queue=queue, lease=lease, lasting=lasting)
    metrics.registry.register(BackupTimes(fleet, tenants))
    serving = Serving(
        host=settings.host,
        port=settings.port,
        registry=metrics.registry,
        healthy=lambda: "the Lease is lost" if lost.is_set() else "",
        ready=lambda: "" if lease.held else waited_for["what"],
    )
    serving.start()
    converting = _converting(settings)

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    try:
        if await_definition(kubernetes, stop, waiting=lambda what: waited_for.update(what=what)) and lease.acquire(
            stop, waiting=lambda what: waited_for.update(what=what)
        ):
            _log.info("the Lease is held, epoch %d", lease.epoch)
            queue.start()
            sampler.start(queue.add)
            keeping.start()
            rollouts.start()
            lasting.start()
            copying.start()
            if settings.drift_s > 0:
                drift.start()
            # In a thread: in the main one Kopf would take the signals, and never set the flag that it waits for.
            watch = threading.Thread(target=_watch, args=(kubernetes, reconciler, stop), name="watch", daemon=True)
            watch.start()
            while watch.is_alive():
                watch.join(1.0)
            if not stop.is_set():
                lost.set()
                _log.error("the watch ended by itself")
    finally:
        sampler.stop()
        keeping.stop()
        rollouts.stop()
        drift.stop()
        lasting.stop()
        copying.stop()
        queue.stop()
        reconciler.cancel_all("the operator stops")
        if not queue.join(_END_S):
            _log.warning("some runs did not end in time; the next operator finishes them")
        lease.release()
        serving.stop()
        if converting is not None:
            converting.stop()
        end_traces()
    _log.info("stopped")
    return 1 if lost.is_set() else 0


def _converting(settings: Settings) -> Converting | None:
    if settings.webhook_port is None or settings.webhook_folder is None:
        return None
    converting = Converting(
        TENANT_VERSIONS,
        host=settings.host,
        port=settings.webhook_port,
        certificate=settings.webhook_folder / "tls.crt",
        key=settings.webhook_folder / "tls.key",
    )
    converting.start()
    return converting


def _watch(kubernetes: Cluster, reconciler: Reconciler, stop: threading.Event) -> None:
    kopf.run(
        registry=handlers.registry(kubernetes, reconciler.seen),
        settings=handlers.settings(),
        standalone=True,
        clusterwide=True,
        stop_flag=stop,
    )


def _end_hard(seconds: float) -> None:
    """Kill our workers and ourselves after this time: nothing of ours may act once the Lease can be another's."""

    def kill() -> None:
        for child in psutil.Process().children(recursive=True):
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
        os._exit(1)

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()
