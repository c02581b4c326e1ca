"""What Tenantry knows, in memory: records, their indexes, and the view by which apps read them."""

from controller.model.model import Change, Model, Read, Record
from controller.model.queries import networks_on, parts_on, ports_on
from controller.model.records import Binding, Host, Interface, Network, Port, Subnet, Switch
from controller.model.view import View, derived

__all__ = [
    "Binding",
    "Change",
    "Host",
    "Interface",
    "Model",
    "Network",
    "Port",
    "Read",
    "Record",
    "Subnet",
    "Switch",
    "View",
    "derived",
    "networks_on",
    "parts_on",
    "ports_on",
]
