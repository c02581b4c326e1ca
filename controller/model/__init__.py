"""What Tenantry knows, in memory: records, their indexes, and the view by which apps read them."""

from controller.model.model import Change, Model, Read, Record
from controller.model.queries import networks_on, parts_on, ports_on
from controller.model.records import (
    AddressPair,
    Binding,
    DhcpOption,
    FixedIp,
    Host,
    Interface,
    Network,
    Port,
    Route,
    Subnet,
    Switch,
)
from controller.model.view import View, derived

__all__ = [
    "AddressPair",
    "Binding",
    "Change",
    "DhcpOption",
    "FixedIp",
    "Host",
    "Interface",
    "Model",
    "Network",
    "Port",
    "Read",
    "Record",
    "Route",
    "Subnet",
    "Switch",
    "View",
    "derived",
    "networks_on",
    "parts_on",
    "ports_on",
]
