"""``tenantry`` and ``python -m controller``."""

import controller.runtime  # noqa: F401  (patches the standard library: stays first)
from controller.cli import main

if __name__ == "__main__":
    main()
