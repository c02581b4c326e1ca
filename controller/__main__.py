# SPDX-License-Identifier: Apache-2.0

"""``tenantry`` and ``python -m tenantry.controller``."""

import tenantry.controller.runtime  # noqa: F401  (patches the standard library: stays first)
from tenantry.controller.cli.main import main

if __name__ == "__main__":
    main()
