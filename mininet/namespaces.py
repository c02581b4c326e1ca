# SPDX-License-Identifier: Apache-2.0

"""Entering Linux network namespaces from Python's threads.

A namespace belongs to a thread, and what the thread makes belongs to the namespace: its sockets,
its children. So a check inside a host is an ordinary function run in a thread that went there.
"""

import ctypes
import os
import threading
from concurrent.futures import Future

CLONE_NEWNET = 0x40000000  # linux/sched.h

_libc = ctypes.CDLL(None, use_errno=True)


def leave_for_a_new_one():
    """Move this process into a network namespace of its own, which dies with its last member.

    Only the calling thread and the threads and children it starts from now on move: call it before
    any other is started. Sockets that are open already stay where they were made.
    """
    _require(_libc.unshare(CLONE_NEWNET), "create a network namespace")


def inside(pid, function, *arguments):
    """Start ``function`` in the network namespace of process ``pid``; return its Future."""
    future = Future()

    def thread():
        try:
            namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                _require(_libc.setns(namespace, CLONE_NEWNET), f"enter the namespace of {pid}")
            finally:
                os.close(namespace)
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=thread, daemon=True).start()
    return future


def _require(result, action):
    if result:
        reason = os.strerror(ctypes.get_errno())
        raise RuntimeError(f"cannot {action}: {reason}; run as root, in a privileged container")
