# SPDX-License-Identifier: Apache-2.0

"""Who is let in by TLS, and the commands by which a host joins: run by a shell, as a host would."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tenantry.controller.cli.main import main
from tenantry.controller.sockets import certificates
from tenantry.controller.sockets.certificates import CertificateError
from tenantry.controller.sockets.tls import ServerTls
from tests.conftest import need
from tests.openvswitch import OpenVSwitch

CONTROLLER = ("192.0.2.1", "2001:db8::1", "controller.example")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "lib" / "ca"
    certificates.create(path, CONTROLLER)
    return path


def tenantry(*words: str, own: str = "") -> Result:
    """``own``: where the OVSDB of this machine is; it has none, whatever else runs here."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(f"[ovsdb]\nconnections = {own}\n")
        file.flush()
        return CliRunner().invoke(
            main, ("--config-file", file.name, *words), catch_exceptions=False
        )


def invite(*words: str) -> str:
    result = tenantry("host", "invite", *words)
    assert result.exit_code == 0, result.output
    return str(result.output)


def server_context(directory: Path) -> ssl.SSLContext:
    """What the controller listens with."""
    key, certificate, authority = (
        str(directory / name) for name in ("controller.key", "controller.pem", "ca.pem")
    )
    return ServerTls(certificate, key, authority).context()


def loaded(kind: int, issued: certificates.Issued, directory: Path) -> ssl.SSLContext:
    """A host's side, or whatever it pretends to be, which trusts the authority in a directory."""
    context = ssl.SSLContext(kind)
    context.check_hostname = False
    context.load_verify_locations(str(directory / "ca.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    pem = directory.parent / "host.pem"
    pem.write_text(issued.private_key + issued.certificate)
    context.load_cert_chain(pem)
    return context


def client_context(issued: certificates.Issued, directory: Path) -> ssl.SSLContext:
    return loaded(ssl.PROTOCOL_TLS_CLIENT, issued, directory)


def handshake(
    server: ssl.SSLContext, client: ssl.SSLContext, name: str | None = None
) -> ssl.SSLObject:
    """Both sides of a real one, without a socket between them; the server's end of it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    for end in ends:
        end.do_handshake()  # is done, or says that it is not
    return ends[1]


def common_name(peer: ssl.SSLObject | ssl.SSLSocket) -> str:
    found = peer.getpeercert()
    assert found
    name = str(found["subject"][0][0][1])  # the first part's only pair's value
    assert found["subjectAltName"] == (("DNS", name),)
    return name


def test_a_host_is_let_in_and_known_by_its_name(directory: Path) -> None:
    issued = certificates.issue(directory, "host1.example")
    peer = handshake(server_context(directory), client_context(issued, directory))
    assert common_name(peer) == "host1.example"


@pytest.mark.parametrize("name", CONTROLLER)
def test_the_controller_is_known_by_each_of_its_addresses(directory: Path, name: str) -> None:
    client = client_context(certificates.issue(directory, "host1"), directory)
    client.check_hostname = True
    handshake(server_context(directory), client, name)
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(server_context(directory), client, "192.0.2.2")


def test_a_host_of_another_authority_is_refused(directory: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    certificates.create(other, CONTROLLER)
    client = client_context(certificates.issue(other, "host1"), directory)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server_context(directory), client)


def test_another_authoritys_controller_is_refused(directory: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    certificates.create(other, CONTROLLER)
    client = client_context(certificates.issue(directory, "host1"), directory)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server_context(other), client)


def test_nobody_without_a_certificate_is_let_in(directory: Path) -> None:
    client = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        handshake(server_context(directory), client, "192.0.2.1")


def test_a_host_cannot_be_the_controller_of_others(directory: Path) -> None:
    client = client_context(certificates.issue(directory, "host1"), directory)
    issued = certificates.issue(directory, "host2")
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        handshake(loaded(ssl.PROTOCOL_TLS_SERVER, issued, directory), client)


def test_openssl_verifies_all_of_it_strictly(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "host1.pem").write_text(certificates.issue(directory, "host1").certificate)
    for purpose, path in [
        ("sslserver", directory / "controller.pem"),
        ("sslclient", directory / "controller.pem"),
        ("sslclient", tmp_path / "host1.pem"),
    ]:
        verify = ["openssl", "verify", "-x509_strict", "-purpose", purpose]
        done = subprocess.run(
            [*verify, "-CAfile", directory / "ca.pem", path], capture_output=True, text=True
        )
        assert done.stdout == f"{path}: OK\n", done.stderr


@pytest.mark.parametrize(("name", "days"), [("ca.pem", 3650), ("controller.pem", 730)])
def test_how_long_it_lasts(directory: Path, name: str, days: int) -> None:
    for left, lasts in ((days - 1, 0), (days + 1, 1)):
        check = ["openssl", "x509", "-noout", "-checkend", str(left * 86400), "-in"]
        assert subprocess.run([*check, directory / name], capture_output=True).returncode == lasts


def test_only_the_owner_reads_it(directory: Path) -> None:
    assert directory.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}
    names = ("ca.key", "ca.pem", "controller.key", "controller.pem")
    assert modes == dict.fromkeys(names, 0o600)
    assert list(directory.parent.iterdir()) == [directory]  # nothing is left of the making


def test_an_authority_is_not_overwritten(directory: Path) -> None:
    before = {path: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(CertificateError, match=r"already.*`tenantry ca renew`.*move the directory"):
        certificates.create(directory, CONTROLLER)
    assert {path: path.read_bytes() for path in directory.iterdir()} == before
    assert list(directory.parent.iterdir()) == [directory]


def test_the_controller_is_renewed(directory: Path) -> None:
    client = client_context(certificates.issue(directory, "host1"), directory)
    client.check_hostname = True
    key, before = ((directory / f"controller.{suffix}").read_text() for suffix in ("key", "pem"))
    assert certificates.renew(directory) == list(CONTROLLER)
    assert (directory / "controller.pem").read_text() != before
    assert (directory / "controller.key").read_text() == key
    handshake(server_context(directory), client, "2001:db8::1")

    assert certificates.renew(directory, ["198.51.100.1"]) == ["198.51.100.1"]
    handshake(server_context(directory), client, "198.51.100.1")
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(server_context(directory), client, "2001:db8::1")
    assert len(list(directory.iterdir())) == 4


def test_errors_say_what_to_do(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="`tenantry ca init --address ADDRESS`"):
        certificates.issue(tmp_path / "nowhere", "host1")
    with pytest.raises(CertificateError, match="name one that hosts reach"):
        certificates.create(tmp_path / "new", ["not a name"])
    with pytest.raises(CertificateError, match="cannot be a host's name"):
        certificates.issue(directory, "$(reboot)")
    (directory / "ca.key").write_text((directory / "controller.key").read_text())
    with pytest.raises(CertificateError, match=r"ca\.key .* restore it from a backup"):
        certificates.issue(directory, "host1")
    (tmp_path / "file").touch()
    with pytest.raises(CertificateError, match="name another --directory"):
        certificates.create(tmp_path / "file" / "ca", CONTROLLER)


def test_init_prints_what_the_configuration_file_needs(tmp_path: Path) -> None:
    path = tmp_path / "ca"
    result = tenantry("ca", "init", "--address", "192.0.2.1", "--directory", str(path))
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0].startswith("#")
    assert [line for line in lines[1:] if line] == [
        "[openflow]",
        "listen = 0.0.0.0:6653",
        f"tls_private_key = {path}/controller.key",
        f"tls_certificate = {path}/controller.pem",
        f"tls_ca_certificates = {path}/ca.pem",
        "[ovsdb]",
        "listen = 0.0.0.0:6640",
    ]
    again = tenantry("ca", "init", "--address", "192.0.2.1", "--directory", str(path))
    assert again.exit_code == 1
    assert "is there already" in again.output
    renewed = tenantry("ca", "renew", "--directory", str(path))
    assert renewed.exit_code == 0
    assert "192.0.2.1" in renewed.output


def test_init_of_a_controller_with_ipv6_alone(tmp_path: Path) -> None:
    words = ("ca", "init", "--address", "2001:db8::1", "--directory", str(tmp_path / "ca"))
    answer = json.loads(tenantry("--json", *words).output)
    assert answer["openflow"]["listen"] == "[::]:6653"
    assert answer["ovsdb"]["listen"] == "[::]:6640"


def test_the_own_host_is_enrolled(tmp_path: Path, dummy_ovs: OpenVSwitch) -> None:
    """It joins by its Unix socket, so nobody invites it; it is let in all the same."""
    path, installed = tmp_path / "ca", tmp_path / "etc" / "tenantry"
    words = ("--directory", str(path), "--install-to", str(installed))
    own = dummy_ovs.remote
    made = tenantry("ca", "init", "--address", "192.0.2.1", *words, own=own)
    assert "The Open vSwitch of test-host has its certificate." in made.output.splitlines()[0]
    assert dummy_ovs.vsctl("get-ssl").splitlines()[:3] == [
        f"Private key: {installed}/host.key",
        f"Certificate: {installed}/host.pem",
        f"CA Certificate: {installed}/ca.pem",
    ]
    assert (installed / "host.key").stat().st_mode & 0o077 == 0
    assert (installed / "ca.pem").read_text() == (path / "ca.pem").read_text()
    first = certificates.expires(installed / "host.pem")
    renewed = tenantry("ca", "renew", "--days", "900", *words, own=own)
    assert "The Open vSwitch of test-host has its certificate." in renewed.output
    assert certificates.expires(installed / "host.pem") > first


def test_certificates_of_somebody_else_stay(tmp_path: Path, dummy_ovs: OpenVSwitch) -> None:
    dummy_ovs.vsctl("set-ssl", "/pki/key", "/pki/certificate", "/pki/ca")
    words = ("--directory", str(tmp_path / "ca"), "--install-to", str(tmp_path / "etc"))
    made = tenantry("ca", "init", "--address", "192.0.2.1", *words, own=dummy_ovs.remote)
    assert "keeps the certificate that it has (Private key: /pki/key)" in made.output
    assert "/pki/key" in dummy_ovs.vsctl("get-ssl")
    assert not (tmp_path / "etc").exists()


def test_an_own_host_that_is_not_there_is_named(tmp_path: Path) -> None:
    words = ("--directory", str(tmp_path / "ca"), "--install-to", str(tmp_path / "etc"))
    made = tenantry("ca", "init", "--address", "192.0.2.1", *words, own=f"unix:{tmp_path}/none")
    assert made.exit_code == 0
    assert f"No Open vSwitch answers at unix:{tmp_path}/none" in made.output
    assert "`tenantry ca renew` gives it a certificate" in made.output


class Host:
    """A machine as far as the printed commands concern it: ``ovs-vsctl`` notes what it is told."""

    def __init__(self, root: Path) -> None:
        self.installed = root / "etc" / "tenantry's"  # a path that needs quoting
        self._log = root / "log"
        self._path = root / "bin"
        self._path.mkdir()
        self.vsctl('printf "%s\\n" "$*" >> ' + str(self._log))

    def vsctl(self, body: str) -> None:
        """What ``ovs-vsctl`` does from now on."""
        command = self._path / "ovs-vsctl"
        command.write_text(f"#!/bin/sh\n{body}\n")
        command.chmod(0o755)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": f"{self._path}:{os.environ['PATH']}"}
        return subprocess.run(
            ["sh"], input=script, env=environment, capture_output=True, text=True, umask=0o022
        )

    def told(self, script: str) -> list[str]:
        done = self.run(script)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return self._log.read_text().splitlines()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_shell_makes_a_host_join(directory: Path, host: Host) -> None:
    script = invite(
        *("host1", "--controller", "192.0.2.1", "--tunnel-address", "2001:db8:1::11"),
        *("--directory", str(directory), "--install-to", str(host.installed)),
    )
    key, certificate, authority = (
        host.installed / name for name in ("host.key", "host.pem", "ca.pem")
    )
    for _ in range(2):  # the second time, over the first one's files
        assert host.told(script)[-4:] == [
            f"set-ssl {key} {certificate} {authority}",
            "set Open_vSwitch . external_ids:hostname=host1",
            "set Open_vSwitch . external_ids:tenantry-encap-ip=2001:db8:1::11",
            "set-manager ssl:192.0.2.1:6640",
        ]
    assert host.installed.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in host.installed.iterdir()} == {0o600}
    assert authority.read_text() == (directory / "ca.pem").read_text()
    issued = certificates.Issued(key.read_text(), certificate.read_text(), authority.read_text())
    peer = handshake(server_context(directory), client_context(issued, directory))
    assert common_name(peer) == "host1"


@pytest.mark.parametrize(
    ("controller", "manager"),
    [
        ("192.0.2.1", "192.0.2.1:6641"),
        ("2001:db8::1", "[2001:db8::1]:6641"),
        ("[2001:db8::1]", "[2001:db8::1]:6641"),
        ("controller.example", "controller.example:6641"),
    ],
)
def test_where_a_host_is_sent(directory: Path, host: Host, controller: str, manager: str) -> None:
    words = ("host1", "--controller", controller, "--port", "6641")
    assert host.told(invite(*words, "--plain")) == [
        "set Open_vSwitch . external_ids:hostname=host1",
        f"set-manager tcp:{manager}",
    ]
    assert not host.installed.exists()
    where = ("--directory", str(directory), "--install-to", str(host.installed))
    assert host.told(invite(*words, *where))[-1] == f"set-manager ssl:{manager}"


def test_a_host_that_refuses_a_command_is_sent_nowhere(directory: Path, host: Host) -> None:
    host.vsctl('[ "$1" != set-ssl ] || { echo no >&2; exit 1; }; echo "$1"')
    words = ("--directory", str(directory), "--install-to", str(host.installed))
    done = host.run(invite("host1", "--controller", "192.0.2.1", *words))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "no\n")


def test_commands_for_programs(directory: Path) -> None:
    words = ("host", "invite", "host1", "--controller", "::1", "--directory", str(directory))
    answer = json.loads(tenantry("--json", *words).output)
    assert (answer["name"], answer["manager"]) == ("host1", "ssl:[::1]:6640")
    assert answer["commands"][0] == "set -eu"
    assert answer["commands"][-1] == "ovs-vsctl set-manager 'ssl:[::1]:6640'"


@pytest.mark.parametrize(
    "words",
    [
        ("a;reboot", "--controller", "192.0.2.1"),
        ("host1\n", "--controller", "192.0.2.1"),
        ("host1", "--controller", "192.0.2.1;reboot"),
        ("host1", "--controller", "192.0.2.1", "--tunnel-address", "eth0"),
        ("host1", "--controller", "192.0.2.1", "--install-to", "etc"),
    ],
)
def test_what_cannot_be_is_wrong_usage(words: tuple[str, ...]) -> None:
    assert tenantry("host", "invite", "--plain", *words).exit_code == 2


def test_without_an_authority_nothing_is_printed_to_run(tmp_path: Path) -> None:
    words = ("--controller", "192.0.2.1", "--directory", str(tmp_path / "none"))
    result = tenantry("host", "invite", "host1", *words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "`tenantry ca init" in result.stderr


@pytest.fixture
def ovsdb(host: Host) -> Iterator[Host]:
    """A host with a real OVSDB server, which reads from itself whom to connect to."""
    need(shutil.which("ovsdb-server") is not None, "ovsdb-server")
    ovs = OpenVSwitch()
    try:
        ovs.start_database()
        real = shutil.which("ovs-vsctl")
        host.vsctl(f'exec {real} --db={ovs.remote} --no-wait --timeout=20 "$@"')
        yield host
    finally:
        ovs.__exit__()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_open_vswitch_joins(directory: Path, ovsdb: Host, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        listener.settimeout(20)
        script = invite(
            *("host1", "--controller", address, "--port", str(listener.getsockname()[1])),
            *("--tunnel-address", "2001:db8:1::11", "--install-to", str(ovsdb.installed)),
            *("--directory", str(directory)),
        )
        done = ovsdb.run(script)
        assert (done.returncode, done.stderr) == (0, "")
        connection, _ = listener.accept()
        connection.settimeout(20)
        with server_context(directory).wrap_socket(connection, server_side=True) as peer:
            assert common_name(peer) == "host1"
            columns = ["external_ids"]
            select = {"op": "select", "table": "Open_vSwitch", "where": [], "columns": columns}
            call = {"method": "transact", "params": ["Open_vSwitch", select], "id": 1}
            peer.sendall(json.dumps(call).encode())
            (answer,) = json.loads(peer.recv(65536))["result"]
            assert dict(answer["rows"][0]["external_ids"][1]) == {
                "hostname": "host1",
                "tenantry-encap-ip": "2001:db8:1::11",
            }


HOSTS = [
    {
        "name": "host1",
        "alive": True,
        "gateway": True,
        "tunnel_address": "192.0.2.11",
        "availability_zone": "rack1",
        "switches": ["0000000000000001"],
        "ports": 3,
        "tunnels": [{"peer": "host2", "state": "down"}, {"peer": "host3", "state": "up"}],
    },
    {
        "name": "host2",
        "alive": False,
        "gateway": False,
        "tunnel_address": None,
        "availability_zone": None,
        "switches": [],
        "ports": 0,
        "tunnels": [],
    },
]


class Api(BaseHTTPRequestHandler):
    """A controller's answers about hosts: host1 goes only by force."""

    def do_GET(self) -> None:
        self.answer(200, HOSTS if self.path.split("?")[0] == "/tenantry/v1/hosts" else None)

    def do_DELETE(self) -> None:
        if self.path in ("/tenantry/v1/hosts/host1?force=1", "/tenantry/v1/hosts/rack%2F2"):
            self.answer(204, None)
        else:
            self.answer(409, {"NeutronError": {"message": "host1 is alive; use force"}})

    def answer(self, status: int, body: object) -> None:
        self.send_response(status)
        self.end_headers()
        if body is not None:
            self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_hosts_are_listed(url: str) -> None:
    assert json.loads(tenantry("--url", url, "--json", "host", "list").output) == HOSTS
    lines = tenantry("--url", url, "host", "list").output.splitlines()
    assert lines[2].split()[:5] == ["host1", "yes", "yes", "192.0.2.11", "rack1"]
    assert lines[2].endswith("1 up, host2 down")
    assert lines[3].split()[:5] == ["host2", "no", "no", "-", "-"]


def test_a_host_is_removed_if_the_controller_lets_it_go(url: str) -> None:
    refused = tenantry("--url", url, "host", "remove", "host1")
    assert (refused.exit_code, refused.stderr) == (1, "Error: host1 is alive; use force\n")
    forced = tenantry("--url", url, "host", "remove", "host1", "--force")
    assert (forced.exit_code, forced.output) == (0, "host1 is removed\n")
    assert tenantry("--url", url, "host", "remove", "rack/2").exit_code == 0
