# SPDX-License-Identifier: Apache-2.0

"""What Tenantry knows, in memory: records, their indexes, and the view by which apps read them."""

from tenantry.controller.model.model import Change, Model, Read, Record
from tenantry.controller.model.observed import (
    SHARES,
    Binding,
    Former,
    Health,
    Host,
    Interface,
    Option,
    Placed,
    ProcessState,
    Standby,
    Switch,
    Tunnel,
)
from tenantry.controller.model.queries import networks_with_ports, parts_on, ports_on, shares_on
from tenantry.controller.model.records import (
    BANDWIDTH_INTERFACES,
    BANDWIDTHS,
    Agent,
    Network,
    Port,
    Subnet,
    SubnetPool,
    Trunk,
    Worker,
)
from tenantry.controller.model.values import (
    Address,
    AddressPair,
    Bandwidth,
    DhcpOption,
    FixedIp,
    Prefix,
    Route,
    SubPort,
)
from tenantry.controller.model.view import View, derived

__all__ = [
    "BANDWIDTHS",
    "BANDWIDTH_INTERFACES",
    "SHARES",
    "Address",
    "AddressPair",
    "Agent",
    "Bandwidth",
    "Binding",
    "Change",
    "DhcpOption",
    "FixedIp",
    "Former",
    "Health",
    "Host",
    "Interface",
    "Model",
    "Network",
    "Option",
    "Placed",
    "Port",
    "Prefix",
    "ProcessState",
    "Read",
    "Record",
    "Route",
    "Standby",
    "SubPort",
    "Subnet",
    "SubnetPool",
    "Switch",
    "Trunk",
    "Tunnel",
    "View",
    "Worker",
    "derived",
    "networks_with_ports",
    "parts_on",
    "ports_on",
    "shares_on",
]
