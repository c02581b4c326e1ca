"""The unmodified ``openstack`` client drives the API."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventlet.green import subprocess

from controller import runtime
from tests.api.conftest import Api

CLIENT = Path(sys.executable).with_name("openstack")


class Client:
    """``openstack``, which reads several commands from one standard input: it starts slowly."""

    def __init__(self, port: int, home: Path) -> None:
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "OS_AUTH_TYPE": "none",
            "OS_ENDPOINT": f"http://127.0.0.1:{port}",
        }

    def run(self, *commands: str) -> list[Any]:
        """The JSON of each command's output, in order; commands without output are left out."""
        done = subprocess.run(
            [str(CLIENT)],
            input="\n".join(commands) + "\n",
            env=self._environment,
            capture_output=True,
            text=True,
        )
        assert not done.stderr.strip(), done.stderr
        text, decoder, results = done.stdout, json.JSONDecoder(), []
        while (start := min((at for c in "{[" if (at := text.find(c)) >= 0), default=-1)) >= 0:
            value, end = decoder.raw_decode(text[start:])
            results.append(value)
            text = text[start + end :]
        return results


@pytest.fixture
def client(api: Api, tmp_path: Path) -> Iterator[Client]:
    listener = runtime.listen(("127.0.0.1", 0))
    server = runtime.spawn(runtime.wsgi_server, listener, api.app, log_output=False)
    yield Client(listener.getsockname()[1], tmp_path)
    server.kill()


@pytest.mark.skipif(not CLIENT.exists(), reason="needs python-openstackclient")
def test_networks_subnets_and_ports_from_birth_to_death(client: Client, api: Api) -> None:
    network, four, six, port, other = client.run(
        "network create --description coloured --tag red blue -f json",
        "subnet create --network blue --subnet-range 10.0.0.0/24 --dns-nameserver 10.0.0.53 "
        "four -f json",
        "subnet create --network blue --ip-version 6 --subnet-range 2001:db8::/64 "
        "--ipv6-ra-mode slaac --ipv6-address-mode slaac six -f json",
        "port create --network blue --fixed-ip subnet=four,ip-address=10.0.0.9 web -f json",
        "port create --network blue --host one --mac-address fa:16:3e:00:00:09 db -f json",
    )
    assert network["description"] == "coloured"
    assert network["tags"] == ["red"]
    assert four["gateway_ip"] == "10.0.0.1"
    assert six["ipv6_ra_mode"] == "slaac"
    assert port["fixed_ips"][0]["ip_address"] == "10.0.0.9"
    assert other["mac_address"] == "fa:16:3e:00:00:09"
    assert other["binding_host_id"] == "one"

    networks, subnets, ports, shown, after, flat = client.run(
        "network list -f json",
        "subnet list --network blue -f json",
        "port list --network blue --sort-column Name -f json",
        "subnet show four -f json",
        "port set --name www --disable --fixed-ip subnet=four,ip-address=10.0.0.10 web",
        "port unset --fixed-ip subnet=four,ip-address=10.0.0.9 www",
        "subnet set --no-dns-nameservers --dns-nameserver 10.0.0.54 four",
        "network set --name green --no-tag --tag blue --mtu 1400 blue",
        "port show www -f json",
        "network create --provider-network-type flat --provider-physical-network physnet1 "
        "wire -f json",
    )
    assert [row["Name"] for row in networks] == ["blue"]
    assert {row["Name"] for row in subnets} == {"four", "six"}
    assert [row["Name"] for row in ports] == ["db", "web"]
    assert shown["cidr"] == "10.0.0.0/24"
    assert (after["name"], after["admin_state_up"]) == ("www", False)
    assert "10.0.0.10" in [ip["ip_address"] for ip in after["fixed_ips"]]
    assert flat["provider:network_type"] == "flat"
    (green,) = api.list("network", "name=green")
    assert (green["tags"], green["mtu"]) == (["blue"], 1400)

    (left,) = client.run(
        "port delete www db",
        "subnet delete four six",
        "network delete green wire",
        "network list -f json",
    )
    assert left == []
    assert not api.list("port")
