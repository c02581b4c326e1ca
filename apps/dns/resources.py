# SPDX-License-Identifier: Apache-2.0

"""What the API accepts of DNS: names of ports, domains of networks and ports, and the names that
follow from them (``dns_assignment``).

A port's own domain goes before its network's, and that before the controller's. Names are letters,
digits and hyphens (RFC 1123, section 2.1), and with their domain at most 253 characters and a final
dot: 255 octets in a message (RFC 1035, section 2.3.4). A subnet with ``dns_publish_fixed_ip`` has
the names of its addresses answered to all ports of its project (``answers.py``).
"""

from __future__ import annotations

import re

from neutron_lib import exceptions
from neutron_lib.api.definitions import dns, dns_domain_ports, subnet_dns_publish_fixed_ip
from neutron_lib.constants import DNS_DOMAIN_DEFAULT
from oslo_config import cfg

from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Extension, Reader, ResourceHooks
from tenantry.controller.store import Body, Draft

NAME, DOMAIN, ASSIGNMENT = dns.DNSNAME, dns.DNSDOMAIN, dns.DNSASSIGNMENT

MAX_LENGTH = 254
"""Characters of a fully qualified name, its final dot included."""

MAX_DOMAIN_LENGTH = MAX_LENGTH - len("host-2001-0db8-0000-0000-0000-0000-0000-0000.")
"""A domain must leave room for the names of ports that nobody named."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

# neutron-lib's validator of names wants to know the domain, which is not yet known when it is
# called; told of Neutron's default, it leaves the domain to the rules below.
cfg.CONF.register_opt(cfg.StrOpt("dns_domain", default=DNS_DOMAIN_DEFAULT))


class NetworkDomainHooks(ResourceHooks):
    def __init__(self, default: str) -> None:
        self._default = default

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        _check_domain(body[DOMAIN])

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if body.get(DOMAIN) == before.get(DOMAIN):
            return
        _check_domain(body[DOMAIN])
        for id in draft.linked(body["id"], "port"):
            port = draft.get("port", id)
            if port:
                _check_name(port, _domain(port, body, self._default))

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown.setdefault(DOMAIN, "")  # networks from before there was such an attribute


class PortNameHooks(ResourceHooks):
    def __init__(self, default: str) -> None:
        self._default = default

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        self._check(draft, body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if any(body.get(name) != before.get(name) for name in (NAME, DOMAIN)):
            self._check(draft, body)

    def _check(self, draft: Draft, body: Body) -> None:
        _check_domain(body.get(DOMAIN) or "")
        network = draft.get("network", body["network_id"]) or {}
        _check_name(body, _domain(body, network, self._default))

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown.setdefault(NAME, "")
        shown.setdefault(DOMAIN, "")
        network = reader.get("network", body["network_id"]) or {}
        domain = _domain(body, network, self._default)
        shown[ASSIGNMENT] = [
            {"ip_address": address, **_names(shown[NAME], address, domain)}
            for address in (ip["ip_address"] for ip in body["fixed_ips"])
        ]


class PublishHooks(ResourceHooks):
    """Whether the names of a subnet's addresses are answered elsewhere, too."""

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        # Subnets from before there was such an attribute publish nothing.
        shown.setdefault(subnet_dns_publish_fixed_ip.DNS_PUBLISH_FIXED_IP, False)


def _domain(port: Body, network: Body, default: str) -> str:
    """The domain that a port's names are in, with its final dot."""
    domain: str = port.get(DOMAIN) or network.get(DOMAIN) or default
    return domain


def _names(name: str, address: str, domain: str) -> dict[str, str]:
    hostname = name or "host-" + address.replace(".", "-").replace(":", "-")
    return {
        "hostname": hostname,
        "fqdn": hostname if hostname.endswith(".") else f"{hostname}.{domain}",
    }


def _check_name(port: Body, domain: str) -> None:
    """Whether a port's name is one, and fits the domain; a fully qualified one must be in it."""
    name = port.get(NAME) or ""
    if not name:
        return
    _check_labels(name)
    if name.endswith("."):
        if not name.endswith(f".{domain}"):
            raise _invalid(
                f"The dns_name '{name}' of port {port['id']} is a FQDN. Its higher level labels "
                f"must be equal to the domain '{domain}'"
            )
    elif len(name) + 1 + len(domain) > MAX_LENGTH:
        raise _invalid(
            f"The dns_name '{name}' of port {port['id']} and the domain '{domain}' make a FQDN of "
            f"more than {MAX_LENGTH} characters"
        )


def _check_domain(domain: str) -> None:
    if domain:
        _check_labels(domain)
    if len(domain) > MAX_DOMAIN_LENGTH:
        raise _invalid(
            f"dns_domain '{domain}' has more than {MAX_DOMAIN_LENGTH} characters: names of ports "
            "would be too long"
        )


def _check_labels(name: str) -> None:
    """neutron-lib also accepts labels like <project_id>, and a line feed after the last."""
    for label in name.removesuffix(".").split("."):
        if not _LABEL.fullmatch(label):
            raise _invalid(
                f"'{name}' is not a valid PQDN or FQDN. Reason: Name '{label}' must be 1-63 "
                "characters long, each of which can only be alphanumeric or a hyphen"
            )
    if len(name) > MAX_LENGTH:
        raise _invalid(f"'{name}' is longer than {MAX_LENGTH} characters")


def _invalid(message: str) -> Exception:
    error: Exception = exceptions.InvalidInput(error_message=message)
    return error


def extension(dns_domain: str) -> Extension:
    """The DNS attributes of networks and ports. ``dns_domain`` is the domain of networks that have
    none of their own, with its final dot."""
    return Extension(
        definitions=(dns, dns_domain_ports, subnet_dns_publish_fixed_ip),
        rules={
            "network": NetworkDomainHooks(dns_domain),
            "subnet": PublishHooks(),
            "port": PortNameHooks(dns_domain),
        },
    )
