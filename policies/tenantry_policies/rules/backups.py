"""Backups: there is one every day, sealed by the tenant's own key, and kept long enough to notice a mistake."""

from __future__ import annotations

from collections.abc import Mapping

from tenantry_policies.rule import Findings, Rule, Sentences, resource_rule, stack_rule
from tenantry_policies.view import HELD, Resource, Stack, items, mapping, named

__all__ = ["RULES"]

_BACKUP = "backup"
_PREFIX = "TENANTRY_BACKUP_"
_LEAST_DAYS = 7


@stack_rule()
def data_without_backup(stack: Stack) -> Findings:
    """A tenant with data has a backup that runs by itself; only test environments may do without.

    What nobody scheduled is missing on the day when it is needed. A release pauses it together with all schedules, for
    as long as it takes.
    """
    if stack.tenant is None or not stack.keeps_data:
        return
    jobs = [one for one in stack.of("CronJob") if _is_backup(one)]
    if not jobs:
        yield stack.tenant, "the tenant has no backup; add the CronJob backup, or leave spec.backup of its file out"
    for job in jobs:
        if job.spec.get("suspend") and HELD not in job.annotations:
            yield job, "the backup is suspended; take suspend away"


@resource_rule("CronJob")
def backup_kept_too_short(job: Resource) -> Sentences:
    """Daily backups are kept for 7 days or more.

    A mistake on a Friday is found on Monday, and a broken import later still.
    """
    if not _is_backup(job):
        return
    kept = _settings(job).get("KEEP_DAILY", "")
    if not kept.isdecimal() or int(kept) < _LEAST_DAYS:
        yield f"daily backups are kept for {kept or 'no'} days; keep at least {_LEAST_DAYS} (keepDaily of the plan)"


@resource_rule("CronJob")
def backup_not_sealed(job: Resource) -> Sentences:
    """A backup is sealed by the tenant's own transit key, stands under its own prefix, and travels by HTTPS.

    When the key is destroyed, no copy opens any more, wherever it is; that is what makes deletion provable.
    """
    if not _is_backup(job):
        return
    settings = _settings(job)
    if settings.get("TRANSIT_KEY") != job.namespace:
        yield f"the backup is not sealed by the tenant's key; set {_PREFIX}TRANSIT_KEY to {job.namespace}"
    if job.namespace not in settings.get("STORE_PREFIX", "").split("/"):
        yield f"the backup stands among other tenants'; set {_PREFIX}STORE_PREFIX to tenants/{job.namespace}/"
    if settings.get("STORE_KIND") == "s3" and not settings.get("STORE_URL", "").startswith("https://"):
        yield "the backup store is not reached by HTTPS; give backups.url of the cell file as https://…"


def _is_backup(job: Resource) -> bool:
    return job.labels.get("app.kubernetes.io/component") == _BACKUP


def _settings(job: Resource) -> Mapping[str, str]:
    return {
        str(one.get("name")).removeprefix(_PREFIX): str(one["value"])
        for container in job.containers
        for one in (mapping(entry) for entry in items(container.get("env")))
        if str(one.get("name")).startswith(_PREFIX) and named(one, "value")
    }


RULES: tuple[Rule, ...] = (data_without_backup, backup_kept_too_short, backup_not_sealed)
