"""Redis: the cell's shared cache, TLS only, logins by ACL file."""

from __future__ import annotations

import hashlib

from tenantry.local.layout import Owner, owner_of
from tenantry.local.part import Account, Health, Part, Program, State
from tenantry.local.ports import LOOPBACK

__all__ = ["Redis"]


class Redis(Part):
    """One Redis server. Its default user is off; the ACL file keeps hashes, no passwords."""

    name = "redis"

    @property
    def owner(self) -> Owner:
        return owner_of("redis")

    def program(self) -> Program:
        return Program(
            command=(str(self.site.tools["redis-server"]), str(self.folder / "redis.conf")), owner=self.owner
        )

    def prepare(self) -> None:
        if not self.initialized:
            self.clear_data()
        folder = self.make_folder("data")
        authority = self.trust()
        certificate, key = self.site.authority.issue(folder, "server", self.service_leaf(), owner=self.owner)
        if not self.initialized:
            admin, health = self.new_account("tenantry"), self.new_account("health")
            self.write("users.acl", _acl(admin, health))
            self.keep_health_account(health)
            self.hand_over(admin)
        self.write(
            "redis.conf",
            f"""\
bind {" ".join(self.site.service_addresses)}
port 0
tls-port {self.port}
tls-cert-file "{certificate}"
tls-key-file "{key}"
tls-ca-cert-file "{authority}"
tls-auth-clients no
tls-protocols "TLSv1.2 TLSv1.3"
protected-mode yes
aclfile "{folder / "users.acl"}"
dir "{folder / "data"}"
appendonly yes
save ""
maxmemory-policy noeviction
daemonize no
# A title of its own would overwrite the variables by which the supervisor's programs are known.
set-proc-title no
logfile ""
""",
        )

    def probe(self) -> Health:
        account = self.health_account()
        if account is None:
            return Health(state=State.STOPPED, message="not made yet", hint="run `tenantry local up`")
        # Imported here: the client takes longer to load than all of a short command, and only `up` and `status` ask.
        import redis

        client = redis.Redis(
            host=LOOPBACK,
            port=self.port,
            username=account.username,
            password=account.password,
            ssl=True,
            ssl_ca_certs=str(self.site.layout.ca_file),
            ssl_check_hostname=True,
            socket_timeout=3,
            socket_connect_timeout=3,
        )
        try:
            client.ping()
        except redis.AuthenticationError:
            return Health(
                state=State.UNHEALTHY,
                message="Redis refuses the health account",
                hint=f"restore the user `health` in {self.folder / 'users.acl'}, then `tenantry local down` and `up`",
            )
        except redis.RedisError as error:
            return Health(
                state=State.UNHEALTHY, message=f"no answer to PING ({type(error).__name__})", hint=f"read {self.log}"
            )
        finally:
            client.close()
        return Health(state=State.RUNNING)


def _acl(admin: Account, health: Account) -> str:
    def hashed(account: Account) -> str:
        return hashlib.sha256(account.password.encode()).hexdigest()

    return (
        "user default off resetkeys resetchannels -@all\n"
        f"user {admin.username} on #{hashed(admin)} ~* &* +@all\n"
        f"user {health.username} on #{hashed(health)} resetkeys resetchannels -@all +ping\n"
    )
