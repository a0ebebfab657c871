"""Reads what waits for the tenants' modules, on a schedule of its own, and remembers it as long as it counts.

Apart from the looks at tenants, so that a slow database delays nobody's. A tenant is read as seldom as it may be: not
at all while no reading could change anything, every few seconds while there is work, four times less often while
there is none, and less and less often while it cannot be read. Only where a reading asks for other replicas is the
tenant looked at. What is remembered is lost when the operator ends; the next one then lowers nothing that it has not
watched long enough itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from secrets import SystemRandom

from tenantry.tenancy.following import added, begun, following
from tenantry.tenancy.scaling import Basis, Reading, Sample, by_load, sample, scalable
from tenantry.tenancy.spec import TenantSpec
from tenantry.tenancy.workload_spec import ModuleSpec, ScalingSource
from tenantry_operator.queueing import Queue

__all__ = ["Sampler"]

Read = Callable[[TenantSpec, Sequence[ScalingSource]], Sequence[Reading]]

_SLOTS = 4
_CALM = 4
_LONGEST = 20
"""Of the shortest time between two readings, in multiples: while nothing waits, and while nothing can be read."""
_FORGOTTEN = timedelta(minutes=30)
"""A tenant that nobody has looked at for so long is gone."""
_random = SystemRandom()


@dataclass(slots=True, kw_only=True)
class _Watched:
    """One life of one tenant. running: replicas wanted, by module, when last looked at. factor: by which its readings
    are further apart than they could be."""

    spec: TenantSpec
    running: Mapping[str, int]
    seen_at: datetime
    samples: dict[str, tuple[Sample, ...]] = field(default_factory=dict)
    factor: int = 1


class Sampler:
    """read: asks the sources. every_s: seconds between two readings of a tenant that has work."""

    def __init__(self, read: Read, *, every_s: float) -> None:
        self._read = read
        self._every_s = every_s
        self._watched: dict[str, _Watched] = {}
        self._lock = threading.Lock()
        self._queue = Queue(self._sample, slots=_SLOTS, sick_slots=_SLOTS // 2)
        self._changed: Callable[[str], None] = lambda _: None

    def start(self, changed: Callable[[str], None]) -> None:
        """changed: called with the name of a tenant that is to be looked at."""
        self._changed = changed
        self._queue.start()

    def stop(self) -> None:
        self._queue.stop()

    def follow(
        self,
        name: str,
        spec: TenantSpec,
        running: Mapping[str, int],
        *,
        earlier: Callable[[], Mapping[str, int]],
        now: datetime,
    ) -> Mapping[str, Sequence[Sample]]:
        """Watch this tenant from now on, if it is not watched yet; its samples so far. Asks no server.

        running: replicas wanted, of the modules that stand. earlier: what they had before, asked for when the watch
        begins.
        """
        with self._lock:
            known = self._watched.get(name)
            if known is None or known.spec.incarnation != spec.incarnation:
                before = earlier()
                known = _Watched(spec=spec, running=running, seen_at=now)
                known.samples = {
                    one.name: (begun(running[one.name], before.get(one.name), now),)
                    for one in self._read_of(spec, running)
                }
                self._watched[name] = known
                self._queue.add(name, after_s=_random.uniform(0, self._every_s))
            elif known.spec is not spec or known.running != running:
                # Sooner than it would be, since something changed; a module that has just come is watched from now on.
                fresh = {one.name: (begun(running[one.name], None, now),) for one in self._read_of(spec, running)}
                known.samples = {module: known.samples.get(module, first) for module, first in fresh.items()}
                self._queue.add(name, after_s=self._every_s)
            known.spec, known.running, known.seen_at = spec, running, now
            return dict(known.samples)

    def forget(self, name: str) -> None:
        with self._lock:
            self._watched.pop(name, None)
        self._queue.forget(name)

    @staticmethod
    def _read_of(spec: TenantSpec, running: Iterable[str]) -> tuple[ModuleSpec, ...]:
        return tuple(one for one in scalable(spec) if one.name in running and by_load(spec, one))

    def _sample(self, name: str) -> None:
        """One reading of one tenant; the work of the queue's threads."""
        now = datetime.now(UTC)
        with self._lock:
            known = self._watched.get(name)
            if known is None or known.seen_at < now - _FORGOTTEN:
                self._watched.pop(name, None)
                return
            spec, running = known.spec, known.running
        modules = self._read_of(spec, running)
        if not modules:
            return  # follow() asks again when something to read comes
        sources = {source.name: source for module in modules for source in module.sources}
        readings = {one.source: one for one in self._read(spec, tuple(sources.values()))}
        now = datetime.now(UTC)
        taken = {
            one.name: sample(one, [readings[source.name] for source in one.sources], running=running[one.name], at=now)
            for one in modules
        }
        unread = all(one.value is None for one in readings.values())
        with self._lock:
            known = self._watched.get(name)
            if known is None or known.spec.incarnation != spec.incarnation:
                return
            for module in modules:
                known.samples[module.name] = added(known.samples.get(module.name, ()), taken[module.name], module)
            samples, running = dict(known.samples), known.running
            known.factor = self._apart(known.factor, modules, taken, running, unread=unread)
            again_s = self._every_s * known.factor * _random.uniform(0.85, 1.15)
        self._queue.mark(name, sick=unread)
        targets = following(spec, running, samples, now)
        if any(one.replicas != running.get(one.module) for one in targets if one.basis is not Basis.CPU):
            self._changed(name)
        self._queue.add(name, after_s=again_s)

    @staticmethod
    def _apart(
        factor: int,
        modules: Sequence[ModuleSpec],
        taken: Mapping[str, Sample],
        running: Mapping[str, int],
        *,
        unread: bool,
    ) -> int:
        if unread:
            return min(factor * 2, _LONGEST)
        at_rest = all(taken[one.name].replicas == 0 and running.get(one.name, 0) <= one.replicas_min for one in modules)
        return _CALM if at_rest else 1
