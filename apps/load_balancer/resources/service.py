# SPDX-License-Identifier: Apache-2.0

"""Octavia's API as a service of its own: where it is, its versions, its words."""

from __future__ import annotations

from typing import Any

from neutron_lib import exceptions

from tenantry.controller.feature.service import Service

VERSIONS = {
    "v2.0": "2016-12-11T00:00:00Z",
    "v2.1": "2018-04-20T00:00:00Z",
    "v2.2": "2018-07-31T00:00:00Z",
    "v2.3": "2018-12-18T00:00:00Z",
    "v2.4": "2018-12-19T00:00:00Z",  # statistics of amphorae
    "v2.5": "2019-01-21T00:00:00Z",  # tags
    "v2.6": "2019-01-25T00:00:00Z",  # flavors
    "v2.7": "2018-01-25T12:00:00Z",  # amphorae configured anew
    "v2.8": "2019-02-12T00:00:00Z",  # client certificates
    "v2.9": "2019-03-04T00:00:00Z",  # codes of redirections
    "v2.10": "2019-03-05T00:00:00Z",  # host header of monitors
    "v2.11": "2019-06-24T00:00:00Z",  # members added together
    "v2.12": "2019-09-11T00:00:00Z",  # allowed_cidrs
    "v2.13": "2019-09-13T00:00:00Z",  # SOURCE_IP_PORT
    "v2.14": "2019-11-10T00:00:00Z",  # availability zones
    "v2.15": "2020-03-10T00:00:00Z",  # ciphers
    "v2.16": "2020-03-15T00:00:00Z",  # HTTP and TCP monitors of UDP pools
    "v2.17": "2020-04-29T00:00:00Z",  # versions of TLS, of listeners
    "v2.18": "2020-04-29T01:00:00Z",  # and of pools
    "v2.19": "2020-05-12T00:00:00Z",  # quotas of L7 policies and rules
    "v2.20": "2020-08-02T00:00:00Z",  # ALPN, of listeners
    "v2.21": "2020-09-03T00:00:00Z",  # amphorae deleted
    "v2.22": "2020-09-04T00:00:00Z",  # PROXYV2
    "v2.23": "2020-09-07T00:00:00Z",  # SCTP
    "v2.24": "2020-10-15T00:00:00Z",  # ALPN, of pools
    "v2.25": "2021-10-02T00:00:00Z",  # PROMETHEUS
    "v2.26": "2022-08-29T00:00:00Z",  # additional_vips
    "v2.27": "2023-05-05T00:00:00Z",  # HSTS
    "v2.28": "2023-11-08T00:00:00Z",  # vip_vnic_type
    "v2.29": "2024-10-15T00:00:00Z",  # vip_sg_ids
    "v2.30": "2025-02-26T00:00:00Z",  # vnic_type of members
}
"""Those that Octavia 19 has, and since when. All are served alike."""


class PolicyForbidden(exceptions.NotAuthorized):
    message = "Policy does not allow this request to be performed. (%(rule)s)"


class QuotaMet(exceptions.NotAuthorized):
    message = "Quota has been met for resources: %(resource)s"


def _versions(url: str) -> list[dict[str, Any]]:
    newest = [*VERSIONS][-1]
    return [
        {
            "id": version,
            "status": "CURRENT" if version == newest else "SUPPORTED",
            "updated": updated,
            "links": [{"href": f"{url}/v2", "rel": "self"}],
        }
        for version, updated in VERSIONS.items()
    ]


_VERBS = {
    "create": "post",
    "get": "get_one",
    "list": "get_all",
    "list_all": "get_all-global",
    "update": "put",
    "delete": "delete",
    "stats": "get_stats",
    "status": "get_status",
    "statuses": "get_status",
    "failover": "put_failover",
    "config": "put_config",
    "default": "get_defaults",
}


def rule(verb: str, kind: str) -> str:
    """How Octavia calls a rule."""
    return f"os_load-balancer_api:{kind}:{_VERBS[verb]}"


def _fault(status: int, message: str) -> dict[str, Any]:
    code = "Client" if status < 500 else "Server"
    return {"faultcode": code, "faultstring": message, "debuginfo": None}


OCTAVIA = Service(
    name="load-balancer",
    path="/load-balancer/v2.0/lbaas",
    versions=_versions,
    rule=rule,
    fault=_fault,
    forbidden=lambda rule: PolicyForbidden(rule=rule),
    over_quota=lambda kind: QuotaMet(resource=kind),
    older_names={"loadbalancer": "load_balancer", "healthmonitor": "health_monitor"},
)
