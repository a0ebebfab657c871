"""The alert rules speak of metrics that the operator has."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import yaml

from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.validity import Validity, soonest
from tenantry_operator.backup_metrics import BackupTimes
from tenantry_operator.copying import Copying
from tenantry_operator.metrics import Metrics

RULES = Catalogue.root() / "monitoring" / "operator-alerts.yaml"
NOW = datetime(2026, 5, 1, tzinfo=UTC)


class Part:
    """Of the operator, as far as the metrics ask it."""

    cell = cast("Any", SimpleNamespace(spec=SimpleNamespace(backups=SimpleNamespace(physical=None))))
    found = (Validity(what="a certificate", until=NOW, renewed_by="nobody"),)
    held = True
    writes = 0

    def all(self) -> list[Any]:
        return [{"metadata": {"name": "acme"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}]

    def depth(self) -> int:
        return 0

    running = depth


def exposed() -> set[str]:
    metrics, part = Metrics(), cast("Any", Part())
    metrics.watch(tenants=part, queue=part, lease=part, lasting=part)
    metrics.registry.register(BackupTimes(part, part))
    metrics.registry.register(Copying(part, metrics=metrics))
    families = list(metrics.registry.collect())
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    return {one.name + suffix for one in families for suffix in suffixes[one.type]}


def test_every_alert_asks_for_metrics_that_there_are() -> None:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert rules
    known = exposed()
    for rule in rules:
        asked = set(re.findall(r"tenantry_[a-z_]+", rule["expr"]))
        assert asked, rule["alert"]
        assert asked <= known, rule["alert"]
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert {"summary", "description"} <= rule["annotations"].keys()


def test_what_runs_out_first_comes_first() -> None:
    late = Validity(what="a", until=NOW + timedelta(days=40), renewed_by="x")
    soon = Validity(what="b", until=NOW - timedelta(days=1), renewed_by="x")
    assert soonest([late, soon]) == (soon, late)
    assert (soon.days_left(NOW), late.days_left(NOW)) == (-1, 40)
