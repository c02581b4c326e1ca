# SPDX-License-Identifier: Apache-2.0

"""What a worker makes of what is wanted and what is there; and which worker has what."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tenantry.controller.feature.processes import (
    READY,
    File,
    Plug,
    Probe,
    Process,
    Route,
    as_json,
    from_json,
)
from tenantry.controller.model import Change, Model, ProcessState, View, Worker
from tenantry.controller.network.workers import is_ready, worker_of
from tenantry.controller.worker.plan import (
    Alive,
    Clear,
    Configure,
    Group,
    Link,
    Load,
    MakeNamespace,
    Put,
    RemoveNamespace,
    Start,
    Stop,
    Take,
    There,
    files_digest,
    groups,
    how_started,
    plan,
    route,
)

PLUG = Plug(
    "3f2a9c1b-4d5e-4f60-8a1b-0123456789ab",
    "FA:16:3e:00:00:01",
    1450,
    ("192.0.2.5/24", "2001:DB8::5/64"),
    (Route("0.0.0.0/0", "192.0.2.1"), Route("::/0", "2001:db8::1"), Route("198.51.100.0/24")),
)
NAME = PLUG.interface
PROCESS = Process(
    "web",
    "ns",
    ("serve", "it"),
    (PLUG,),
    (File("conf", "one"), File("key", "secret")),
    reload_signal="SIGHUP",
    ready=Probe(socket="ask", line="?", expect="yes"),
    reports=(("statistics", Probe(("show",))),),
)
LINK = Link(
    "fa:16:3e:00:00:01",
    1450,
    True,
    frozenset({"192.0.2.5/24", "2001:db8::5/64"}),
    frozenset(
        {route("default", "192.0.2.1"), route("default", "2001:db8::1", 6)}
        | {route("198.51.100.0/24")}
    ),
)
ALIVE = Alive(7, how_started(PROCESS), files_digest(PROCESS))
RIGHT = There(
    True,
    links={NAME: LINK},
    processes={"web": ALIVE},
    files={"web": frozenset(PROCESS.files)},
    directories=frozenset({"web"}),
)


def steps(there: There, process: Process | None = PROCESS, **more: Any) -> list[Any]:
    return [*plan(Group({process.name: process} if process else {}), there, **more)]


def lines(there: There, process: Process = PROCESS) -> list[str]:
    (step,) = steps(there, process)
    assert isinstance(step, Configure)
    return [*step.lines]


def of_link(**other: Any) -> There:
    return RIGHT._replace(links={NAME: LINK._replace(**other)})


def test_nothing_is_done_where_all_is_right() -> None:
    assert steps(RIGHT) == []


def test_from_nothing() -> None:
    there = There(False, arrived=frozenset({NAME}))
    found = steps(there)
    assert found[:2] == [MakeNamespace(), Take(NAME)]
    assert isinstance(found[2], Configure)
    assert found[3:] == [Put(PROCESS), Start(PROCESS)]


def test_it_waits_for_its_interface() -> None:
    assert steps(There(False)) == [MakeNamespace()]
    assert steps(There(True)) == []


def test_what_runs_goes_on_without_its_interface() -> None:
    """It is to come back."""
    assert steps(RIGHT._replace(links={})) == []
    there = RIGHT._replace(links={}, arrived=frozenset({NAME}))
    assert steps(there)[0] == Take(NAME)
    assert not any(isinstance(step, Stop | Start | Load) for step in steps(there))


def test_an_interface_that_comes_again_is_the_right_one() -> None:
    """An ovs-vswitchd that dies leaves its own behind, with nobody at its other end."""
    found = steps(RIGHT._replace(arrived=frozenset({NAME})))
    assert found[0] == Take(NAME, replaces=True)
    assert isinstance(found[1], Configure) and len(found) == 2


@pytest.mark.parametrize(
    ("other", "wanted"),
    [
        ({"mtu": 1500}, [f"link set {NAME} mtu 1450"]),
        ({"mac": "02:00:00:00:00:01"}, [f"link set {NAME} address FA:16:3e:00:00:01"]),
        (
            {"addresses": LINK.addresses | {"192.0.2.9/24"}, "routes": frozenset()},
            [
                f"address del 192.0.2.9/24 dev {NAME}",
                f"route replace 0.0.0.0/0 via 192.0.2.1 dev {NAME} onlink",
                f"route replace 198.51.100.0/24 dev {NAME}",
                f"route replace ::/0 via 2001:db8::1 dev {NAME} onlink",
            ],
        ),
        (
            {"addresses": frozenset({"192.0.2.5/24"})},
            [f"address add 2001:db8::5/64 dev {NAME} nodad"],
        ),
        (
            {"routes": LINK.routes | {route("203.0.113.0/24", "192.0.2.7")}},
            [f"route del 203.0.113.0/24 via 192.0.2.7 dev {NAME}"],
        ),
    ],
)
def test_an_interface_is_made_as_it_must_be(other: dict[str, Any], wanted: list[str]) -> None:
    assert lines(of_link(**other)) == wanted


def test_one_that_was_down_gets_its_routes_again() -> None:
    """The kernel forgets them."""
    found = lines(of_link(up=False))
    assert found[0] == f"link set {NAME} up"
    assert len([line for line in found if line.startswith("route replace")]) == 3


def test_new_files_are_put_in_place_and_loaded() -> None:
    new = replace(PROCESS, files=(File("conf", "two"), File("key", "secret")))
    assert steps(RIGHT, new) == [Put(new), Load(new, 7)]
    plain = replace(new, reload_signal="")
    assert steps(RIGHT, plain) == [Put(plain), Stop("web", 7, 5.0), Start(plain)]


def test_what_was_put_and_not_loaded_is_loaded() -> None:
    """Whoever died between the two."""
    there = RIGHT._replace(processes={"web": ALIVE._replace(loaded="")})
    assert steps(there) == [Load(PROCESS, 7)]


def test_another_mode_of_a_file_counts() -> None:
    there = RIGHT._replace(files={"web": frozenset({File("conf", "one", 0o644), PROCESS.files[1]})})
    assert steps(there) == [Put(PROCESS), Load(PROCESS, 7)]


@pytest.mark.parametrize("other", [{"command": ("other",)}, {"environment": (("A", "b"),)}])
def test_another_command_is_another_process(other: dict[str, Any]) -> None:
    new = replace(PROCESS, **other)
    assert steps(RIGHT, new) == [Stop("web", 7, 5.0), Start(new)]


def test_one_that_ended_is_started() -> None:
    assert steps(RIGHT._replace(processes={})) == [Start(PROCESS)]
    assert steps(RIGHT._replace(processes={}), resting={"web"}) == []


def test_a_namespace_that_lost_its_name_is_named_again() -> None:
    there = There(False, processes={"web": ALIVE._replace(inside=False)})
    assert steps(there) == [MakeNamespace(7)]


def test_one_in_another_namespace_is_started_anew() -> None:
    there = RIGHT._replace(processes={"web": ALIVE._replace(inside=False)})
    assert steps(there) == [Stop("web", 7, 5.0), Start(PROCESS)]


def test_what_nobody_wants_goes() -> None:
    assert steps(RIGHT, None) == [Stop("web", 7, 5.0), RemoveNamespace(), Clear("web")]
    other = replace(PROCESS, name="other")
    found = steps(RIGHT, other)
    assert found == [Stop("web", 7, 5.0), Clear("web"), Put(other), Start(other)]


def test_processes_of_one_namespace_share_their_plugs() -> None:
    one, two = PROCESS, replace(PROCESS, name="two", plugs=())
    (group,) = groups([one, two]).values()
    assert [*group.plugs] == [NAME]
    assert {*group.processes} == {"web", "two"}


def test_a_process_is_the_same_after_its_journey() -> None:
    there = from_json(json.loads(json.dumps(as_json(PROCESS))))
    assert there == PROCESS
    assert there.digest == PROCESS.digest
    assert replace(PROCESS, plugs=()).digest != PROCESS.digest


def model(**alive: bool) -> Model:
    found = Model()
    found.apply(Change(Worker, host, Worker(host, is_alive)) for host, is_alive in alive.items())
    return found


KEYS = [f"key-{n}" for n in range(3000)]


def places(**alive: bool) -> dict[str, str | None]:
    view = View(model(**alive))
    return {key: worker_of(view, key) for key in KEYS}


def test_workers_share_evenly() -> None:
    for count in Counter(places(a=True, b=True, c=True).values()).values():
        assert 900 < count < 1100


def test_nothing_moves_that_need_not() -> None:
    before, after = places(a=True, b=True, c=True), places(a=True, b=False, c=True)
    for key in KEYS:
        assert after[key] == before[key] if before[key] != "b" else after[key] in ("a", "c")


def test_if_none_is_alive_nothing_moves_at_all() -> None:
    """What runs goes on: nobody else could take it over."""
    assert places(a=False, b=False) == places(a=True, b=True)
    assert {*places().values()} == {None}


def test_it_is_ready_as_it_is_wanted_or_not_at_all() -> None:
    found = model()
    assert not is_ready(View(found), PROCESS)
    state = ProcessState("web", "a", READY, confirmed=PROCESS.digest)
    found.apply([Change(ProcessState, "web", state)])
    assert is_ready(View(found), PROCESS)
    assert not is_ready(View(found), replace(PROCESS, command=("other",)))
