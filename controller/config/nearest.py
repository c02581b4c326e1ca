# SPDX-License-Identifier: Apache-2.0

"""What somebody may have meant by a name that there is not."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

FEW = 30


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """What goes behind a message: the nearest name, or all if there are few, or a full stop."""
    by_lower = {name.lower(): name for name in sorted(known) if name}
    found = get_close_matches(wrong.lower(), by_lower, 1)
    if found:
        return f"; did you mean {by_lower[found[0]]}?"
    return f"; there are {', '.join(by_lower.values())}." if 0 < len(by_lower) <= FEW else "."
