# SPDX-License-Identifier: Apache-2.0

"""Experiment: a gateway dies. For how long is the world outside gone?

Four hosts with an Open vSwitch each, two of which lead outside and stand in for each other::

    inside - host3 --+           +-- host1 --+
                     +-- tunnels +           +-- outside -- server
    other -- host4 --+           +-- host2 --+

While ``inside`` asks the server a thousand times a second, the switch daemon of whichever of the
two its router leads through is killed: once with the controller alive, and once with it dead, so
that switches have nobody but each other. It prints for how long nobody answered, draws the answers
around the failure (``--png``), and fails if the other does not take over. How long that may take is
said, and measured by ``make bench``: it is longer on a machine that is busy with something else.
"""

import contextlib
import sys

import hosts
import stage
from stage import say

PROVIDER, INSIDE, SERVER = ("203.0.113.0/24",), "10.0.0.0/24", "198.51.100.7"
AT_MOST = 1000  # milliseconds, on a quiet machine


class Gateways(hosts.Hosts):
    def build(self, neutron, directory):
        self.machines(4, directory)
        provider = self.provider(neutron, PROVIDER)
        network, subnets = self.network(neutron, "inside", "tenant", (INSIDE,))
        neutron.router("router", "tenant", provider[0], subnets)
        self.tenant_host(neutron, "inside", "tenant", "host3", 11, network, subnets)
        self.tenant_host(neutron, "other", "tenant", "host4", 12, network, subnets)
        self.beyond(provider[1], "ext")


def main():
    return stage.play(stage.parser(__doc__, png="the answers").parse_args(), experiment)


def experiment(arguments, cleanup):
    directory = stage.enter(cleanup)
    runs = {}
    for controller in ("alive", "dead"):
        place = directory / controller
        place.mkdir()
        with contextlib.ExitStack() as after:
            runs[f"controller {controller}"] = die(arguments.tenantry, place, controller, after)
    picture = {"title": "A gateway dies", "event": "its switch daemon is killed", "runs": runs}
    stage.draw(arguments.tenantry, "plot_answers.py", arguments.png, picture)
    return stage.verdict("The other gateway took over", AT_MOST, *runs.values())


def die(command, directory, controller, cleanup):
    """One run: what became of the questions."""
    say(f"building four hosts; the controller will be {controller}")
    tenantry = stage.Tenantry(command, directory, hosts.OPTIONS, cleanup)
    net = stage.build(Gateways(tenantry.neutron, directory), cleanup)
    hosts.join(net, tenantry)
    (router,) = tenantry.neutron.list("router", name="router")
    active = net.get(hosts.gateways(tenantry, router)[0])
    inside, server = net.get("inside", "server")
    inside.cmd(f"ping -n -q -c 3 -i 0.2 {SERVER}")  # neighbours are known
    if controller == "dead":
        tenantry.die()
    answers, moment = stage.asked_while(active.ovs.crash_switch, inside, SERVER, server)
    say(f"{active.name} died: {answers}")
    return answers.around(moment)


if __name__ == "__main__":
    sys.exit(main())
