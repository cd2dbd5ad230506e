"""`python -m medsiglip.api.cli`."""

import sys

from medsiglip.api.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
