# SPDX-License-Identifier: Apache-2.0

"""Metering labels and their rules in the API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.openstack import Client

LABELS, RULES = "/v2.0/metering/metering-labels", "/v2.0/metering/metering-label-rules"


def made(api: Api, kind: str, **attributes: Any) -> Any:
    url = {"metering_label": LABELS, "metering_label_rule": RULES}[kind]
    status, answer = api.request("POST", url, {kind: attributes})
    assert status == 201, answer
    return answer[kind]


@pytest.fixture
def label(api: Api) -> str:
    id: str = made(api, "metering_label", name="paid")["id"]
    return id


def rule(api: Api, label: str, direction: str = "egress", **more: Any) -> Any:
    return made(api, "metering_label_rule", metering_label_id=label, direction=direction, **more)


def test_a_rule_is_shown_as_it_was_made(api: Api, label: str) -> None:
    shown = rule(api, label, remote_ip_prefix="10.0.0.0/24")
    del shown["id"]
    assert shown == {
        "metering_label_id": label,
        "direction": "egress",
        "excluded": False,
        "remote_ip_prefix": "10.0.0.0/24",
        "source_ip_prefix": None,
        "destination_ip_prefix": None,
        "project_id": "default",
        "tenant_id": "default",
    }
    single = rule(api, label, source_ip_prefix="fd00::7", destination_ip_prefix="fd01::/64")
    assert single["source_ip_prefix"] == "fd00::7/128"


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({}, "must be given"),
        ({"remote_ip_prefix": "10.0.0.0/33"}, "is no prefix"),
        ({"source_ip_prefix": "there"}, "is no prefix"),
        ({"remote_ip_prefix": "10.0.0.0/8", "source_ip_prefix": "10.0.0.0/8"}, "use these alone"),
        ({"source_ip_prefix": "10.0.0.0/8", "destination_ip_prefix": "::/0"}, "one IP version"),
    ],
)
def test_what_could_count_nothing_is_refused(
    api: Api, label: str, said: dict[str, str], word: str
) -> None:
    body = {"metering_label_id": label, "direction": "ingress", **said}
    head = api.store.head
    status, answer = api.request("POST", RULES, {"metering_label_rule": body})
    assert (status, answer["NeutronError"]["type"]) == (400, "InvalidInput")
    assert word in answer["NeutronError"]["message"]
    assert api.store.head == head


def test_remote_prefixes_of_one_sort_of_rules_do_not_overlap(api: Api, label: str) -> None:
    rule(api, label, remote_ip_prefix="10.0.0.0/24")
    for overlapping in ("10.0.0.0/24", "10.0.0.128/25", "10.0.0.0/8", "0.0.0.0/0"):
        said = {"direction": "egress", "remote_ip_prefix": overlapping}
        body = {"metering_label_rule": {"metering_label_id": label, **said}}
        api.refused(409, "MeteringLabelRuleOverlaps", "POST", RULES, body)
    rule(api, label, remote_ip_prefix="10.0.1.0/24")
    rule(api, label, remote_ip_prefix="::/0")
    rule(api, label, remote_ip_prefix="10.0.0.0/25", excluded=True)
    rule(api, label, "ingress", remote_ip_prefix="10.0.0.0/24")
    rule(api, label, source_ip_prefix="10.0.0.0/24")
    rule(api, made(api, "metering_label")["id"], remote_ip_prefix="10.0.0.0/24")


def test_a_label_takes_its_rules_along(api: Api, label: str) -> None:
    one = rule(api, label, remote_ip_prefix="10.0.0.0/24")["id"]
    other = rule(api, made(api, "metering_label")["id"], remote_ip_prefix="10.0.0.0/24")["id"]
    assert api.request("DELETE", f"{LABELS}/{label}")[0] == 204
    api.refused(404, "MeteringLabelNotFound", "GET", f"{LABELS}/{label}")
    api.refused(404, "MeteringLabelRuleNotFound", "GET", f"{RULES}/{one}")
    assert api.request("GET", f"{RULES}/{other}")[0] == 200
    body = {"metering_label_id": label, "direction": "egress", "remote_ip_prefix": "10.0.0.0/24"}
    api.refused(404, "MeteringLabelNotFound", "POST", RULES, {"metering_label_rule": body})


def test_neither_labels_nor_rules_are_changed(api: Api, label: str) -> None:
    one = rule(api, label, remote_ip_prefix="10.0.0.0/24")["id"]
    for url, kind, changes in (
        (f"{LABELS}/{label}", "metering_label", {"name": "free"}),
        (f"{RULES}/{one}", "metering_label_rule", {"source_ip_prefix": "10.0.0.0/24"}),
    ):
        before = api.request("GET", url)
        assert api.request("PUT", url, {kind: changes})[0] == 400
        assert api.request("GET", url) == before


def test_openstack_network_meter(client: Client, api: Api) -> None:
    label, shared, listed, one, _, rules, shown = client.run(
        "network meter create --description what-is-paid-for paid -f json",
        "network meter create --share everybodys -f json",
        "network meter list -f json",
        "network meter rule create --egress --remote-ip-prefix 10.0.0.0/24 paid -f json",
        "network meter rule create --ingress --exclude --source-ip-prefix 192.0.2.0/24"
        " --destination-ip-prefix 10.0.0.0/24 paid -f json",
        "network meter rule list -f json",
        "network meter show paid -f json",
    )
    assert (label["shared"], shared["shared"]) == (False, True)
    assert {row["Name"] for row in listed} == {"paid", "everybodys"}
    assert one["remote_ip_prefix"] == "10.0.0.0/24"
    assert {row["Direction"] for row in rules} == {"egress", "ingress"}
    _, kept = api.request("GET", RULES)
    assert {(row["direction"], row["excluded"]) for row in kept["metering_label_rules"]} == {
        ("egress", False),
        ("ingress", True),
    }
    assert shown["description"] == "what-is-paid-for"
    shown, left, labels = client.run(
        f"network meter rule show {one['id']} -f json",
        f"network meter rule delete {one['id']}",
        "network meter rule list -f json",
        "network meter delete paid everybodys",
        "network meter list -f json",
    )
    assert shown["direction"] == "egress"
    assert (len(left), labels) == (1, [])
