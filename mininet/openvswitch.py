"""An Open vSwitch of one's own: database, switch daemon and sockets in a private directory.

It shares nothing with an Open vSwitch that the machine may run, as long as each is in a network
namespace of its own (two userspace datapaths in one would both want the interface ``ovs-netdev``).
It must leave nothing behind: both daemons are children, and the kernel ends them should this
process die without a word.
"""

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
PR_SET_PDEATHSIG = 1  # linux/prctl.h

_libc = ctypes.CDLL(None, use_errno=True)


def start(directory: Path):
    """Start it; return its daemons, the switch daemon first, which is the order to stop them in.

    Afterwards ``os.environ`` leads every ovs-* command that this process runs to it, Mininet's too.
    Raises RuntimeError with the daemons' own words when it does not come up.
    """
    directory.mkdir(mode=0o700)
    for variable in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"):
        os.environ[variable] = str(directory)
    database, socket = directory / "conf.db", directory / "db.sock"
    run("ovsdb-tool", "create", database, SCHEMA)
    server = daemon(
        "ovsdb-server", database, f"--remote=punix:{socket}", "--pidfile", directory=directory
    )
    try:
        while not socket.exists() and server.poll() is None:
            time.sleep(0.01)  # ovs-vsctl --retry would sleep a second
        run("ovs-vsctl", "--timeout=10", "--no-wait", "init")
        switch = daemon("ovs-vswitchd", f"unix:{socket}", "--pidfile", directory=directory)
        try:
            # Without --no-wait ovs-vsctl returns when the switch daemon has taken the change in.
            system_id = "external_ids:system-id=tenantry-demo"
            run("ovs-vsctl", "--timeout=10", "set", "Open_vSwitch", ".", system_id)
        except RuntimeError as error:
            stop(switch)
            log = (directory / "ovs-vswitchd.log").read_text()
            raise RuntimeError(f"ovs-vswitchd did not come up: {error}\n{log[-2000:]}") from None
    except BaseException:
        stop(server)
        raise
    return [switch, server]


def daemon(*command, directory: Path):
    """Start a child that logs to ``directory``, hears no Ctrl-C and does not outlive this process.

    Call it from the main thread: the kernel's promise is tied to the thread that started the child.
    """
    words = [str(word) for word in command]
    with open(directory / f"{Path(words[0]).name}.log", "ab") as log:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
        )


def stop(process):
    """End a daemon and wait until it is gone."""
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(*command):
    """Run a command; return what it printed. Raises RuntimeError that names it and its words."""
    words = [str(word) for word in command]
    try:
        result = subprocess.run(words, capture_output=True, text=True)
    except FileNotFoundError:
        raise RuntimeError(
            f"{words[0]} is not installed; `make demo` installs what is missing"
        ) from None
    if result.returncode:
        words_of_it = (result.stderr or result.stdout).strip()
        raise RuntimeError(f"`{' '.join(words)}` failed: {words_of_it}")
    return result.stdout
