"""What a real node takes from the machine, and what it says where the machine has it not."""

from __future__ import annotations

import ipaddress
import json
import tarfile
from pathlib import Path

import pytest

from tenantry.local import Nodes, node
from tenantry.local.bridge import _rules
from tenantry.local.description import describe
from tenantry.local.image import Image
from tenantry.local.images import images
from tenantry.local.layout import Layout, read_json, write_json
from tenantry.local.machine import LocalPlatform
from tenantry.local.node import NodePlace, choose_subnet, require_machine
from tenantry.local.part import Site
from tenantry.local.pki import Authority
from tenantry.local.record import keep_record, require_as_made
from tenantry.local.toolchain import REFERENCE, reference
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.errors import Conflict, DependencyUnavailable, InvalidInput


@pytest.fixture
def place(tmp_path: Path) -> NodePlace:
    return NodePlace.of(Layout.of("demo", tmp_path / "demo"), "10.201.0.0/24")


def test_an_interface_name_is_short_enough_for_the_kernel_and_the_homes_own(tmp_path: Path, place: NodePlace) -> None:
    other = NodePlace.of(Layout.of("demo", tmp_path / "other"), "10.201.1.0/24")
    assert len(place.bridge) <= 15
    assert len({place.bridge, other.bridge}) == len({place.guard, other.guard}) == 2


def test_a_subnet_overlaps_no_route_and_no_neighbour(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    routes = tmp_path / "route"
    # 10.201.0.0/23 by way of some interface, and the default route, which overlaps everything.
    routes.write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
        "vpn0\t0000C90A\t00000000\t0001\t0\t0\t0\t00FEFFFF\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\n"
    )
    monkeypatch.setattr(node, "_ROUTES", routes)
    assert choose_subnet(["10.201.2.0/24"]) == "10.201.3.0/24"


def test_pods_reach_the_named_ports_alone_and_nobody_outside_reaches_them(place: NodePlace) -> None:
    rules = _rules(place, [3306, 8200])
    lines = [line.strip() for line in rules.splitlines()]
    allowed = lines.index(f'iifname "{place.bridge}" ip daddr 10.201.0.1 tcp dport {{ 53, 3306, 8200 }} accept')
    assert lines[allowed + 1] == f'iifname "{place.bridge}" ip daddr 10.201.0.1 udp dport 53 accept'
    assert lines[allowed + 2] == f'iifname "{place.bridge}" drop'
    assert 'ip daddr 10.201.0.0/24 iifname != "lo" drop' in lines


@pytest.mark.parametrize(
    ("system", "uid", "said"),
    [("darwin", 0, "Linux"), ("linux", 1000, "only root")],
    ids=["another system", "an ordinary user"],
)
def test_a_machine_that_cannot_carry_a_node_is_told_why(
    monkeypatch: pytest.MonkeyPatch, system: str, uid: int, said: str
) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("os.geteuid", lambda: uid)
    with pytest.raises(DependencyUnavailable, match=said) as caught:
        require_machine()
    assert "leave out `--nodes real`" in str(caught.value.hint)


def test_nothing_is_made_where_a_real_node_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(DependencyUnavailable, match="only root"):
        LocalPlatform("demo", tmp_path / "demo", nodes=Nodes.REAL).up(print)
    assert not (tmp_path / "demo").exists()


def test_an_existing_cluster_has_nodes_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="its own nodes"):
        LocalPlatform("demo", tmp_path / "demo", kubeconfig=tmp_path / "config", nodes=Nodes.REAL)


@pytest.mark.parametrize(("subnet", "asked"), [(None, Nodes.REAL), ("10.201.0.0/24", Nodes.SIMULATED)])
def test_a_platform_keeps_the_nodes_that_it_was_made_with(tmp_path: Path, subnet: str | None, asked: Nodes) -> None:
    home = tmp_path / "demo"
    home.mkdir()
    layout = Layout.of("demo", home)
    write_json(layout.record, {"ports": {}, "parts": str(layout.parts), "kubeconfig": None, "subnet": subnet})
    with pytest.raises(Conflict, match="was made with"):
        require_as_made(layout, kubeconfig=None, nodes=asked)


def test_a_real_platform_remembers_a_network_and_ports_for_its_node(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    home.mkdir()
    layout = Layout.of("demo", home)
    keep_record(layout, kubeconfig=None, nodes=Nodes.REAL)
    record = read_json(layout.record)
    assert ipaddress.ip_network(record["subnet"]).prefixlen == 24
    assert {"kubelet", "kubelet-health"} <= set(record["ports"])


def test_the_cell_file_sends_tenants_to_the_real_node_and_names_addresses_that_pods_reach(tmp_path: Path) -> None:
    layout = Layout(name="demo", home=tmp_path / "home", parts=tmp_path / "home" / "parts")
    layout.make()
    site = Site(
        layout=layout,
        ports={"openbao": 1, "mariadb": 2, "redis": 3, "rabbitmq": 4, "rabbitmq-management": 5},
        authority=Authority(layout.authorities, "local"),
        tools={},
        node=NodePlace.of(layout, "10.201.0.0/24"),
    )
    cell = describe(site, simulated=True).spec
    assert not cell.kubernetes.simulated_nodes
    assert cell.kubernetes.tenant_nodes == {"tenantry.dev/nodes": "real"}
    assert (cell.openbao.address, cell.database.host) == ("https://10.201.0.1:1", "10.201.0.1")
    assert cell.messaging.management_url == "https://127.0.0.1:5"
    assert cell.images.agent.split("/")[0] in cell.images.sources


def test_an_image_is_the_same_bytes_each_time_and_its_parts_are_what_their_digests_say(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    image = Image(
        name="example.test/thing:1", programs={"bin/thing": program}, links={"bin/sh": "thing"}, files={"etc/a": "b"}
    )
    first, second = tmp_path / "one" / "image.tar", tmp_path / "two" / "image.tar"
    for archive in (first, second):
        archive.parent.mkdir()
        image.write(archive)
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as tar:
        (named,) = json.load(tar.extractfile("index.json"))["manifests"]  # type: ignore[arg-type]
        assert named["annotations"]["io.containerd.image.name"] == "example.test/thing:1"
        blobs = {member.name.rpartition("/")[2] for member in tar if member.name.startswith("blobs/")}
        manifest = json.load(tar.extractfile(f"blobs/sha256/{named['digest'][7:]}"))  # type: ignore[arg-type]
        layer = manifest["layers"][0]["digest"][7:]
        with tarfile.open(fileobj=tar.extractfile(f"blobs/sha256/{layer}")) as inside:
            assert inside.getmember("bin/thing").mode == 0o755
            assert inside.getmember("bin/sh").linkname == "thing"
            assert {member.uid for member in inside} == {0}
    assert blobs == {named["digest"][7:], manifest["config"]["digest"][7:], layer}


def test_an_image_whose_program_has_changed_is_another(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"one")
    image = Image(name="example.test/thing:1", programs={"bin/thing": program})
    before = image.fingerprint()
    program.write_bytes(b"other")
    assert image.fingerprint() != before


def test_the_reference_workloads_images_are_those_that_the_catalogue_names(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    tools = dict.fromkeys(("busybox", "bao", "redis-server", "mariadbd", "mariadb", "mariadb-dump", REFERENCE), program)
    made = {image.name: image for image in images(tools | {"mariadb-plugins": tmp_path})}
    described = Catalogue.load().workloads["reference"][1].workload.spec
    for release in described.releases:
        image = made[f"{described.image}:{release.tag}"]
        assert image.files["etc/reference/release"] == f"{release.name}\n"
        assert "bin/sh" in image.links


def test_the_reference_programs_version_is_its_source(tmp_path: Path) -> None:
    folder = tmp_path / "reference"
    folder.mkdir()
    (folder / "main.go").write_text("package main\n")
    before = reference(tmp_path).version
    (folder / "main.go").write_text("package main // changed\n")
    assert reference(tmp_path).version != before
