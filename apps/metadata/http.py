# SPDX-License-Identifier: Apache-2.0

"""Requests for metadata and their answers: HTTP, as OpenStack's Nova and Amazon's EC2 give them."""

from __future__ import annotations

import hashlib
import json

from webob import Request, Response

from tenantry.apps.metadata.instance import Instance, instance
from tenantry.controller.model import View

OPENSTACK_VERSIONS = (
    *("2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06"),
    *("2017-02-22", "2018-08-27", "2020-10-14", "latest"),
)
EC2_VERSIONS = (
    *("1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15"),
    *("2008-02-01", "2008-09-01", "2009-04-04", "2021-03-23", "latest"),
)

Tree = dict[str, "Tree | str | bytes"]


class Metadata:
    """Answers for any port. ``domain`` is that of networks that have none, with its final dot."""

    def __init__(self, domain: str) -> None:
        self._domain = domain

    def answer(self, view: View, port_id: str, request: Request) -> Response:
        """Nothing of the request counts but its method and its path."""
        if request.method == "PUT" and request.path_info == "/latest/api/token":
            # IMDSv2: whoever can ask for a token can ask without one, so it proves nothing here.
            return _text(hashlib.sha256(port_id.encode()).hexdigest())
        if request.method not in ("GET", "HEAD"):
            return _text("405 Method Not Allowed", status=405)
        found = instance(view, port_id, self._domain)
        value: Tree | str | bytes | None = _tree(found) if found else None
        for part in filter(None, request.path_info.split("/")):
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            return _text("404 Not Found", status=404)
        if isinstance(value, dict):
            return _text("\n".join(_entry(name, value[name]) for name in value))
        if isinstance(value, bytes):
            return Response(value, content_type="application/octet-stream")
        if value.startswith(("{", "[")):
            return Response(value, content_type="application/json", charset="UTF-8")
        return _text(value)


def _text(text: str, status: int = 200) -> Response:
    return Response(text, status=status, content_type="text/plain", charset="UTF-8")


def _entry(name: str, value: Tree | str | bytes) -> str:
    """A name in a listing; what has more below it ends with a slash. Keys have names besides."""
    if isinstance(value, dict):
        key = value.get("openssh-key")
        return f"{name}={str(key).split()[-1]}" if key else f"{name}/"
    return name


def _tree(machine: Instance) -> Tree:
    """Everything that there is to ask for."""
    tree: Tree = {version: _ec2(machine) for version in EC2_VERSIONS}
    tree["openstack"] = {version: _openstack(machine) for version in OPENSTACK_VERSIONS}
    return tree


def _openstack(machine: Instance) -> Tree:
    files: Tree = {
        "meta_data.json": json.dumps(machine.meta_data()),
        "network_data.json": json.dumps(machine.network_data()),
        "vendor_data.json": "{}",
        "vendor_data2.json": "{}",
        "password": b"",
    }
    if machine.user_data is not None:
        files["user_data"] = machine.user_data
    return files


def _ec2(machine: Instance) -> Tree:
    macs: Tree = {
        "mac": machine.mac,
        "local-hostname": machine.full_name,
        "local-ipv4s": "\n".join(machine.addresses(4)),
        "subnet-ipv4-cidr-block": "\n".join(machine.cidrs(4)),
        "mtu": str(machine.network.mtu),
    }
    if machine.addresses(6):
        macs["ipv6s"] = "\n".join(machine.addresses(6))
    meta: Tree = {
        "ami-id": "none",
        "ami-launch-index": "0",
        "hostname": machine.full_name,
        "instance-id": machine.id,
        "instance-type": "none",
        "local-hostname": machine.full_name,
        "local-ipv4": next(iter(machine.addresses(4)), ""),
        "mac": machine.mac,
        "network": {"interfaces": {"macs": {machine.mac: macs}}},
        "placement": {"availability-zone": "tenantry"},
        "reservation-id": machine.id,
    }
    if machine.ssh_keys:
        keys = enumerate(machine.ssh_keys.items())
        meta["public-keys"] = {str(number): {"openssh-key": key} for number, (_, key) in keys}
    tree: Tree = {"meta-data": meta}
    if machine.user_data is not None:
        tree["user-data"] = machine.user_data
    return tree
