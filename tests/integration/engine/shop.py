"""A small program for the tests: a namespace, a few objects, one dynamic resource that is a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, ReadResult, Resource, ResourceProvider, UpdateResult
from pulumi_kubernetes.apps.v1 import Deployment
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace, Secret, ServiceAccount

PASSWORD = "correct horse battery staple"


class FileProvider(ResourceProvider):
    """Keeps a text in a file; every call may be repeated."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        Path(props["path"]).write_text(props["text"])
        return CreateResult(id_=props["path"], outs=dict(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        Path(news["path"]).write_text(news["text"])
        return UpdateResult(outs=dict(news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        path = Path(props["path"])
        if not path.exists():
            return ReadResult("", {})
        return ReadResult(id_ or str(path), {**props, "text": path.read_text()})

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        Path(props["path"]).unlink(missing_ok=True)


class File(Resource, module="tests", name="File"):
    def __init__(self, name: str, path: str, text: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(FileProvider(), name, {"path": path, "text": text}, opts)


class Shelf(pulumi.ComponentResource):
    def __init__(self, namespace: str, count: int, labels: dict[str, str]) -> None:
        super().__init__("tests:index:Shelf", "shelf")
        under = pulumi.ResourceOptions(parent=self)
        for number in range(count):
            metadata = {"name": f"book-{number}", "namespace": namespace, "labels": labels}
            ConfigMap(f"book-{number}", metadata=metadata, data={"title": f"Volume {number}"}, opts=under)
        self.register_outputs({"count": count})


def main(namespace: str, file: str, count: int = 3, text: str = "open", image: str = "web:1", app: str = "web") -> None:
    labels = {
        "app.kubernetes.io/managed-by": "tenantry",
        "tenantry.dev/tenant": "shop",
        "tenantry.dev/incarnation": namespace,
    }
    # Without the tenants' labels: the cell's admission policies, where another test has set them up, are not for it.
    space = Namespace("space", metadata={"name": namespace})
    Shelf(namespace, count, labels)
    account = ServiceAccount("account", metadata={"name": "web", "namespace": namespace, "labels": labels})
    Secret(
        "login",
        metadata={"name": "login", "namespace": namespace, "labels": labels},
        string_data={"password": PASSWORD},
    )
    sign = File("sign", file, text, pulumi.ResourceOptions(depends_on=[space]))
    Deployment(
        "web",
        metadata={"name": "web", "namespace": namespace, "labels": labels},
        spec={
            "selector": {"match_labels": {"app": app}},
            "template": {
                "metadata": {"labels": {"app": app}},
                "spec": {"containers": [{"name": "web", "image": image}]},
            },
        },
        opts=pulumi.ResourceOptions(depends_on=[account, sign]),
    )
    pulumi.export("namespace", namespace)
    pulumi.export("password", pulumi.Output.secret(PASSWORD))


def stranger(namespace: str) -> None:
    ConfigMap("book-0", metadata={"name": "book-0", "namespace": namespace}, data={"title": "Mine"})


def safe(file: str) -> None:
    File("treasure", file, "treasure", pulumi.ResourceOptions(protect=True, retain_on_delete=True))
