# SPDX-License-Identifier: Apache-2.0

"""What tests of hosts share: two machines that are to join by TLS, and who signs for them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tenantry.controller.sockets import certificates
from tests.farm import CONTROLLER, bridges
from tests.hosts.invited import Invited


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    certificates.create(tmp_path / "ca", [CONTROLLER])
    return tmp_path / "ca"


@pytest.fixture
def invited(own_netns: None, authority: Path, tmp_path: Path) -> Iterator[list[Invited]]:
    bridges()
    with ExitStack() as stack:
        yield [stack.enter_context(Invited(n, authority, tmp_path)) for n in (1, 2)]
