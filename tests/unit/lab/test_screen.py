from __future__ import annotations

from io import StringIO

from rich.console import Console

from natlb.lab.report import Row
from natlb.lab.screen import Screen

LONG = "word " * 60


def test_a_pipe_gets_lines_and_nothing_else() -> None:
    """No colour, no line broken, nothing drawn."""
    out = StringIO()
    with Screen(Console(file=out)) as screen, screen.busy("working"):
        screen.say("hello", "red")
        screen.draw([Row("drawn")])
        screen.show([Row("one", "bold"), Row("[two]")])
        screen.say(LONG)
        assert not screen.is_live

    assert out.getvalue() == f"hello\none\n[two]\n{LONG}\n"


def test_a_terminal_gets_colour_and_a_live_part_below_the_lines() -> None:
    """What is drawn is wiped at the end, lines stay."""
    out = StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", width=80)
    with Screen(console) as screen:
        assert screen.is_live
        screen.draw([Row("drawn", "green")])
        screen.say("hello", "red")
        screen.draw([Row("again")])
    with screen.busy("working"):
        screen.say("after")
    text = out.getvalue()

    assert "\x1b[32mdrawn" in text
    assert "\x1b[31mhello" in text
    assert "working" in text
    assert text.index("hello") < text.index("after")
    assert "\x1b[2K" in text
