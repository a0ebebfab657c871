"""`tenantry tenant upgrade`: another release of a tenant's application, with a way back until traffic is let in."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenantry.cli.live import LiveRuns
from tenantry.cli.opening import open_fleet
from tenantry.cli.options import CellOption, LocalOption
from tenantry.cli.reporting import JsonOption, error_document, print_json, report_error, say
from tenantry.tenancy.conditions import ConditionType, Reason, Status, read
from tenantry.tenancy.errors import Conflict, DependencyUnavailable, InvalidInput, RunFailed, TenantryError
from tenantry.tenancy.manifest import parse_tenant
from tenantry.tenancy.release import End, Release, Version, told
from tenantry.tenancy.upgrading import UPGRADE, check_path, newest
from tenantry.tenancy.window import opens_at, parse_window

if TYPE_CHECKING:
    from tenantry.engine.cluster import Cluster
    from tenantry.fleet import Fleet, Record

__all__ = ["register"]

_TENANTS = "/apis/tenantry.dev/v1alpha1/tenants"
_MERGE = "application/merge-patch+json"
_LOOK_S = 1.0


def register(app: typer.Typer) -> None:
    """Add the command to `tenantry tenant`."""
    app.command()(upgrade)


def upgrade(
    name: Annotated[str, typer.Argument(help="A tenant of the cell.", show_default=False)],
    to: Annotated[
        str | None, typer.Option("--to", help="The release; default: the newest of the catalogue.", show_default=False)
    ] = None,
    template: Annotated[
        int | None,
        typer.Option("--template", min=1, help="Template version; default: the one it runs.", show_default=False),
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Do not wait for the maintenance window.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has ended, either way.")] = True,
    timeout_s: Annotated[int, typer.Option("--timeout", min=1, help="Seconds to wait at most.")] = 3600,
    cell: CellOption = None,
    local: LocalOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Bring a tenant to another release of its application.

    Schedules pause, workers end after their last message, the database is kept aside, one job migrates it, and the new
    version is asked whether it is well before anybody else may ask it. A failure until then brings back the old image
    and the old data. Run it again to go on after a kill, or to try again after a failure.

    Where an operator looks after the tenant, it is asked to do this; else this command does it itself.
    """
    from tenantry.engine.cluster import connect

    with open_fleet(cell, local) as fleet, LiveRuns(quiet=as_json) as live:
        cluster = connect({})
        body = _object(cluster, name)
        if body is not None:
            _by_operator(
                fleet, cluster, body, to=to, template=template, now=now, wait=wait, timeout_s=timeout_s, as_json=as_json
            )
            return
        _here(fleet, name, live, to=to, template=template, now=now, wait=wait, timeout_s=timeout_s, as_json=as_json)


# -- without an operator --------------------------------------------------------------------------------------------


def _here(
    fleet: Fleet,
    name: str,
    live: LiveRuns,
    *,
    to: str | None,
    template: int | None,
    now: bool,
    wait: bool,
    timeout_s: int,
    as_json: bool,
) -> None:
    from tenantry.releasing import Releasing

    releasing = Releasing(fleet)
    record = fleet.record(name)
    last = fleet.releases.get(record.namespace)
    target = _target(fleet, record, to, template)
    going_on = last is not None and last.under_way
    if not going_on:
        if target == record.running:
            if last is not None and last.failed:
                releasing.dismiss(name)
            pinned = parse_tenant(record.manifest, source=record.source).tenant.spec.release
            _show(name, _already(record.running, pinned), None, as_json=as_json)
            return
        if not now:
            _require_open_window(fleet, record)
        last = releasing.request(name, target, by="command", at_once=now)
    assert last is not None
    if not wait:
        _show(name, f"asked for {last.after}; run this again without --no-wait to do it", last, as_json=as_json)
        return
    deadline = time.monotonic() + timeout_s
    pause, said = Event(), ""

    def tell(line: str) -> None:
        nonlocal said
        if not as_json and line != said:
            say(f"{name}: {line}")
            said = line

    while True:
        advanced = releasing.advance(name, progress=tell, on_event=lambda event: live(name, event))
        if advanced.again_after is None:
            break
        tell(advanced.sentence)
        if time.monotonic() > deadline:
            raise advanced.error or _late(name, timeout_s)
        pause.wait(max(advanced.again_after.total_seconds(), _LOOK_S))
    _end(name, advanced.release, as_json=as_json)


def _target(fleet: Fleet, record: Record, to: str | None, template: int | None) -> Version:
    """What is asked for, checked against the catalogue and against what the tenant's file pins."""
    wanted = parse_tenant(record.manifest, source=record.source).tenant.spec
    version = template or wanted.template_version or record.template_version
    entry = fleet.catalogue.workloads.get(wanted.workload, {}).get(version)
    release = to or wanted.release or (newest(entry) if entry is not None else record.release)
    target = Version(release=release, template_version=version)
    pinned = Version(
        release=wanted.release or target.release, template_version=wanted.template_version or target.template_version
    )
    if pinned != target:
        raise InvalidInput(
            f"the file of {record.name} pins {pinned}, and {target} is asked for",
            source=record.source,
            hint="change spec.release and spec.templateVersion there and apply it, or take them out",
        )
    if target != record.running:
        check_path(wanted.workload, fleet.catalogue, record.running, target)
    return target


def _require_open_window(fleet: Fleet, record: Record) -> None:
    window = fleet.specs.of(record).maintenance_window
    now = datetime.now(UTC)
    if window is not None and (opens := opens_at(parse_window(window), now)) > now:
        raise Conflict(
            f"tenant {record.name} is outside its maintenance window ({window})",
            where=record.name,
            hint=f"it opens at {opens:%Y-%m-%d %H:%M UTC}; --now does not wait for it",
        )


# -- with an operator -----------------------------------------------------------------------------------------------


def _object(cluster: Cluster, name: str) -> Mapping[str, Any] | None:
    return cluster.get(f"{_TENANTS}/{name}")


def _by_operator(
    fleet: Fleet,
    cluster: Cluster,
    body: Mapping[str, Any],
    *,
    to: str | None,
    template: int | None,
    now: bool,
    wait: bool,
    timeout_s: int,
    as_json: bool,
) -> None:
    """Annotate the object, then follow what the operator says of it."""
    name, spec, status = body["metadata"]["name"], body["spec"], body.get("status") or {}
    if not status.get("release"):
        raise Conflict(f"tenant {name} has never been made in full", where=name, hint="wait until it is Ready")
    running = Version(release=status["release"], template_version=int(status["templateVersion"]))
    version = template or spec.get("templateVersion") or running.template_version
    workload = spec.get("workload") or "mautic"
    entry = fleet.catalogue.workloads.get(workload, {}).get(version)
    target = Version(
        release=to or spec.get("release") or (newest(entry) if entry is not None else running.release),
        template_version=version,
    )
    if (spec.get("release") or target.release) != target.release:
        raise InvalidInput(
            f"the tenant {name} pins release {spec['release']}, and {target.release} is asked for",
            source=f"tenant/{name}",
            hint="change spec.release in its file, or take it out",
        )
    if target != running:
        check_path(workload, fleet.catalogue, running, target)
    elif (read(status.get("conditions") or (), ConditionType.RELEASED) or {}).get("status") == Status.TRUE:
        _show(name, _already(running, spec.get("release")), None, as_json=as_json)
        return
    text = f"{target.release} template={version}{' now' if now else ''} {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    cluster.request(
        "PATCH",
        f"{_TENANTS}/{name}",
        body={"metadata": {"uid": body["metadata"]["uid"], "annotations": {UPGRADE: text}}},
        content_type=_MERGE,
    )
    if not wait:
        _show(name, f"the operator was asked for {target}", None, as_json=as_json)
        return
    sentence = _follow(cluster, name, target, text, timeout_s=timeout_s, quiet=as_json)
    _show(name, sentence, None, as_json=as_json)


def _follow(cluster: Cluster, name: str, target: Version, text: str, *, timeout_s: int, quiet: bool) -> str:
    """Until the Tenant says that it runs the version. Raises RunFailed with the reason when it says that it failed."""
    deadline = time.monotonic() + timeout_s
    pause, said = Event(), ""
    while True:
        body = _object(cluster, name)
        if body is None:
            raise Conflict(f"the Tenant {name} was deleted meanwhile", where=name)
        status = body.get("status") or {}
        conditions = status.get("conditions") or ()
        released = read(conditions, ConditionType.RELEASED) or {}
        runs = (status.get("release"), status.get("templateVersion"))
        if released.get("status") == Status.TRUE and runs == (target.release, target.template_version):
            return str(released["message"])
        if released.get("reason") == Reason.RELEASE_FAILED and status.get("upgradeHeeded") == text:
            raise RunFailed(str(released["message"]), where=name)
        stalled = read(conditions, ConditionType.STALLED) or {}
        if stalled.get("reason") == Reason.INVALID_SPEC:
            raise InvalidInput(str(stalled["message"]), source=f"tenant/{name}")
        line = str(released.get("message") or "waiting for the operator")
        if not quiet and line != said:
            say(f"{name}: {line}")
            said = line
        if time.monotonic() > deadline:
            raise _late(name, timeout_s)
        pause.wait(_LOOK_S)


# -- telling --------------------------------------------------------------------------------------------------------


def _already(running: Version, pinned: str | None) -> str:
    return f"runs {running} already" + (", which its file pins" if pinned else "")


def _late(name: str, timeout_s: int) -> TenantryError:
    return DependencyUnavailable(
        f"the release of {name} has not ended after {timeout_s} s; nothing is lost",
        where=name,
        hint=f"`tenantry tenant upgrade {name}` goes on waiting; --now does not wait for its maintenance window",
    )


def _end(name: str, release: Release, *, as_json: bool) -> None:
    if release.end is End.RELEASED:
        _show(name, told(release), release, as_json=as_json)
        return
    error = RunFailed(
        f"the release {release.after} failed; {told(release)}",
        where=name,
        hint="mend the cause, then run this again",
    )
    if as_json:
        print_json({**_document(name, told(release), release), "errors": [error_document(error)]})
    else:
        report_error(error)
    raise typer.Exit(error.exit_code)


def _show(name: str, sentence: str, release: Release | None, *, as_json: bool) -> None:
    if as_json:
        print_json(_document(name, sentence, release))
    else:
        say(f"{name}: {sentence}")


def _document(name: str, sentence: str, release: Release | None) -> dict[str, Any]:
    document: dict[str, Any] = {"tenant": name, "told": sentence}
    if release is not None:
        document |= {
            "from": release.before.model_dump(mode="json"),
            "to": release.after.model_dump(mode="json"),
            "end": release.end.value if release.end else None,
            "stepsDone": [step.value for step in release.done],
            "reason": release.going_back,
        }
    return document
