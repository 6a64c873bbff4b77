from __future__ import annotations

import pytest

from natlb.control.config.judge import judge
from natlb.control.config.later import refuse_later
from natlb.control.config.problems import Source
from natlb.control.config.yaml_text import read_yaml

WEB = "services:\n  web:\n    listen: tcp://203.0.113.10:80\n    backends: [10.77.0.11]\n"


def judged(text: str) -> list[str]:
    """Return what is said of a text, without its file's name."""
    root, _ = read_yaml(text)
    refuse_later(root)
    source = Source(text, "f")
    return [str(source.problem(fault)).removeprefix("f:") for fault in judge(root)[1]]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("    polcy: x\n", "5:5: unknown key 'polcy' in service 'web'; did you mean 'policy'?"),
        ("servces: x\n", "5:1: unknown key 'servces'; did you mean 'services'?"),
        ("zzz: x\n", "5:1: unknown key 'zzz'"),
        ("log: {levle: x}\n", "5:7: unknown key 'levle' in 'log'; did you mean 'level'?"),
        (
            "    timeouts: {upd: 1}\n",
            "5:16: unknown key 'upd' in 'timeouts' of service 'web'; did you mean 'udp'?",
        ),
        (
            "    scal: 1\n",
            "unknown key 'scal' in service 'web'; did you mean 'scale'? (that is not in this",
        ),
        ("    policy: roundrobin\n", "5:13: services.web.policy: 'roundrobin' is not one of"),
        (
            "    no_backend: dorp\n",
            "no_backend: 'dorp' is not one of reject, drop; did you mean 'drop'?",
        ),
        ("    policy:\n", "5:5: 'policy' has no value; give it one, or leave it out"),
        ("    timeouts: 5\n", "5:15: services.web.timeouts: must be a mapping, not 5"),
        (
            "    policy: [a]\n",
            "5:13: services.web.policy: must be a name or a mapping with a name, not a list",
        ),
        ("datapath:\n", "5:1: 'datapath' has no value; give it one, or leave it out"),
        ("datapath: {max_flows: x}\n", "datapath.max_flows: must be a whole number, not 'x'"),
        ("datapath: {max_flows: 1.5}\n", "datapath.max_flows: must be a whole number, not 1.5"),
        ("datapath: {max_flows: 0}\n", "datapath.max_flows: 0 is not in 1..16777215"),
        ("log: {level: 5}\n", "log.level: 5 is not one of debug, info, warning, error"),
        ("  a b: {listen: tcp://1.2.3.4:5, backends: []}\n", "5:3: 'a b' is no name"),
        ("  x: 5\n", "5:6: services.x: must be a mapping, not 5"),
        ("  x:\n", "5:3: 'x' has no value; give it one, or leave it out"),
        ("  x: {listen: tcp://1.2.3.4:5}\n", "5:3: service 'x' has no 'backends'"),
        (
            "  x: {listen: tcp://1.2.3.4:5, backends: 10.0.0.1}\n",
            "services.x.backends: must be a list, not '10.0.0.1'",
        ),
        ("  x: {listen: [], backends: []}\n", "services.x.listen: is empty; it needs at least one"),
        (
            "  x: {listen: tcp://1.2.3.4:5, backends: [~]}\n",
            "5:43: item 1 has no value; give it one, or leave it out",
        ),
        (
            "  x: {listen: tcp://1.2.3.4:5, backends: [[fd00::1]]}\n",
            "must be ADDRESS or ADDRESS:PORT, not a list; an IPv6 address in brackets needs quotes",
        ),
        (
            "  x: {listen: tcp://1.2.3.4:5, backends: [{nam: a, address: 10.0.0.1}]}\n",
            "unknown key 'nam' in backend '10.0.0.1' of service 'x'; did you mean 'name'?",
        ),
        (
            "  x: {listen: tcp://1.2.3.4:5, backends: [10.0.0.1, {name: 5}]}\n",
            "5:53: backend 2 of service 'x' has no 'address'",
        ),
    ],
)
def test_what_does_not_fit_is_said_with_place_and_guess(more: str, said: str) -> None:
    """One line of a file is wrong in each; the first fault said is about it."""
    assert any(said in line for line in judged(WEB + more)), judged(WEB + more)


def test_a_file_that_fits_is_not_complained_of() -> None:
    """The judge returns what it read."""
    shape, faults = judge(read_yaml(WEB)[0])

    assert not faults
    assert shape is not None
    assert list(shape.services) == ["web"]


def test_a_misspelled_key_is_not_missing_too() -> None:
    """One mistake, one complaint."""
    assert judged("services: {web: {listne: tcp://1.2.3.4:5, backends: []}}") == [
        "1:18: unknown key 'listne' in service 'web'; did you mean 'listen'?"
    ]


def test_a_key_that_was_refused_is_not_missing_too() -> None:
    """The only listen may be one of a later version."""
    assert not judged("services: {web: {listen: [tcp://1.2.3.4:5-6], backends: []}}")


def test_a_misspelled_key_beside_a_wrong_one_hides_nothing() -> None:
    """The guess may be a key that is there, and wrong itself."""
    said = judged(WEB + "    polcy: a\n    policy: [b]\n")

    assert len(said) == 2


def test_the_rest_of_what_does_not_fit_can_still_be_looked_at() -> None:
    """A wrong port in one service must not hide that two others clash."""
    text = WEB + "  a: {listen: 5, backends: []}\n  b: {listen: tcp://1.2.3.4:5, backends: [x]}\n"
    shape, faults = judge(read_yaml(text)[0])

    assert len(faults) == 2
    assert shape is not None
    rest = [(name, len(each.listen), len(each.backends)) for name, each in shape.services.items()]
    assert rest == [("web", 1, 1), ("a", 0, 0), ("b", 1, 0)]


@pytest.mark.parametrize(
    "text", ["{}", "services: 5", "services: {}", "services:\n", "servces: {}"]
)
def test_without_services_there_is_nothing_to_look_at(text: str) -> None:
    """And one complaint is enough."""
    shape, faults = judge(read_yaml(text)[0])

    assert shape is None
    assert len(faults) == 1
