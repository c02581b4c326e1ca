# SPDX-License-Identifier: Apache-2.0

"""What HAProxy is told of load balancers: reviewed as text, and accepted by HAProxy itself.

When a change is meant, ``python -m tests.unit.test_haproxy`` writes the text anew: read the diff.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from netaddr import AddrFormatError

from tenantry.apps.certificates.records import Certificate, certificate_id
from tenantry.apps.haproxy.configuration import configuration
from tenantry.apps.haproxy.processes import process_of, processes
from tenantry.apps.haproxy.quoting import fetch, text_format, word
from tenantry.apps.load_balancer.records import (
    L7Policy,
    L7Rule,
    Listener,
    MemberHealth,
    Pool,
    needs_proxy,
)
from tenantry.controller.feature.secrets import Secrets
from tenantry.controller.model import Network, Port, Prefix, Subnet, Worker
from tenantry.controller.model.values import FixedIp, Route
from tests import proxies
from tests.certificates import signed
from tests.conftest import need
from tests.proxies import BALANCER, balancer, listener, member, pool, view_of

GOLDEN = Path(__file__).parent / "haproxy" / "everything.cfg"

AUTHORITY = signed("Authority", authority=True)
SERVER = signed("web.example", ["web.example"], by=AUTHORITY)

PATH = "http://controller:9696/tenantry/v1/certificates"
HTTP_HEADERS = ("X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-IP")
TLS_HEADERS = tuple(
    f"X-SSL-{name}"
    for name in (
        *("Client-Verify", "Client-Has-Cert", "Client-DN", "Client-CN", "Issuer"),
        *("Client-SHA1", "Client-Not-Before", "Client-Not-After"),
    )
)


def headers(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, "True") for name in names)


def policy(id: str, listener: str, position: int, action: str, **values: Any) -> L7Policy:
    return L7Policy(id, "p", listener, action, position, True, **values)


def rule(id: str, of: str, type: str, compare: str, value: str, **more: Any) -> L7Rule:
    return L7Rule(id, "p", of, type, compare, value, True, **more)


EVERYTHING = (
    balancer("192.0.2.10", "2001:db8::10"),
    listener(
        *("web", 80),
        default_pool_id="even",
        insert_headers=headers(*HTTP_HEADERS),
        allowed_cidrs=(Prefix(4, 0xC0000200, 24), Prefix(6, 0x20010DB8 << 96, 32)),
        connection_limit=500,
    ),
    listener(
        *("tls", 443, "TERMINATED_HTTPS"),
        default_pool_id="cookie",
        default_tls_container_ref=f"{PATH}/default",
        sni_container_refs=(f"{PATH}/other", "bare"),
        client_ca_tls_container_ref=f"{PATH}/authority",
        client_crl_container_ref=f"{PATH}/revoked/",
        client_authentication="OPTIONAL",
        tls_ciphers="TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256",
        tls_versions=("TLSv1.2", "TLSv1.3"),
        alpn_protocols=("h2", "http/1.1"),
        hsts_max_age=31536000,
        hsts_include_subdomains=True,
        hsts_preload=True,
        insert_headers=headers(*TLS_HEADERS, "X-Forwarded-Proto"),
    ),
    listener("limited", 25, "TCP", default_pool_id="proxy", connection_limit=10),
    listener("passed-on", 8443, "HTTPS", default_pool_id="least", timeout_client_data=1000),
    listener("in-switch", 22, "TCP", default_pool_id="even"),
    listener("off", 81, default_pool_id="even", admin_state_up=False),
    listener("nowhere", 82),
    listener("metrics", 9101, "PROMETHEUS"),
    pool("even"),
    member("even-1", "even", 0, "192.0.2.1", 8080),
    member("even-2", "even", 1, "2001:db8::2", 8080, weight=0),
    member("even-3", "even", 2, "192.0.2.3", 8080, admin_state_up=False),
    member("even-4", "even", 3, "192.0.2.4", 8080, backup=True, weight=256),
    member("even-5", "even", 4, "192.0.2.5", 8080),
    MemberHealth("even-5", False, "HTTP 503"),
    MemberHealth("even-1", True, ""),
    pool(
        "cookie",
        persistence="HTTP_COOKIE",
        tls_enabled=True,
        tls_container_ref="default",
        ca_tls_container_ref="authority",
        crl_container_ref="revoked",
        tls_versions=("TLSv1.1", "TLSv1.2"),
        alpn_protocols=("h2",),
    ),
    member("cookie-1", "cookie", 0, "192.0.2.1", 8443),
    pool("app", lb_algorithm="SOURCE_IP", persistence="APP_COOKIE", cookie_name="it's"),
    member("app-1", "app", 5, "192.0.2.1", 8080),
    pool("proxy", "PROXYV2", lb_algorithm="SOURCE_IP_PORT"),
    member("proxy-1", "proxy", 0, "192.0.2.1", 25),
    pool(
        *("least", "PROXY"),
        lb_algorithm="LEAST_CONNECTIONS",
        persistence="SOURCE_IP",
        persistence_timeout=60,
        persistence_granularity="255.255.255.0",
        tls_enabled=True,
    ),
    member("least-1", "least", 0, "192.0.2.1", 8443),
    pool("down", admin_state_up=False),
    policy("1-to-pool", "web", 1, "REDIRECT_TO_POOL", redirect_pool_id="app"),
    rule("1-host", "1-to-pool", "HOST_NAME", "ENDS_WITH", ".example"),
    rule("1-path", "1-to-pool", "PATH", "STARTS_WITH", "/it's #1", invert=True),
    policy("2-url", "web", 2, "REDIRECT_TO_URL", redirect_url="https://example/%20"),
    rule("2-type", "2-url", "FILE_TYPE", "EQUAL_TO", "jpg"),
    policy("3-prefix", "web", 3, "REDIRECT_PREFIX", redirect_prefix="https://example"),
    rule("3-cookie", "3-prefix", "COOKIE", "CONTAINS", "%[src]", key="a'b"),
    policy("4-reject", "web", 4, "REJECT"),
    rule("4-header", "4-reject", "HEADER", "REGEX", r'^"\d+\\$', key='X-"it\'s\\'),
    policy("5-down", "web", 5, "REDIRECT_TO_POOL", redirect_pool_id="down"),
    rule("5-path", "5-down", "PATH", "EQUAL_TO", "/"),
    policy("6-without-rules", "web", 6, "REJECT"),
    replace(
        policy("7-code", "tls", 1, "REDIRECT_PREFIX", redirect_prefix="http://a"),
        redirect_http_code=308,
    ),
    rule("7-has", "7-code", "SSL_CONN_HAS_CERT", "EQUAL_TO", "True"),
    rule("7-result", "7-code", "SSL_VERIFY_RESULT", "EQUAL_TO", "0", invert=True),
    rule("7-name", "7-code", "SSL_DN_FIELD", "STARTS_WITH", "a b", key="CN"),
    replace(rule("7-off", "7-code", "PATH", "EQUAL_TO", "/"), admin_state_up=False),
    *(rule(f"8-{n:02}", "8-long", "PATH", "CONTAINS", f"{n}") for n in range(70)),
    policy("8-long", "nowhere", 1, "REJECT"),
)  # fmt: skip

SHOWN = SERVER.pem + SERVER.key_pem
FILES = {
    **{f"{name}.shown.pem": SHOWN for name in ("default", "other", "bare")},
    "authority.authority.pem": AUTHORITY.pem,
    "revoked.revoked.pem": AUTHORITY.revoked(),
}


def test_everything_is_said_as_reviewed() -> None:
    assert configuration(view_of(*EVERYTHING), BALANCER, 2) == GOLDEN.read_text()


def test_haproxy_accepts_it(tmp_path: Path) -> None:
    need(shutil.which("haproxy") is not None, "haproxy")
    text = configuration(view_of(*EVERYTHING), BALANCER)
    assert proxies.accepted(text, tmp_path, FILES) == ""


@pytest.mark.parametrize("versions", [("TLSv1",), ("TLSv1", "TLSv1.1", "TLSv1.2"), ("TLSv1.3",)])
@pytest.mark.parametrize("ciphers", ["", "ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_AES_128_CCM_SHA256"])
def test_versions_and_ciphers_go_together(
    tmp_path: Path, versions: tuple[str, ...], ciphers: str
) -> None:
    need(shutil.which("haproxy") is not None, "haproxy")
    chosen = {"tls_versions": versions, "tls_ciphers": ciphers}
    records = (
        balancer("127.0.0.1"),
        listener("tls", 443, "TERMINATED_HTTPS", default_tls_container_ref="default", **chosen),
    )
    text = configuration(view_of(*records), BALANCER)
    assert proxies.accepted(text, tmp_path, FILES) == ""


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain", "'plain'"),
        ("", "''"),
        ("a b\t#", "'a b\t#'"),
        ("it's", r"'it'\''s'"),
        ("'", r"''\'''"),
        ('"$HOME ${HOME} \\', "'\"$HOME ${HOME} \\'"),
    ],
)
def test_a_word_is_one_word(text: str, quoted: str) -> None:
    assert word(text) == quoted


@pytest.mark.parametrize(
    ("type", "compare", "value", "said"),
    [
        ("HEADER", "CONTAINS", '"Mac OS"', "'Mac OS'"),
        ("HEADER", "EQUAL_TO", r'"a\"b\\c"', r"""'a"b\c'"""),
        ("HEADER", "REGEX", '"Mac OS"', """'"Mac OS"'"""),
        ("HEADER", "CONTAINS", '""', """'""'"""),
        ("COOKIE", "EQUAL_TO", '"a"', """'"a"'"""),
    ],
)
def test_quotes_around_a_value_are_octavias(type: str, compare: str, value: str, said: str) -> None:
    reject = policy("p", "web", 1, "REJECT")
    one = rule("r", "p", type, compare, value, key="k")
    text = configuration(view_of(balancer("192.0.2.1"), listener("web", 80), reject, one), BALANCER)
    assert f" -- {said}\n" in text


def test_a_member_of_the_other_ip_version_is_the_proxys() -> None:
    common = (balancer("192.0.2.1"), listener("tcp", 25, "TCP", default_pool_id="web"))
    same, other = (member("m", "web", 0, a, 25) for a in ("192.0.2.2", "2001:db8::2"))
    assert not needs_proxy(view_of(*common, pool("web", "TCP"), same), BALANCER)
    view = view_of(*common, pool("web", "TCP"), other)
    assert needs_proxy(view, BALANCER)
    assert "server m [2001:db8::2]:25" in configuration(view, BALANCER)


def test_a_fetch_has_one_argument() -> None:
    assert fetch("req.hdr", "a,b) -m found") == "'req.hdr(\"a,b) -m found\")'"
    assert fetch("req.hdr", '"\\', "lower") == '\'req.hdr("\\"\\\\"),lower\''


def test_a_text_has_no_samples() -> None:
    assert text_format("%[src] 100%") == "'%%[src] 100%%'"


@pytest.mark.parametrize("character", ["\n", "\r", "\0", "\x0b", "\x7f", "\ud800"])
def test_what_ends_a_line_is_no_part_of_a_word(character: str) -> None:
    for quote in (word, text_format, lambda text: fetch("path", text)):
        with pytest.raises(ValueError, match="cannot be told"):
            quote(f"a{character}b")


TEXTS = {
    L7Rule: ("value", "key"),
    L7Policy: ("redirect_url", "redirect_prefix"),
    Pool: ("cookie_name", "tls_ciphers", "tls_container_ref", "persistence_granularity"),
    Listener: ("tls_ciphers", "default_tls_container_ref", "client_ca_tls_container_ref"),
}
"""What tenants write."""


@pytest.mark.parametrize("before", ["x", "/x'", 'x"', "x\\"])
def test_nothing_that_a_tenant_writes_gets_out_of_its_word(before: str) -> None:
    """Each of their texts in turn has the end of a line in it: no configuration comes of it, unless
    it was never meant to be there."""
    evil, refused = f"{before}\n    server evil 192.0.2.66:80", 0
    for record in EVERYTHING:
        others = [one for one in EVERYTHING if one is not record]
        for attribute in TEXTS.get(type(record), ()):
            if not getattr(record, attribute):
                continue
            view = view_of(*others, replace(record, **{attribute: evil}))
            try:
                assert "evil" not in configuration(view, BALANCER)
            except (ValueError, AddrFormatError):
                refused += 1
    assert refused >= 90


@pytest.mark.parametrize(
    ("reference", "id"), [("id", "id"), (f"{PATH}/id", "id"), (f"{PATH}/id/", "id"), ("", "")]
)
def test_a_reference_is_a_url_or_an_id(reference: str, id: str) -> None:
    assert certificate_id(reference) == id


NETWORK = Network("network", 1, "p", "n", True, 1450, "geneve", None, 7)
SUBNETS = (
    Subnet(
        *("s", "network", 4, 0xC0000200, 24),
        gateway=0xC0000201,
        host_routes=(Route(0x0A000000, 8, 0xC0000209),),
    ),
    Subnet("s6", "network", 6, 0x20010DB8 << 96, 64, gateway=(0xFE80 << 112) + 1),
)  # fmt: skip
PORT = Port(
    "port", 1, "network", "p", "vip", 0xFA163E000001,
    (FixedIp("s", 4, 0xC000020A), FixedIp("s6", 6, (0x20010DB8 << 96) + 16)), True, False, "", "",
)  # fmt: skip


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return Secrets(str(tmp_path / "secrets.key"))


def test_a_process_has_the_port_the_files_and_the_keys(secrets: Secrets) -> None:
    key = secrets.seal(SERVER.key_pem)
    certificates = (
        *(Certificate(id, SERVER.pem, AUTHORITY.pem, key) for id in ("default", "other", "bare")),
        Certificate("authority", AUTHORITY.pem),
        Certificate("revoked", crl=AUTHORITY.revoked()),
    )
    view = view_of(*EVERYTHING, *certificates, NETWORK, *SUBNETS, PORT)
    process = process_of(view, BALANCER, secrets, 2)
    assert process is not None
    (plug,) = process.plugs
    assert (plug.mac, plug.mtu) == ("fa:16:3e:00:00:01", 1450)
    assert plug.addresses == ("192.0.2.10/24", "2001:db8::10/64")
    assert [(route.destination, route.via) for route in plug.routes] == [
        ("10.0.0.0/8", "192.0.2.9"),
        ("0.0.0.0/0", "192.0.2.1"),
        ("::/0", "fe80::1"),
    ]
    files = {file.name: file.content for file in process.files}
    assert files["haproxy.cfg"] == GOLDEN.read_text()
    assert files["bare.shown.pem"] == SERVER.pem + AUTHORITY.pem + SERVER.key_pem
    assert files["authority.authority.pem"] == AUTHORITY.pem
    assert files["revoked.revoked.pem"].startswith("-----BEGIN X509 CRL")
    assert all(file.mode == 0o600 for file in process.files)
    assert process.ready is not None
    revision = process.ready.expect.removeprefix("description: ")
    assert files["revision.cfg"] == f"global\n    description {revision}\n"
    renewed = replace(certificates[0], intermediates="")
    view = view_of(*EVERYTHING, renewed, *certificates[1:], NETWORK, *SUBNETS, PORT)
    again = process_of(view, BALANCER, secrets, 2)
    assert again is not None and again.ready != process.ready


def test_a_load_balancer_is_with_one_worker_if_it_needs_a_proxy(secrets: Secrets) -> None:
    wanted = processes(secrets, 0)
    workers = (Worker("one", True), Worker("two", True), Worker("dead", False))
    common = (balancer("192.0.2.10"), NETWORK, *SUBNETS, PORT, *workers)
    view = view_of(*common, listener("web", 80))
    found = [process.name for host in ("one", "two", "dead") for process in wanted(view, host)]
    assert found == [f"haproxy-{BALANCER}"]
    view = view_of(*common, listener("in-switch", 80, "TCP"))
    assert not [process for host in ("one", "two") for process in wanted(view, host)]


if __name__ == "__main__":
    GOLDEN.write_text(configuration(view_of(*EVERYTHING), BALANCER, 2))
