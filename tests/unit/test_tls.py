# SPDX-License-Identifier: Apache-2.0

"""The API by TLS: certificates that are renewed while it runs, clients that must have one, and
those that never end their handshake."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from webob import Request, Response

from tenantry.controller import runtime
from tenantry.controller.sockets import certificates, http, listener
from tenantry.controller.sockets.listener import Clients, Listener, listen
from tenantry.controller.sockets.tls import ServerTls
from tenantry.controller.switch import channel


def scheme(environ: dict[str, Any], start_response: Any) -> Any:
    body = json.dumps(Request(environ).host_url).encode()
    return Response(body, content_type="application/json")(environ, start_response)


class Authority:
    """With a certificate for 127.0.0.1."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        certificates.create(directory, ["127.0.0.1"])
        self.certificate = directory / certificates.CONTROLLER
        self.key = directory / certificates.CONTROLLER_KEY
        self.own = directory / certificates.AUTHORITY

    def renew(self) -> None:
        certificates.renew(self.directory)

    def serial(self) -> int:
        return x509.load_pem_x509_certificate(self.certificate.read_bytes()).serial_number

    def client(self, name: str = "") -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.own))
        if name:
            issued = certificates.issue(self.directory, name)
            pem = self.directory / f"{name}.pem"
            pem.write_text(issued.private_key + issued.certificate)
            context.load_cert_chain(pem)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


class Served:
    def __init__(self, tls: ServerTls, clients: Clients, address: tuple[str, int]) -> None:
        self.tls = tls
        self.clients = clients
        self.address = address

    def ask(self, context: ssl.SSLContext) -> tuple[int, str]:
        """The serial number of the certificate that is shown, and the answer."""
        with (
            socket.create_connection(self.address, 30) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
        ):
            client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
            shown = client.getpeercert(binary_form=True)
            answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
        assert shown
        serial = x509.load_der_x509_certificate(shown).serial_number
        return serial, answer.rpartition(b"\r\n\r\n")[2].decode()


@contextmanager
def served(authority: Authority, clients_of: str = "") -> Iterator[Served]:
    tls = ServerTls(str(authority.certificate), str(authority.key), clients_of)
    listening = listen("127.0.0.1", 0)
    clients = Clients("client at", 100, part=1.0)
    accepting = Listener(listening, clients, http.Http(scheme).serve, tls=tls.context)
    try:
        yield Served(tls, clients, listening.getsockname())
    finally:
        accepting.close()


def test_a_renewed_certificate_is_shown_at_once(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    client = authority.client()
    with served(authority) as api:
        assert api.ask(client) == (authority.serial(), '"https://here"')
        first = authority.serial()
        authority.renew()
        assert authority.serial() != first
        assert api.ask(client)[0] == authority.serial()
        # One file before the other: they do not go together until both are there.
        now, key = authority.serial(), authority.key.read_bytes()
        other = Authority(authority.directory.with_name("other"))
        authority.key.write_bytes(other.key.read_bytes())
        assert api.ask(client)[0] == now
        assert api.ask(client)[0] == now
        told = [r for r in caplog.records if "the former certificate is shown" in r.message]
        assert len(told) == 1
        assert key.decode() not in caplog.text
        authority.certificate.write_bytes(other.certificate.read_bytes())
        assert api.ask(other.client())[0] == other.serial()
        authority.certificate.unlink()
        assert api.ask(other.client())[0] == other.serial()


def test_switches_are_shown_a_renewed_certificate_and_their_authority_is_read_again(
    authority: Authority, tmp_path: Path
) -> None:
    """As the API's: nothing is restarted."""
    listening = listen("127.0.0.1", 0)
    authorities = tmp_path / "authorities.pem"
    authorities.write_bytes(authority.own.read_bytes())
    tls = ServerTls(str(authority.certificate), str(authority.key), str(authorities))
    switches = channel.start(100)
    switches.serve(listening, channel.Observer(), tls)

    def shown(client: ssl.SSLContext) -> int:
        """By whoever says hello: version 1.4 of OpenFlow, as we do."""
        with (
            socket.create_connection(listening.getsockname(), 30) as plain,
            client.wrap_socket(plain, server_hostname="127.0.0.1") as switch,
        ):
            assert switch.recv(2) == b"\x05\x00"
            told = switch.getpeercert(binary_form=True)
        assert told
        return x509.load_der_x509_certificate(told).serial_number

    try:
        mine, first = authority.client("host1"), authority.serial()
        assert shown(mine) == first
        authority.renew()
        assert shown(mine) == authority.serial() != first
        other = Authority(tmp_path / "other")
        theirs = other.client("host2")
        theirs.load_verify_locations(authority.own)
        with pytest.raises(OSError):
            shown(theirs)
        authorities.write_bytes(authority.own.read_bytes() + other.own.read_bytes())
        assert shown(theirs) == shown(mine) == authority.serial()
    finally:
        channel.stop(switches)


def test_clients_may_have_to_show_a_certificate(authority: Authority) -> None:
    with served(authority, str(authority.own)) as api:
        assert api.ask(authority.client("alice"))[1] == '"https://here"'
        with pytest.raises(OSError):
            api.ask(authority.client())
        stranger = Authority(authority.directory.with_name("other")).client("mallory")
        stranger.load_verify_locations(authority.own)
        with pytest.raises(OSError):
            api.ask(stranger)


def test_who_never_ends_a_handshake_holds_up_nobody(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a stranger, of whom there may be so many, and is hung up on in the end."""
    monkeypatch.setattr("tenantry.controller.sockets.listener.HANDSHAKE_SECONDS", 1)
    client = authority.client()
    with served(authority) as api:
        slow = [socket.create_connection(api.address, 30) for _ in range(20)]
        for one in slow:
            one.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert api.ask(client)[1] == '"https://here"'
        while len(api.clients) < 20:
            runtime.sleep(0.001)
        assert not any(reader.is_named for reader in api.clients._here)
        for one in slow:
            assert one.recv(100) == b""
            one.close()


BODY_MISSING = b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"


@pytest.mark.parametrize("said", [b"", b"GET / HT", BODY_MISSING])
def test_who_says_nothing_whole_after_its_handshake_is_hung_up_on(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    for module in (http, listener):
        monkeypatch.setattr(module, "STRANGER_SECONDS", 0.2)
    monkeypatch.setattr(http, "BODY_SECONDS", 0.2)
    with (
        served(authority) as api,
        socket.create_connection(api.address, 30) as plain,
        authority.client().wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        client.sendall(said)
        while client.recv(1 << 16):  # the end, not the time-out
            pass


def test_a_head_without_end_ends(authority: Authority) -> None:
    with (
        served(authority) as api,
        socket.create_connection(api.address, 30) as plain,
        authority.client().wrap_socket(plain, server_hostname="127.0.0.1") as client,
        runtime.Timeout(60),
        pytest.raises(OSError),
    ):
        client.sendall(b"GET / HTTP/1.1\r\n")
        while True:
            client.sendall(b"X: y\r\n" * 1000)


def test_who_speaks_no_tls_is_hung_up_on(authority: Authority) -> None:
    with served(authority) as api, socket.create_connection(api.address, 30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
        assert b"200" not in answer
