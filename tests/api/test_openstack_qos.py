# SPDX-License-Identifier: Apache-2.0

"""The unmodified ``openstack`` client: quality of service."""

from __future__ import annotations

from tests.api.conftest import Api
from tests.api.openstack import Client


def test_policies_and_rules_from_birth_to_death(client: Client, api: Api) -> None:
    slow, most, mark, least, fewest, listed, shown = client.run(
        "network qos policy create --share --default slow -f json",
        "network qos rule create --type bandwidth-limit --max-kbps 1000 --max-burst-kbits 900 "
        "--egress slow -f json",
        "network qos rule create --type dscp-marking --dscp-mark 26 slow -f json",
        "network qos rule create --type minimum-bandwidth --min-kbps 100 --egress slow -f json",
        "network qos rule create --type minimum-packet-rate --min-kpps 1 --any slow -f json",
        "network qos policy list -f json",
        "network qos policy show slow -f json",
    )
    assert (slow["name"], slow["shared"], slow["is_default"]) == ("slow", True, True)
    assert (most["max_kbps"], most["max_burst_kbps"], most["direction"]) == (1000, 900, "egress")
    assert mark["dscp_mark"] == 26
    assert (least["min_kbps"], least["direction"]) == (100, "egress")
    assert (fewest["min_kpps"], fewest["direction"]) == (1, "any")
    assert [row["Name"] for row in listed] == ["slow"]
    rules = {rule["id"]: rule["type"] for rule in shown["rules"]}
    assert rules == {
        most["id"]: "bandwidth_limit",
        mark["id"]: "dscp_marking",
        least["id"]: "minimum_bandwidth",
        fewest["id"]: "minimum_packet_rate",
    }

    listed, changed, after = client.run(
        "network qos rule list slow -f json",
        f"network qos rule set --max-kbps 2000 --ingress slow {most['id']}",
        f"network qos rule show slow {most['id']} -f json",
        f"network qos rule set --dscp-mark 46 slow {mark['id']}",
        *(f"network qos rule delete slow {rule['id']}" for rule in (least, fewest)),
        "network qos policy set --name slower --no-share --no-default slow",
        "network qos policy show slower -f json",
    )
    assert {row["ID"]: row["Type"] for row in listed} == rules
    assert (changed["max_kbps"], changed["direction"]) == (2000, "ingress")
    assert (after["shared"], after["is_default"], len(after["rules"])) == (False, False, 2)
    (left,) = client.run("network qos policy delete slower", "network qos policy list -f json")
    assert left == []
    assert not api.store.read("dscp_marking_rule")


def test_who_has_a_policy(client: Client, network: str) -> None:
    created, port, floating, router = client.run(
        "network qos policy create slow",
        "network qos policy create fast",
        "network set --qos-policy slow blue",
        "network show blue -f json",
        "port create --network blue --qos-policy fast web -f json",
        "network create --external --provider-network-type flat "
        "--provider-physical-network wire outside",
        "subnet create --network outside --subnet-range 192.0.2.0/24 public",
        "floating ip create --qos-policy fast outside -f json",
        "router create --external-gateway outside --qos-policy slow edge -f json",
    )[-4:]
    assert created["qos_policy_id"] == port["qos_network_policy_id"]
    assert port["qos_policy_id"] == floating["qos_policy_id"] != created["qos_policy_id"]
    assert router["external_gateway_info"]["qos_policy_id"] == created["qos_policy_id"]
    network_after, port, floating, router = client.run(
        "network set --no-qos-policy blue",
        "network show blue -f json",
        "port unset --qos-policy web",
        "port show web -f json",
        f"floating ip unset --qos-policy {floating['id']}",
        f"floating ip show {floating['id']} -f json",
        "router unset --qos-policy edge",
        "router show edge -f json",
        "network qos policy delete slow fast",
    )
    assert network_after["qos_policy_id"] is None
    assert (port["qos_policy_id"], port["qos_network_policy_id"]) == (None, None)
    assert floating["qos_policy_id"] is None
    assert "qos_policy_id" not in router["external_gateway_info"]


def test_what_rules_there_may_be(client: Client) -> None:
    kept, every, details = client.run(
        "network qos rule type list -f json",
        "network qos rule type list --all-rules -f json",
        "network qos rule type show dscp_marking -f json",
    )
    assert {row["Type"] for row in kept} < {row["Type"] for row in every}
    assert len(every) == 5
    assert details["rule_type_name"] == "dscp_marking"
    assert details["drivers"][0]["name"] == "tenantry"
