"""MariaDB: the cell's shared database server, encrypted at rest by keys that OpenBao keeps."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pymysql

from tenantry.local.keys import OpenBao
from tenantry.local.layout import Owner, owner_of, write_file
from tenantry.local.part import Health, Part, Program, Site, State
from tenantry.local.ports import LOOPBACK
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["MariaDB"]


class MariaDB(Part):
    """One MariaDB server. Every table, log and temporary file is encrypted with the cell's key."""

    name = "mariadb"
    start_seconds = 90.0

    def __init__(self, site: Site, openbao: OpenBao) -> None:
        super().__init__(site)
        self._openbao = openbao

    @property
    def owner(self) -> Owner:
        return owner_of("mysql")

    @property
    def socket(self) -> Path:
        """In a folder that only the server's account, ours and root may enter."""
        return self.folder / "data" / "server.sock"

    @property
    def administrator(self) -> str:
        """Who may do everything on the socket, without a password: the system account that keeps the platform."""
        try:
            return pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:  # an account without a name, which the server could not tell either
            return "root"

    def program(self) -> Program:
        return Program(
            command=(
                str(self.site.tools["mariadbd"]),
                f"--defaults-file={self.folder / 'my.cnf'}",
                # Without an account of its own to run as, root must be asked for by name.
                *(("--user=root",) if os.geteuid() == 0 and not self.owner.name else ()),
            ),
            owner=self.owner,
            stop_seconds=60,
        )

    def prepare(self) -> None:
        if not self.initialized:
            self.clear_data()
        folder = self.make_folder("data", "temporary", "files")
        self.trust()
        self.site.authority.issue(folder, "server", self.service_leaf(), owner=self.owner)
        self.write("my.cnf", self._configuration())
        if not self.initialized:
            self._initialize()

    def _configuration(self) -> str:
        folder = self.folder
        return f"""\
[mariadbd]
datadir = {folder / "data"}
tmpdir = {folder / "temporary"}
secure_file_priv = {folder / "files"}
socket = {self.socket}
pid_file = {folder / "data" / "server.pid"}
bind_address = {",".join(self.site.service_addresses)}
port = {self.port}
skip_name_resolve = ON
local_infile = OFF
symbolic_links = OFF
max_connections = 2000
character_set_server = utf8mb4
collation_server = utf8mb4_unicode_ci
ssl_ca = {folder / "ca.pem"}
ssl_cert = {folder / "server.pem"}
ssl_key = {folder / "server.key"}
tls_version = TLSv1.2,TLSv1.3
require_secure_transport = ON
innodb_buffer_pool_size = 256M
log_bin = binlog
server_id = 1
binlog_format = ROW
binlog_expire_logs_seconds = 604800
plugin_load_add = hashicorp_key_management
loose_hashicorp_key_management_vault_url = {self._openbao.keys_url}
loose_hashicorp_key_management_vault_ca = {folder / "ca.pem"}
loose_hashicorp_key_management_token = {self._openbao.reader_token() or ""}
loose_hashicorp_key_management_use_cache_on_timeout = ON
innodb_encrypt_tables = FORCE
innodb_encrypt_log = ON
innodb_encrypt_temporary_tables = ON
innodb_encryption_threads = 2
enforce_storage_engine = InnoDB
aria_encrypt_tables = ON
encrypt_binlog = ON
encrypt_tmp_files = ON
encrypt_tmp_disk_tables = ON
"""

    def _initialize(self) -> None:
        admin, health = self.new_account("tenantry"), self.new_account("health")
        statements = self.folder / "first.sql"
        # Passwords come from an alphabet without quotes. Anonymous users would shadow named ones on localhost.
        write_file(
            statements,
            "FLUSH PRIVILEGES;\n"
            "DELETE FROM mysql.global_priv WHERE User = '';\n"
            f"CREATE USER 'tenantry'@'%' IDENTIFIED BY '{admin.password}' REQUIRE SSL;\n"
            "GRANT ALL PRIVILEGES ON *.* TO 'tenantry'@'%' WITH GRANT OPTION;\n"
            f"CREATE USER 'health'@'%' IDENTIFIED BY '{health.password}' REQUIRE SSL WITH MAX_USER_CONNECTIONS 5;\n"
            "FLUSH PRIVILEGES;\n",
        )
        try:
            done = subprocess.run(
                [
                    str(self.site.tools["mariadb-install-db"]),
                    f"--defaults-file={self.folder / 'my.cnf'}",
                    # The start-up script's own tables are Aria, which this setting would forbid.
                    "--enforce-storage-engine=",
                    "--auth-root-authentication-method=socket",
                    # Besides root, which always is one.
                    f"--auth-root-socket-user={self.administrator}",
                    *((f"--user={self.owner.name}",) if self.owner.name else ()),
                    "--skip-test-db",
                    f"--extra-file={statements}",
                ],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=180,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DependencyUnavailable(
                "MariaDB's data folder was not ready within 180 s",
                where=str(self.folder),
                hint="run `tenantry local up` again: it begins anew",
            ) from error
        finally:
            statements.unlink(missing_ok=True)
        if done.returncode != 0:
            write_file(self.log, done.stdout + done.stderr)
            reason = next((line for line in done.stderr.splitlines() if "ERROR" in line), done.stderr.strip()[-200:])
            raise DependencyUnavailable(
                f"MariaDB's data folder cannot be made: {reason}", where=str(self.log), hint="read its log"
            )
        self.keep_health_account(health)
        self.hand_over(admin)
        self.mark_initialized()

    def probe(self) -> Health:
        account = self.health_account()
        if account is None:
            return Health(state=State.STOPPED, message="not made yet", hint="run `tenantry local up`")
        try:
            connection = pymysql.connect(
                host=LOOPBACK,
                port=self.port,
                user=account.username,
                password=account.password,
                ssl_ca=str(self.site.layout.ca_file),
                ssl_verify_cert=True,
                ssl_verify_identity=True,
                connect_timeout=3,
                read_timeout=3,
                write_timeout=3,
            )
        except (pymysql.MySQLError, OSError) as error:
            return Health(state=State.UNHEALTHY, message=f"no login ({_reason(error)})", hint=f"read {self.log}")
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except pymysql.MySQLError as error:
            return Health(state=State.UNHEALTHY, message=f"SELECT 1 fails ({_reason(error)})", hint=f"read {self.log}")
        finally:
            connection.close()
        return Health(state=State.RUNNING)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__} {error.args[0]}" if error.args else type(error).__name__
