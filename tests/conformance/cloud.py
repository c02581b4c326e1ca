# SPDX-License-Identifier: Apache-2.0

"""A whole cloud of one's own: a real Keystone, the controller, an Open vSwitch, in one network
namespace, set up by the commands that people use."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from openstack.config import OpenStackConfig
from openstack.connection import Connection

from tenantry.controller.cli import openvswitch
from tests import namespace
from tests.openvswitch import OpenVSwitch

TENANTRY: tuple[str, ...] = (str(Path(sys.executable).with_name("tenantry")),)
KEYSTONE, NETWORK = "http://127.0.0.1:5000", "http://127.0.0.1:9696"  # the defaults
PHYSICAL, OUTSIDE = "physnet1", "public"
PATIENCE = 120  # seconds until what does not come up is an error

OPTIONS = f"""\
[store]
url = sqlite:///{{directory}}/tenantry.db
[network_log]
file = {{directory}}/network.log
[ovsdb]
connections = {{remote}}
datapath_type = netdev
[networks]
vlan_ranges = {PHYSICAL}:100:1999
vni_ranges = 1:2000
tenant_network_type = vxlan
physical_networks = {PHYSICAL}, {OUTSIDE}
[quotas]
quota_router = 100
quota_floatingip = 500
quota_security_group = 150
quota_security_group_rule = 1000
"""
"""VNIs and quotas as in the suites' own CI (zuul.d of neutron-tempest-plugin), which they count
on."""


class Cloud:
    """Use :func:`cloud` to make one."""

    def __init__(self, clouds: Path) -> None:
        self.clouds = clouds
        self.outside = ""
        """The id of the network that leads outside."""
        self._config = OpenStackConfig(config_files=[str(clouds)])

    def connection(self, user: str) -> Connection:
        """openstacksdk as one of the users that ``tenantry keystone init`` makes."""
        return Connection(config=self._config.get_one(user))

    def password(self, user: str) -> str:
        found: str = self._config.get_one(user).config["auth"]["password"]
        return found


@contextmanager
def cloud(directory: Path) -> Iterator[Cloud]:
    """From nothing to an API that answers, with a network that leads outside, and pools for
    subnets; in a namespace of this thread's own. Errors: RuntimeError, with the last words of what
    does not come up."""
    with namespace.entered(), OpenVSwitch() as ovs, ExitStack() as stack:
        keystone = directory / "keystone"
        namespace.run(*TENANTRY, "keystone", "init", "--directory", str(keystone))
        with (keystone / "keystone.conf").open("a") as file:
            # Suites make a thousand users; what guessing a password costs is not asked here.
            file.write("[identity]\npassword_hash_rounds = 4\n")
        options = directory / "tenantry.conf"
        options.write_text(OPTIONS.format(directory=directory, remote=ovs.remote))

        def start(name: str, url: str, *words: str) -> None:
            process = openvswitch.daemon(*TENANTRY, *words, directory=directory, name=name)
            stack.callback(openvswitch.stop, process)
            _until_answers(process, url, directory / f"{name}.log")

        start("keystone", f"{KEYSTONE}/v3", "keystone", "serve", "--directory", str(keystone))
        files = (f"--config-file={options}", f"--config-file={keystone}/tenantry.conf")
        start("controller", f"{NETWORK}/", *files, "serve")
        made = Cloud(keystone / "clouds.yaml")
        with made.connection("admin") as admin:
            wire = {"provider_network_type": "flat", "provider_physical_network": OUTSIDE}
            network = admin.network.create_network(name=OUTSIDE, is_router_external=True, **wire)
            for version, cidr in ((4, "203.0.113.0/24"), (6, "2001:db8:ffff::/64")):
                admin.network.create_subnet(
                    network_id=network.id, ip_version=version, cidr=cidr, is_dhcp_enabled=False
                )
            for version, prefix, length in ((4, "10.0.0.0/16", 26), (6, "fd00:5eed::/48", 64)):
                admin.network.create_subnet_pool(
                    name=f"shared-default-subnetpool-v{version}",
                    prefixes=[prefix],
                    default_prefix_length=length,
                    is_default=True,
                    is_shared=True,
                )
            made.outside = network.id
        yield made


def _until_answers(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return  # it answers, if only that it wants to know who asks
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                last = log.read_text()[-2000:]
                raise RuntimeError(f"nothing answers at {url} ({error}):\n{last}") from None
        time.sleep(0.05)
