"""Draw the pictures of docs/policies.md by the commands that stand there: `make pictures`.

A command is a block of its own that begins with `natlb simulate` and names its picture, so what a
reader sees is what a reader can run. The same natlb gives the same octets.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from natlb.cli import main

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "policies.md"
COMMAND = re.compile(r"^```sh\n(natlb simulate [^`]*)^```$", re.MULTILINE)


def commands() -> list[list[str]]:
    """Return the words of each command in the document, `natlb` left out."""
    found = COMMAND.findall(DOCUMENT.read_text(encoding="utf-8"))
    return [shlex.split(text.replace("\\\n", " "))[1:] for text in found]


def picture_of(words: list[str]) -> str | None:
    """Return the picture that a command draws, from the root of the tree."""
    drawn = [word.partition("=")[2] for word in words if word.startswith("--picture=")]
    return drawn[0] if drawn else None


def draw_all(place: Path) -> None:
    """Draw every picture below a place, by the path that it has below the root."""
    for words in commands():
        if picture := picture_of(words):
            target = place / picture
            target.parent.mkdir(parents=True, exist_ok=True)
            others = [word for word in words if not word.startswith("--picture=")]
            code = main([*others, f"--picture={target}"])
            if code:
                sys.exit(code)


if __name__ == "__main__":
    draw_all(ROOT)
