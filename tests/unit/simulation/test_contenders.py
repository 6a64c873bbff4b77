from __future__ import annotations

import pytest

from natlb.control.config import config_from_mapping
from natlb.errors import UnknownNameError, UsageError
from natlb.simulation.contenders import configured, contender, invented
from natlb.simulation.run import CONTRASTS


def config(*names: str):
    """Return a configuration with services of these names."""
    return config_from_mapping(
        {
            "services": {
                name: {
                    "listen": f"tcp://203.0.113.{1 + at}:80",
                    "policy": "source-hash",
                    "backends": ["10.77.0.1:80"],
                }
                for at, name in enumerate(names)
            }
        }
    )


def test_backends_are_invented() -> None:
    """By their weights, under names to call them by."""
    arena = invented([1, 2, 3], 7)

    assert arena.names == ["b1", "b2", "b3"]
    assert arena.weights == [1, 2, 3]
    assert arena.seed == 7
    assert len({each.address for each in arena.config.services[arena.service].backends}) == 3


def test_more_than_a_network_of_255() -> None:
    """Addresses go on."""
    assert len(set(invented([1] * 700, 1).names)) == 700


@pytest.mark.parametrize("weights", [[], [1] * 10_001])
def test_some_backends_and_not_too_many(weights) -> None:
    """Samples are kept of each."""
    with pytest.raises(UsageError, match=r"are not in 1\.\.10000"):
        invented(weights, 1)


def test_a_service_of_a_configuration() -> None:
    """The only one, or the one that is named."""
    assert configured(config("web"), None, 1).service == "web"
    assert configured(config("web", "dns"), "dns", 1).service == "dns"


def test_a_service_that_is_not_clear_is_refused() -> None:
    """With those there are."""
    with pytest.raises(UsageError, match="there are several services: web, dns"):
        configured(config("web", "dns"), None, 1)
    with pytest.raises(UnknownNameError, match="no service 'x'; there are web"):
        configured(config("web"), "x", 1)


def test_a_policy_by_its_words() -> None:
    """Parameters that are left out have their defaults."""
    assert contender("round-robin", 3).policy.name == "round-robin"
    asked = contender("source-hash:key=address-port", 3)
    assert asked.policy.parameters["key"] == "address-port"
    assert asked.words == "source-hash:key=address-port"


@pytest.mark.parametrize("name", CONTRASTS)
def test_contrasts_are_known_here_and_cannot_be_configured(name) -> None:
    """They are failures."""
    assert contender(name, 3).words in CONTRASTS
    with pytest.raises(Exception, match="policy"):
        config_from_mapping(
            {
                "services": {
                    "s": {
                        "listen": "tcp://203.0.113.1:80",
                        "policy": name,
                        "backends": ["10.77.0.1:80"],
                    }
                }
            }
        )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("round-robbin", "did you mean 'round-robin'?"),
        ("contrast-x", "no such contrast; did you mean 'contrast-"),
        ("contrast-modulo:a=1", "no such contrast; did you mean 'contrast-modulo'?"),
        ("source-hash:key", "parameters are written KEY=VALUE,KEY=VALUE"),
        ("source-hash:=1", "parameters are written KEY=VALUE,KEY=VALUE"),
        ("source-hash:key=address,key=address", "parameters are written KEY=VALUE"),
        ("source-hash:name=maglev", "parameters are written KEY=VALUE"),
        ("source-hash:key=name", "'name'"),
        ("round-robin:size=7", "size"),
        ("source-hash:x=1.5", "x"),
    ],
)
def test_a_policy_that_a_configuration_would_not_take_is_refused(words, said) -> None:
    """In its words, after the option's."""
    with pytest.raises(UsageError) as caught:
        contender(words, 3)

    assert caught.value.message.startswith(f"--policy '{words}': ")
    assert said in caught.value.message
