# SPDX-License-Identifier: Apache-2.0

"""What the API accepts does something: every attribute that may be sent, with every kind of value.

It is seen in the switches (flows, interfaces), by guests (DHCP, DNS, metadata, advertisements), or
in the API by others; or it is refused, with words; or it is a note, which is on the list. The
attributes are those of the API's own maps: one that is new fails until it does something.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tenantry.apps import APPS
from tenantry.controller.api import application as neutron
from tests.api.observed import CONF, Observed
from tests.api.realised_stage import Stage
from tests.api.realised_values import LEFT_OUT, All, values

NOTES = {
    **dict.fromkeys(("name", "description", "tags"), "for people"),
    ("port", "device_owner"): "what kind of machine: for people, and for those who manage machines",
    ("router", "flavor_id"): "a flavor gives a router or refuses to; all routers are of one kind",
    ("service_profile", "metainfo"): "for people, in place of a driver",
    **dict.fromkeys(
        [("log", "project_id"), ("log", "tenant_id")], "for admins, who alone see logs"
    ),
    ("port", "numa_affinity_policy"): "Nova reads it, when it chooses a host and its processors",
    ("port", "trusted"): "Nova reads it in the profile, and tells the card",
    ("port", "data_plane_status"): "what an admin's tools have seen of the wires, for the user",
    **dict.fromkeys(
        [("security_group_rule", name) for name in ("project_id", "tenant_id")],
        "whoever made a rule: it is for those to see and change whose the group is",
    ),
    **dict.fromkeys(
        [("minimum_packet_rate_rule", name) for name in ("min_kpps", "direction")],
        "no switch keeps it: whoever is to have such a policy is refused",
    ),
    **dict.fromkeys(
        [("metering_label_rule", "project_id"), ("metering_label_rule", "tenant_id")],
        "it is of its label's project, whoever makes it",
    ),
    ("minimum_bandwidth_rule", "direction"): "a host keeps what is sent to a wire: whoever is to "
    "have a minimum of what comes from there is refused",
    ("firewall_policy", "audited"): "whether somebody has read the policy",
    **dict.fromkeys(
        [
            ("certificate", name)
            for name in (
                *("certificate", "private_key", "intermediates", "crl", "pkcs12", "passphrase"),
                *("project_id", "tenant_id"),
            )
        ],
        "proxies show it, or believe it: tests/netns/test_haproxy.py",
    ),
    **dict.fromkeys(
        [
            (kind, name)
            for kind in (
                "segment",
                "default_security_group_rule",
                "flavor",
                "service_profile",
                "log",
            )
            for name in ("project_id", "tenant_id")
        ],
        "an administrator's, for all projects; no answer shows it",
    ),
}
"""What is kept and shown, and means nothing to a network."""


def attributes() -> list[tuple[str, str, str]]:
    """Of Neutron's kinds; of Octavia's, see ``test_load_balancers_realised.py``."""
    kinds = neutron.kinds(e for app in APPS if (e := app.build(CONF).extension))
    return [
        (method, kind.name, name)
        for kind in kinds.values()
        if not kind.internal and kind.service is None
        for name, spec in kind.attributes.items()
        for method, allowed in (("POST", "allow_post"), ("PUT", "allow_put"))
        if spec.get(allowed) and name not in NOTES and (kind.name, name) not in NOTES
    ]


def did(stage: Stage, method: str, kind: str, name: str) -> list[str]:
    """What is wrong with an attribute: values that were accepted, and changed nothing."""
    wrong, meant = [], 0
    for value in values(stage.world, kind, name):
        asked = value if isinstance(value, All) else {name: value}
        before = stage.body(method, kind)
        if all(before.get(one, LEFT_OUT) == given for one, given in asked.items()):
            continue  # as it is
        meant += 1
        after = stage.changed(method, kind, asked)
        if isinstance(after, Observed):
            if not after.differs_in(stage.unchanged(method, kind)):
                wrong.append(f"{method} {kind} {asked}: accepted, and nothing has changed")
            after.close()
    return wrong if meant else [f"{method} {kind} {name}: VALUES has no other value"]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


def test_the_stage_is_always_the_same(stage: Stage) -> None:
    for kind in stage.world.new:
        again = stage.changed("POST", kind, {})
        assert isinstance(again, Observed), again
        assert not again.differs_in(stage.unchanged("POST", kind)), kind
        again.close()


@pytest.mark.parametrize("kind", sorted({kind for _, kind, _ in attributes()}))
def test_what_is_accepted_does_something(stage: Stage, kind: str) -> None:
    wrong = [
        line
        for method, of, name in attributes()
        if of == kind and (method == "PUT" or kind in stage.world.new)
        for line in did(stage, method, kind, name)
    ]
    assert not wrong, "\n".join(wrong)
