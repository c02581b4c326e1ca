# SPDX-License-Identifier: Apache-2.0

"""What hosts say of themselves, and what is made of it when it cannot be."""

from __future__ import annotations

import logging

import netaddr
import pytest

from tenantry.controller.switch.host_report import BANDWIDTHS, TUNNEL_ADDRESS, read_report


@pytest.mark.parametrize("said", ["192.0.2.1", "169.254.0.1", "2001:db8::1"])
def test_tunnels_lead_to_the_address_that_is_said_or_else_seen(said: str) -> None:
    for told in (
        read_report("host1", "joined:host1", {TUNNEL_ADDRESS: said}, "198.51.100.9", []),
        read_report("host1", "joined:host1", {}, said, []),
    ):
        assert told.tunnel_address == said


@pytest.mark.parametrize("text", ["", "127.0.0.1", "::1"])
def test_the_own_host_has_no_tunnels_by_itself(text: str, caplog: pytest.LogCaptureFixture) -> None:
    assert read_report("host1", "unix:db.sock", {}, text, []).tunnel_address is None
    assert caplog.records == []


@pytest.mark.parametrize("text", ["fe80::1%eth0", "fe80::1", "10.1", "host2", "1"])
@pytest.mark.parametrize("seen", [True, False])
def test_no_tunnels_lead_where_other_hosts_do_not_reach(
    text: str, seen: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Also of one that connects by an address of its link."""
    said = {} if seen else {TUNNEL_ADDRESS: text}
    with caplog.at_level(logging.WARNING):
        words = read_report("host1", "joined:host1", said, text if seen else "192.0.2.1", [])
    assert words.tunnel_address is None
    (record,) = caplog.records
    assert f"{text} is no IP address that other hosts reach" in record.getMessage()
    assert TUNNEL_ADDRESS in record.getMessage()


def test_what_is_taken_the_model_takes_too() -> None:
    """The record of a host reads the address by netaddr, which knows no zones."""
    with pytest.raises(netaddr.AddrFormatError):
        netaddr.IPAddress("fe80::1%eth0")


def test_what_a_host_says_that_it_carries(caplog: pytest.LogCaptureFixture) -> None:
    said = {BANDWIDTHS: "wire:eth1:1000, fast:eth2:25000000,,bad:eth3,none:eth4:0,x:y:-1,a:b:c:9"}
    words = read_report("host1", "joined:host1", said, "", [])
    assert words.bandwidths == {"wire": ("eth1", 1000), "fast": ("eth2", 25_000_000)}
    assert caplog.text.count("is not PHYSICAL_NETWORK:INTERFACE:KBPS") == 4
