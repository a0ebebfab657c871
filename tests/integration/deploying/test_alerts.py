"""The operator's alert rules, as Prometheus' own tool reads them."""

from __future__ import annotations

import subprocess

from tenantry.tenancy.catalogue import Catalogue
from tests.programs import program

RULES = Catalogue.root() / "monitoring" / "operator-alerts.yaml"


def test_prometheus_understands_them() -> None:
    command = [program("promtool", "prometheus"), "check", "rules", RULES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
