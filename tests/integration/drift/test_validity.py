"""What the cell lives on: told with its last day."""

from __future__ import annotations

from datetime import UTC, datetime

from tenantry_operator.lasting import Lasting
from tests.integration.deprovisioning.conftest import Systems


def test_everything_that_runs_out_is_told_with_its_last_day(systems: Systems) -> None:
    lasting = Lasting(systems.fleet, systems.platform.validities)
    assert lasting.found == ()
    lasting.once()
    now = datetime.now(UTC)
    left = {one.what: one.days_left(now) for one in lasting.found}
    for role in ("tenantry-provisioner", "tenantry-deprovisioner"):
        assert 29 < left[f"OpenBao token {role}"] <= 30
    assert 363 < left["MariaDB's key token"] <= 365
    assert 363 < left["OpenBao token of the administrator"] <= 365
    assert 360 < left["OpenBao's token for the cluster"] <= 365
    for server in ("OpenBao", "RabbitMQ", "Redis", "the Kubernetes API"):
        assert 390 < left[f"certificate shown by {server}"] < 398
    for certificate in ("mariadb/server", "etcd/server", "kube-apiserver/etcd-client"):
        assert 390 < left[f"certificate {certificate}"] < 398
    assert left["the cell's certificate authority 1"] > 3600
    assert 390 < left["our certificate for the Kubernetes API"] < 398
