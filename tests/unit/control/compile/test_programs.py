from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.compile.programs import (
    distinct,
    owner_of,
    pick_of,
    place_programs,
    program_path,
    programs_for,
    read_program,
    sources_of,
    wanted_programs,
)
from natlb.control.config import Config, config_from_mapping
from natlb.control.policy.program_source import ProgramError, ProgramSource
from natlb.core.layout import MOST_PROGRAMS
from natlb.core.policy import pick
from natlb.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "def pick(pool, flow):\n    return 0\n"


def config_of(**policies: Any) -> Config:
    """Return a configuration of services with these policies."""
    services = {}
    for number, (name, keys) in enumerate(policies.items()):
        listen = f"tcp://203.0.113.10:{80 + number}"
        services[name] = {"listen": listen, "backends": ["10.77.0.11:80"], **keys}
    return config_from_mapping({"services": services})


def python(file: str, **more: str) -> dict[str, str]:
    """Return a policy that is a program."""
    return {"name": "python", "file": file, **more}


def source(text: str = GOOD, file: str = "a.py", function: str = "pick") -> ProgramSource:
    """Return a program."""
    return ProgramSource(file=file, function=function, text=text)


def test_policies_and_shadows_are_wanted() -> None:
    """By service and role; policies of natlb's own are not."""
    config = config_of(
        web={"policy": python("a.py"), "shadow": python("b.py", function="other")},
        dns={"policy": "round-robin"},
    )

    assert wanted_programs(config) == {
        ("web", "policy"): ("a.py", "pick"),
        ("web", "shadow"): ("b.py", "other"),
    }


def test_a_file_lies_beside_the_configuration(tmp_path: Path, monkeypatch: Any) -> None:
    """Of a mapping, which lies nowhere, here; an absolute path stays."""
    monkeypatch.chdir(tmp_path)

    assert str(program_path("a.py", "/etc/natlb/natlb.yaml")) == "/etc/natlb/a.py"
    assert str(program_path("/srv/a.py", "/etc/natlb/natlb.yaml")) == "/srv/a.py"
    assert program_path("a.py", None) == tmp_path / "a.py"


def test_programs_are_read_and_checked(tmp_path: Path) -> None:
    """Each file once, from beside the configuration."""
    (tmp_path / "a.py").write_text(GOOD)
    config = config_of(web={"policy": python("a.py")}, dns={"policy": python("a.py")})
    programs = programs_for(config, tmp_path / "natlb.yaml", {})

    assert {key: place.slot for key, place in programs.items()} == {
        ("web", "policy"): 0,
        ("dns", "policy"): 1,
    }
    assert distinct(programs) == (source(),)


@pytest.mark.parametrize("name", ["missing.py", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    """With what the system says of it."""
    with pytest.raises(ConfigError, match="cannot read the policy") as caught:
        read_program(tmp_path / name)

    assert caught.value.exit_code == 65


def test_a_broken_program_is_refused() -> None:
    """Before anything is compiled."""
    config = config_of(web={"policy": python("a.py")})

    with pytest.raises(ProgramError, match=r"a\.py:1:1"):
        sources_of(config, {"a.py": "X = 1\n"})


def test_a_program_keeps_its_place() -> None:
    """As long as its service has one; others get what is free."""
    first = place_programs({("a", "policy"): source(), ("b", "policy"): source()}, {})
    second = place_programs({("c", "policy"): source(), ("b", "policy"): source("#" + GOOD)}, first)

    assert {key[0]: place.slot for key, place in first.items()} == {"a": 0, "b": 1}
    assert {key[0]: place.slot for key, place in second.items()} == {"b": 1, "c": 0}


def test_there_are_so_many_places() -> None:
    """One more is refused."""
    sources = {(f"s{number}", "policy"): source() for number in range(MOST_PROGRAMS)}

    assert {place.slot for place in place_programs(sources, {}).values()} == set(range(64))
    with pytest.raises(ConfigError, match="65 policies of your own; at most 64"):
        place_programs({**sources, ("more", "shadow"): source()}, {})


def test_state_is_the_services_the_roles_and_the_programs() -> None:
    """A change of any of them begins from zeros."""
    owners = {
        owner_of(("a", "policy"), source()),
        owner_of(("b", "policy"), source()),
        owner_of(("a", "shadow"), source()),
        owner_of(("a", "policy"), source("#" + GOOD)),
    }

    assert len(owners) == 4
    assert all(0 < owner < 1 << 48 for owner in owners)


def test_without_programs_nothing_is_compiled() -> None:
    """The policies that natlb has serve as they are."""
    assert pick_of({}) is pick
    assert pick_of(place_programs({("a", "policy"): source()}, {})) is not pick
