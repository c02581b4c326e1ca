# SPDX-License-Identifier: Apache-2.0

"""Who is let in by which door, and as whom."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from eventlet.patcher import original
from webob import Request

from tenantry.controller import config, runtime
from tenantry.controller.api import auth
from tenantry.controller.api.auth import keystone
from tenantry.controller.api.auth.attempts import OF_ACCOUNT, OF_ADDRESS, OF_BOTH, Attempts
from tenantry.controller.api.auth.basic import AT_ONCE, WAITING, Basic
from tenantry.controller.api.auth.keystone import Keystone
from tenantry.controller.config import accounts
from tenantry.controller.config.accounts import Account
from tenantry.controller.feature.context import Context
from tests import keystone as fake
from tests.api.conftest import Api

SECRETS = {"alice": "correct-horse", "bob": "battery-staple", "root": "0123456789"}
CRYPTED = {
    name: bcrypt.hashpw(secret.encode(), bcrypt.gensalt(4)).decode()
    for name, secret in SECRETS.items()
}
"""With so few rounds, tests take less time."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The accounts of two people in two projects, and of an admin."""
    path = tmp_path / "accounts"
    with accounts.changed(path) as found:
        found["alice"] = Account("alice", CRYPTED["alice"], "blue", ("member",))
        found["bob"] = Account("bob", CRYPTED["bob"], "red", ("reader", "auditor"))
        found["root"] = Account("root", CRYPTED["root"], "ops", ("admin",))
    return path


def asking(name: str, password: str | None = None, address: str = "192.0.2.1") -> Request:
    secret = SECRETS[name] if password is None else password
    said = base64.b64encode(f"{name}:{secret}".encode()).decode()
    headers = {"Authorization": f"Basic {said}"}
    return Request.blank("/v2.0/networks", headers=headers, environ={"REMOTE_ADDR": address})


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Door:
    """Basic's, with what it answers."""

    def __init__(self, file: Path) -> None:
        self.clock = Clock()
        self.basic = Basic(file, Attempts(self.clock))

    def status(self, *asking_: Any, **options: Any) -> int:
        try:
            self.basic(asking(*asking_, **options))
        except Exception as error:
            return int(getattr(error, "status_int", 500))
        return 200


@pytest.fixture
def door(file: Path) -> Door:
    return Door(file)


# Basic


def test_accounts_have_a_project_and_roles(door: Door) -> None:
    alice, bob, root = (door.basic(asking(name)) for name in SECRETS)
    assert (alice.project_id, alice.user_id, alice.is_admin) == ("blue", "alice", False)
    assert alice.roles == {"member", "reader"}
    assert (bob.project_id, bob.roles) == ("red", {"reader", "auditor"})
    assert (root.is_admin, root.roles) == (True, {"admin", "manager", "member", "reader"})
    assert "alice of project blue" in alice.actor


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "wrong-horse"),
        ("alice", ""),
        ("alice", "correct-horse "),
        ("alice", "x" * 100),
        ("alice", "nul\0"),
        ("bob", "correct-horse"),
        ("mallory", "correct-horse"),
        ("", ""),
        ("alice:correct-horse", "x"),
        ("ALICE", "correct-horse"),
    ],
)
def test_whoever_is_wrong_is_told_the_same(door: Door, name: str, password: str) -> None:
    door.basic(asking("alice"))
    with pytest.raises(Exception) as caught:
        door.basic(asking(name, password))
    assert caught.value.status_int == 401
    assert caught.value.detail == "The user name or the password is wrong"
    assert caught.value.headers["WWW-Authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize(
    "said", ["", "Basic", "Basic !", "Bearer x", "Basic YWxpY2U=", "Basic /w=="]
)
def test_who_says_no_password_is_told_how(file: Path, make_api: Any, said: str) -> None:
    api: Api = make_api(authenticate=Basic(file))
    request = Request.blank("/v2.0/networks", headers={"Authorization": said} if said else {})
    answer = request.get_response(api.app)
    assert answer.status_int == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert answer.json_body["NeutronError"]["type"] == "HTTPUnauthorized"


def test_a_right_password_is_looked_at_once(door: Door, monkeypatch: Any) -> None:
    looked: list[str] = []
    right = bcrypt.checkpw

    def counting(password: bytes, crypted: bytes) -> bool:
        looked.append(password.decode())
        return bool(right(password, crypted))

    monkeypatch.setattr("bcrypt.checkpw", counting)
    for _ in range(5):
        assert door.status("alice") == 200
    assert looked == [SECRETS["alice"]]
    assert door.status("alice", "wrong-horse") == 401
    assert door.status("alice", "wrong-horse") == 401
    assert door.status("alice") == 200
    assert looked == [SECRETS["alice"], "wrong-horse", "wrong-horse"]


def test_many_requests_at_once_are_no_guesses(door: Door, monkeypatch: Any) -> None:
    """A client that has many requests on their way is looked at once."""
    looked: list[bytes] = []
    right = bcrypt.checkpw

    def counting(password: bytes, crypted: bytes) -> bool:
        looked.append(password)
        return bool(right(password, crypted))

    monkeypatch.setattr("bcrypt.checkpw", counting)
    done: list[int] = []
    for _ in range(OF_ADDRESS.burst * 2):
        runtime.spawn(lambda: done.append(door.status("alice")))
    while len(done) < OF_ADDRESS.burst * 2:
        runtime.sleep(0.001)
    assert ({*done}, len(looked)) == ({200}, 1)


def test_who_there_is_not_takes_as_long(door: Door, file: Path, monkeypatch: Any) -> None:
    looked: list[int] = []
    right = bcrypt.checkpw

    def counting(password: bytes, crypted: bytes) -> bool:
        looked.append(int(crypted.split(b"$")[2]))
        return bool(right(password, crypted))

    monkeypatch.setattr("bcrypt.checkpw", counting)
    with accounts.changed(file) as found:
        found["alice"] = found["alice"]._replace(crypted=accounts.crypt("another-horse"))
    assert door.status("alice", "wrong-horse") == 401
    assert door.status("mallory", "wrong-horse") == 401
    assert looked[0] == looked[1] >= 12, "bcrypt's rounds"


def test_what_changes_in_the_file_holds_at_once(door: Door, file: Path) -> None:
    assert door.status("alice") == 200
    assert door.status("bob") == 200
    with accounts.changed(file) as found:
        found["alice"] = found["alice"]._replace(crypted=accounts.crypt("another-horse"))
    assert door.status("alice") == 401
    assert door.status("alice", "another-horse") == 200
    with accounts.changed(file) as found:
        found["bob"] = found["bob"]._replace(project="green", roles=("member",))
    assert door.basic(asking("bob")).project_id == "green"
    with accounts.changed(file) as found:
        del found["bob"]
    assert door.status("bob") == 401
    with accounts.changed(file) as found:
        found["bob"] = Account("bob", CRYPTED["bob"], "red", ("reader",))
    assert door.status("bob") == 200
    file.unlink()
    assert door.status("root") == 401


def test_a_file_that_cannot_be_read_lets_nobody_in(
    door: Door, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert door.status("alice") == 200
    good = file.read_text()
    file.write_text(good + "nonsense\n")
    assert door.status("alice") == 503
    assert door.status("alice") == 503
    assert len([r for r in caplog.records if "line 4 is not NAME:BCRYPT" in r.message]) == 1
    file.write_text(good)
    assert door.status("alice") == 200
    file.chmod(0o604)
    assert door.status("alice") == 503
    assert f"chmod 600 {file}" in caplog.text


def test_guessing_is_slow_and_shuts_nobody_out(door: Door) -> None:
    assert door.status("bob") == 200
    guesses = [door.status("alice", f"guess-{n}") for n in range(OF_BOTH.burst + 3)]
    assert guesses == [401] * OF_BOTH.burst + [429] * 3
    assert door.status("alice") == 429, "from there, the right one is not looked at, either"
    assert door.status("alice", address="192.0.2.2") == 200, "but from elsewhere"
    assert door.status("alice") == 200, "and whoever was right goes on"
    assert door.status("bob", "guess") == 401, "others are not kept out by it"
    door.clock.now += OF_BOTH.seconds
    assert door.status("alice", "guess") == 401
    assert door.status("alice", "guess") == 429


def test_many_addresses_at_one_account_are_slowed(door: Door, monkeypatch: Any) -> None:
    monkeypatch.setattr("bcrypt.checkpw", lambda *_: False)
    addresses = [f"2001:db8:0:{n}::1" for n in range(9)]
    addresses += [f"::ffff:192.0.2.{n}" for n in range(OF_ACCOUNT.burst + 2 - 9)]
    found = [door.status("alice", "guess", address=address) for address in addresses]
    assert found == [401] * OF_ACCOUNT.burst + [429] * 2
    door.clock.now += OF_ACCOUNT.seconds
    monkeypatch.undo()
    assert door.status("alice", address="198.51.100.1") == 200


def test_one_address_at_many_accounts_is_slowed(door: Door, monkeypatch: Any) -> None:
    """And a /64 is one."""
    monkeypatch.setattr("bcrypt.checkpw", lambda *_: False)
    found = [
        door.status(f"user{n}", "guess", address=f"2001:db8::{n + 1:x}")
        for n in range(OF_ADDRESS.burst + 1)
    ]
    assert found == [401] * OF_ADDRESS.burst + [429]
    with pytest.raises(Exception) as caught:
        door.basic(asking("alice", "guess", "2001:db8::ffff"))
    assert caught.value.headers["Retry-After"] == str(int(OF_ADDRESS.seconds))


def test_passwords_are_looked_at_beside_others(door: Door, monkeypatch: Any) -> None:
    """The loop goes on meanwhile, and few are looked at at a time."""
    may_go_on = original("threading").Event()
    begun: list[bytes] = []

    def slow(password: bytes, crypted: bytes) -> bool:
        begun.append(password)
        assert may_go_on.wait(60), "the loop is held up"
        return False

    monkeypatch.setattr("bcrypt.checkpw", slow)
    done: list[int] = []
    for n in range(AT_ONCE + WAITING + 1):
        address = f"192.0.2.{n}"
        runtime.spawn(lambda at=address: done.append(door.status(at, "guess", address=at)))
    while len(begun) < AT_ONCE or not done:
        runtime.sleep(0.001)
    assert (len(begun), done) == (AT_ONCE, [429]), "one more than may wait"
    assert door.status("nobody at all", "guess") == 429
    may_go_on.set()
    while len(done) < AT_ONCE + WAITING + 1:
        runtime.sleep(0.001)
    assert done[1:] == [401] * (AT_ONCE + WAITING)


@pytest.mark.parametrize(
    ("name", "why"),
    [("", "1 to 255"), ("a b", "without spaces"), ("a:b", "colons"), ("#a", "#"), ("a\nb", "NAME")],
)
def test_names_that_have_no_place_in_the_file(name: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        accounts.check_name("NAME", name)


def test_comments_stay_and_the_file_is_its_owners(file: Path) -> None:
    file.write_text("# ours\n\n" + file.read_text())
    with accounts.changed(file) as found:
        del found["bob"]
    lines = file.read_text().splitlines()
    assert lines[:2] == ["# ours", ""]
    assert [line.partition(":")[0] for line in lines[2:]] == ["alice", "root"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.glob(".accounts-*")) == []


# Keystone


@pytest.fixture
def stone() -> Iterator[fake.Keystone]:
    with fake.served() as served:
        yield served


def options(stone: fake.Keystone, **more: str) -> Any:
    lines = {"auth_url": stone.url, "username": fake.USER, "password": fake.PASSWORD, **more}
    conf = config.load([], [])
    for name, value in lines.items():
        conf.set_override(name, value, "keystone_authtoken")
    return conf.keystone_authtoken


@pytest.fixture
def tokens(stone: fake.Keystone) -> Callable[..., Context]:
    """What a token is taken for."""
    clock = Clock()
    door = Keystone(options(stone), clock=lambda: time.time() + clock.now)

    def ask(token: str | None, path: str = "/v2.0/networks", **headers: str) -> Context:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            named["X-Auth-Token"] = token
        return door(Request.blank(path, headers=named))

    ask.clock = clock  # type: ignore[attr-defined]
    return ask


def refusal(ask: Callable[..., Context], *args: Any, **options: Any) -> Any:
    with pytest.raises(Exception) as caught:
        ask(*args, **options)
    return caught.value


def test_tokens_say_who_calls(stone: fake.Keystone, tokens: Callable[..., Context]) -> None:
    alice = tokens(stone.issue())
    assert (alice.project_id, alice.user_id) == ("id-blue", "id-alice")
    assert (alice.roles, alice.is_admin) == ({"member", "reader"}, False)
    assert alice.actor.startswith("alice (id-alice) of project blue (id-blue)")
    assert tokens(stone.issue("root", "ops", ("admin", "member"))).is_admin
    assert tokens(stone.issue("nova", "service", ("service",))).roles == {"service"}


def test_a_token_is_asked_about_once(stone: fake.Keystone, tokens: Any) -> None:
    token, other = stone.issue(), stone.issue("bob", "red")
    for _ in range(3):
        assert tokens(token).user_id == "id-alice"
    assert tokens(other).user_id == "id-bob"
    assert stone.asked == 2
    tokens.clock.now += 59
    tokens(token)
    assert stone.asked == 2
    tokens.clock.now += 1
    tokens(token)
    assert stone.asked == 3


def test_many_requests_at_once_ask_about_their_token_once(
    stone: fake.Keystone, tokens: Any
) -> None:
    token, done = stone.issue(), list[str]()
    for _ in range(20):
        runtime.spawn(lambda: done.append(tokens(token).user_id))
    while len(done) < 20:
        runtime.sleep(0.001)
    assert (stone.asked, {*done}) == (1, {"id-alice"})


def test_a_token_that_was_revoked_is_refused_when_it_is_asked_about(
    stone: fake.Keystone, tokens: Any
) -> None:
    token = stone.issue()
    tokens(token)
    del stone.tokens[token]
    tokens.clock.now += 60
    error = refusal(tokens, token)
    assert error.status_int == 401
    assert error.headers["WWW-Authenticate"] == f'Keystone uri="{stone.url}"'


def test_a_token_that_has_run_out_is_refused(stone: fake.Keystone, tokens: Any) -> None:
    token = stone.issue(seconds=30)
    tokens(token)
    stone.tokens[token]["expires_at"] = "2020-01-01T00:00:00Z"
    tokens(token)
    tokens.clock.now += 31
    assert refusal(tokens, token).status_int == 401
    assert stone.asked == 2


def test_who_has_no_token_or_a_wrong_one_is_refused(
    tokens: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for token in (None, "", "nonsense", "\xff"):
        error = refusal(tokens, token)
        assert error.status_int == 401
        assert error.headers["WWW-Authenticate"].startswith("Keystone uri=")
    assert "nonsense" not in caplog.text


def test_a_token_that_nobody_knows_is_asked_about_now_and_then(
    stone: fake.Keystone, tokens: Any
) -> None:
    """And what is refused takes no place from what is known."""
    good = stone.issue()
    tokens(good)
    done = list[int]()
    for _ in range(20):
        runtime.spawn(lambda: done.append(refusal(tokens, "nonsense").status_int))
    while len(done) < 20:
        runtime.sleep(0.001)
    assert refusal(tokens, "nonsense", "/v2.0/ports").status_int == 401
    assert ({*done}, stone.asked) == ({401}, 2)
    tokens.clock.now += keystone.REFUSED_SECONDS
    refusal(tokens, "nonsense")
    assert stone.asked == 3
    for _ in range(2):
        assert refusal(tokens, good, X_Service_Token="nonsense").status_int == 401
    asked = stone.asked
    refusal(tokens, good, X_Service_Token="nonsense")
    assert tokens(good).user_id == "id-alice"
    assert stone.asked == asked


def test_as_many_refused_tokens_are_kept_and_no_more(
    stone: fake.Keystone, tokens: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keystone, "MOST", 2)
    for token in ("one", "two", "three", "three", "two"):
        refusal(tokens, token)
    assert stone.asked == 3
    refusal(tokens, "one")
    assert stone.asked == 4


def test_headers_of_strangers_are_not_believed(stone: fake.Keystone, tokens: Any) -> None:
    lies = {
        "X_Roles": "admin",
        "X_Role": "admin",
        "X_Project_Id": "id-red",
        "X_Tenant_Id": "id-red",
        "X_User_Id": "id-root",
        "X_Identity_Status": "Confirmed",
        "X_Service_Identity_Status": "Confirmed",
        "X_Service_Roles": "service",
        "X_Is_Admin_Project": "True",
        "OpenStack_System_Scope": "all",
    }
    assert refusal(tokens, None, **lies).status_int == 401
    assert refusal(tokens, "nonsense", **lies).status_int == 401
    token = stone.issue()
    for _ in range(2):
        found = tokens(token, **lies)
        assert (found.project_id, found.user_id) == ("id-blue", "id-alice")
        assert found.roles == {"member", "reader"}


def test_a_token_for_no_project_enters_none(stone: fake.Keystone, tokens: Any) -> None:
    unscoped = stone.issue(project=None, roles=())
    system = stone.issue("root", None, ("admin",), system={"all": True})
    for token in (unscoped, system):
        error = refusal(tokens, token)
        assert error.status_int == 403
        assert "OS_PROJECT_NAME" in error.detail


def test_a_service_may_act_for_a_token_that_has_run_out(stone: fake.Keystone, tokens: Any) -> None:
    over = stone.issue(seconds=-10)
    nova, bob = stone.issue("nova", "service", ("service",)), stone.issue("bob", "red")
    assert refusal(tokens, over).status_int == 401
    assert tokens(over, X_Service_Token=nova).user_id == "id-alice"
    assert refusal(tokens, over, X_Service_Token=bob).status_int == 401
    assert refusal(tokens, stone.issue(), X_Service_Token="nonsense").status_int == 401
    assert refusal(tokens, over).status_int == 401, "what was kept is of both tokens"


def test_application_credentials(stone: fake.Keystone, tokens: Any) -> None:
    free = stone.issue(application_credential={"id": "x", "name": "x", "restricted": True})
    rule = {"service": "network", "method": "GET", "path": "/v2.0/networks"}
    bound = stone.issue(
        application_credential={
            "id": "y",
            "name": "y",
            "restricted": True,
            "access_rules": [{"id": "z", **rule}],
        }
    )
    assert tokens(free).user_id == "id-alice"
    for _ in range(2):
        assert tokens(bound).user_id == "id-alice"
        assert refusal(tokens, bound, "/v2.0/ports").status_int == 401


@pytest.mark.parametrize("trouble", ["gone", "broken", "its own password"])
def test_a_keystone_that_does_not_answer_is_503_in_words(
    stone: fake.Keystone, trouble: str, caplog: pytest.LogCaptureFixture, make_api: Any
) -> None:
    more = {"password": "other-password"} if trouble == "its own password" else {}
    if trouble == "gone":
        more["auth_url"] = "http://127.0.0.1:1"
    api: Api = make_api(authenticate=Keystone(options(stone, http_request_max_retries="0", **more)))
    stone.broken = 500 if trouble == "broken" else 0
    token = stone.issue()
    request = Request.blank("/v2.0/networks", headers={"X-Auth-Token": token})
    answer = request.get_response(api.app)
    assert answer.status_int == 503
    assert "Keystone" in answer.json_body["NeutronError"]["message"]
    assert answer.headers["Retry-After"]
    assert token not in caplog.text
    assert fake.PASSWORD not in caplog.text


# What all have in common


def test_versions_are_told_to_anybody_and_nothing_else(file: Path, make_api: Any) -> None:
    api: Api = make_api(authenticate=Basic(file))
    status, answer = api.request("GET", "/")
    assert (status, answer["versions"][0]["id"]) == (200, "v2.0")
    for path in ("/v2.0", "/v2.0/", "/v2.0/networks", "/v2.0/extensions", "/nowhere"):
        assert api.request("GET", path)[0] == 401, path


def test_every_answer_has_an_id(api: Api) -> None:
    seen = set()
    for method, path in (
        ("GET", "/"),
        ("GET", "/v2.0/networks"),
        ("GET", "/nowhere"),
        ("PUT", "/v2.0/networks"),
        ("POST", "/v2.0/networks"),
    ):
        answer = Request.blank(path, method=method).get_response(api.app)
        seen.add(answer.headers["X-Openstack-Request-Id"])
    assert len(seen) == 5
    assert all(id.startswith("req-") and len(id) == 40 for id in seen)


def test_writes_are_logged_with_who_made_them(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tenantry")
    beyond = "req-00000000-0000-4000-8000-000000000000"
    headers = {"X-Project-Id": "blue", "X-OpenStack-Request-ID": beyond}
    request = Request.blank("/v2.0/networks", method="POST", headers=headers)
    request.json_body = {"network": {"name": "new"}}
    answer = request.get_response(api.app)
    id, network = answer.headers["X-Openstack-Request-Id"], answer.json_body["network"]["id"]
    line = f"project blue, {id}, of {beyond}: creates network new ({network})"
    assert line in caplog.messages
    commit = api.store.history(api.store.head - 1)[0]
    assert (commit.actor, id in commit.actor) == (f"project blue, {id}, of {beyond}", True)


def test_two_projects_do_not_see_each_other(file: Path, make_api: Any) -> None:
    with accounts.changed(file) as found:
        found["bob"] = found["bob"]._replace(roles=("member",))
    api: Api = make_api(authenticate=Basic(file))
    blue, red = (
        {"Authorization": asking(name).headers["Authorization"]} for name in ("alice", "bob")
    )
    status, made = api.request("POST", "/v2.0/networks", {"network": {"name": "n"}}, **blue)
    assert status == 201, made
    id = made["network"]["id"]
    assert made["network"]["project_id"] == "blue"
    assert api.request("GET", "/v2.0/networks", **red) == (200, {"networks": []})
    assert api.request("GET", f"/v2.0/networks/{id}", **red)[0] == 404
    assert api.request("DELETE", f"/v2.0/networks/{id}", **red)[0] == 404
    assert api.request("DELETE", f"/v2.0/networks/{id}", X_Project_Id="blue", **red)[0] == 404
    assert api.request("DELETE", f"/v2.0/networks/{id}", **blue)[0] == 204


def test_none_makes_everybody_an_admin() -> None:
    request = Request.blank("/", headers={"X-Project-Id": "blue"})
    found = auth.none("default")(request)
    assert (found.project_id, found.is_admin, "admin" in found.roles) == ("blue", True, True)
