"""What checks say of one backend: up or down, and not at the first result that differs.

unknown   a good result -> up           a bad one -> down
up        `fall` bad ones in a row -> down
down      `rise` good ones in a row -> up
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from natlb.model import HealthName


class Hysteresis:
    """A backend's health by its results, fed one after the other."""

    def __init__(self, *, rise: int, fall: int, health: HealthName = "unknown") -> None:
        """Begin with what is known already."""
        self.rise = rise
        self.fall = fall
        self.health: HealthName = health
        self.in_a_row = 0  # results that speak against `health`

    def feed(self, *, ok: bool) -> HealthName | None:
        """Return the health that this result makes, None where it stays as it is."""
        if self.health == ("up" if ok else "down"):
            self.in_a_row = 0
            return None
        self.in_a_row += 1
        if self.health != "unknown" and self.in_a_row < (self.rise if ok else self.fall):
            return None
        self.in_a_row = 0
        self.health = "up" if ok else "down"
        return self.health
