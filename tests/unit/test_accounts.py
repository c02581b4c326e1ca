# SPDX-License-Identifier: Apache-2.0

"""``tenantry account``: the file that it leaves, and what it refuses."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import bcrypt
import pytest
from click.testing import CliRunner, Result

from tenantry.controller.cli.main import main
from tenantry.controller.config import accounts


class Command:
    def __init__(self, directory: Path) -> None:
        self.file = directory / "var" / "accounts"
        self._configuration = directory / "tenantry.conf"
        self._configuration.write_text(f"[api]\nauth_type = basic\naccounts = {self.file}\n")

    def run(self, *words: str, password: str = "") -> Result:
        words = ("--config-file", str(self._configuration), *words)
        return CliRunner().invoke(main, words, input=f"{password}\n")

    def account(self, *words: str, password: str = "") -> str:
        result = self.run("account", *words, password=password)
        assert result.exit_code == 0, result.output
        return result.output

    def refused(self, why: str, *words: str, password: str = "") -> None:
        before = self.file.read_bytes() if self.file.exists() else b""
        result = self.run("account", *words, password=password)
        assert (result.exit_code, why in result.output) == (1, True), result.output
        assert (self.file.read_bytes() if self.file.exists() else b"") == before


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


def is_password(command: Command, name: str, password: str) -> bool:
    crypted = accounts.read(command.file)[name].crypted.encode()
    return bcrypt.checkpw(password.encode(), crypted)


def test_an_account_comes_changes_and_goes(command: Command) -> None:
    assert "tenantry account add" in command.run("check-config").output
    added = command.account("add", "alice", "--project", "blue", password="correct-horse")
    assert "correct-horse" not in added
    assert command.run("check-config").exit_code == 0
    roles = ("--role", "admin", "--role", "auditor")
    command.account("add", "bob", "--project", "red", *roles, password="battery-staple")
    listed = command.account("list", "--json")
    assert json.loads(listed) == [
        {"name": "alice", "project": "blue", "roles": ["member"]},
        {"name": "bob", "project": "red", "roles": ["admin", "auditor"]},
    ]
    assert "$2b$" not in command.account("list") + listed
    assert stat.S_IMODE(command.file.stat().st_mode) == 0o600
    assert is_password(command, "alice", "correct-horse")
    command.account("passwd", "alice", password="another-horse")
    assert is_password(command, "alice", "another-horse")
    assert not is_password(command, "alice", "correct-horse")
    assert is_password(command, "bob", "battery-staple")
    command.account("remove", "alice")
    assert [*accounts.read(command.file)] == ["bob"]


def test_accounts_that_nobody_asks_for(tmp_path: Path) -> None:
    (tmp_path / "tenantry.conf").write_text(f"[api]\naccounts = {tmp_path}/accounts\n")
    words = ("--config-file", f"{tmp_path}/tenantry.conf", "account", "list", "--json")
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, result.stdout) == (0, "[]\n")
    assert "[api] auth_type is none" in result.stderr


def test_what_is_refused_changes_nothing(command: Command) -> None:
    add = ("add", "alice", "--project", "blue")
    command.refused("8 to 72 octets", *add, password="short")
    command.refused("8 to 72 octets", *add, password="")
    command.refused("8 to 72 octets", *add, password="ü" * 37)
    command.refused("--project must be", "add", "alice", "--project", "b:lue", password="x" * 8)
    command.refused("--role must be", *add, "--role", "a,b", password="x" * 8)
    command.refused("NAME must be", "add", "a b", "--project", "blue", password="x" * 8)
    command.account(*add, password="correct-horse")
    command.refused("account passwd alice", *add, password="another-horse")
    command.refused("did you mean alice?", "passwd", "alcie", password="another-horse")
    command.refused("there is no account bob", "remove", "bob")
    command.file.chmod(0o644)
    command.refused("chmod 600", "list")
    command.refused("chmod 600", "remove", "alice")


def test_the_owner_stays_who_it_was(command: Command) -> None:
    """root makes accounts for a controller that is another user."""
    command.account("add", "alice", "--project", "blue", password="correct-horse")
    if not os.geteuid():
        os.chown(command.file, 4321, 4322)
    before = command.file.stat()
    command.account("passwd", "alice", password="another-horse")
    after = command.file.stat()
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino, "replaced whole"
