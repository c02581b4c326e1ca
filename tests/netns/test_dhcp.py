# SPDX-License-Identifier: Apache-2.0

"""Machines that come up by themselves: real DHCP clients, and the kernel's own SLAAC."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import dhcp_client
from tests.conftest import need
from tests.dhcp_client import running
from tests.lab import Lab, lab
from tests.namespace import Guest
from tests.openvswitch import OpenVSwitch
from tests.outside import machine

DEMO_DOMAIN = "tenantry.internal"


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    for program in ("busybox", "dhclient"):
        need(shutil.which(program) is not None, program)
    options = {"dhcp__ntp_servers": "192.0.2.123,2001:db8::123"}
    with lab(ovs, tmp_path, **options) as running_lab:
        yield running_lab
        running_lab.verify()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return dhcp_client.write(tmp_path)


def up(net: Lab, port: Any) -> Guest:
    guest = net.guest(port, bare=True)
    guest.run("ip", "link", "set", "eth0", "up")
    return guest


def subnet(net: Lab, network: Any, cidr: str, **attributes: Any) -> Any:
    version = 6 if ":" in cidr else 4
    return net.create(
        "subnet", network_id=network["id"], cidr=cidr, ip_version=version, **attributes
    )


def test_everything_that_a_host_is_told(net: Lab, script: Path) -> None:
    network = net.create("network", mtu=1400, dns_domain="blue.example.")
    made = subnet(
        *(net, network, "10.0.0.0/24"),
        host_routes=[{"destination": "192.0.2.0/24", "nexthop": "10.0.0.9"}],
    )
    port, other = net.port(network, dns_name="web"), net.port(network)
    guest, _ = up(net, port), net.guest(other)
    with running(dhcp_client.udhcpc(guest, script)) as client:
        assert "ip" not in client.told()  # "deconfig", the first event
        told = client.told()
    service = made["service_address"]
    assert told["ip"] == port["fixed_ips"][0]["ip_address"]
    assert told["subnet"] == "255.255.255.0"
    assert told["router"] == "10.0.0.1"
    assert told["dns"] == told["serverid"] == service
    assert told["mtu"] == "1400"
    assert told["domain"] == told["search"] == "blue.example"
    assert told["hostname"] == "web"
    assert told["lease"] == "86400"
    assert told["ntpsrv"] == "192.0.2.123"
    assert told["staticroutes"] == told["msstaticroutes"]
    assert told["staticroutes"].split() == [
        *("192.0.2.0/24", "10.0.0.9", "169.254.169.254/32", service, "0.0.0.0/0", "10.0.0.1"),
    ]
    assert "mtu 1400" in guest.run("ip", "link", "show", "eth0")
    assert guest.pings(other["fixed_ips"][0]["ip_address"])


def test_a_lease_is_renewed_by_unicast(net: Lab, script: Path) -> None:
    network = net.network("10.0.0.0/24")
    port = net.port(network)
    guest = up(net, port)
    with running(dhcp_client.udhcpc(guest, script)) as client:
        client.told()
        first = client.told()
        client.process.send_signal(signal.SIGUSR1)
        again = client.told()
    assert first["ip"] == again["ip"]
    assert (first["EVENT"], again["EVENT"]) == ("bound", "renew")


LEASE = """lease {
  interface "eth0";
  fixed-address 10.0.0.99;
  option subnet-mask 255.255.255.0;
  option dhcp-lease-time 86400;
  renew never; rebind never; expire never;
}
"""


def test_a_host_that_asks_for_what_is_not_its_own_is_told_no(
    net: Lab, script: Path, tmp_path: Path
) -> None:
    """One that comes back with a lease from before (INIT-REBOOT: RFC 2131, 4.3.2)."""
    port = net.port(net.network("10.0.0.0/24"))
    (tmp_path / "leases").write_text(LEASE)
    client = dhcp_client.dhclient(up(net, port), tmp_path, script)
    while (told := client.told())["reason"] != "BOUND":
        pass
    said = client.close()
    assert said.index("DHCPREQUEST for 10.0.0.99") < said.index("DHCPNAK")
    assert told["new_ip_address"] == port["fixed_ips"][0]["ip_address"]


def test_options_of_a_ports_own(net: Lab, script: Path) -> None:
    network = net.network("10.0.0.0/24")
    options = {
        "tftp-server": "10.0.0.5",
        "67": "undionly.kpxe",
        "150": "10.0.0.5,10.0.0.6",
        "175": "b1:01:01",
        "dns-server": "10.0.0.53",
        "server-ip-address": "10.0.0.5",
        "router": "",
    }
    extra = [{"opt_name": name, "opt_value": value} for name, value in options.items()]
    port = net.port(network, extra_dhcp_opts=extra)
    asked = ("-O", "tftp", "-O", "bootfile", "-O", "150", "-O", "175")
    with running(dhcp_client.udhcpc(up(net, port), script, *asked)) as client:
        client.told()
        told = client.told()
    assert told["tftp"] == told["sname"] == told["siaddr"] == "10.0.0.5"
    assert told["bootfile"] == told["boot_file"] == "undionly.kpxe"
    assert told["opt150"] == "0a0000050a000006"
    assert told["opt175"] == "b10101"
    assert told["dns"] == "10.0.0.53"
    assert "router" not in told


def test_a_boot_loader_is_told_of_the_next_one(net: Lab, script: Path) -> None:
    """As Ironic has it: the firmware loads iPXE, which asks again, and loads its script."""
    extra = [
        {"opt_name": "tag:!ipxe,67", "opt_value": "undionly.kpxe"},
        {"opt_name": "tag:ipxe,67", "opt_value": "http://10.0.0.5/boot.ipxe"},
        {"opt_name": "tag:!ipxe,server-ip-address", "opt_value": "10.0.0.5"},
    ]
    guest = up(net, net.port(net.network("10.0.0.0/24"), extra_dhcp_opts=extra))
    for says, file, server in (
        ((), "undionly.kpxe", "10.0.0.5"),
        (("-x", "0xaf:010101"), "http://10.0.0.5/boot.ipxe", None),
    ):
        with running(dhcp_client.udhcpc(guest, script, "-O", "bootfile", *says)) as client:
            client.told()
            told = client.told()
        assert (told["bootfile"], told.get("siaddr")) == (file, server)


def test_a_boot_file_is_told_by_dhcpv6_too(net: Lab, script: Path, tmp_path: Path) -> None:
    """A name, and an IPv6 address for its server, make the URL that RFC 5970 has in their place."""
    network = net.create("network")
    modes = {"ipv6_ra_mode": "dhcpv6-stateful", "ipv6_address_mode": "dhcpv6-stateful"}
    subnet(net, network, "2001:db8::/64", **modes)
    net.router(network)
    extra = [
        {"opt_name": "bootfile-name", "opt_value": "pxelinux.0"},
        {"opt_name": "server-ip-address", "opt_value": "2015::badd"},
    ]
    guest = up(net, net.port(network, extra_dhcp_opts=extra))
    configured(guest, "fe80::", "link")
    with running(dhcp_client.dhclient(guest, tmp_path, script, "-6")) as client:
        while (told := client.told())["reason"] != "BOUND6":
            pass
    assert told["new_dhcp6_bootfile_url"] == "tftp://[2015::badd]/pxelinux.0"


def test_two_tenants_with_equal_addresses_are_told_their_own(net: Lab, script: Path) -> None:
    guests = []
    for project, domain in (("red", "red.example."), ("blue", "blue.example.")):
        network = net.network("10.0.0.0/24", project=project, dns_domain=domain)
        port = net.port(network, mac_address="fa:16:3e:00:00:01")
        guests.append((up(net, port), domain))
    for guest, domain in guests:
        with running(dhcp_client.udhcpc(guest, script)) as client:
            client.told()
            assert client.told()["domain"] == domain.rstrip(".")


def test_no_dhcp_where_it_is_switched_off(net: Lab, script: Path) -> None:
    network = net.create("network")
    made = subnet(net, network, "10.0.0.0/24", enable_dhcp=False)
    guest = up(net, net.port(network))
    client = dhcp_client.udhcpc(guest, script, "-n", "-t", "2")
    client.told()
    assert client.told()["EVENT"] == "leasefail"
    client.close()
    net.update("subnet", made["id"], enable_dhcp=True)
    net.settle()
    with running(dhcp_client.udhcpc(guest, script)) as client:
        client.told()
        assert client.told()["ip"]


def addresses(guest: Guest, scope: str = "global") -> set[str]:
    """Its IPv6 addresses that are in use."""
    shown = guest.run("ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", scope)
    return {line.split()[3].split("/")[0] for line in shown.splitlines() if "tentative" not in line}


def configured(guest: Guest, address: str, scope: str = "global") -> None:
    """Wait until the kernel has an address that begins so, and is sure that nobody else has it."""
    guest.run("ip", "link", "set", "eth0", "up")
    guest.until(lambda: any(found.startswith(address) for found in addresses(guest, scope)))


def default_routes(guest: Guest) -> list[str]:
    return guest.run("ip", "-6", "route", "show", "default").splitlines()


def test_slaac(net: Lab) -> None:
    network = net.create("network", mtu=1400)
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    first = subnet(net, network, "2001:db8:1::/64", **modes)
    subnet(net, network, "2001:db8:2::/64", gateway_ip=None, **modes)
    port = net.port(network)
    guest = net.guest(port, bare=True)
    expected = {ip["ip_address"] for ip in port["fixed_ips"]}
    for address in sorted(expected):
        configured(guest, address)
    assert addresses(guest) == expected
    assert default_routes(guest) == [], "nobody routes yet"
    net.interface(net.router(), subnet_id=first["id"])
    guest.until(lambda: bool(default_routes(guest)))
    (route,) = default_routes(guest)
    assert " via fe80::" in route
    assert guest.run("sysctl", "-n", "net.ipv6.conf.eth0.mtu").strip() == "1400"


def test_dhcpv6_stateful(net: Lab, script: Path, tmp_path: Path) -> None:
    network = net.create("network", dns_domain="blue.example.")
    modes = {"ipv6_ra_mode": "dhcpv6-stateful", "ipv6_address_mode": "dhcpv6-stateful"}
    made = subnet(net, network, "2001:db8::/64", **modes)
    net.router(network)
    option = {"opt_name": "bootfile-url", "opt_value": "http://boot/", "ip_version": 6}
    port = net.port(network, extra_dhcp_opts=[option])
    other = net.port(network)
    guest, _ = up(net, port), net.guest(other)
    configured(guest, "fe80::", "link")
    with running(dhcp_client.dhclient(guest, tmp_path, script, "-6")) as client:
        while (told := client.told())["reason"] != "BOUND6":
            pass
    assert told["new_ip6_address"] == port["fixed_ips"][0]["ip_address"]
    assert told["new_dhcp6_name_servers"] == made["service_address"]
    assert told["new_dhcp6_domain_search"].rstrip(".") == "blue.example"
    assert addresses(guest) <= {port["fixed_ips"][0]["ip_address"]}  # nothing of its own making
    assert default_routes(guest)
    assert guest.pings(other["fixed_ips"][0]["ip_address"])


def test_dhcpv6_stateless(net: Lab, script: Path, tmp_path: Path) -> None:
    network = net.create("network")
    modes = {"ipv6_ra_mode": "dhcpv6-stateless", "ipv6_address_mode": "dhcpv6-stateless"}
    subnet(net, network, "2001:db8::/64", dns_nameservers=["2001:db8::53"], **modes)
    port = net.port(network)
    guest = net.guest(port, bare=True)
    configured(guest, port["fixed_ips"][0]["ip_address"])
    with running(dhcp_client.dhclient(guest, tmp_path, script, "-6", "-S")) as client:
        while "new_dhcp6_name_servers" not in (told := client.told()):
            pass
    assert told["new_dhcp6_name_servers"] == "2001:db8::53"
    assert told["new_dhcp6_domain_search"].rstrip(".") == DEMO_DOMAIN


def test_advertisements_reach_the_ports_of_the_network_alone(net: Lab) -> None:
    """Those that come unasked: to guests that were there before the subnet was."""
    network, other = net.create("network"), net.network("2001:db8:9::/64")
    port = net.port(network)
    guest, stranger = up(net, port), up(net, net.port(other))
    subnet(net, network, "2001:db8::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    net.settle()
    assert not addresses(guest)
    for periodic in net.controller.periodic:
        periodic.send()
    (ip,) = net.api("GET", f"/v2.0/ports/{port['id']}")["port"]["fixed_ips"]
    configured(guest, ip["ip_address"])
    assert not addresses(stranger)
    assert not default_routes(stranger)


@pytest.mark.parametrize("gateway", ["fe80::1", "2001:db8:1::1"])
def test_a_router_that_has_another_address_than_the_gateways_is_advertised(
    net: Lab, gateway: str
) -> None:
    """No router can have a gateway of the link; hosts leave by the one that is there."""
    one, two = net.network(), net.network("2001:db8:2::/64")
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    made = subnet(net, one, "2001:db8:1::/64", gateway_ip=gateway, **modes)
    router = net.router(two)
    port = net.port(one, fixed_ips=[{"subnet_id": made["id"]}])
    net.interface(router, port_id=port["id"])
    far = net.port(two)
    machine(net, far)
    guest = net.guest(net.port(one), bare=True)
    guest.run("sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0", "net.ipv6.conf.eth0.accept_ra=2")
    guest.run("ip", "link", "set", "eth0", "up")
    guest.until(lambda: bool(default_routes(guest)))
    net.take_effect()
    assert guest.pings(far["fixed_ips"][0]["ip_address"], count=3)


def test_a_gateway_outside_of_the_subnet_is_reached(net: Lab, script: Path) -> None:
    """Here a machine has it; hosts are told that it is on the link, and leave by it."""
    network = net.network()
    made = subnet(net, network, "10.0.0.0/24", gateway_ip="192.0.2.1")
    gateway = net.guest(net.port(network, port_security_enabled=False, security_groups=[]))
    for address in ("192.0.2.1/32", "198.51.100.1/32"):
        gateway.run("ip", "address", "add", address, "dev", "eth0")
    guest = up(net, net.port(network))
    with running(dhcp_client.udhcpc(guest, script)) as client:
        while (told := client.told())["EVENT"] != "bound":
            pass
    metadata = f"169.254.169.254/32 {made['service_address']}"
    expected = f"192.0.2.1/32 0.0.0.0 {metadata} 0.0.0.0/0 192.0.2.1"
    assert told["staticroutes"] == told["msstaticroutes"] == expected
    net.take_effect()
    assert guest.pings("198.51.100.1", count=3)
