# SPDX-License-Identifier: Apache-2.0

"""How Hypothesis runs here: no deadline, as a loaded machine is no failure.

``make test`` tries the same examples each time, so that it says something of the change at hand;
``make fuzz`` sets HYPOTHESIS_PROFILE and tries new ones, more of them, round after round.
"""

import os

from hypothesis import settings

settings.register_profile("tenantry", deadline=None, derandomize=True)
settings.register_profile("fuzz", deadline=None, max_examples=250, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "tenantry"))
