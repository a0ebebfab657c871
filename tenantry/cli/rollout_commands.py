"""`tenantry rollout …`: one release for many tenants, ring by ring. The operator does it; here it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from tenantry.cli.opening import open_fleet
from tenantry.cli.options import CellOption, LocalOption
from tenantry.cli.reporting import JsonOption, out, print_json, say
from tenantry.tenancy.document import Document, did_you_mean, validate
from tenantry.tenancy.errors import Conflict, InvalidInput, Unsupported
from tenantry.tenancy.rollout import GROUP_PATH, Rollout, RolloutPhase

if TYPE_CHECKING:
    from tenantry.engine.cluster import Cluster
    from tenantry.tenancy.catalogue import Catalogue

__all__ = ["app"]

app = typer.Typer(help="Roll a release out to the tenants of a cell, ring by ring.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="The roll-out's name.", show_default=False)]
_MERGE = "application/merge-patch+json"
_ENDED = (RolloutPhase.DONE, RolloutPhase.ABORTED)


@app.command()
def start(
    name: NameArgument,
    to: Annotated[str, typer.Option("--to", help="The release.", show_default=False)],
    workload: Annotated[str, typer.Option("--workload", help="The application.")] = "mautic",
    template: Annotated[
        int | None, typer.Option("--template", min=1, help="Template version; default: each keeps its own.")
    ] = None,
    rings: Annotated[
        list[str] | None,
        typer.Option(
            "--ring",
            help="NAME=PERCENT or NAME=tenant,tenant; may be repeated. Default: canary=1, early=25, all=100.",
            show_default=False,
        ),
    ] = None,
    max_failures: Annotated[int, typer.Option("--max-failures", min=1, help="Halt when so many have failed.")] = 1,
    parallel: Annotated[int, typer.Option("--parallel", min=1, max=100, help="Tenants under way at a time.")] = 4,
    now: Annotated[bool, typer.Option("--now", help="Do not wait for maintenance windows.")] = False,
    cell: CellOption = None,
    local: LocalOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Begin a roll-out. Tenants that pin their release are left out; each goes in its own maintenance window."""
    spec: dict[str, Any] = {"workload": workload, "release": to, "maxFailures": max_failures, "parallel": parallel}
    spec |= {"now": now} if now else {}
    spec |= {"templateVersion": template} if template is not None else {}
    spec |= {"rings": [_ring(one) for one in rings]} if rings else {}
    body = {
        "apiVersion": "tenantry.dev/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name},
        "spec": spec,
    }
    with open_fleet(cell, local) as fleet:
        validate(Document(source="rollout", text="", content=body), Rollout, noun="the roll-out")
        _check_release(fleet.catalogue, workload, to, template)
        cluster = _cluster()
        _require_none_other(cluster, name, workload)
        made = cluster.request("POST", GROUP_PATH, body=body)
    _show(made, f"{name}: begun; `tenantry rollout status {name}` tells how far it is", as_json=as_json)


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="A roll-out; without: all.", show_default=False)] = None,
    cell: CellOption = None,
    local: LocalOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Tell how far roll-outs are."""
    with open_fleet(cell, local):
        cluster = _cluster()
        found = [_required(cluster, name)] if name is not None else cluster.request("GET", GROUP_PATH)["items"]
    if as_json:
        print_json({"rollouts": [_document(one) for one in found]})
        return
    table = Table(box=None)
    for column in ("NAME", "RELEASE", "PHASE", "RING", "DONE", "MESSAGE"):
        table.add_column(column)
    for one in found:
        told = one.get("status") or {}
        table.add_row(
            one["metadata"]["name"],
            one["spec"]["release"],
            told.get("phase", "Pending"),
            told.get("ring", ""),
            told.get("done", ""),
            told.get("message", "the operator has not looked at it yet"),
        )
    out.print(table)
    for one in found:
        for failure in (one.get("status") or {}).get("failures") or ():
            say(f"{one['metadata']['name']}: failed: {failure}")


@app.command()
def pause(
    name: NameArgument, cell: CellOption = None, local: LocalOption = "default", as_json: JsonOption = False
) -> None:
    """Begin no more tenants; what is under way ends."""
    _change(name, {"paused": True}, "paused; what is under way ends", cell, local, as_json=as_json)


@app.command()
def resume(
    name: NameArgument, cell: CellOption = None, local: LocalOption = "default", as_json: JsonOption = False
) -> None:
    """Go on after a pause, or after a halt: the failures so far are then accepted, and one more halts it again."""
    with open_fleet(cell, local):
        cluster = _cluster()
        body = _required(cluster, name)
        told = body.get("status") or {}
        failed = int((told.get("tenants") or {}).get("failed", 0))
        change: dict[str, Any] = {"paused": False}
        if failed >= int(body["spec"].get("maxFailures", 1)):
            change["maxFailures"] = failed + 1
        made = _patched(cluster, body, change)
    _show(made, f"{name}: goes on", as_json=as_json)


@app.command()
def abort(
    name: NameArgument, cell: CellOption = None, local: LocalOption = "default", as_json: JsonOption = False
) -> None:
    """End it for good: nothing new is begun, what is under way ends, what is done stays."""
    _change(name, {"aborted": True}, "aborted; what is under way ends", cell, local, as_json=as_json)


def _change(name: str, change: Mapping[str, Any], told: str, cell: Any, local: str, *, as_json: bool) -> None:
    with open_fleet(cell, local):
        cluster = _cluster()
        made = _patched(cluster, _required(cluster, name), change)
    _show(made, f"{name}: {told}", as_json=as_json)


def _patched(cluster: Cluster, body: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    name, phase = body["metadata"]["name"], (body.get("status") or {}).get("phase")
    if phase in _ENDED:
        raise Conflict(f"the roll-out {name} has ended ({phase})", where=name, hint="start another one")
    return cluster.request("PATCH", f"{GROUP_PATH}/{name}", body={"spec": dict(change)}, content_type=_MERGE)


def _cluster() -> Cluster:
    """The cell's cluster. Raises Unsupported where it does not know roll-outs: nobody there would do them."""
    from tenantry.engine.cluster import connect

    cluster = connect({})
    if cluster.get(GROUP_PATH) is None:
        raise Unsupported(
            "this cell does not know roll-outs",
            where=cluster.address,
            hint="set it up with this version (`tenantry cell up`) and run the operator; without one, upgrade tenants "
            "one by one: `tenantry tenant upgrade`",
        )
    return cluster


def _required(cluster: Cluster, name: str) -> dict[str, Any]:
    body = cluster.get(f"{GROUP_PATH}/{name}")
    if body is None:
        raise InvalidInput(f"there is no roll-out {name}", hint="`tenantry rollout status` lists them")
    return body


def _require_none_other(cluster: Cluster, name: str, workload: str) -> None:
    """Two at a time would each ask the same tenants for another version."""
    for one in cluster.request("GET", GROUP_PATH)["items"]:
        if one["metadata"]["name"] == name:
            raise Conflict(f"there is a roll-out {name} already", where=name, hint="give it another name")
        same = one["spec"].get("workload", "mautic") == workload
        if same and (one.get("status") or {}).get("phase") not in _ENDED:
            other = one["metadata"]["name"]
            raise Conflict(
                f"the roll-out {other} of {workload} has not ended",
                where=other,
                hint=f"`tenantry rollout abort {other}`",
            )


def _check_release(catalogue: Catalogue, workload: str, release: str, template: int | None) -> None:
    versions = catalogue.workloads.get(workload)
    if versions is None:
        raise InvalidInput(
            f"there is no workload {workload}", hint=did_you_mean(workload, list(catalogue.workloads), what="workloads")
        )
    if template is not None and template not in versions:
        raise InvalidInput(
            f"workload {workload} has no template version {template}",
            hint=f"versions: {', '.join(str(one) for one in sorted(versions))}",
        )
    looked_at = versions.values() if template is None else [versions[template]]
    known = [one.name for entry in looked_at for one in entry.workload.spec.releases]
    if release not in known:
        raise InvalidInput(
            f"workload {workload} has no release {release}", hint=did_you_mean(release, known, what="releases")
        )


def _ring(text: str) -> dict[str, Any]:
    name, _, members = text.partition("=")
    share = members.removesuffix("%")
    if not name or not members:
        raise InvalidInput(f"--ring {text!r} is not understood", hint="--ring canary=1 or --ring own=acme-test,demo")
    return {"name": name, "percent": int(share)} if share.isdigit() else {"name": name, "tenants": members.split(",")}


def _document(body: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": body["metadata"]["name"], "spec": body["spec"], "status": body.get("status") or {}}


def _show(body: Mapping[str, Any], sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_document(body))
    else:
        say(sentence)
