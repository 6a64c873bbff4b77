"""Health: what backends are asked, what they answer, and what natlb makes of it."""
