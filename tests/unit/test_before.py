# SPDX-License-Identifier: Apache-2.0

"""What is remembered of addresses that are no longer where they were."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tenantry.controller.model import (
    Change,
    FixedIp,
    Former,
    Model,
    Network,
    Port,
    Record,
    previous,
)

NETWORK = Network("net", 1, "project", "", True, 1500, "local", None, None)
ONE, TWO = FixedIp("v4", 4, 0x0A000001), FixedIp("v6", 6, 0xFD << 120 | 1)
PORT = Port(*("p", 7, "net", "project", "", 0xA), (ONE, TWO), *(True, True, "", ""))


def change(model: Model, kind: type[Record], id: str, record: Record | None) -> dict[Any, int]:
    """Make a change; what is remembered after it: the former MAC address of each address."""
    changed = {(kind, id): model.get(kind, id)}
    model.apply([Change(kind, id, record)])
    model.apply(list(previous.formers(model, changed)))
    return {former.id[1:]: former.mac for former in model.all(Former).values()}


@pytest.fixture
def model() -> Model:
    made = Model()
    assert change(made, Network, "net", NETWORK) == {}
    assert change(made, Port, "p", PORT) == {}
    return made


def test_what_stays_is_not_remembered(model: Model) -> None:
    assert change(model, Port, "p", replace(PORT, name="another")) == {}


def test_an_address_that_a_port_gives_up(model: Model) -> None:
    assert change(model, Port, "p", replace(PORT, fixed_ips=(TWO,))) == {(4, ONE.address): 0xA}


def test_all_of_a_port_that_goes_or_gets_another_mac(model: Model) -> None:
    both = {(4, ONE.address): 0xA, (6, TWO.address): 0xA}
    assert change(model, Port, "p", replace(PORT, mac=0xB)) == both
    assert change(model, Port, "p", None) == dict.fromkeys(both, 0xB)


def test_nothing_of_a_network_that_goes(model: Model) -> None:
    change(model, Port, "p", None)
    assert change(model, Network, "net", None) == {}


def test_the_oldest_are_forgotten(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previous, "MOST_FORMER", 3)
    change(model, Port, "p", None)
    later = replace(PORT, id="q", mac=0xC, fixed_ips=(FixedIp("v4", 4, 2), FixedIp("v4", 4, 3)))
    change(model, Port, "q", later)
    assert list(change(model, Port, "q", None).values()) == [0xA, 0xC, 0xC]
