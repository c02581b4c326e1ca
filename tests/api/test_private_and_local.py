# SPDX-License-Identifier: Apache-2.0

"""Private VLANs and local IPs by the unmodified ``openstack`` client, as their pages show it."""

from __future__ import annotations

from tests.api.conftest import Api
from tests.api.openstack import Client


def test_private_vlans(client: Client, api: Api) -> None:
    made, alone, member, after, shown = client.run(
        "network create --pvlan hosting -f json",
        "port create --network hosting --pvlan-type isolated one -f json",
        "port create --network hosting --pvlan-type community --pvlan-community web two -f json",
        "port set --pvlan-type community --pvlan-community web one",
        "port show one -f json",
        "network set --no-pvlan hosting",
        "network show hosting -f json",
    )
    assert (made["pvlan"], shown["pvlan"]) == (True, False)
    assert (alone["pvlan_type"], alone["pvlan_community"]) == ("isolated", None)
    assert (member["pvlan_type"], member["pvlan_community"]) == ("community", "web")
    assert (after["pvlan_type"], after["pvlan_community"]) == ("community", "web")
    assert {port["pvlan_type"] for port in api.list("port")} == {None}


def test_local_ips(client: Client, api: Api) -> None:
    cache1, cache2, local, address, one, listed = client.run(
        "network create blue",
        "subnet create --network blue --subnet-range 10.0.0.0/24 blue4",
        "port create --network blue cache1 -f json",
        "port create --network blue --fixed-ip ip-address=10.0.0.50 cache2 -f json",
        "local ip create --network blue --name near -f json",
        "local ip show near -c local_ip_address -f json",
        "local ip association create near cache1 -f json",
        "local ip association create --fixed-ip 10.0.0.50 near cache2",
        "local ip association list near -f json",
    )
    assert address["local_ip_address"] == one["local_ip_address"] == local["local_ip_address"]
    assert len(listed) == 2
    # The client takes the name of a port to make an association, but to delete it the id alone.
    one_left, changed, none_left = client.run(
        f"local ip association delete near {cache1['id']}",
        "local ip association list near -f json",
        "local ip set --name nearer near",
        "local ip show nearer -f json",
        f"local ip association delete nearer {cache2['id']}",
        "local ip delete nearer",
        "local ip list -f json",
    )
    assert changed["local_ip_address"] == local["local_ip_address"]
    assert [row["Fixed IP"] for row in one_left] == ["10.0.0.50"]
    assert none_left == []
    assert {port["name"] for port in api.list("port")} == {"cache1", "cache2"}
