"""`python -m chipwright`: the command line where its script is not on the path, as on many Windows machines."""

import sys

from chipwright.cli import main

if __name__ == "__main__":
    sys.exit(main())
