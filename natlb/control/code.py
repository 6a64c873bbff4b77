"""Which code this is, and which state it can read: what a successor compares before it adopts."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import natlb
from natlb.control import coding, registry


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
    return f"{layout_version()}.{registry.LAYOUT}.{coding.VERSION}"


def layout_version() -> int:
    """Return LAYOUT_VERSION as its file has it: its import loads NumPy, a sixth of a second."""
    source = Path(natlb.__file__).parent / "core" / "layout.py"
    found = re.search(r"^LAYOUT_VERSION = (\d+)", source.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])
