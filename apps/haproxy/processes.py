# SPDX-License-Identifier: Apache-2.0

"""The processes that are wanted of HAProxy: one for each load balancer that needs a proxy, on the
worker that has it, in a namespace whose one interface is the port of its VIPs.

All that HAProxy is told is in its files. When they change, its master reads them and starts a new
one, which takes over the sockets that listen, and what the old one knows of who has which member;
the old one ends with its last connection. So no connection is lost, whatever the change is. Health
is no other case: a member that dies is a change of the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b

from tenantry.apps.certificates.records import Certificate
from tenantry.apps.haproxy.configuration import SOCKET, configuration, pools_of, proxied
from tenantry.apps.haproxy.tls import AUTHORITY, REVOKED, SHOWN, CertificateFile, certificate_files
from tenantry.apps.load_balancer.records import LoadBalancer, needs_proxy
from tenantry.controller.feature.processes import File, Probe, Process
from tenantry.controller.feature.secrets import Secrets
from tenantry.controller.model import View, derived
from tenantry.controller.network.plugs import plug_of
from tenantry.controller.network.workers import worker_of

CONFIGURATION, REVISION = "haproxy.cfg", "revision.cfg"
_FILES = ("-f", CONFIGURATION, "-f", REVISION)

STATISTICS = "statistics"
"""What a process can be asked: HAProxy's Management Guide, 9.1 (CSV format)."""


def process_name(load_balancer_id: str) -> str:
    return f"haproxy-{load_balancer_id}"


def processes(secrets: Secrets, threads: int) -> Callable[[View, str], Iterable[Process]]:
    """Of a worker (its host): see :class:`tenantry.controller.feature.app.Parts`."""

    def wanted(view: View, host: str) -> Iterator[Process]:
        for id in sorted(view.ids(LoadBalancer)):
            if needs_proxy(view, id) and _worker(view, id) == host:
                process = process_of(view, id, secrets, threads)
                if process is not None:
                    yield process

    return wanted


@derived
def _worker(view: View, id: str) -> str | None:
    balancer = view.get(LoadBalancer, id)
    return worker_of(view, id, balancer.failovers) if balancer else None


@derived
def process_of(view: View, id: str, secrets: Secrets, threads: int) -> Process | None:
    """The process of a load balancer; None while its port is not there."""
    balancer = view.get(LoadBalancer, id)
    plug = plug_of(view, balancer.vip_port_id) if balancer else None
    if plug is None:
        return None
    files = [
        File(CONFIGURATION, configuration(view, id, threads)),
        *(File(file.name, _content(view, file, secrets)) for file in _certificates(view, id)),
    ]
    revision = _digest(files)
    files.append(File(REVISION, f"global\n    description {revision}\n"))
    return Process(
        name=process_name(id),
        namespace=f"lb-{id}",
        command=("haproxy", "-W", *_FILES),
        plugs=(plug,),
        files=tuple(files),
        check=("haproxy", "-c", *_FILES),
        reload_signal="SIGUSR2",
        ready=Probe(socket=SOCKET, line="show info", expect=f"description: {revision}"),
        reports=((STATISTICS, Probe(socket=SOCKET, line="show stat")),),
    )


def _digest(files: list[File]) -> str:
    """By which a proxy that has read these is told from one that has not yet."""
    text = "\0".join(part for file in files for part in (file.name, file.content))
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _certificates(view: View, load_balancer_id: str) -> list[CertificateFile]:
    return sorted(
        {
            file
            for listener in proxied(view, load_balancer_id)
            for file in certificate_files(listener, pools_of(view, listener))
        }
    )


def _content(view: View, file: CertificateFile, secrets: Secrets) -> str:
    one = view.get(Certificate, file.certificate_id)
    assert one is not None  # it cannot be deleted while it is in use
    key = secrets.open(one.private_key) if file.use == SHOWN else ""
    return {
        SHOWN: one.certificate + one.intermediates + key,
        AUTHORITY: one.certificate + one.intermediates,
        REVOKED: one.crl,
    }[file.use]
