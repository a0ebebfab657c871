"""containerd: runs the pods of a real node, in namespaces and folders of the platform's own."""

from __future__ import annotations

import subprocess
import tempfile
from importlib import resources
from pathlib import Path

from tenantry.local.image import Image
from tenantry.local.images import PAUSE, images
from tenantry.local.layout import read_json, write_file, write_json
from tenantry.local.node import NodePlace, make_control_group
from tenantry.local.part import Health, Part, Program, Site, State
from tenantry.local.ports import LOOPBACK
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["Containerd"]

_NAMESPACE = "k8s.io"
_TUNABLES = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What a kubelet sets for the whole machine; it is shown these instead."""


class Containerd(Part):
    """containerd with runc and the bridge plugin. The machine's own containerd, if it has one, is not touched."""

    name = "containerd"
    start_seconds = 120.0

    def __init__(self, site: Site, place: NodePlace) -> None:
        super().__init__(site)
        self._place = place

    @property
    def socket(self) -> Path:
        return self.folder / "socket"

    @property
    def init_file(self) -> Path:
        """Holds the number of the first process of the node's namespaces."""
        return self.folder / "node.pid"

    @property
    def address(self) -> str:
        return f"unix:{self.socket}"

    @property
    def ports(self) -> tuple[int, ...]:
        return ()

    def program(self) -> Program:
        folder, tools = self.folder, self.site.tools
        return Program(
            # The supervisor's end, however sudden, is the node's end.
            command=(
                *(str(tools["setpriv"]), "--pdeathsig=KILL"),
                *(str(tools["unshare"]), "--mount", "--pid", "--fork", "--kill-child=KILL"),
                *("/bin/sh", str(folder / "node_init.sh"), str(folder)),
                *(str(tools["containerd"]), f"--config={folder / 'config.toml'}"),
            ),
            environment={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            stop_seconds=40,
        )

    def prepare(self) -> None:
        folder = self.make_folder("data", "state", "network", "leases", "images")
        make_control_group(self._place)
        self.write("node_init.sh", resources.files("tenantry.local").joinpath("node_init.sh").read_text())
        for name, value in _TUNABLES.items():
            path = folder / "tunables" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, f"{value}\n")
        write_json(folder / "network" / "pods.conflist", self._network())
        self.write("config.toml", self._configuration())

    def _network(self) -> dict[str, object]:
        """Pods are neighbours on the bridge and get no route: nowhere else is theirs to go."""
        address = {
            "type": "host-local",
            "dataDir": str(self.folder / "leases"),
            "ranges": [[{"subnet": str(self._place.subnet), "gateway": self._place.gateway}]],
        }
        plugin = {"type": "bridge", "bridge": self._place.bridge, "isGateway": False, "ipMasq": False, "ipam": address}
        return {"cniVersion": "1.0.0", "name": self._place.bridge, "plugins": [plugin]}

    def _configuration(self) -> str:
        folder = self.folder
        return f"""\
version = 2
root = "{folder / "data"}"
state = "{folder / "state"}"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", \
"io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.tracing.processor.v1.otlp", \
"io.containerd.internal.v1.tracing"]

[grpc]
  address = "{self.socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # Not every machine lets a process lower its score, and nothing here needs it.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "{LOOPBACK}"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{self.site.tools["cni"]}"
    conf_dir = "{folder / "network"}"

  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{self.site.tools["runc"]}"
      SystemdCgroup = false
"""

    def answers(self) -> bool:
        return self._ctr("version").returncode == 0

    def probe(self) -> Health:
        asked = self._ctr("plugins", "ls", "id==cri")
        if asked.returncode != 0:
            return Health(state=State.UNHEALTHY, message="no answer on its socket", hint=f"read {self.log}")
        if " ok" not in asked.stdout:
            return Health(state=State.UNHEALTHY, message="its CRI plugin is not well", hint=f"read {self.log}")
        return Health(state=State.RUNNING)

    def ready(self) -> None:
        """Import the platform's own images, those that are missing or have changed."""
        super().ready()
        record = self.folder / "images" / "imported.json"
        kept, there = read_json(record), self._ctr("-n", _NAMESPACE, "images", "ls", "-q").stdout.split()
        for image in images(self.site.tools):
            fingerprint = image.fingerprint()
            if kept.get(image.name) != fingerprint or image.name not in there:
                self._import(image)
                kept[image.name] = fingerprint
                write_json(record, kept)

    def _import(self, image: Image) -> None:
        with tempfile.TemporaryDirectory(dir=self.folder / "images") as folder:
            archive = Path(folder) / "image.tar"
            image.write(archive)
            done = self._ctr("-n", _NAMESPACE, "images", "import", "--snapshotter=overlayfs", str(archive), seconds=120)
        if done.returncode != 0:
            raise DependencyUnavailable(
                f"the image {image.name} cannot be imported: {done.stderr.strip()[-200:]}",
                where=self.address,
                hint=f"read {self.log}, then run `tenantry local up` again",
            )

    def _ctr(self, *arguments: str, seconds: int = 10) -> subprocess.CompletedProcess[str]:
        command = [str(self.site.tools.get("ctr", "ctr")), f"--address={self.socket}", *arguments]
        try:
            return subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return subprocess.CompletedProcess(command, 1, "", str(error))
