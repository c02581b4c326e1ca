# SPDX-License-Identifier: Apache-2.0

"""The suites, and running them: the tests that there are, and what became of each."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

SUITES = {
    "tempest": "tempest.api.network.",
    "neutron": "neutron_tempest_plugin.api.",
    "fwaas": "neutron_tempest_plugin.fwaas.api.",
    "vpnaas": "neutron_tempest_plugin.vpnaas.api.",
    "bgp": "neutron_tempest_plugin.neutron_dynamic_routing.api.",
    "bgpvpn": "neutron_tempest_plugin.bgpvpn.api.",
    "sfc": "neutron_tempest_plugin.sfc.tests.api.",
    "taas": "neutron_tempest_plugin.tap_as_a_service.api.",
    "octavia": "octavia_tempest_plugin.tests.api.v2.",
}
"""Name and where its modules are. Scenarios, which boot guests by Nova, are none of them."""

SETTINGS = {"octavia": "octavia.conf"}
"""The files of suites that are told otherwise of the cloud than tempest.conf says."""

PASSED, SKIPPED, FAILED = "passed", "skipped", "failed"
_STATUS = {"success": PASSED, "xfail": PASSED, "skip": SKIPPED, "fail": FAILED}
"""Of subunit's, those in which a test ends."""

_CONFIGURATION = """\
[DEFAULT]
test_path={packages}/tempest/test_discover
top_dir={packages}
group_regex=([^\\.]*\\.)*
"""


@dataclass(frozen=True)
class Outcome:
    """What became of a test; ``why`` it was skipped, or how it failed."""

    status: str
    why: str = ""
    seconds: float = 0.0


def suite(test: str) -> str:
    return next(name for name, prefix in SUITES.items() if test.startswith(prefix))


class Suites:
    """The suites, installed in a virtual environment, run where there are their settings."""

    def __init__(self, venv: Path, directory: Path) -> None:
        self._bin, self._directory = venv / "bin", directory
        (packages,) = venv.glob("lib/python3*/site-packages")
        (directory / ".stestr.conf").write_text(_CONFIGURATION.format(packages=packages))
        self._environment = {
            "PATH": f"{self._bin}:/usr/bin:/bin",
            "HOME": str(directory),
            "TEMPEST_CONFIG_DIR": str(directory),
            "PYTHONWARNINGS": "ignore",
            "OS_TEST_TIMEOUT": "300",
        }
        self._stestr("init")

    def tests(self) -> list[str]:
        """The ids of all tests of all suites. Errors: RuntimeError."""
        prefixes = tuple(SUITES.values())
        return sorted(test for test in self._stestr("list") if test.startswith(prefixes))

    def _stestr(self, command: str) -> list[str]:
        """The lines that it prints. Errors: RuntimeError."""
        done = subprocess.run(
            [self._bin / "stestr", command],
            cwd=self._directory,
            env=self._environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"stestr {command} failed:\n{(done.stderr or done.stdout)[-3000:]}")
        return done.stdout.splitlines()

    def run(
        self, tests: Iterable[str], workers: int, told: Callable[[str, Outcome], None]
    ) -> dict[str, Outcome]:
        """What became of each of these tests; ``told`` hears of one after the other."""
        by_settings: dict[str, list[str]] = {}
        for test in tests:
            by_settings.setdefault(SETTINGS.get(suite(test), "tempest.conf"), []).append(test)
        found: dict[str, Outcome] = {}
        for settings, chosen in by_settings.items():
            found |= self._run(chosen, workers, told, settings)
        return found

    def _run(
        self,
        chosen: list[str],
        workers: int,
        told: Callable[[str, Outcome], None],
        settings: str,
    ) -> dict[str, Outcome]:
        (self._directory / "chosen").write_text("\n".join(chosen) + "\n")
        words = ["run", "--subunit", "--load-list", "chosen", "--concurrency", str(workers)]
        running = subprocess.Popen(
            [self._bin / "stestr", *words],
            cwd=self._directory,
            env={**self._environment, "TEMPEST_CONFIG": settings},
            stdout=subprocess.PIPE,
            stderr=(self._directory / "stestr.log").open("ab"),
        )
        reading = subprocess.Popen(
            [self._bin / "python", Path(__file__).with_name("stream.py")],
            stdin=running.stdout,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert running.stdout and reading.stdout
        running.stdout.close()
        found: dict[str, Outcome] = {}
        for line in reading.stdout:
            said = json.loads(line)
            if said["status"] not in _STATUS:
                continue
            outcome = Outcome(_STATUS[said["status"]], said["details"].strip(), said["seconds"])
            for test in _meant(said["id"], chosen):
                found[test] = outcome
                told(test, outcome)
        reading.wait()
        running.wait()
        return {test: found.get(test, Outcome(FAILED, "It was not run.")) for test in chosen}


def _meant(id: str, chosen: list[str]) -> list[str]:
    """The tests that a line is about: one, or, if a class could not be set up, all of it."""
    if id in chosen:
        return [id]
    match = re.fullmatch(r"setUpClass \((.*)\)", id)
    return [test for test in chosen if match and test.startswith(f"{match[1]}.")]
