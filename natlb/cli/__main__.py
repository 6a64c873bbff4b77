"""`python -m natlb.cli`: the same as `natlb`."""

from __future__ import annotations

import sys

from natlb.cli import main

if __name__ == "__main__":
    sys.exit(main())
