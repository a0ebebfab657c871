"""What the parts are configured to do: loopback only, TLS only, no secret where others can read."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from cryptography import x509

from tenantry.local.cache import Redis
from tenantry.local.cluster import Authorities
from tenantry.local.composition import chains
from tenantry.local.description import describe, render
from tenantry.local.keys import OpenBao
from tenantry.local.layout import Layout, read_json, write_json
from tenantry.local.machine import LocalPlatform
from tenantry.local.messaging import RabbitMQ
from tenantry.local.operating import ACCOUNT, Operated, Operator
from tenantry.local.part import Part, Site
from tenantry.local.pki import Authority
from tenantry.local.record import keep_record, require_as_made
from tenantry.local.startup import tail_of
from tenantry.local.supervisor import Supervisor
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import Conflict, DependencyUnavailable, InvalidInput


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr("os.geteuid", lambda: 1000)  # files of our own account, whoever runs the tests
    layout = Layout(name="demo", home=tmp_path / "home", parts=tmp_path / "home" / "parts")
    layout.make()
    numbers = iter(range(21_000, 22_000))
    ports: dict[str, int] = defaultdict(lambda: next(numbers))
    tools: dict[str, Path] = defaultdict(lambda: Path("/usr/bin/program"))
    return Site(layout=layout, ports=ports, authority=Authority(layout.authorities, "local"), tools=tools)


def _parts(site: Site) -> list[Part]:
    return [part for chain in chains(site, own_cluster=True) for part in chain]


def test_no_command_or_variable_holds_a_secret_or_an_open_address(site: Site) -> None:
    Redis(site).prepare()
    OpenBao(site).prepare()
    RabbitMQ(site).prepare()
    secrets = [read_json(path)["password"] for path in site.layout.bootstrap.iterdir()]
    assert len(secrets) == 2
    for part in _parts(site):
        program = part.program()
        text = " ".join((*program.command, *program.environment.values()))
        assert "0.0.0.0" not in text
        assert not [secret for secret in secrets if secret in text]


def test_redis_keeps_hashes_only_and_no_plain_port(site: Site) -> None:
    part = Redis(site)
    part.prepare()
    password = read_json(site.layout.bootstrap / "redis.json")["password"]
    acl, configuration = (part.folder / "users.acl").read_text(), (part.folder / "redis.conf").read_text()
    assert password not in acl + configuration
    assert "user default off" in acl
    assert "\nport 0\n" in configuration
    assert "bind 127.0.0.1\n" in configuration


def test_a_bootstrap_login_that_has_been_adopted_does_not_come_back(site: Site) -> None:
    part = Redis(site)
    part.prepare()
    part.mark_initialized()
    acl = (part.folder / "users.acl").read_text()
    (site.layout.bootstrap / "redis.json").unlink()
    part.prepare()
    assert not (site.layout.bootstrap / "redis.json").exists()
    assert (part.folder / "users.acl").read_text() == acl


def test_a_cut_short_first_start_begins_anew(site: Site) -> None:
    part = Redis(site)
    part.prepare()
    (part.folder / "data" / "half").write_text("")
    first = read_json(site.layout.bootstrap / "redis.json")["password"]
    part.prepare()
    assert not (part.folder / "data" / "half").exists()
    assert read_json(site.layout.bootstrap / "redis.json")["password"] != first


def test_rabbitmq_loads_its_first_accounts_once(site: Site) -> None:
    part = RabbitMQ(site)
    part.prepare()
    password = read_json(site.layout.bootstrap / "rabbitmq.json")["password"]
    assert "load_definitions" in (part.folder / "rabbitmq.conf").read_text()
    assert password not in (part.folder / "definitions.json").read_text()
    part.ready()
    part.prepare()
    assert "load_definitions" not in (part.folder / "rabbitmq.conf").read_text()
    assert not (part.folder / "definitions.json").exists()
    assert "listeners.tcp = none" in (part.folder / "rabbitmq.conf").read_text()


def test_a_new_certificate_changes_the_fingerprint_and_a_rotated_password_does_not(site: Site) -> None:
    part = Redis(site)
    part.prepare()
    part.mark_initialized()
    before = part.fingerprint()
    (part.folder / "users.acl").write_text("user tenantry on #rotated")
    assert part.fingerprint() == before
    (part.folder / "server.pem").unlink()
    part.prepare()
    assert part.fingerprint() != before


def test_the_supervisor_starts_nothing_by_itself_and_survives_percent_signs(site: Site) -> None:
    text = Supervisor(site.layout)._render({part.name: part.program() for part in _parts(site)})
    assert text.count("autostart = false") == text.count("[program:") == 10
    assert "user = " not in text


def test_a_long_home_gets_a_socket_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 90)
    path = Supervisor(Layout(name="demo", home=deep, parts=deep / "parts")).socket
    assert len(str(path)) < 100
    assert not path.is_relative_to(deep)


def test_the_cell_file_reads_back_as_the_same_cell(site: Site) -> None:
    from ruamel.yaml import YAML

    cell = describe(site, simulated=True)
    assert Cell.model_validate(YAML(typ="safe").load(render(cell))) == cell
    assert cell.spec.kubernetes.simulated_nodes
    assert cell.spec.domain == "demo.tenantry.localhost"
    assert "PRIVATE KEY" not in render(cell)


def test_the_tail_of_a_log_hides_what_the_platform_knows(site: Site) -> None:
    Redis(site).prepare()
    password = read_json(site.layout.bootstrap / "redis.json")["password"]
    log = site.layout.logs / "redis.log"
    log.write_text(f"one\nlogin with {password} refused\n")
    assert tail_of(log, site.layout) == "one | login with [hidden] refused"


@pytest.mark.parametrize("name", ["", "Upper", "-a", "a-", "a/b", "..", "a" * 32])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        LocalPlatform(name)


def test_what_has_never_been_up_has_no_status_and_no_environment(tmp_path: Path) -> None:
    platform = LocalPlatform("demo", tmp_path / "demo")
    assert platform.status() == ()
    with pytest.raises(DependencyUnavailable, match="has not been up") as caught:
        platform.environment()
    assert caught.value.hint == "run `tenantry local up`"
    platform.down()
    platform.remove()
    assert list(tmp_path.iterdir()) == []


def test_removing_leaves_nothing_not_even_the_lock(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    LocalPlatform("demo", tmp_path / "demo").remove()
    assert list(tmp_path.iterdir()) == []


def test_logs_knows_its_parts_only(tmp_path: Path) -> None:
    platform = LocalPlatform("demo", tmp_path / "demo")
    assert platform.logs("mariadb").name == "mariadb.log"
    with pytest.raises(InvalidInput, match="no part"):
        platform.logs("../secret")


def test_a_platform_keeps_the_cluster_that_it_was_made_with(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    home.mkdir()
    layout = Layout.of("demo", home)
    keep_record(layout, kubeconfig=None, nodes=None)
    with pytest.raises(Conflict, match="control plane of its own"):
        require_as_made(layout, kubeconfig=tmp_path / "config", nodes=None)


def _operator(site: Site, build: str) -> Operator:
    operated = Operated(records=site.layout.home, build=build)
    return Operator(site, Authorities.of(site.layout.authorities), "https://127.0.0.1:1", operated)


def test_the_operator_is_its_service_account_and_nobody_more(site: Site) -> None:
    site.layout.cell_file.write_text(render(describe(site, simulated=True, operated=True)))
    part = _operator(site, "1")
    part.prepare()
    certificate = x509.load_pem_x509_certificate((part.folder / "client.pem").read_bytes())
    assert ACCOUNT in certificate.subject.rfc4514_string()
    assert "system:masters" not in certificate.subject.rfc4514_string()
    program = part.program()
    assert not [name for name in program.environment if "TOKEN" in name or "BOOTSTRAP" in name]
    assert "0.0.0.0" not in " ".join(program.command)


def test_an_operator_of_another_build_or_cell_is_another(site: Site) -> None:
    site.layout.cell_file.write_text("a cell")
    marks = set()
    for build, cell in (("1", "a cell"), ("1", "a cell"), ("2", "a cell"), ("2", "another cell")):
        site.layout.cell_file.write_text(cell)
        part = _operator(site, build)
        part.prepare()
        marks.add(part.fingerprint())
    assert len(marks) == 3


def test_a_platform_of_an_earlier_version_gets_a_port_for_its_operator(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    home.mkdir()
    layout = Layout.of("demo", home)
    keep_record(layout, kubeconfig=None, nodes=None)
    record = read_json(layout.record)
    older = {**record, "ports": {name: port for name, port in record["ports"].items() if name != "operator"}}
    write_json(layout.record, older)
    keep_record(layout, kubeconfig=None, nodes=None)
    ports = read_json(layout.record)["ports"]
    assert {name: port for name, port in ports.items() if name != "operator"} == older["ports"]
    assert ports["operator"] not in older["ports"].values()
