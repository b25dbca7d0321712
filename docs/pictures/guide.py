"""Draw the pictures of the guide by running the pages' own blocks: python docs/pictures/guide.py [FOLDER]

A picture that a page shows has the name under which a block of the page saves it.
"""

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from test_docs import run_blocks  # noqa: E402

PAGES = ("start", "looking")


def main(folder):
    """Run the blocks and keep the pictures that the pages show."""
    for name in PAGES:
        page = ROOT / "docs" / f"{name}.md"
        text = page.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as scratch:
            os.chdir(scratch)
            run_blocks(page, text, Path(scratch))
            for picture in re.findall(r"\]\(pictures/([\w-]+\.png)\)", text):
                shutil.copy(picture, folder)
            os.chdir(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent).resolve())
