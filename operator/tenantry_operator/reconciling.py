"""One look at one tenant: observe, decide, act, render the status. The work of the queue's threads.

Level-triggered: it begins from what is found, whatever the occasion was, and a look at a tenant at which nothing is to
be done writes nothing. Each look ends with one sentence in the log.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from secrets import SystemRandom
from typing import Any

from tenantry.engine.cluster import ApiError, Cluster
from tenantry.fleet import Fleet
from tenantry.tenancy.conditions import ConditionType, Reason, read, transitions
from tenantry.tenancy.errors import DependencyUnavailable, TenantryError
from tenantry.tenancy.lifecycle import Decision, Verb, decide
from tenantry.tenancy.standing import standing_of
from tenantry_operator.contract import Action, Cancellation, Context, ModuleState, Outcome
from tenantry_operator.holding import held_by
from tenantry_operator.knowing import known_of
from tenantry_operator.metrics import Metrics
from tenantry_operator.objects import FINALIZER, Stale, Tenants
from tenantry_operator.observing import Observed, modules_in, observe
from tenantry_operator.queueing import Queue
from tenantry_operator.rendering import status_of
from tenantry_operator.tracing import span, trace_id
from tenantry_operator.trouble import Trouble, Troubles, wish_of, worst

__all__ = ["Reconciler"]

_log = logging.getLogger(__name__)
_RESYNC_S = 300.0
_NOT_READY_S = 10.0
_TOLD_EVERY_S = 2.0
_WELL_AFTER_S, _WELL_EVERY_S = 2.0, 0.05
"""A look takes some 15 ms of a processor: a thousand that were well take a third of one for less than a minute."""
_UNHURRIED_S = {Verb.RESTORE: 24 * 3600.0, Verb.BACKUP: 6 * 3600.0}
"""What moves all of a tenant's data takes as long as there is data, and would begin anew if it were cut off. It has
slots of its own, so that nobody else's turn waits for it."""
_random = SystemRandom()


class Reconciler:
    """enqueue: puts a name into the queue again. deadline_s: how long one action may take before it is cancelled.
    fenced: whether this operator may still act."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        kubernetes: Cluster,
        tenants: Tenants,
        actions: Sequence[Action],
        metrics: Metrics,
        fenced: Callable[[], bool],
        deadline_s: float,
    ) -> None:
        self._fleet = fleet
        self._kubernetes = kubernetes
        self._tenants = tenants
        self._actions = actions
        self._metrics = metrics
        self._fenced = fenced
        self._deadline_s = deadline_s
        self._troubles = Troubles()
        self._running: dict[str, tuple[Cancellation, Verb]] = {}
        self._lock = threading.Lock()
        self._last_turn = 0.0
        self.queue: Queue | None = None

    # -- from outside -------------------------------------------------------------------------------------

    def seen(self, body: Mapping[str, Any], event: str | None) -> None:
        """An event of a Tenant, None for one that was listed, as all are at a start: those that were well can wait a
        little then. A deletion ends what else is being done for a tenant."""
        name = str(body["metadata"]["name"])
        gone = event == "DELETED"
        deleting = "deletionTimestamp" in body["metadata"]
        if gone:
            self._tenants.drop(body)
        else:
            self._tenants.put(body)
        with self._lock:
            running = self._running.get(name)
        if running is not None and deleting and running[1] is not Verb.DEPROVISION:
            running[0].cancel("its object was deleted")
        well = event is None and not deleting and standing_of(body).reached
        self._again(name, self._turn() if well else timedelta())
        for other in self._troubles.stalled() if gone else ():  # what is gone may have held their host
            self._again(other)

    def _turn(self) -> timedelta:
        """When the next tenant that was well is looked at: one after the other, to leave room for all else."""
        now = time.monotonic()
        self._last_turn = max(now + _WELL_AFTER_S, self._last_turn + _WELL_EVERY_S)
        return timedelta(seconds=self._last_turn - now)

    def cancel_all(self, why: str) -> None:
        with self._lock:
            running = [one for one, _ in self._running.values()]
        for one in running:
            one.cancel(why)

    # -- the work of the queue ----------------------------------------------------------------------------

    def look(self, name: str) -> None:
        """Look at one tenant; when to look again is put into the queue."""
        body = self._tenants.get(name)
        if body is None:
            self._forget(name)
            return
        if not self._fenced():
            return
        started = time.perf_counter()
        with span("look", tenant=name) as current:
            sentence, again = self._looked(name, body)
            current.set_attribute("tenantry.outcome", sentence)
            traced = trace_id(current)
        self._metrics.looks.observe(time.perf_counter() - started)
        noted = {"tenant": name, "seconds": round(time.perf_counter() - started, 3)}
        _log.info(sentence, extra=noted | ({"trace": traced} if traced else {}))
        if again is not None:
            self._again(name, again)

    def _looked(self, name: str, body: Mapping[str, Any]) -> tuple[str, timedelta | None]:
        """What was done, and when to look again, whatever goes wrong."""
        try:
            return self._look(name, body)
        except Stale:
            return "its object changed meanwhile, looking again", timedelta(seconds=0.2)
        except (ApiError, TenantryError) as error:
            # The API server itself, or our own records: no status can be relied on to say so.
            self._metrics.retries.labels(reason=getattr(error, "code", "ApiError")).inc()
            return f"cannot be looked at: {error}", timedelta(seconds=_random.uniform(5, 15))

    def _look(self, name: str, body: Mapping[str, Any]) -> tuple[str, timedelta | None]:
        now = datetime.now(UTC)
        found = observe(body, self._fleet, now)
        wish = wish_of(body["metadata"])
        made = found.record is not None and found.record.finished_at is not None
        modules = modules_in(self._kubernetes, found.namespace) if made else ()
        cancelled = Cancellation()
        context = self._context(name, found, modules, cancelled, now)
        claims = [(action, claim) for action in self._actions if (claim := action.claim(context)) is not None]
        self._troubles.settle(name, [claim.verb for _, claim in claims], now)
        troubles = self._troubles_of(name, found, wish, now)
        held = [claim for _, claim in claims if any(one.holds_back(claim.verb, wish, now) for one in troubles)]
        decision = decide(
            (claim for _, claim in claims if claim not in held),
            now,
            under_way=held_by(context),
        )
        if decision.verb is None:
            self._render(context, found, worst(troubles), working=None)
            return self._rest(decision, troubles, made=made, modules=modules, now=now)
        if decision.verb in _UNHURRIED_S and self.queue is not None and not self.queue.lengthen(name):
            waits = f"{decision.why}; waits until another backup or restore of the cell has ended"
            self._render(context, found, worst(troubles), working=(Reason.WORKING, waits))
            return waits, timedelta(seconds=_RESYNC_S)
        action = next(one for one, claim in claims if claim.verb is decision.verb and claim.at <= now)
        return self._act(name, action, decision, context, found, worst(troubles))

    def _act(
        self,
        name: str,
        action: Action,
        decision: Decision,
        context: Context,
        found: Observed,
        trouble: Trouble | None,
    ) -> tuple[str, timedelta | None]:
        body = context.body
        finalizers = list(body["metadata"].get("finalizers") or ())
        if FINALIZER not in finalizers and not context.deleting:
            # Before the first effect: from now on the object cannot go before what was made of it has gone.
            self._tenants.set_finalizers(body, [*finalizers, FINALIZER])
            raise Stale
        wish = wish_of(body["metadata"])
        reason = Reason.PROVISIONING if action.verb is Verb.PROVISION else Reason.WORKING
        self._render(context, found, trouble, working=(reason, decision.why))
        teller = _Teller(lambda told: self._render(context, found, trouble, working=(reason, told)), name)
        context = self._context(name, found, context.modules or (), context.cancelled, context.now, teller)
        try:
            outcome = self._run(name, action, context)
        except TenantryError as error:
            return self._failed(name, action.verb, error, wish)
        self._troubles.healed(name, action.verb)
        self._sick(name, sick=bool(self._troubles.of(name, wish)))
        if outcome.release_finalizer:
            self._release(name)
            return f"{action.verb}: {outcome.sentence}", None
        after = outcome.again_after
        return f"{action.verb}: {outcome.sentence}", timedelta() if after is None else after

    def _run(self, name: str, action: Action, context: Context) -> Outcome:
        """Act under a deadline, so that a tenant that hangs gives its slot back."""
        seconds = max(self._deadline_s, _UNHURRIED_S.get(action.verb, 0.0))
        deadline = threading.Timer(seconds, lambda: context.cancelled.cancel(f"it took longer than {seconds:.0f} s"))
        deadline.daemon = True
        with self._lock:
            self._running[name] = (context.cancelled, action.verb)
        deadline.start()
        started = time.perf_counter()
        try:
            if not self._fenced():
                context.cancelled.cancel("another operator took over")
            with span(f"action {action.verb}", tenant=name):
                return action.act(context)
        finally:
            deadline.cancel()
            with self._lock:
                self._running.pop(name, None)
            self._metrics.actions.labels(verb=action.verb.value).observe(time.perf_counter() - started)

    def _failed(self, name: str, verb: Verb, error: TenantryError, wish: str) -> tuple[str, timedelta | None]:
        trouble = self._troubles.failed(name, verb, error, wish=wish, now=datetime.now(UTC), jitter=_random.random())
        self._sick(name, sick=True)
        self._metrics.retries.labels(reason=error.code).inc()
        return f"{verb} failed (attempt {trouble.attempts}): {trouble.told}", timedelta()

    # -- parts --------------------------------------------------------------------------------------------

    def _context(
        self,
        name: str,
        found: Observed,
        modules: Sequence[ModuleState],
        cancelled: Cancellation,
        now: datetime,
        progress: Callable[[str], None] | None = None,
    ) -> Context:
        return Context(
            name=name,
            incarnation=found.incarnation,
            namespace=found.namespace,
            body=found.body,
            file=found.file,
            spec=found.spec,
            record=found.record,
            modules=tuple(modules),
            expiry=found.expiry,
            fleet=self._fleet,
            kubernetes=self._kubernetes,
            operations=self._fleet.operations(found.namespace),
            cancelled=cancelled,
            progress=progress or _silent,
            now=now,
        )

    def _troubles_of(self, name: str, found: Observed, wish: str, now: datetime) -> tuple[Trouble, ...]:
        """What is known to be wrong: that it cannot be accepted, and what failed last of each verb."""
        if found.problem is None:
            self._troubles.healed(name, None)
        elif not any(one.verb is None and now < one.again_at for one in self._troubles.of(name, wish)):
            self._troubles.failed(name, None, found.problem, wish=wish, now=now, jitter=_random.random())
        return self._troubles.of(name, wish)

    def _rest(
        self,
        decision: Decision,
        troubles: Sequence[Trouble],
        *,
        made: bool,
        modules: Sequence[ModuleState],
        now: datetime,
    ) -> tuple[str, timedelta | None]:
        times = [now + timedelta(seconds=_RESYNC_S * _random.uniform(0.8, 1.2))]
        if made and any(one.ready < one.wanted for one in modules):
            times.append(now + timedelta(seconds=_NOT_READY_S))
        # One that is due and was not acted on waits for something of higher rank.
        times.extend(one.again_at for one in troubles if one.again_at > now)
        if decision.look_again_at is not None:
            times.append(decision.look_again_at)
        trouble = worst(troubles)
        return (trouble.told if trouble else decision.why), max(min(times) - now, timedelta(seconds=0.1))

    def _render(
        self,
        context: Context,
        found: Observed,
        trouble: Trouble | None,
        *,
        working: tuple[Reason, str] | None,
    ) -> None:
        """Write the status when it changed, and an event for each condition that turned."""
        body = self._tenants.get(context.name) or context.body
        if body["metadata"]["uid"] != context.body["metadata"]["uid"]:
            raise Stale
        known = known_of(context, found, trouble, working, self._actions)
        earlier = body.get("status") or {}
        status = status_of(known, earlier, datetime.now(UTC))
        if all(earlier.get(key) == value for key, value in status.items()):
            return
        written = self._tenants.set_status(body, status)
        for one in transitions(earlier.get("conditions") or (), status["conditions"]):
            if earlier.get("conditions") or one["status"] == "True":
                warning = one["type"] == ConditionType.STALLED.value and one["status"] == "True"
                self._tenants.tell(
                    written, reason=str(one["reason"]), message=f"{one['type']}: {one['message']}", warning=warning
                )
        self._note_ready(body, earlier, status)

    def _note_ready(self, body: Mapping[str, Any], earlier: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        before = read(earlier.get("conditions") or (), ConditionType.READY)
        after = read(status["conditions"], ConditionType.READY)
        first = before is None or before["reason"] == Reason.RUN_UNFINISHED.value
        if first and after is not None and after["status"] == "True":
            created = datetime.fromisoformat(str(body["metadata"]["creationTimestamp"]))
            self._metrics.time_to_ready.observe((datetime.now(UTC) - created).total_seconds())

    def _release(self, name: str) -> None:
        body = self._tenants.get(name)
        if body is None:
            return
        left = [one for one in body["metadata"].get("finalizers") or () if one != FINALIZER]
        self._tenants.set_finalizers(body, left)

    def _sick(self, name: str, *, sick: bool) -> None:
        if self.queue is not None:
            self.queue.mark(name, sick=sick)

    def _again(self, name: str, after: timedelta = timedelta()) -> None:
        if self.queue is not None:
            self.queue.add(name, after_s=after.total_seconds())

    def _forget(self, name: str) -> None:
        self._troubles.forget(name)
        if self.queue is not None:
            self.queue.forget(name)


class _Teller:
    """Tells the progress of an action: each sentence to the log, one every few seconds to the status."""

    def __init__(self, show: Callable[[str], None], name: str) -> None:
        self._show = show
        self._name = name
        self._last = time.monotonic()

    def __call__(self, told: str) -> None:
        _log.debug(told, extra={"tenant": self._name})
        if time.monotonic() - self._last < _TOLD_EVERY_S:
            return
        self._last = time.monotonic()
        try:
            self._show(told)
        except (ApiError, DependencyUnavailable, Stale):
            return  # the work matters more than its telling


def _silent(told: str) -> None:
    """Where nothing is under way, nothing is told."""
