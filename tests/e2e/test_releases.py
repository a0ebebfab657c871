"""What a user types to bring a tenant to another release, and what they are told when that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.user import User

NAME = "upgraded"
MANIFEST = f"""\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {{name: {NAME}}}
spec:
  displayName: Upgraded
  owner: someone@example.com
  plan: starter
  environment: test
  workload: shlink
  deletionPolicy: delete
"""


def images(user: User) -> set[str]:
    found = json.loads(user.shell(f"kubectl get deployments -A -l tenantry.dev/tenant={NAME} -o json").stdout)
    containers = [one["spec"]["template"]["spec"]["containers"][0] for one in found["items"]]
    return {one["image"].rsplit(":", 1)[1] for one in containers if "shlink" in one["image"]}


def test_a_tenant_goes_to_the_newest_release_and_back_to_none(user: User, tmp_path: Path) -> None:
    file = tmp_path / f"{NAME}.yaml"
    file.write_text(MANIFEST + '  release: "4.5.2"\n')
    user.types("tenantry", "tenant", "up", str(file))
    pinned = user.types("tenantry", "tenant", "upgrade", NAME, "--to", "4.6.0", code=2)
    assert "pins" in pinned.stderr
    file.write_text(MANIFEST)
    user.types("tenantry", "tenant", "up", str(file))
    assert images(user) == {"4.5.2"}  # nothing changes by itself
    unknown = user.types("tenantry", "tenant", "upgrade", NAME, "--to", "9.9", code=2)
    assert "4.5.2, 4.6.0" in unknown.stderr
    told = user.json("tenant", "upgrade", NAME)
    assert told["told"].startswith("runs 4.6.0")
    assert images(user) == {"4.6.0"}
    back = user.types("tenantry", "tenant", "upgrade", NAME, "--to", "4.5.2", code=2)
    assert "does not go back" in back.stderr
    assert user.json("tenant", "upgrade", NAME)["told"].endswith("already")
    user.types("tenantry", "tenant", "delete", NAME, "--yes", "--now")
