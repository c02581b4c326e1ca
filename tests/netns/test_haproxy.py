# SPDX-License-Identifier: Apache-2.0

"""What real clients get from HAProxy as we configure it: curl and openssl, by IPv4 and IPv6, with
real servers behind it."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tenantry.apps.load_balancer.records import L7Policy, L7Rule, Listener, MemberHealth
from tenantry.controller.model.values import Prefix
from tests import namespace, proxies
from tests.certificates import Signed, signed
from tests.conftest import need
from tests.proxies import Proxy, balancer, listener, member, pool, view_of

PORTS = (9001, 9002, 9003)
VIPS = balancer("127.0.0.1", "::1")
AUTHORITY = signed("Authority", authority=True)
STRANGER = signed("Stranger", authority=True)


@pytest.fixture(autouse=True)
def machine() -> Iterator[None]:
    """A namespace, with three web servers in it."""
    need(namespace.allowed(), "root for a namespace")
    need(shutil.which("haproxy") is not None, "haproxy")
    with namespace.entered(), proxies.answering(PORTS):
        yield


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path)
    yield proxy
    proxy.close()


def members(of: str, *ports: int, **values: Any) -> list[Any]:
    return [
        member(f"{of}-{port}", of, slot, "127.0.0.1" if slot % 2 else "::1", port, **values)
        for slot, port in enumerate(ports)
    ]


def rule(of: str, type: str, compare: str, value: str, key: str = "", **more: Any) -> L7Rule:
    return L7Rule(f"{of}-{type}", "p", of, type, compare, value, True, key, **more)


def policy(listener: str, action: str, position: int = 1, **values: Any) -> L7Policy:
    id = f"{listener}-{action}-{position}"
    return L7Policy(id, "p", listener, action, position, True, **values)


def curl(*words: str) -> str:
    return namespace.run("curl", "--silent", "--show-error", "--max-time", "20", *words)


def served_by(answer: str) -> int:
    """Which server has answered."""
    return int(answer.partition("\n")[0])


def shown(answer: str, name: str) -> str | None:
    """A header that the server was sent."""
    for line in answer.splitlines()[2:]:
        key, _, value = line.partition(": ")
        if key.lower() == name.lower():
            return value
    return None


def file(name: str, one: Signed) -> dict[str, str]:
    return {f"{name}.shown.pem": one.pem + one.key_pem}


def tls_listener(id: str, port: int, **values: Any) -> Listener:
    own = {"default_pool_id": "web", "default_tls_container_ref": "default"}
    return listener(id, port, "TERMINATED_HTTPS", **{**own, **values})


DEFAULT = signed("default.example", ["default.example"], by=AUTHORITY)
OTHER = signed("other.example", ["other.example", "*.other.example"], by=AUTHORITY)
FILES = {**file("default", DEFAULT), **file("other", OTHER)}


@pytest.mark.parametrize("vip", ["127.0.0.1", "[::1]"])
def test_requests_get_to_members_with_the_headers_that_are_asked_for(
    proxy: Proxy, vip: str
) -> None:
    names = ("X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-IP")
    asked = tuple((name, "true") for name in names)
    web = listener("web", 80, default_pool_id="web", insert_headers=asked)
    proxy.tell(view_of(VIPS, web, pool("web"), *members("web", *PORTS)))
    lie = ("-H", "X-Real-IP: 192.0.2.1", "-H", "X-Forwarded-Proto: https")
    answers = [curl(*lie, f"http://{vip}/a?b") for _ in range(6)]
    assert Counter(map(served_by, answers)) == dict.fromkeys(PORTS, 2)
    for answer in answers:
        assert answer.splitlines()[1] == "GET /a?b HTTP/1.1"
        assert shown(answer, "X-Forwarded-For") == vip.strip("[]")
        assert shown(answer, "X-Real-IP") == vip.strip("[]")
        assert shown(answer, "X-Forwarded-Port") == "80"
        assert shown(answer, "X-Forwarded-Proto") == "http"


def test_policies_refuse_redirect_and_choose(proxy: Proxy) -> None:
    first = policy("web", "REDIRECT_TO_POOL", redirect_pool_id="other")
    url = policy("web", "REDIRECT_TO_URL", 2, redirect_url="https://there.example/%41")
    prefix = replace(policy("web", "REDIRECT_PREFIX", 3), redirect_prefix="https://there.example")
    prefix = replace(prefix, redirect_http_code=308)
    reject = policy("web", "REJECT", 4)
    proxy.tell(
        view_of(
            *(VIPS, listener("web", 80, default_pool_id="web"), first, url, prefix, reject),
            *(pool("web"), *members("web", 9001), pool("other"), *members("other", 9002)),
            rule(first.id, "HOST_NAME", "EQUAL_TO", "OTHER.example"),
            rule(url.id, "PATH", "STARTS_WITH", "/moved"),
            rule(prefix.id, "COOKIE", "EQUAL_TO", "yes", "secure"),
            rule(reject.id, "HEADER", "CONTAINS", "Evil", "User-Agent"),
        )
    )
    at = "http://127.0.0.1"
    assert served_by(curl(f"{at}/")) == 9001
    assert served_by(curl("-H", "Host: other.example:80", f"{at}/")) == 9002
    code = ("-o", "/dev/null", "-w", "%{http_code} %{redirect_url}")
    assert curl(*code, f"{at}/moved/x") == "302 https://there.example/%41"
    secure = ("-b", "secure=yes")
    assert curl(*code, *secure, f"{at}/a?b") == "308 https://there.example/a?b"
    assert curl(*code, "-A", "some Evil/1.0", *secure, f"{at}/moved") == "403 "


def test_sni_says_which_certificate_and_http_2_is_spoken(proxy: Proxy, tmp_path: Path) -> None:
    tls = tls_listener(
        *("tls", 443),
        sni_container_refs=("other",),
        alpn_protocols=("h2", "http/1.1"),
        hsts_max_age=300,
        hsts_include_subdomains=True,
        insert_headers=(("X-Forwarded-Proto", "true"),),
    )
    proxy.tell(view_of(VIPS, tls, pool("web"), *members("web", 9001)), FILES)
    (tmp_path / "ca.pem").write_text(AUTHORITY.pem)
    for name in ("default.example", "other.example", "www.other.example"):
        for address in ("127.0.0.1", "[::1]"):
            trusted = ("--cacert", str(tmp_path / "ca.pem"), "--resolve", f"{name}:443:{address}")
            told = curl(*trusted, "-D", "-", "-w", "%{http_version}", f"https://{name}/")
            head, _, body = told.partition("\n\n")
            assert "strict-transport-security: max-age=300; includeSubDomains" in head
            assert told.startswith("HTTP/2 200") and told.endswith("2")
            assert shown(body.removesuffix("2"), "X-Forwarded-Proto") == "https"
    assert "default.example" in _openssl(443, "-servername", "nobody.example")
    assert "default.example" in _openssl(443, "-noservername")
    assert "other.example" in _openssl(443, "-servername", "a.other.example")


def _openssl(port: int, *words: str) -> str:
    """The subject of the certificate that is shown; "" if there is no TLS to be had."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *words],
        input="",
        capture_output=True,
        text=True,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("subject=")]
    return lines[0] if lines else ""


def test_only_the_versions_that_are_asked_for_are_spoken(proxy: Proxy) -> None:
    proxy.tell(
        view_of(
            VIPS,
            tls_listener("new", 443, tls_versions=("TLSv1.3",)),
            tls_listener("old", 444, tls_versions=("TLSv1.1", "TLSv1.2")),
            tls_listener(
                *("weak", 445),
                tls_versions=("TLSv1.2",),
                tls_ciphers="ECDHE-ECDSA-AES128-SHA",
            ),
        ),
        FILES,
    )
    weak = ("-cipher", "DEFAULT:@SECLEVEL=0")
    spoken = {
        port: [
            bool(_openssl(port, version, *weak)) for version in ("-tls1_1", "-tls1_2", "-tls1_3")
        ]
        for port in (443, 444)
    }
    assert spoken == {443: [False, False, True], 444: [True, True, False]}
    assert _openssl(445, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA")
    assert not _openssl(445, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384")


CLIENT, REVOKED = (signed(name, by=AUTHORITY) for name in ("client", "revoked"))
IMPOSTOR = signed("client", by=STRANGER)


def test_clients_show_certificates(proxy: Proxy, tmp_path: Path) -> None:
    for name, one in (("client", CLIENT), ("revoked", REVOKED), ("impostor", IMPOSTOR)):
        (tmp_path / name).write_text(one.pem + one.key_pem)
    who = {
        "client_ca_tls_container_ref": "ca",
        "client_crl_container_ref": "crl",
        "insert_headers": tuple(
            (f"X-SSL-{name}", "true")
            for name in ("Client-Verify", "Client-Has-Cert", "Client-CN", "Client-SHA1", "Issuer")
        ),
    }
    chosen = policy("optional", "REDIRECT_TO_POOL", redirect_pool_id="known")
    proxy.tell(
        view_of(
            VIPS,
            tls_listener("optional", 443, client_authentication="OPTIONAL", **who),
            tls_listener("mandatory", 444, client_authentication="MANDATORY", **who),
            *(pool("web"), *members("web", 9001), pool("known"), *members("known", 9002)),
            *(chosen, rule(chosen.id, "SSL_CONN_HAS_CERT", "EQUAL_TO", "True")),
            rule(chosen.id, "SSL_VERIFY_RESULT", "EQUAL_TO", "0"),
            rule(chosen.id, "SSL_DN_FIELD", "STARTS_WITH", "cli", "CN"),
        ),
        {
            **FILES,
            "ca.authority.pem": AUTHORITY.pem,
            "crl.revoked.pem": AUTHORITY.revoked(REVOKED),
        },
    )

    def ask(port: int, *words: str) -> str:
        return curl("-k", *words, f"https://127.0.0.1:{port}/")

    def refused(port: int, *words: str) -> bool:
        with pytest.raises(AssertionError, match=r"alert|handshake|reset|SSL"):
            ask(port, *words)
        return True

    def showing(name: str) -> tuple[str, str]:
        return "--cert", str(tmp_path / name)

    nobody = ask(443)
    assert served_by(nobody) == 9001 and shown(nobody, "X-SSL-Client-Has-Cert") == "0"
    known = ask(443, *showing("client"))
    assert served_by(known) == 9002 and shown(known, "X-SSL-Client-Has-Cert") == "1"
    assert (shown(known, "X-SSL-Client-CN") or "").strip('"') == "client"
    assert "Authority" in (shown(known, "X-SSL-Issuer") or "")
    assert len((shown(known, "X-SSL-Client-SHA1") or "").strip('"')) == 40
    assert refused(444) and served_by(ask(444, *showing("client"))) == 9001
    for port in (443, 444):
        assert refused(port, *showing("revoked")) and refused(port, *showing("impostor"))


def test_a_cookie_keeps_a_client_with_its_member(proxy: Proxy, tmp_path: Path) -> None:
    web, jar = listener("web", 80, default_pool_id="web"), str(tmp_path / "jar")
    own = pool("web", persistence="HTTP_COOKIE")
    there = members("web", *PORTS)
    view = view_of(VIPS, web, own, *there)
    proxy.tell(view)
    first = served_by(curl("-c", jar, "http://127.0.0.1/"))

    def again() -> set[int]:
        return {served_by(curl("-b", jar, "http://127.0.0.1/")) for _ in range(6)}

    def others() -> set[int]:
        return {served_by(curl("http://127.0.0.1/")) for _ in range(6)}

    assert again() == {first}
    mine = next(one for one in there if one.port == first)
    rest = [one for one in there if one is not mine]
    proxy.tell(view_of(VIPS, web, own, *rest, replace(mine, weight=0)))  # it drains
    assert again() == {first} and first not in others()
    proxy.tell(view_of(VIPS, web, own, *there, MemberHealth(mine.id, False, "refused")))
    assert first not in again() | others()
    proxy.tell(view)
    assert again() == {first}


def test_an_address_or_the_servers_own_cookie_keeps_it_too_over_a_change(proxy: Proxy) -> None:
    by_address = listener("address", 80, default_pool_id="address")
    of_app = listener("app", 81, default_pool_id="app")
    more = (
        *(pool("address", persistence="SOURCE_IP"), *members("address", *PORTS)),
        *(pool("app", persistence="APP_COOKIE", cookie_name="session"), *members("app", *PORTS)),
    )
    proxy.tell(view_of(VIPS, by_address, of_app, *more))
    first = served_by(curl("http://127.0.0.1/"))
    session = _with_session(81)
    while not _is_sure(proxy):
        time.sleep(0.1)
    for change in (by_address, replace(by_address, timeout_client_data=1234)):
        proxy.tell(view_of(VIPS, change, of_app, *more))
        assert {served_by(curl("http://127.0.0.1/")) for _ in range(4)} == {first}
        found = {served_by(curl("-b", "session=mine", "http://127.0.0.1:81/")) for _ in range(4)}
        assert found == {session}


def _is_sure(proxy: Proxy) -> bool:
    """Whether it knows of no proxy before it: it looks for one for some seconds, and until then it
    teaches none after it."""
    found = re.search(r"flags=0x(\w+) resync", proxy.ask("show peers"))
    assert found is not None
    return int(found.group(1), 16) & 3 == 3


def _with_session(port: int) -> int:
    """The server that gives itself a session in its answer."""
    answer = curl(f"http://127.0.0.1:{port}/?set-cookie=session%3Dmine")
    return served_by(answer)


@pytest.mark.parametrize("protocol", ["PROXY", "PROXYV2"])
def test_members_are_told_of_clients_by_the_proxy_protocol(proxy: Proxy, protocol: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        there = member("m", "told", 0, "127.0.0.1", port)
        proxy.tell(
            view_of(
                *(VIPS, listener("tcp", 25, "TCP", default_pool_id="told")),
                *(pool("told", protocol), there),
            )
        )
        with socket.create_connection(("127.0.0.1", 25)) as client:
            client.sendall(b"HELO\r\n")
            taken, _ = server.accept()
            with taken:
                said = b""
                while not said.endswith(b"HELO\r\n"):
                    said += taken.recv(4096)
            own = client.getsockname()[1]
    if protocol == "PROXY":
        assert said == f"PROXY TCP4 127.0.0.1 127.0.0.1 {own} 25\r\nHELO\r\n".encode()
    else:
        assert said.startswith(b"\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c\x7f\0\0\1\x7f\0\0\1")
        assert said[24:28] == own.to_bytes(2, "big") + b"\0\x19"


def test_members_show_certificates_too(proxy: Proxy, tmp_path: Path) -> None:
    server = signed("member.example", ["member.example"], by=AUTHORITY)
    (tmp_path / "server.pem").write_text(server.pem + server.key_pem)
    (tmp_path / "client-ca.pem").write_text(AUTHORITY.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    context.load_verify_locations(tmp_path / "client-ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    pools = {
        "right": {"ca_tls_container_ref": "ca", "tls_container_ref": "default"},
        "wrong": {"ca_tls_container_ref": "stranger", "tls_container_ref": "default"},
        "any": {"tls_container_ref": "default"},
        "silent": {"ca_tls_container_ref": "ca"},
    }
    records: list[Any] = [VIPS]
    for number, (name, values) in enumerate(pools.items()):
        records.append(listener(name, 80 + number, default_pool_id=name))
        records += [pool(name, tls_enabled=True, **values), *members(name, 9443)]
    with proxies.answering([9443], context):
        proxy.tell(
            view_of(*records),
            {
                **FILES,
                "ca.authority.pem": AUTHORITY.pem,
                "stranger.authority.pem": STRANGER.pem,
            },
        )
        code = ("-o", "/dev/null", "-w", "%{http_code}")
        found = {
            name: curl(*code, f"http://127.0.0.1:{80 + number}/")
            for number, name in enumerate(pools)
        }
    assert found == {"right": "200", "wrong": "503", "any": "200", "silent": found["silent"]}
    assert found["silent"] in ("502", "503")  # TLS 1.3 refuses after the handshake


def test_limits_time_outs_and_addresses(proxy: Proxy) -> None:
    proxy.tell(
        view_of(
            VIPS,
            listener("one", 80, default_pool_id="web", connection_limit=1),
            listener("brief", 81, "TCP", default_pool_id="web", timeout_client_data=200),
            listener("closed", 82, default_pool_id="web", allowed_cidrs=(Prefix(6, 1, 128),)),
            *(pool("web"), *members("web", 9001)),
        )
    )
    assert served_by(curl("http://[::1]:82/")) == 9001
    with pytest.raises(AssertionError, match=r"reset|Empty reply|Failed to connect"):
        curl("http://127.0.0.1:82/")
    with socket.create_connection(("127.0.0.1", 81)) as idle:
        assert idle.recv(1) == b""
    held = http.client.HTTPConnection("127.0.0.1", 80, timeout=20)
    held.request("GET", "/")
    assert held.getresponse().read()
    with socket.create_connection(("127.0.0.1", 80), timeout=20) as second:
        second.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert _sessions(proxy, "one") == 1  # the second waits in the kernel
        held.close()
        assert second.recv(100).startswith(b"HTTP/1.1 200")


def _sessions(proxy: Proxy, name: str) -> int:
    for line in proxy.ask("show stat").splitlines():
        words = line.split(",")
        if words[:2] == [name, "FRONTEND"]:
            return int(words[4])
    raise AssertionError(f"there is no {name}")


def test_nobody_alive_is_said_at_once(proxy: Proxy) -> None:
    there = members("web", *PORTS)
    dead = [MemberHealth(one.id, False, "refused") for one in there]
    tcp = listener("tcp", 25, "TCP", default_pool_id="web", connection_limit=9)
    web = listener("web", 80, default_pool_id="web")
    proxy.tell(view_of(VIPS, web, tcp, pool("web"), *there, *dead))
    started = time.monotonic()
    assert curl("-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1/") == "503"
    with socket.create_connection(("127.0.0.1", 25)) as connection:
        assert connection.recv(1) == b""
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("algorithm", ["ROUND_ROBIN", "SOURCE_IP_PORT", "LEAST_CONNECTIONS"])
def test_all_members_are_chosen(proxy: Proxy, algorithm: str) -> None:
    web = listener("web", 80, default_pool_id="web")
    backup = member("backup", "web", 9, "127.0.0.1", 9003, backup=True)
    there = members("web", 9001, 9002)
    proxy.tell(view_of(VIPS, web, pool("web", lb_algorithm=algorithm), *there, backup))
    answers = Counter(served_by(_one_request(80)) for _ in range(60))
    assert set(answers) == {9001, 9002} and min(answers.values()) >= 15, answers
    dead = [MemberHealth(one.id, False, "refused") for one in there]
    proxy.tell(view_of(VIPS, web, pool("web", lb_algorithm=algorithm), *there, backup, *dead))
    assert served_by(_one_request(80)) == 9003


def _one_request(port: int, path: str = "/") -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    said = connection.getresponse().read().decode()
    connection.close()
    return said


def test_weights_and_addresses_say_who_is_chosen(proxy: Proxy) -> None:
    light, heavy = members("web", 9001, 9002)
    web = listener("web", 80, default_pool_id="web")
    proxy.tell(view_of(VIPS, web, pool("web"), light, replace(heavy, weight=3)))
    assert Counter(served_by(_one_request(80)) for _ in range(40)) == {9001: 10, 9002: 30}
    same = pool("web", lb_algorithm="SOURCE_IP")
    proxy.tell(view_of(VIPS, web, same, light, heavy))
    assert len({served_by(_one_request(80)) for _ in range(20)}) == 1


def test_prometheus_reads_what_happened(proxy: Proxy) -> None:
    records = (VIPS, listener("web", 80, default_pool_id="web"), pool("web"), *members("web", 9001))
    proxy.tell(view_of(*records, listener("metrics", 9101, "PROMETHEUS")))
    curl("http://127.0.0.1/")
    told = curl("http://127.0.0.1:9101/metrics")
    assert 'haproxy_frontend_http_requests_total{proxy="web"} 1' in told
    assert curl("-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:9101/") == "404"


RATE, CHANGES = 500, 12


def test_a_changed_policy_loses_no_request(proxy: Proxy) -> None:
    """Two clients, one that keeps its connection and one with a new connection each time, send 500
    a second, while policies and members come and go."""
    web, reject = listener("web", 80, default_pool_id="web"), policy("web", "REJECT")
    common = (VIPS, web, pool("web"), *members("web", *PORTS))
    evil = (reject, rule(reject.id, "PATH", "STARTS_WITH", "/evil"))
    dead = (MemberHealth("web-9001", False, "refused"),)
    proxy.tell(view_of(*common))
    code = ("-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1/evil")
    client = subprocess.Popen(
        [sys.executable, "-m", "tests.steady", "127.0.0.1", "80", str(RATE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    began = time.monotonic()
    for number in range(CHANGES):
        proxy.tell(view_of(*common, *((evil, dead)[number % 2])))
        assert curl(*code) == ("403" if number % 2 == 0 else "200")
    seconds = time.monotonic() - began
    told, _ = client.communicate()
    answer = json.loads(told)
    assert not answer["lost"], answer
    assert answer["asked"] > RATE * seconds / 3, (answer["asked"], seconds)
