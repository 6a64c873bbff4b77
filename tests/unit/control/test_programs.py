from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from natlb.control.compile.programs import Place
from natlb.control.config import config_from_mapping
from natlb.control.policy.program_source import ProgramSource
from natlb.control.programs import (
    changed_services,
    decode_programs,
    encode_programs,
    read_programs,
)
from natlb.control.reading import FileText

TEXT = "def pick(pool, flow):\n    return 0\n"


def source(text: str = TEXT) -> ProgramSource:
    """Return a program."""
    return ProgramSource(file="a.py", function="pick", text=text)


def test_programs_travel_with_their_text() -> None:
    """Whatever it is."""
    sources = (source(), source("# ü\n" + TEXT))

    assert decode_programs(encode_programs(sources)) == sources


@pytest.mark.parametrize("octets", [b"", b"[1]", b'[{"file": "a"}]', b"3"])
def test_what_is_none_is_refused(octets: bytes) -> None:
    """By one kind of error."""
    with pytest.raises(ValueError):
        decode_programs(octets)


def test_each_file_is_read_once_from_beside_the_configuration() -> None:
    """By whoever may."""
    policy = {"name": "python", "file": "a.py"}
    service = {"listen": "tcp://203.0.113.10:80", "backends": ["10.77.0.11"], "policy": policy}
    config = config_from_mapping({"services": {"web": {**service, "shadow": policy}}})
    read: list[Path] = []

    async def reader(path: Path) -> FileText:
        read.append(path)
        return FileText(TEXT, is_quotable=False)

    found, quoting = asyncio.run(read_programs(config, "/etc/natlb/natlb.yaml", reader))

    assert read == [Path("/etc/natlb/a.py")]
    assert (quoting.names, quoting.is_allowed) == (("a.py",), False)
    assert found == {("web", "policy"): source(), ("web", "shadow"): source()}


def test_a_changed_text_changes_the_service() -> None:
    """Another place does not, and what had no program is changed by its configuration."""
    old = {("web", "policy"): Place(0, source()), ("dns", "policy"): Place(1, source())}
    new = {
        ("web", "policy"): Place(0, source("#" + TEXT)),
        ("dns", "policy"): Place(2, source()),
        ("more", "policy"): Place(1, source("##" + TEXT)),
    }

    assert changed_services(old, new) == ["web"]
