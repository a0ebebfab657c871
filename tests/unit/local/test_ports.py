"""Free ports: distinct, outside the kernel's range for outgoing connections, and told when taken."""

from __future__ import annotations

import socket

import pytest

from tenantry.local.ports import LOOPBACK, choose, is_free, require_free
from tenantry.tenancy.errors import DependencyUnavailable


def test_chosen_ports_are_distinct_free_and_not_a_neighbours() -> None:
    first = choose(["a", "b", "c"])
    second = choose(["a", "b", "c"], taken=set(first.values()))
    every = [*first.values(), *second.values()]
    assert len(set(every)) == 6
    assert all(is_free(port) for port in every)
    assert all(20_000 <= port < 49_152 for port in every)


def test_a_taken_port_names_the_part_the_address_and_what_to_do() -> None:
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen(1)
        port = server.getsockname()[1]
        with pytest.raises(DependencyUnavailable, match=f"port {port} of redis is taken") as caught:
            require_free(port, part="redis")
    assert caught.value.where == f"{LOOPBACK}:{port}"
    assert caught.value.hint is not None
    require_free(port, part="redis")
