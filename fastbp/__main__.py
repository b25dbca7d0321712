"""``python -m fastbp``."""

import sys

from fastbp.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
