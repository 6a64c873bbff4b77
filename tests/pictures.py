"""Draw the pictures of the documents, `make pictures`: of docs/policies.md, and of `natlb top`.

The first are drawn by the commands that stand there. A command is a block of its own that begins
with `natlb simulate` and names its picture, so what a reader sees is what a reader can run. The
other is the screen over a source of values, after some looks. The same natlb gives the same octets.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import sys
from pathlib import Path

from natlb.cli import main
from natlb.tui.app import Top
from natlb.tui.look import take_look
from tests.unit.tui.fake_source import FakeSource

ROOT = Path(__file__).parent.parent
TOP = "docs/pictures/top.svg"
SCREEN = (168, 11)
FONT = re.compile(
    r"@font-face \{.*?\}\s*", re.DOTALL
)  # fetched from elsewhere: documents work alone
LOOKS = 25
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


def draw_top(target: Path) -> None:
    """Draw the screen of `natlb top`."""
    target.write_text(FONT.sub("", asyncio.run(_screen())), encoding="utf-8")


async def _screen() -> str:
    source = FakeSource()
    app = Top(source, 3600.0)
    async with app.run_test(size=SCREEN) as pilot:
        for look in range(LOOKS):
            app.history.note(take_look(source, lambda look=look: float(look)))  # type: ignore[misc] # bound at once
        app.show_history()
        await pilot.press("down", "down")
        await pilot.pause()
        return app.export_screenshot(title="natlb top")


if __name__ == "__main__":
    draw_all(ROOT)
    draw_top(ROOT / TOP)
