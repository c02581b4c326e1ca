# SPDX-License-Identifier: Apache-2.0

"""Neutron's errors about security groups, which neutron-lib does not have."""

from __future__ import annotations

from neutron_lib import exceptions


class SecurityGroupNotFound(exceptions.NotFound):
    message = "Security group %(id)s does not exist"


class SecurityGroupRuleNotFound(exceptions.NotFound):
    message = "Security group rule %(id)s does not exist"


class DefaultSecurityGroupRuleNotFound(exceptions.NotFound):
    message = "Default Security Group rule %(id)s does not exist"


class SecurityGroupInUse(exceptions.InUse):
    message = "Security Group %(id)s %(reason)s."


class SecurityGroupCannotRemoveDefault(exceptions.InUse):
    message = "Insufficient rights for removing default security group."


class SecurityGroupCannotUpdateDefault(exceptions.InUse):
    message = "Updating default security group not allowed."


class SecurityGroupConflict(exceptions.Conflict):
    message = "Error %(reason)s while attempting the operation."


class SecurityGroupRuleExists(exceptions.InUse):
    message = "Security group rule already exists. Rule id is %(rule_id)s."


class DefaultSecurityGroupRuleExists(exceptions.InUse):
    message = "Default Security group rule already exists. Rule id is %(rule_id)s."


class SecurityGroupRuleInvalidProtocol(exceptions.InvalidInput):
    message = (
        "Security group rule protocol %(protocol)s not supported. Only protocol values %(values)s "
        "and integer representations [0 to 255] are supported."
    )


class SecurityGroupRuleInvalidEtherType(exceptions.InvalidInput):
    message = (
        "Security group rule for ethertype '%(ethertype)s' not supported. Allowed values are "
        "%(values)s."
    )


class SecurityGroupRuleParameterConflict(exceptions.InvalidInput):
    message = "Conflicting value ethertype %(ethertype)s for CIDR %(cidr)s"


class SecurityGroupEthertypeConflictWithProtocol(exceptions.InvalidInput):
    message = "Invalid ethertype %(ethertype)s for protocol %(protocol)s."


class SecurityGroupMultipleRemoteEntites(exceptions.InvalidInput):
    message = (
        "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be "
        "provided."
    )


class SecurityGroupProtocolRequiredWithPorts(exceptions.InvalidInput):
    message = "Must also specify protocol if port range is given."


class SecurityGroupInvalidPortRange(exceptions.InvalidInput):
    message = "For TCP/UDP protocols, port_range_min must be <= port_range_max"


class SecurityGroupInvalidPortValue(exceptions.InvalidInput):
    message = "Invalid value for port %(port)s"


class SecurityGroupInvalidProtocolForPort(exceptions.InvalidInput):
    message = (
        "Ports cannot be specified for protocol %(protocol)s. Ports are only supported for "
        "%(valid_port_protocols)s."
    )


class SecurityGroupInvalidIcmpValue(exceptions.InvalidInput):
    message = "Invalid value for ICMP %(field)s (%(attr)s) %(value)s. It must be 0 to 255."


class SecurityGroupMissingIcmpType(exceptions.InvalidInput):
    message = (
        "ICMP code (port-range-max) %(value)s is provided but ICMP type (port-range-min) is "
        "missing."
    )
