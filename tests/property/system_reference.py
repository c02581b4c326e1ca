# SPDX-License-Identifier: Apache-2.0

"""What a person with pencil and paper would expect of the controller: a plain model of what was
asked for and what is plugged in, and what must follow from it.

Written from the documentation, not from the code, and on purpose slow and obvious: it recomputes
everything at every question. It must never import from ``apps`` or ask the controller anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

HOST = "test-host"


@dataclass
class Plug:
    """An interface on a bridge: a port's (``iface_id``), a wire's, or nobody's."""

    bridge: str
    ofport: int
    iface_id: str = ""
    physical_network: str = ""


class Place(NamedTuple):
    """Where a port is."""

    interface: str
    bridge: str


@dataclass
class Reference:
    """Everything that was asked for (bodies as the API answered them) and is plugged in."""

    networks: dict[str, Any] = field(default_factory=dict)
    subnets: dict[str, Any] = field(default_factory=dict)
    ports: dict[str, Any] = field(default_factory=dict)
    bridges: dict[str, int] = field(default_factory=dict)  # name: datapath id
    plugs: dict[str, Plug] = field(default_factory=dict)  # by interface
    numbers: dict[str, int] = field(default_factory=dict)  # the small keys of ports, by id

    def of(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = getattr(self, f"{kind}s")
        return found

    def owner(self, name: str) -> str | None:
        """The id of the port that an interface is for: the one that its ``iface-id`` names; or of
        those that name it, and the host, the one with the lowest number. A wire is for none."""
        plug = self.plugs[name]
        if plug.physical_network or plug.iface_id:
            return None if plug.physical_network else plug.iface_id
        naming = [
            port
            for port in self.ports.values()
            if port["binding:profile"].get("interface_name") == name and self.is_there(port, plug)
        ]
        return min(naming, key=lambda port: self.numbers[port["id"]])["id"] if naming else None

    def is_there(self, port: Any, plug: Plug) -> bool:
        """Whether an interface is on the host, or the switch, that the port asks for."""
        return port["binding:host_id"] in (HOST, f"{self.bridges[plug.bridge]:016x}")

    def place(self, port: Any) -> Place | None:
        """Its interface. Of several, one on the port's own host first, then on the first switch."""
        candidates = [
            (not self.is_there(port, plug), self.bridges[plug.bridge], plug.ofport, name)
            for name, plug in self.plugs.items()
            if self.owner(name) == port["id"]
        ]
        if not candidates:
            return None
        name = min(candidates)[-1]
        return Place(name, self.plugs[name].bridge)

    def status(self, port: Any) -> str:
        return "ACTIVE" if port["admin_state_up"] and self.place(port) else "DOWN"

    def wires(self, network: Any, bridge: str) -> set[str]:
        """The interfaces by which a bridge reaches a network's physical network."""
        physical_network = network["provider:physical_network"]
        return {
            name
            for name, plug in self.plugs.items()
            if plug.bridge == bridge and plug.physical_network == physical_network is not None
        }

    def tag(self, network: Any) -> str:
        """What is written behind a wire's name where the network's frames bear a tag."""
        vlan = network["provider:network_type"] == "vlan"
        return f".{network['provider:segmentation_id']}" if vlan else ""

    def talks(self, port: Any) -> bool:
        """Whether it and its network are up."""
        return bool(port["admin_state_up"] and self.networks[port["network_id"]]["admin_state_up"])

    def near(self, network: Any, bridge: str) -> set[str]:
        """The interfaces on a bridge at which a network's frames come out."""
        return {
            place.interface
            for port in self.ports.values()
            if port["network_id"] == network["id"] and self.talks(port)
            if (place := self.place(port)) and place.bridge == bridge
        }

    def far(self, network: Any, bridge: str) -> set[str]:
        """The wires by which they leave, as they look there."""
        return {wire + self.tag(network) for wire in self.wires(network, bridge)}

    def is_on(self, network: Any, bridge: str) -> bool:
        """Whether any port of a network is plugged into a bridge, be it switched off."""
        places = (self.place(p) for p in self.ports.values() if p["network_id"] == network["id"])
        return any(place and place.bridge == bridge for place in places)

    def hears(self, port: Any) -> set[str]:
        """Where a broadcast from a plugged port leaves its bridge: at the network's other ports,
        and tagged at the wires."""
        place, network = self.place(port), self.networks[port["network_id"]]
        if place is None or not self.talks(port):
            return set()
        near, far = self.near(network, place.bridge), self.far(network, place.bridge)
        return near - {place.interface} | far

    def hears_wire(self, wire: str, network: Any) -> set[str]:
        """Where a network's broadcast that comes in by a wire leaves the bridge: at its ports, and
        at other wires to the same physical network; but only where the network is."""
        bridge = self.plugs[wire].bridge
        if not network["admin_state_up"] or not self.is_on(network, bridge):
            return set()
        far = self.far(network, bridge) - {wire + self.tag(network)}
        return self.near(network, bridge) | far

    def known(self, bridge: str) -> set[tuple[str, str]]:
        """The destinations that a bridge must know: (network id, MAC address). A network's ports
        on the bridge itself, and, if it is there at all and has a wire there, all its others."""
        found = set()
        for port in self.ports.values():
            network, place = self.networks[port["network_id"]], self.place(port)
            if place and self.talks(port):
                beyond = self.is_on(network, bridge) and self.wires(network, bridge)
                if place.bridge == bridge or beyond:
                    found.add((network["id"], port["mac_address"]))
        return found
