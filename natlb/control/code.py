"""Which code this is, and which state it can read: what a successor compares before it adopts."""

from __future__ import annotations

import hashlib
from pathlib import Path

import natlb
from natlb.control import coding, registry
from natlb.core.layout import LAYOUT_VERSION


def code_identity() -> str:
    """Return a name for the code of this package: its version and a digest of its files."""
    root = Path(natlb.__file__).parent
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(root.rglob("*.py")):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(root)} {len(content)} ".encode() + content)
    return f"{natlb.__version__}+{digest.hexdigest()}"


def state_version() -> str:
    """Return the layouts of what outlives a process: flow table, registry, messages."""
    return f"{LAYOUT_VERSION}.{registry.LAYOUT}.{coding.VERSION}"
