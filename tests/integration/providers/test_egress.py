"""The egress proxy on the real OpenBao: the agent renders who may come and where to, and a real Squid keeps to it."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import hvac
import hvac.exceptions
import kubernetes.client
import kubernetes.config
import pytest
import requests
from tenacity import Retrying, retry_if_exception_type, retry_if_result, stop_after_delay, wait_fixed

from tenantry.openbao import openbao
from tenantry.tenancy.cell import Cell
from tenantry_components.agent import RENDERED_FOLDER, agent_settings
from tenantry_components.cell_services import EGRESS_ACCOUNT, EGRESS_ROLE
from tenantry_components.providers.egress_entry import ENTRIES, EgressEntryProvider
from tenantry_components.squid_configuration import INNER_RANGES, rendered_files, squid_configuration
from tests.programs import program

LIMIT_S = 60
LOOPBACK = "127.0.0.0/8"


def props(tenant: str, *hosts: str) -> dict[str, Any]:
    return {
        "namespace": tenant,
        "hosts": sorted(hosts),
        "kv_mount": "kv",
        "kv_path": f"tenants/{tenant}/egress",
        "verifier": "exact",
    }


def password(tenant: str) -> str:
    found = openbao().kv_read("kv", f"tenants/{tenant}/egress")
    assert found is not None
    return str(found[0]["password"])


@pytest.fixture
def enrolled(tenant: str) -> Iterator[Callable[..., str]]:
    """Gives a tenant its entry; all are removed in the end."""
    made = []

    def enrol(suffix: str, *hosts: str) -> str:
        name = f"{tenant}-{suffix}"
        made.append(name)
        EgressEntryProvider().create(props(name, *hosts))
        return name

    yield enrol
    for name in made:
        EgressEntryProvider().delete("", props(name))


# ---- the entry ------------------------------------------------------------------------------------------------------


def test_an_entry_holds_no_password_and_follows_the_tenants_file(enrolled: Callable[..., str]) -> None:
    name = enrolled("a", "api.crm.example.com:443", "shop.example.com:8443")
    before = password(name)
    wanted = props(name, "api.crm.example.com:443", "mail.example.com:443")
    assert EgressEntryProvider().read("", wanted).inputs["hosts"] != wanted["hosts"]
    EgressEntryProvider().update("", props(name), wanted)
    assert EgressEntryProvider().read("", wanted).inputs == wanted
    entry = openbao().kv_read("kv", f"{ENTRIES}/{name}")
    assert entry is not None
    assert json.loads(entry[0]["hosts"]) == {"443": ["api.crm.example.com", "mail.example.com"]}
    assert password(name) == before
    assert before not in json.dumps(entry[0])


def test_a_second_run_writes_nothing(enrolled: Callable[..., str]) -> None:
    name = enrolled("a", "api.crm.example.com:443")
    first = openbao().kv_read("kv", f"{ENTRIES}/{name}")
    EgressEntryProvider().create(props(name, "api.crm.example.com:443"))
    assert openbao().kv_read("kv", f"{ENTRIES}/{name}") == first


def test_an_entry_that_somebody_edited_is_found_and_repaired(enrolled: Callable[..., str]) -> None:
    name = enrolled("a", "api.crm.example.com:443")
    wanted = props(name, "api.crm.example.com:443")
    openbao().kv_write("kv", f"{ENTRIES}/{name}", {"verifier": "open", "hosts": "everywhere"}, version=1)
    seen = EgressEntryProvider().read("", wanted).inputs
    assert (seen["verifier"], seen["hosts"]) == ("differs", [])
    EgressEntryProvider().update("", wanted, wanted)
    assert EgressEntryProvider().read("", wanted).inputs == wanted


@pytest.mark.parametrize(
    "host",
    ["api.example.com", "api.example.com:0", "a b:443", "a\nhttp_access allow all:443", ".example.com:443", "A.b:443"],
)
def test_what_would_be_more_than_a_host_in_the_proxys_file_is_refused(tenant: str, host: str) -> None:
    assert EgressEntryProvider().check({}, props(tenant, host)).failures


def test_the_provisioners_token_is_enough(
    environment: dict[str, str], enrolled: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = hvac.Client(
        url=environment["VAULT_ADDR"], token=environment["VAULT_TOKEN"], verify=environment["VAULT_CACERT"]
    )
    made = admin.auth.token.create(policies=["tenantry-provisioner"], ttl="5m")
    monkeypatch.setenv("VAULT_TOKEN", made["auth"]["client_token"])
    name = enrolled("p", "api.crm.example.com:443")
    wanted = props(name, "api.crm.example.com:443")
    assert EgressEntryProvider().read("", wanted).inputs == wanted
    EgressEntryProvider().delete("", wanted)
    assert EgressEntryProvider().read("", wanted).id == ""


# ---- the proxy's own login ------------------------------------------------------------------------------------------


def pod_token(environment: dict[str, str], cell: Cell, account: str) -> str:
    api = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(environment["KUBECONFIG"]))
    request = {"spec": {"audiences": [cell.spec.openbao.audience], "expirationSeconds": 600}}
    answer = api.create_namespaced_service_account_token(account, cell.spec.egress.namespace, request)
    return str(answer.status.token)


def test_the_proxys_token_reads_entries_and_no_tenants_secret(
    environment: dict[str, str], cell: Cell, enrolled: Callable[..., str]
) -> None:
    name = enrolled("a", "api.crm.example.com:443")
    client = hvac.Client(url=environment["VAULT_ADDR"], verify=environment["VAULT_CACERT"])
    client.auth.kubernetes.login(role=EGRESS_ROLE, jwt=pod_token(environment, cell, EGRESS_ACCOUNT))
    assert "verifier" in client.read(f"kv/data/{ENTRIES}/{name}")["data"]["data"]
    for path in (f"kv/data/tenants/{name}/egress", "kv/data/cell/redis", f"database/static-creds/{name}-a"):
        with pytest.raises(hvac.exceptions.Forbidden):
            client.read(path)
    with pytest.raises(hvac.exceptions.Forbidden):
        client.secrets.kv.v2.create_or_update_secret(f"{ENTRIES}/{name}", {"hosts": "{}"}, mount_point="kv")


@pytest.mark.parametrize(("role", "account"), [(EGRESS_ROLE, "default"), ("tenant", EGRESS_ACCOUNT)])
def test_nobody_else_logs_in_as_the_proxy_nor_the_proxy_as_a_tenant(
    environment: dict[str, str], cell: Cell, role: str, account: str
) -> None:
    client = hvac.Client(url=environment["VAULT_ADDR"], verify=environment["VAULT_CACERT"])
    with pytest.raises((hvac.exceptions.Forbidden, hvac.exceptions.InvalidRequest)):
        client.auth.kubernetes.login(role=role, jwt=pod_token(environment, cell, account))


# ---- a real agent and a real Squid ----------------------------------------------------------------------------------


class Upstream(BaseHTTPRequestHandler):
    """An outside system: says which host it was asked for."""

    def do_GET(self) -> None:
        body = f"{self.headers['Host']} {self.headers.get('Proxy-Authorization')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def upstream() -> Iterator[int]:
    """Port of an outside system on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A running proxy with its agent."""

    port: int
    folder: Path

    def get(self, url: str, login: str = "") -> tuple[int, str]:
        """Status and text of a plain request through the proxy. login: `user:password`."""
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(url, proxies={"http": f"http://{login}{'@' if login else ''}127.0.0.1:{self.port}"})
        return answer.status_code, answer.text

    def connect(self, host: str, login: str) -> int:
        """Status that CONNECT to `host:port` gets."""
        done = subprocess.run(
            ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_connect}", "--noproxy", "", "-m", "20",
             "-x", f"http://127.0.0.1:{self.port}", "-K", "-", f"https://{host}/"],
            input=f'proxy-user = "{login}"\n',
            text=True,
            capture_output=True,
        )  # fmt: skip
        return int(done.stdout)

    def waits_for(self, wanted: int, url: str, login: str) -> None:
        """Until a request gets this status. Squid's port is closed for a moment while it reads new rules."""
        retrying = Retrying(
            retry=retry_if_result(lambda status: status != wanted)
            | retry_if_exception_type(requests.exceptions.ConnectionError),
            stop=stop_after_delay(LIMIT_S),
            wait=wait_fixed(0.2),
        )
        retrying(lambda: self.get(url, login)[0])

    @property
    def log(self) -> str:
        return "".join((self.folder / name).read_text(encoding="utf-8") for name in ("output", "log", "access"))


@contextlib.contextmanager
def running_proxy(
    environment: dict[str, str], cell: Cell, names: list[str], *, inner: tuple[str, ...]
) -> Iterator[Proxy]:
    """The Deployment's pod as processes of this machine: the same files, other folders.

    names: what the proxy's resolver knows, all at 127.0.0.1. inner: ranges that it refuses.
    """
    squid = program("squid", "squid")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    moved = cell.model_copy(
        update={"spec": cell.spec.model_copy(update={"egress": cell.spec.egress.model_copy(update={"port": port})})}
    )
    folder = Path(tempfile.mkdtemp(prefix="tenantry-egress-"))
    rendered = folder / "rendered"
    rendered.mkdir()
    settings = json.loads(agent_settings(moved.spec, rendered_files(moved), role=EGRESS_ROLE))
    settings["vault"]["ca_cert"] = str(shutil.copyfile(environment["VAULT_CACERT"], folder / "ca.pem"))
    settings["template_config"]["static_secret_render_interval"] = "1s"
    settings["auto_auth"]["method"][0]["config"]["token_path"] = str(folder / "token")
    settings["auto_auth"]["method"][0]["config"]["remove_jwt_after_reading"] = False
    for index, (template, source) in enumerate(zip(settings["template"], rendered_files(moved), strict=True)):
        (folder / f"template-{index}").write_text(source.template, encoding="utf-8")
        template["perms"] = "0444"  # the agent and Squid share one user in the pod, not here
        template["source"] = str(folder / f"template-{index}")
        template["destination"] = template["destination"].replace(RENDERED_FOLDER, str(rendered))
    (folder / "agent.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "token").write_text(pod_token(environment, moved, EGRESS_ACCOUNT), encoding="utf-8")
    (folder / "hosts").write_text("".join(f"127.0.0.1 {name}\n" for name in names), encoding="utf-8")
    conf = squid_configuration(moved, inner=inner).replace(RENDERED_FOLDER, str(rendered))
    conf = conf.replace(f"http_port {port}", f"http_port 127.0.0.1:{port}").replace(
        "/dev/stdout", str(folder / "access")
    )
    conf = conf.replace("/dev/stderr", str(folder / "log")).replace("shutdown_lifetime 20", "shutdown_lifetime 0")
    script = files("tenantry_components").joinpath("proxy.sh").read_text(encoding="utf-8")
    (folder / "proxy.sh").write_text(script, encoding="utf-8")
    (folder / "squid.conf").write_text(f"{conf}hosts_file {folder}/hosts\n", encoding="utf-8")
    proxy_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        # As the pod does: not as root, which Squid would leave by itself anyway.
        account = pwd.getpwnam("proxy")
        proxy_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid)
    path = {"PATH": f"{squid.parent}:/usr/bin:/bin", "HOME": str(folder)}
    with (folder / "output").open("w") as output, contextlib.ExitStack() as stack:

        def start(*command: str, user: Mapping[str, Any], **more: str) -> None:
            process = subprocess.Popen(command, env=path | more, stdout=output, stderr=output, cwd=folder, **user)
            stack.callback(process.wait, timeout=LIMIT_S)
            stack.callback(process.terminate)

        start(str(Path(sys.executable).with_name("bao")), "agent", f"-config={folder}/agent.json", user={})
        said = Retrying(
            retry=retry_if_result(lambda done: not done), stop=stop_after_delay(LIMIT_S), wait=wait_fixed(0.1)
        )
        said(lambda: len(list(rendered.iterdir())) == 2)
        start(
            "sh", str(folder / "proxy.sh"),
            TENANTRY_CONFIGURATION=str(rendered),
            TENANTRY_PROXY=str(folder / "squid.conf"),
            TENANTRY_CHECK_SECONDS="0.2",
            user=proxy_user,
        )  # fmt: skip
        said(lambda: (folder / "access").exists() and "Accepting HTTP Socket" in (folder / "log").read_text())
        yield Proxy(port=port, folder=folder)
    shutil.rmtree(folder)


def test_a_tenant_reaches_its_own_hosts_and_no_others(
    environment: dict[str, str], cell: Cell, enrolled: Callable[..., str], upstream: int
) -> None:
    names = ["api.crm.example.com", "shop.example.com", "other.example.com"]
    own = enrolled("a", f"api.crm.example.com:{upstream}")
    other = enrolled("b", f"shop.example.com:{upstream}")
    allowed = tuple(one for one in INNER_RANGES if one != LOOPBACK)
    with running_proxy(environment, cell, names, inner=allowed) as proxy:
        login, url = f"{own}:{password(own)}", f"http://api.crm.example.com:{upstream}/?secret=4711"
        assert proxy.get(url, login) == (200, f"api.crm.example.com:{upstream} None")
        assert proxy.connect(f"api.crm.example.com:{upstream}", login) == 200
        refused = {
            "a neighbour's host": proxy.get(f"http://shop.example.com:{upstream}/", login)[0],
            "a host on nobody's list": proxy.get(f"http://other.example.com:{upstream}/", login)[0],
            "an address": proxy.get(f"http://127.0.0.1:{upstream}/", login)[0],
            "its own host at another port": proxy.get("http://api.crm.example.com:1/", login)[0],
            "a tunnel to a neighbour's host": proxy.connect(f"shop.example.com:{upstream}", login),
            "the proxy's own manager": proxy.get(f"http://127.0.0.1:{proxy.port}/squid-internal-mgr/menu", login)[0],
        }
        assert set(refused.values()) == {403}, refused
        unknown = {
            "no login": proxy.get(url)[0],
            "a wrong password": proxy.get(url, f"{own}:{'0' * 64}")[0],
            "a neighbour's password": proxy.get(url, f"{own}:{password(other)}")[0],
            "a tenant that is not there": proxy.get(url, f"t-nobody:{password(own)}")[0],
            "a tunnel with a wrong password": proxy.connect(f"api.crm.example.com:{upstream}", f"{own}:wrong"),
        }
        assert set(unknown.values()) == {407}, unknown
        assert f"{own} GET api.crm.example.com:{upstream} 200" in proxy.log
        assert "4711" not in proxy.log
        assert password(own) not in proxy.log


def test_new_changed_and_removed_entries_are_followed_without_a_restart(
    environment: dict[str, str], cell: Cell, enrolled: Callable[..., str], upstream: int
) -> None:
    first = enrolled("a", f"api.crm.example.com:{upstream}")
    allowed = tuple(one for one in INNER_RANGES if one != LOOPBACK)
    with running_proxy(environment, cell, ["api.crm.example.com"], inner=allowed) as proxy:
        url = f"http://api.crm.example.com:{upstream}/"
        assert proxy.get(url, f"{first}:{password(first)}")[0] == 200
        second = enrolled("b", f"api.crm.example.com:{upstream}")
        login = f"{second}:{password(second)}"
        proxy.waits_for(200, url, login)
        EgressEntryProvider().update("", {}, props(second, "shop.example.com:443"))
        proxy.waits_for(403, url, login)
        EgressEntryProvider().delete("", props(second))
        proxy.waits_for(407, url, login)
        proxy.waits_for(200, url, f"{first}:{password(first)}")


def test_a_declared_name_that_leads_inside_is_refused(
    environment: dict[str, str], cell: Cell, enrolled: Callable[..., str], upstream: int
) -> None:
    own = enrolled("a", f"rebound.example.com:{upstream}")
    with running_proxy(environment, cell, ["rebound.example.com"], inner=INNER_RANGES) as proxy:
        assert proxy.get(f"http://rebound.example.com:{upstream}/", f"{own}:{password(own)}")[0] == 403
