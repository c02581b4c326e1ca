# SPDX-License-Identifier: Apache-2.0

"""What a rule may say in the API: the attributes of rules and of the templates of default rules."""

from __future__ import annotations

from typing import Any

import netaddr
from neutron_lib import constants, exceptions
from neutron_lib.db.constants import PROJECT_ID_FIELD_SIZE, UUID_FIELD_SIZE

from tenantry.apps.security_groups import errors
from tenantry.controller.store import Body

ETHERTYPES = (constants.IPv4, constants.IPv6)
WITH_PORTS = {"tcp": 6, "udp": 17, "sctp": 132}  # Open vSwitch knows the ports of no other
ICMP, ICMPV6 = constants.PROTO_NUM_ICMP, constants.PROTO_NUM_IPV6_ICMP
_ANY = (None, "", "any", "0", 0)
_IPV6_ONLY = (41, 43, 44, 58, 59, 60)  # RFC 8200 and ICMPv6
_NAMES: dict[str, int] = constants.IP_PROTOCOL_MAP


def protocol_number(protocol: str | None) -> int | None:
    """The number of a protocol by name or number; None is any."""
    if protocol is None:
        return None
    number = int(protocol) if protocol.isdecimal() else _NAMES[protocol]
    return number or None  # 0 is IP itself


def _protocol(value: Any) -> str | None:
    if value in _ANY and not isinstance(value, bool):
        return None
    text = str(value).lower()
    if text in _NAMES or (text.isdecimal() and text.isascii() and int(text) <= 255):
        return text
    names = ", ".join(sorted(_NAMES))
    raise errors.SecurityGroupRuleInvalidProtocol(protocol=value, values=names)


def _ethertype(value: Any) -> str:
    for ethertype in ETHERTYPES:
        if str(value).lower() == ethertype.lower():
            return str(ethertype)
    values = ", ".join(ETHERTYPES)
    raise errors.SecurityGroupRuleInvalidEtherType(ethertype=value, values=values)


def _port(value: Any) -> int | None:
    if value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if isinstance(value, bool | float) or not 0 <= number <= 65535:
        raise errors.SecurityGroupInvalidPortValue(port=value)
    return number


def _prefix(value: Any) -> str | None:
    if not value:
        return None
    try:
        if isinstance(value, str):
            return str(netaddr.IPNetwork(value))
    except (ValueError, netaddr.AddrFormatError):
        pass
    raise exceptions.InvalidCIDR(input=value)


def _id(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise exceptions.InvalidInput(error_message=f"'{value}' is not an id")
    return value or None


_GIVEN = {"allow_post": True, "allow_put": False, "is_visible": True, "is_filter": True}
_SORTED = {**_GIVEN, "is_sort_key": True}
_HIDDEN = {"allow_post": False, "allow_put": False, "is_visible": False, "default": None}

ATTRIBUTES: dict[str, dict[str, Any]] = {
    "id": {
        "allow_post": False,
        "allow_put": False,
        "validate": {"type:uuid": None},
        "is_visible": True,
        "is_filter": True,
        "is_sort_key": True,
        "primary_key": True,
    },
    "remote_group_id": {**_SORTED, "default": None, "convert_to": _id},
    "remote_address_group_id": {**_SORTED, "default": None, "convert_to": _id},
    "direction": {**_SORTED, "validate": {"type:values": ["ingress", "egress"]}},
    "protocol": {**_SORTED, "default": None, "convert_to": _protocol},
    "port_range_min": {**_SORTED, "default": None, "convert_to": _port},
    "port_range_max": {**_SORTED, "default": None, "convert_to": _port},
    "ethertype": {**_SORTED, "default": constants.IPv4, "convert_to": _ethertype},
    "remote_ip_prefix": {**_SORTED, "default": None, "convert_to": _prefix},
    "tenant_id": {
        **_SORTED,
        "required_by_policy": True,
        "validate": {"type:string": PROJECT_ID_FIELD_SIZE},
    },
}
"""Of both."""

RULE_ATTRIBUTES: dict[str, dict[str, Any]] = {
    **ATTRIBUTES,
    "security_group_id": {
        **_SORTED,
        "required_by_policy": True,
        "validate": {"type:string": UUID_FIELD_SIZE},
    },
    "normalized_cidr": {
        "allow_post": False,
        "allow_put": False,
        "default": None,
        "is_visible": True,
        "is_filter": True,
        "is_sort_key": True,
    },
    "protocol_number": _HIDDEN,
}


def settle(body: Body) -> None:
    """Bring the attributes of a rule into their canonical form, and refuse what does not fit
    together."""
    six = body["ethertype"] == constants.IPv6
    if six and body["protocol"] in ("icmp", "icmpv6"):
        body["protocol"] = constants.PROTO_NAME_IPV6_ICMP
    if six and body["protocol"] == str(ICMP):
        body["protocol"] = str(ICMPV6)
    number = protocol_number(body["protocol"])
    if not six and number in _IPV6_ONLY:
        raise errors.SecurityGroupEthertypeConflictWithProtocol(
            ethertype=body["ethertype"], protocol=body["protocol"]
        )
    _settle_ports(body, number)
    if body["remote_ip_prefix"]:
        version = netaddr.IPNetwork(body["remote_ip_prefix"]).version
        if version != (6 if six else 4):
            raise errors.SecurityGroupRuleParameterConflict(
                ethertype=body["ethertype"], cidr=body["remote_ip_prefix"]
            )
    remotes = ("remote_ip_prefix", "remote_group_id", "remote_address_group_id")
    if sum(body[name] is not None for name in remotes) > 1:
        raise errors.SecurityGroupMultipleRemoteEntites()


def _settle_ports(body: Body, number: int | None) -> None:
    first, last = body["port_range_min"], body["port_range_max"]
    if first is None and last is None:
        return
    if number is None:
        raise errors.SecurityGroupProtocolRequiredWithPorts()
    if number in WITH_PORTS.values():
        if (first, last) == (1, 65535):
            body["port_range_min"] = body["port_range_max"] = None
        elif 0 in (first, last):
            raise errors.SecurityGroupInvalidPortValue(port=0)
        elif first is None or last is None or first > last:
            raise errors.SecurityGroupInvalidPortRange()
    elif number in (ICMP, ICMPV6):
        for field, attr in (("type", "port_range_min"), ("code", "port_range_max")):
            if body[attr] is not None and body[attr] > 255:
                raise errors.SecurityGroupInvalidIcmpValue(field=field, attr=attr, value=body[attr])
        if first is None:
            raise errors.SecurityGroupMissingIcmpType(value=last)
    else:
        raise errors.SecurityGroupInvalidProtocolForPort(
            protocol=number, valid_port_protocols=", ".join(map(str.upper, WITH_PORTS))
        )


def identity(body: Body) -> str:
    """What two rules of a group may not have in common."""
    prefix = body["remote_ip_prefix"] and str(netaddr.IPNetwork(body["remote_ip_prefix"]).cidr)
    everybody = prefix in (None, constants.IPv4_ANY, constants.IPv6_ANY)
    said = (
        *(body["direction"], body["ethertype"], protocol_number(body["protocol"])),
        *(body["port_range_min"], body["port_range_max"]),
        *(body["remote_group_id"], body["remote_address_group_id"], None if everybody else prefix),
    )
    return " ".join("-" if value is None else str(value) for value in said)
