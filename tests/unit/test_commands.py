# SPDX-License-Identifier: Apache-2.0

"""Every command with what can go wrong: a person gets words and what to do, never Python."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from tenantry.controller import config, runtime
from tenantry.controller.cli import features
from tenantry.controller.cli.main import main
from tenantry.controller.config import nearest

PYTHON = re.compile(
    r"Traceback|Error\(|Exception|\[Errno|<urlopen|NoneType|invalid literal|object is not|"
    r"has no attribute|LocationInfo|OrderedDict|\bNone\b|<class|<[a-z_.]+ object"
)
"""What is Python's way to say it."""

NOWHERE = "http://127.0.0.1:9"  # discard: nobody listens there


def commands(
    group: click.Group = main, *before: str
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)
        else:
            yield (*before, name), command


def words_of(command: click.Command, directory: Path) -> list[str]:
    """Something for each argument, and for each option that must be given."""
    words: list[str] = []
    for parameter in command.params:
        some = parameter.type.choices[0] if isinstance(parameter.type, click.Choice) else "some"
        if isinstance(parameter, click.Argument):
            words.append(str(some))
        elif parameter.required:
            words += [parameter.opts[0], "192.0.2.1"]
        elif "--directory" in parameter.opts:
            words += ["--directory", str(directory)]
    return words


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def in_words(result: Result) -> None:
    """Nothing in it is Python's."""
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert not PYTHON.search(result.output), result.output


def refused(result: Result, *parts: str) -> None:
    in_words(result)
    assert result.exit_code in (1, 2), result.output
    for part in parts:
        assert part in result.output, result.output


ASKING = [
    name
    for name, _ in commands()
    if name[0] not in ("serve", "ca", "drill", "doctor", "account", "keystone", "monitoring")
    and name not in (("sample-config",), ("check-config",), ("cloud-config",), ("host", "invite"))
]
"""Those that ask a controller."""


@pytest.mark.parametrize("name", ASKING, ids=" ".join)
def test_nobody_answers(name: tuple[str, ...], tmp_path: Path) -> None:
    command = dict(commands())[name]
    result = run("--url", NOWHERE, *name, *words_of(command, tmp_path))
    refused(result, f"no controller answers at {NOWHERE} (Connection refused)", "tenantry serve")


@pytest.mark.parametrize("name", ASKING, ids=" ".join)
def test_json_may_come_after_the_command(name: tuple[str, ...], tmp_path: Path) -> None:
    command = dict(commands())[name]
    result = run("--url", NOWHERE, *name, *words_of(command, tmp_path), "--json")
    refused(result, f"no controller answers at {NOWHERE} (Connection refused)")


def test_json_says_the_same_on_either_side() -> None:
    before, after = run("--json", "cloud-config"), run("cloud-config", "--json")
    assert before.output == after.output != run("cloud-config").output
    assert json.loads(after.output)["clouds"]["tenantry"]["auth_type"] == "none"


def test_a_cloud_that_is_not_there_yet_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``OS_CLOUD`` may name the entry already, and the file be empty by ``> clouds.yaml``."""
    (tmp_path / "clouds.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OS_CLOUD", "no-such-cloud")
    made = run("--url", NOWHERE, "--json", "cloud-config")
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["clouds"]["tenantry"]["auth"] == {"endpoint": NOWHERE}
    assert "no-such-cloud" in made.stderr


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Something that answers so, whatever it is asked; its address."""
    listener = runtime.listen(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            stream, _ = listener.accept()
            stream.recv(65536)
            stream.sendall(answer)
            stream.shutdown(socket.SHUT_RDWR)
            stream.close()

    server = runtime.spawn(serve)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.kill()
        listener.close()


HEAD = b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Type: %s\r\n\r\n"
OTHERS = {
    "a web page": HEAD % (b"200 OK", b"text/html") + b"<html>hello</html>",
    "no page": HEAD % (b"404 Not Found", b"text/html") + b"<html>no</html>",
    "somebody's JSON": HEAD % (b"404 Not Found", b"application/json") + b'{"error": 7}',
    "an empty answer": HEAD % (b"200 OK", b"application/json"),
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "half an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    "nothing": b"",
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("name", ASKING, ids=" ".join)
def test_somebody_else_answers(name: tuple[str, ...], other: str, tmp_path: Path) -> None:
    command = dict(commands())[name]
    with answering(OTHERS[other]) as url:
        result = run("--url", url, *name, *words_of(command, tmp_path))
    refused(result, url, "--url or TENANTRY_URL")


@pytest.mark.parametrize("other", OTHERS)
def test_the_doctor_meets_somebody_else(other: str) -> None:
    with answering(OTHERS[other]) as url:
        result = run("--url", url, "--json", "doctor")
    in_words(result)
    (found,) = (f for f in json.loads(result.output) if f["what"] == "controller")
    assert not found["ok"]


@pytest.mark.parametrize(
    "url",
    [
        *("foo", "", "http://", "http://[::1", "http://a:b", "http://a:99999", "http://a:0"),
        *("http://ü:1", "http://a b", "http://\x00", "http://a/?x", "127.0.0.1"),
        *("ftp://a", "file:///etc/passwd"),
    ],
)
def test_an_address_that_is_none(url: str) -> None:
    refused(run("--url", url, "status"), "http://ADDRESS:PORT")


def test_an_address_that_cannot_be_resolved() -> None:
    refused(run("--url", "http://nowhere.invalid:1", "status"), "no controller answers")


@pytest.mark.parametrize(
    "words",
    [
        ("stauts",),
        ("wait", "--timeout", "nan"),
        ("wait", "--timeout", "-1"),
        ("wait", "--revision", "x"),
        ("drill", "restart", "--packets", "0"),
        ("drill", "none"),
        ("host", "invite", "a b", "--controller", "192.0.2.1"),
        ("host", "invite", "a", "--controller", "::g"),
        ("ca", "init", "--address", "a b", "--directory", "/proc/none"),
        ("ca", "init", "--address", "192.0.2.1", "--directory", "/proc/none"),
        ("ca", "renew", "--directory", "/proc/none"),
        ("--config-file", "/none", "serve"),
        ("--config-file", "/proc", "check-config"),
    ],
)
def test_wrong_usage(words: tuple[str, ...]) -> None:
    refused(run(*words), "Error")


CONFIGURATIONS = {
    "listen": "line 1: listen",
    "[api\n": "line 1: [api",
    "[api]\n\xff = 1": "not text in UTF-8",
    "[apis]\nlisten = 127.0.0.1:1": "no section [apis]; did you mean api?",
    "[DEFAULT]\ndebug = true": "no section [DEFAULT]",
    "[api]\nlistne = 127.0.0.1:1": "no option listne in [api]; did you mean listen?",
    "[api]\nlisten = 127.0.0.1:1\n[api]\nlisten = 127.0.0.1:2": "[api] listen is given 2 times",
    "[api]\nvlan_ranges = a:1:2": "no option vlan_ranges in [api]; it belongs to [networks]",
    "[openflow]\ntls-certificate = x": "did you mean tls_certificate?",
    "[api]\nlisten = 9696": "must be ADDRESS:PORT",
    "[api]\nlisten = 127.0.0.1:70000": "must be ADDRESS:PORT",
    "[conntrack]\nconnections_per_port = many": "must be a whole number, at least 0",
    "[api]\nauth_type = magic": "must be one of: none",
    "[api]\nauth_type = basic\naccounts = /none": "tenantry account add NAME",
    "[api]\nauth_type = basic\naccounts = /proc/version": "chmod 600 /proc/version",
    "[api]\nauth_type = keystone": "[keystone_authtoken] auth_url, username, password",
    "[api]\ntls_certificate = /none": "needs both of tls_certificate and tls_private_key",
    "[api]\ntls_certificate = /none\ntls_private_key = /none": "/none: No such file",
    "[api]\ntls_certificate = /proc/version\ntls_private_key = /proc/version": "in PEM",
    "[openflow]\naudit_interval = nan": "must be a number, at least 1.0",
    "[openflow]\ncoalesce = inf": "must be a number",
    "[openflow]\ntls_certificate = /none": "needs all of",
    "[openflow]\ntls_certificate=/none\ntls_private_key=/none\ntls_ca_certificates=/none": (
        "/none: No such file"
    ),
    "[networks]\nbase_mac = ff:ff:ff:ff:ff:ff": "must be a MAC address",
    "[networks]\nphysical_mtus = wire": "must be NAME:VALUE",
    "[networks]\nphysical_mtus = wire:big": "VALUE is a whole number from 576 to 65535",
    "[networks]\ntenant_network_type = vlan": "needs vlan_ranges",
    "[networks]\noverlay_ip_version = 5": "must be one of: 4, 6",
    "[ovsdb]\nconnections = tcp:somewhere": "must be unix:PATH",
    "[ovsdb]\nintegration_bridge = much-too-long-a-name": "at most 15 characters",
    "[dhcp]\nntp_servers = clock": "must be an IP address",
    "[dns]\nresolvers = here": "must be ADDRESS",
    "[dns]\ndomain = a b": "must be a domain",
    "[overlay]\nipsec_psk = pa$word": "written as $$",
    "[store]\nurl = foo://user:secret@db": "must be the SQLAlchemy URL",
}


@pytest.mark.parametrize("text", CONFIGURATIONS)
@pytest.mark.parametrize("command", ["check-config", "serve"])
def test_a_configuration_that_is_wrong(text: str, command: str, tmp_path: Path) -> None:
    file = tmp_path / "tenantry.conf"
    file.write_bytes(text.encode("latin-1"))
    result = run("--config-file", str(file), command)
    refused(result, CONFIGURATIONS[text])
    assert "secret" not in result.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("memcached_servers = a:1", "there is no option memcached_servers"),
        ("auth_type = token", "must be one of: password, v3applicationcredential"),
        ("auth_type = v3applicationcredential", "auth_url, application_credential_id"),
    ],
)
def test_what_is_wrong_with_keystone(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "tenantry.conf"
    file.write_text(f"[api]\nauth_type = keystone\n[keystone_authtoken]\n{text}\n")
    refused(run("--config-file", str(file), "check-config"), words)


def test_a_configuration_that_is_right(tmp_path: Path) -> None:
    file = tmp_path / "tenantry.conf"
    sample = config.sample(features.options())
    file.write_text(sample)
    assert run("--config-file", str(file), "check-config").exit_code == 0
    # All of its options, as they are.
    uncommented = re.sub(r"^#(?=[a-z_]+ = )", "", sample, flags=re.MULTILINE)
    assert uncommented.count("\n[") == len(config.together(features.options()))
    file.write_text(uncommented)
    result = run("--config-file", str(file), "check-config")
    assert result.exit_code == 0, result.output


def test_a_file_overrides_those_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / "one.conf", tmp_path / "two.conf"]
    for number, file in enumerate(files, 1):
        file.write_text(f"[api]\nlisten = 127.0.0.1:{number}\n")
    monkeypatch.setenv("OS_API__LISTEN", "127.0.0.1:3")  # nothing else says anything
    assert features.load([str(file) for file in files]).api.listen == "127.0.0.1:2"


def test_the_nearest_name() -> None:
    assert nearest.did_you_mean("Prot", ["port", "network"]) == "; did you mean port?"
    assert nearest.did_you_mean("x", ["port", "", "network"]) == "; there are network, port."
    assert nearest.did_you_mean("x", map(str, range(100))) == "."


def test_a_capture_is_no_json() -> None:
    told = CliRunner().invoke(main, ["--url", NOWHERE, "capture", "web", "-w", "-", "--json"])
    assert (told.exit_code, "tshark -r - -T json" in told.output) == (2, True)
