# SPDX-License-Identifier: Apache-2.0

"""``tenantry capture``: a port's packets, for whatever reads pcapng."""

from __future__ import annotations

import sys
from typing import Any, BinaryIO

import click

from tenantry.controller.client import Context

IDLE_SECONDS = 7200.0
"""How long a port may be silent."""


@click.command()
@click.argument("port")
@click.argument("filter", nargs=-1)
@click.option("-w", "file", type=click.File("wb"), help="Write to a file; - is standard output.")
@click.option("--seconds", type=click.IntRange(1), help="For so long (as long as one may).")
@click.option("--packets", type=click.IntRange(1), help="So many, and then no more.")
@click.option("--snaplen", type=click.IntRange(1), help="So many octets of each (all).")
@click.option("--direction", type=click.Choice(["in", "out", "both"]), default="both")
@click.pass_obj
def capture(
    context: Context,
    /,
    port: str,
    filter: tuple[str, ...],
    file: BinaryIO | None,
    **asked: Any,
) -> None:
    """Show the packets of PORT (an id or a name) as they come: what its machine sends, and gets.

    \b
        tenantry capture web | wireshark -k -i -
        tenantry capture web tcp port 80 --seconds 10 -w web.pcapng

    FILTER is made of a few of tcpdump's terms, all of which must hold: arp, ip, ip6, icmp, icmp6,
    tcp, udp, [src|dst] host ADDRESS, [src|dst] net PREFIX, [src|dst] port NUMBER, ether host MAC.
    The switch looks for these, so what is not asked for costs nothing of the rate.
    """
    if file is None and sys.stdout.isatty():
        raise click.UsageError(
            "what comes is for a program: | wireshark -k -i -, | tcpdump -r -, or -w FILE"
        )
    if context.output.as_json:
        raise click.UsageError("what comes is pcapng; for JSON: | tshark -r - -T json")
    id = context.client.find("ports", port)["id"]
    out: BinaryIO = file or sys.stdout.buffer
    path, idle = f"/tenantry/v1/ports/{id}/capture", max(IDLE_SECONDS, asked["seconds"] or 0)
    try:
        for block in context.client.stream(path, idle, filter=" ".join(filter) or None, **asked):
            out.write(block)
            out.flush()
    except BrokenPipeError:  # whoever read it has seen enough
        sys.stderr.close()
    except KeyboardInterrupt:
        pass  # what has come is whole
