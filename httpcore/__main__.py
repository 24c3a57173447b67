"""The command: `python -m httpcore URL`, and `httpcore URL` where it is installed."""

import sys

from ._cli.command import main

if __name__ == "__main__":
    sys.exit(main())
