# SPDX-License-Identifier: Apache-2.0

"""Fixtures for all layers. The first import patches the standard library, as in production."""

import tenantry.controller.runtime  # noqa: F401  isort: skip
import os
import shutil
import signal
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any

import greenlet
import pytest
import pytest_timeout
from eventlet import hubs

from tests import namespace
from tests.openvswitch import OpenVSwitch

WARNINGS = (
    "error",
    # WebOb 1.8 reads headers by the standard library's cgi, which left with Python 3.13.
    "ignore:'cgi' is deprecated:DeprecationWarning",
    # eventlet 0.41 resolves names by what dnspython 2 calls otherwise.
    "ignore:please use dns.resolver.Resolver.resolve:DeprecationWarning",
)
"""Warnings are errors, but for these of libraries. Here and not in pyproject.toml, so that it is
asked of these tests alone, and not of whoever else tests with our configuration."""


def pytest_configure(config: pytest.Config) -> None:
    for line in WARNINGS:
        config.addinivalue_line("filterwarnings", line)


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: Any, settings: Any) -> bool:
    """Time is up for the test, whatever runs at that moment: pytest-timeout's own handler would
    raise in any greenlet of the controller, or in the one that waits for all of them."""
    test = greenlet.getcurrent()

    def over(_: int, frame: FrameType | None) -> None:
        if pytest_timeout.is_debugging():
            return
        running = "".join(traceback.format_stack(frame))
        failure = pytest.fail.Exception(f"{settings.timeout} s have passed; at last ran\n{running}")
        if greenlet.getcurrent() is hubs.get_hub().greenlet:
            raise failure  # it ends, the test hears why, and the next wait starts a new one
        test.throw(failure)

    item.timer = settings
    item.cancel_timeout = lambda: signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, settings.timeout, settings.timeout)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: Any) -> None:
    """What is taken down has as much time again, also after a test that failed, whose timer
    pytest-timeout has stopped."""
    if hasattr(item, "timer"):
        pytest_timeout_set_timer(item, item.timer)


def need(condition: bool, what: str) -> None:
    """Skip where a machine cannot run a test; in CI that is a failure."""
    if condition:
        return
    if os.environ.get("CI"):
        pytest.fail(f"this machine has no {what}, and CI must")
    pytest.skip(f"needs {what}")


@pytest.fixture
def dummy_ovs() -> Iterator[OpenVSwitch]:
    """A real Open vSwitch without packets or root: for ``ofproto/trace``."""
    need(shutil.which("ovs-vswitchd") is not None, "ovs-vswitchd")
    with OpenVSwitch(dummy=True) as ovs:
        yield ovs


@pytest.fixture
def own_netns() -> Iterator[None]:
    """The test runs in a network namespace of its own, with nothing but loopback."""
    need(namespace.allowed(), "right to make network namespaces (root)")
    with namespace.entered():
        yield


@pytest.fixture
def ovs(own_netns: None) -> Iterator[OpenVSwitch]:
    """A real Open vSwitch, userspace datapath, in the test's own namespace."""
    need(shutil.which("ovs-vswitchd") is not None, "ovs-vswitchd")
    with OpenVSwitch() as ovs:
        yield ovs
