# SPDX-License-Identifier: Apache-2.0

"""Certificates in the API: what is kept, what is shown, and what is refused."""

from __future__ import annotations

import base64
import stat
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from tenantry.apps.certificates import resources
from tenantry.controller.feature.secrets import Secrets, SecretsError, add_key
from tests.api.conftest import Api, caller
from tests.api.test_every_attribute import VALUES
from tests.certificates import Signed, key_pem, signed

PATH = "/tenantry/v1/certificates"
NOW = datetime.now(timezone.utc)

AUTHORITY = signed("Authority", authority=True)
SERVER = signed("web.example", ["web.example", "www.example"], by=AUTHORITY)


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return Secrets(str(tmp_path / "keys" / "secrets.key"))


@pytest.fixture
def api(make_api: Callable[..., Api], secrets: Secrets) -> Api:
    return make_api(resources.extension(secrets, lambda: NOW))


def add(api: Api, **attributes: Any) -> Any:
    status, answer = api.request("POST", PATH, {"certificate": attributes})
    assert status == 201, answer
    return answer["certificate"]


def server(api: Api, **more: Any) -> Any:
    return add(api, name="web", certificate=SERVER.pem, private_key=SERVER.key_pem, **more)


def bad(api: Api, **attributes: Any) -> str:
    return api.refused(400, "BadCertificate", "POST", PATH, {"certificate": attributes})


def stored(api: Api, id: str) -> Any:
    return api.store.get("certificate", id)


def test_it_is_shown_without_its_key(api: Api, secrets: Secrets) -> None:
    made = server(api, intermediates=AUTHORITY.pem)
    assert made["subject"] == "CN=web.example" and made["issuer"] == "CN=Authority"
    assert made["names"] == ["web.example", "www.example"] and made["has_private_key"]
    assert made["certificate"] == SERVER.pem and made["intermediates"] == AUTHORITY.pem
    assert made["expires_in_days"] == 30 and made["used_by"] == []
    for shown in (made, api.request("GET", f"{PATH}/{made['id']}")[1]["certificate"]):
        assert not {"private_key", "sealed_key", "passphrase", "pkcs12"} & shown.keys()
    (listed,) = api.request("GET", PATH)[1]["certificates"]
    assert listed == made
    assert "PRIVATE KEY" not in repr(api.store.history(0))
    assert secrets.open(stored(api, made["id"])["sealed_key"]) == SERVER.key_pem


def test_the_key_file_is_made_at_first_use_for_its_owner_alone(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "keys" / "secrets.key"
    add(api, certificate=AUTHORITY.pem)
    assert not file.exists()
    server(api)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)
    attributes = {"certificate": {"certificate": SERVER.pem, "private_key": SERVER.key_pem}}
    message = api.refused(503, "SecretsUnavailable", "POST", PATH, attributes)
    assert "chmod 0600" in message


def test_a_new_key_seals_all_at_the_next_start(
    api: Api, secrets: Secrets, tmp_path: Path, make_api: Callable[..., Api]
) -> None:
    file = tmp_path / "keys" / "secrets.key"
    id = server(api)["id"]
    before = stored(api, id)
    (former,) = file.read_text().split()
    add_key(str(file))
    newest, second = file.read_text().split()
    assert second == former != newest
    assert not secrets.is_newest(before["sealed_key"])
    assert secrets.open(before["sealed_key"]) == SERVER.key_pem
    again = make_api(resources.extension(secrets, lambda: NOW))
    file.write_text(f"{newest}\n")
    assert secrets.open(stored(again, id)["sealed_key"]) == SERVER.key_pem
    with pytest.raises(SecretsError, match="put the file back"):
        secrets.open(before["sealed_key"])


def test_a_bundle_and_an_encrypted_key_are_taken_with_their_passphrase(
    api: Api, secrets: Secrets
) -> None:
    bundle = pkcs12.serialize_key_and_certificates(
        *(b"web", SERVER.key, SERVER.certificate, [AUTHORITY.certificate]),
        BestAvailableEncryption(b"secret"),
    )
    encoded = base64.b64encode(bundle).decode()
    made = add(api, pkcs12=encoded, passphrase="secret")
    assert made["certificate"] == SERVER.pem and made["intermediates"] == AUTHORITY.pem
    assert secrets.open(stored(api, made["id"])["sealed_key"]) == SERVER.key_pem
    assert "another passphrase" in bad(api, pkcs12=encoded, passphrase="other")
    assert "another passphrase" in bad(api, pkcs12="%%%")
    assert "give pkcs12, or" in bad(api, pkcs12=encoded, certificate=SERVER.pem)
    encrypted = key_pem(SERVER.key, "secret")
    made = add(api, certificate=SERVER.pem, private_key=encrypted, passphrase="secret")
    assert secrets.open(stored(api, made["id"])["sealed_key"]) == SERVER.key_pem
    assert "passphrase" in bad(api, certificate=SERVER.pem, private_key=encrypted)
    both = {"private_key": SERVER.key_pem, "passphrase": "secret"}
    assert "passphrase" in bad(api, certificate=SERVER.pem, **both)


def _dsa() -> Signed:
    return signed("dsa", key=dsa.generate_private_key(2048))


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({}, "give a certificate, or a crl"),
        ({"certificate": "web"}, "certificate has no certificate in PEM"),
        ({"certificate": SERVER.key_pem}, "certificate has no certificate in PEM"),
        ({"certificate": SERVER.pem, "private_key": "key"}, "private_key is no key"),
        ({"certificate": AUTHORITY.pem, "private_key": SERVER.key_pem}, "is not the key of"),
        ({"private_key": SERVER.key_pem}, "give a certificate"),
        ({"crl": AUTHORITY.revoked(), "private_key": SERVER.key_pem}, "that goes with this"),
        ({"certificate": SERVER.pem, "intermediates": "x"}, "intermediates has no"),
        ({"crl": SERVER.pem}, "crl has no certificate revocation list"),
        ({"certificate": _dsa().pem}, "of a kind that TLS does not have"),
        (
            {"certificate": signed("weak", key=rsa.generate_private_key(65537, 1024)).pem},
            "has 1024 bits",
        ),
    ],
)
def test_what_no_proxy_could_use_is_refused(
    api: Api, attributes: dict[str, str], words: str
) -> None:
    assert words in bad(api, **attributes)


def test_what_stands_around_pem_is_not_kept(api: Api) -> None:
    made = add(api, certificate=f"Subject: web\n{SERVER.pem}\nrubbish\n", crl=AUTHORITY.revoked())
    assert made["certificate"] == SERVER.pem
    revoked = AUTHORITY.revoked(SERVER)
    made = add(api, crl=revoked + "\n" + AUTHORITY.revoked())
    assert made["crl"].count("BEGIN X509 CRL") == 2 and made["issuer"] == "CN=Authority"
    assert made["expires_in_days"] in (29, 30)


def test_it_is_renewed_in_its_place(api: Api, secrets: Secrets) -> None:
    id = server(api)["id"]
    longer = signed("web.example", by=AUTHORITY, days=90, key=SERVER.key)
    url = f"{PATH}/{id}"
    status, answer = api.request("PUT", url, {"certificate": {"certificate": longer.pem}})
    assert status == 200 and answer["certificate"]["expires_in_days"] == 90
    assert secrets.open(stored(api, id)["sealed_key"]) == SERVER.key_pem
    other = signed("other")
    api.refused(400, "BadCertificate", "PUT", url, {"certificate": {"certificate": other.pem}})
    both = {"certificate": other.pem, "private_key": other.key_pem}
    status, answer = api.request("PUT", url, {"certificate": both})
    assert status == 200 and answer["certificate"]["subject"] == "CN=other"
    assert secrets.open(stored(api, id)["sealed_key"]) == other.key_pem
    before = stored(api, id)
    assert api.request("PUT", url, {"certificate": {"name": "n"}})[0] == 200
    assert stored(api, id)["sealed_key"] == before["sealed_key"]


def test_a_project_sees_its_own(make_api: Callable[..., Api], secrets: Secrets) -> None:
    who = [caller("blue")]
    api = make_api(resources.extension(secrets), authenticate=lambda request: who[0])
    id = server(api)["id"]
    who[0] = caller("red")
    assert api.request("GET", PATH)[1] == {"certificates": []}
    for method in ("GET", "DELETE"):
        api.refused(404, "CertificateNotFound", method, f"{PATH}/{id}")
    who[0] = caller("blue", "reader")
    assert api.request("GET", f"{PATH}/{id}")[0] == 200
    api.refused(403, "PolicyNotAuthorized", "DELETE", f"{PATH}/{id}")
    api.refused(403, "PolicyNotAuthorized", "POST", PATH, {"certificate": {"crl": "x"}})
    who[0] = caller("blue")
    assert api.request("DELETE", f"{PATH}/{id}")[0] == 204


def test_a_file_that_is_no_list_of_keys_is_said_so(secrets: Secrets, tmp_path: Path) -> None:
    file = tmp_path / "keys" / "secrets.key"
    file.parent.mkdir()
    for text in ("", "key\n", f"{Fernet.generate_key().decode()[:-4]}\n"):
        file.write_text(text)
        with pytest.raises(SecretsError, match="put it back"):
            secrets.seal("x")


@pytest.mark.parametrize("name", sorted(resources.ATTRIBUTES))
def test_no_value_is_an_internal_error(api: Api, name: str) -> None:
    id, wrong = server(api)["id"], []
    for value in VALUES:
        for method, url in (("POST", PATH), ("PUT", f"{PATH}/{id}")):
            status, answer = api.request(method, url, {"certificate": {name: value}})
            if status not in (200, 201, 400):
                wrong.append(f"{method} {value!r:.60}: {status} {answer}")
    assert not wrong, "\n".join(wrong)
    assert stored(api, id)["certificate"]


def test_a_list_is_filtered_and_sorted(api: Api) -> None:
    first, second = server(api), add(api, name="ca", certificate=AUTHORITY.pem)
    for query, ids in (
        ("name=ca", [second["id"]]),
        (f"fingerprint={first['fingerprint']}", [first["id"]]),
        ("sort_key=name&sort_dir=asc", [second["id"], first["id"]]),
        ("has_private_key=true", [first["id"]]),
        ("names=www.example", [first["id"]]),
    ):
        status, answer = api.request("GET", f"{PATH}?{query}")
        assert status == 200, (query, answer)
        assert [one["id"] for one in answer["certificates"]] == ids, query
