"""Which release and template version a tenant wants to run next, and whether the catalogue has a way there. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.tenancy.catalogue import Catalogue, WorkloadEntry
from tenantry.tenancy.document import did_you_mean
from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.model import Tenant
from tenantry.tenancy.release import Release, Version

__all__ = ["UPGRADE", "Wanted", "check_path", "due", "newest", "standing_failure", "wanted"]

UPGRADE = "tenantry.dev/upgrade"
"""Annotation of a Tenant that asks for a release once: `7.1.3`, `7.1.3 now`, `7.1.3 template=2`, `latest`. Each new
text is a new wish; any further words only make it one."""
_LATEST = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """by: `spec` or `annotation`. request: the annotation's text, "" without. at_once: not only in the window."""

    version: Version
    by: str
    request: str
    at_once: bool


def wanted(tenant: Tenant, catalogue: Catalogue, running: Version, *, heeded: str = "") -> Wanted:
    """What the tenant wants to run: what its file pins, else what an annotation asks for, else what it runs.

    heeded: the annotation that was already heeded: it asks for nothing any more. Raises InvalidInput for an annotation
    that cannot be read or names what the catalogue does not have.
    """
    pinned, text = tenant.spec, tenant.metadata.annotations.get(UPGRADE, "")
    request = "" if text == heeded else text
    asked, at_once = _asked(tenant, catalogue, running, request) if request.strip() else (running, False)
    version = Version(
        release=pinned.release or asked.release,
        template_version=pinned.template_version or asked.template_version,
    )
    if version != asked != running:  # a wish for what runs is fulfilled
        raise InvalidInput(
            f"the annotation {UPGRADE} asks for {asked}, and the tenant's own file pins {version}",
            source=tenant.metadata.name,
            hint=f"take the annotation out (`kubectl annotate tenant {tenant.metadata.name} {UPGRADE}-`), or "
            "spec.release and spec.templateVersion",
        )
    pinning = pinned.release is not None or pinned.template_version is not None
    return Wanted(version=version, by="spec" if pinning else "annotation", request=text, at_once=at_once)


def _asked(tenant: Tenant, catalogue: Catalogue, running: Version, text: str) -> tuple[Version, bool]:
    release, *words = text.split()
    template_version = running.template_version
    for word in words:
        name, _, number = word.partition("=")
        if name == "template":
            if not number.isdigit():
                raise InvalidInput(
                    f"the annotation {UPGRADE} says {word!r}",
                    source=tenant.metadata.name,
                    hint="write template=2, or leave it out",
                )
            template_version = int(number)
    if release == _LATEST:
        release = newest(_entry(tenant.spec.workload, catalogue, template_version))
    return Version(release=release, template_version=template_version), "now" in words


def newest(entry: WorkloadEntry) -> str:
    """The release that the catalogue gives new tenants."""
    return entry.workload.spec.default_release.name


def due(want: Wanted, running: Version, last: Release | None) -> bool:
    """Whether a release is to be begun. last: the one before, which is never repeated by itself when it failed."""
    if want.version == running:
        return False
    if last is None or not last.failed or last.before != running:
        return True
    return (last.after, last.request) != (want.version, want.request)


def standing_failure(want: Wanted, running: Version, last: Release | None) -> Release | None:
    """The release that failed and that nobody has answered for yet: by a new wish, or by wanting what runs."""
    if last is None or not last.failed or last.before != running or last.request != want.request:
        return None
    return last if want.by != "spec" or want.version == last.after else None


def check_path(workload: str, catalogue: Catalogue, before: Version, after: Version) -> None:
    """Raises InvalidInput where the catalogue has no such release, or no way to it in one step."""
    entry = _entry(workload, catalogue, after.template_version)
    order = [one.name for one in entry.workload.spec.releases]
    if after.release not in order:
        raise InvalidInput(
            f"workload {workload} has no release {after.release} in template version {after.template_version}",
            hint=did_you_mean(after.release, order, what="releases"),
        )
    if after.template_version < before.template_version:
        raise InvalidInput(
            f"template version {after.template_version} is older than {before.template_version}, which it runs",
            hint="template versions only go forward",
        )
    if after.release == before.release:
        return
    chosen = next(one for one in entry.workload.spec.releases if one.name == after.release)
    earlier = order[: order.index(after.release)]
    reached_from = list(chosen.upgrades_from) or earlier
    if before.release in reached_from:
        return
    if before.release in order[order.index(after.release) :]:
        raise InvalidInput(
            f"release {after.release} is older than {before.release}, which it runs: a migrated database does not go "
            "back",
            hint="restore a backup that was taken before, or choose a later release",
        )
    raise InvalidInput(
        f"there is no way from release {before.release} to {after.release} in one step",
        hint=f"it is reached from {', '.join(reached_from) or 'no release'}: upgrade to one of them first",
    )


def _entry(workload: str, catalogue: Catalogue, template_version: int) -> WorkloadEntry:
    versions = catalogue.workloads.get(workload, {})
    if template_version not in versions:
        raise InvalidInput(
            f"workload {workload} has no template version {template_version}",
            hint=f"versions: {', '.join(str(one) for one in sorted(versions)) or 'none'}",
        )
    return versions[template_version]
