from __future__ import annotations

from typing import Any, get_args

import pytest

from natlb.control.config.choosing import PolicyShape
from natlb.control.config.load import config_from_mapping
from natlb.control.config.policies import PARAMETERS, is_prime, parameters_of
from natlb.control.config.problems import InvalidConfigError
from natlb.control.config.values import PolicyName
from natlb.control.policy import COMPILERS

NAMES: tuple[str, ...] = get_args(PolicyName)


def said(policy: object, *backends: object, shadow: object = "none") -> list[str]:
    """Return what is said of a service with this policy, less its path."""
    web = {
        "listen": "tcp://203.0.113.10:80",
        "policy": policy,
        "shadow": shadow,
        "backends": list(backends) or ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
    }
    try:
        config_from_mapping({"services": {"web": web}})
    except InvalidConfigError as error:
        return [str(problem).removeprefix("services.web.") for problem in error.problems]
    return []


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_is_taken(name: str) -> None:
    """Each that can be named is compiled by something."""
    required = {"file": "mine.py"} if name == "python" else {}
    web = {"listen": "tcp://203.0.113.10:80", "backends": [], "policy": {"name": name, **required}}

    assert config_from_mapping({"services": {"web": web}}).services["web"].policy.name == name
    assert set(NAMES) == set(COMPILERS)


def test_parameters_are_of_policies_that_there_are() -> None:
    """And each has a field in the shape."""
    assert set(PARAMETERS) < set(NAMES)
    assert {p for each in PARAMETERS.values() for p in each} < set(PolicyShape.model_fields)


@pytest.mark.parametrize(
    ("policy", "parameters"),
    [
        ({"name": "least-connections"}, {}),
        ({"name": "source-hash"}, {"key": "address"}),
        ({"name": "destination-hash", "key": "address-port"}, {"key": "address-port"}),
        ({"name": "maglev"}, {"size": 65537, "key": "address-port"}),
        ({"name": "maglev", "size": 7, "key": "address"}, {"size": 7, "key": "address"}),
        ({"name": "rendezvous"}, {"slots": 65536, "key": "address-port"}),
        ({"name": "anchor"}, {"size": 1024, "key": "address-port"}),
        (
            {"name": "bounded-load"},
            {"base": "maglev", "factor": 1.25, "size": 65537, "key": "address-port"},
        ),
        (
            {"name": "bounded-load", "base": "rendezvous", "factor": 2, "slots": 64},
            {"base": "rendezvous", "factor": 2.0, "slots": 64, "key": "address-port"},
        ),
        ({"name": "python", "file": "mine.py"}, {"file": "mine.py", "function": "pick"}),
    ],
)
def test_a_policy_has_its_parameters_and_their_defaults(
    policy: dict[str, Any], parameters: dict[str, Any]
) -> None:
    """A policy on another one has that one's too."""
    found = parameters_of(PolicyShape.model_validate(policy))

    assert found == parameters
    assert [type(each) for _, each in sorted(found.items())] == [
        type(each) for _, each in sorted(parameters.items())
    ]


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        ({"name": "round-robin", "size": 7}, "size: round-robin has no parameters"),
        (
            {"name": "maglev", "factor": 2},
            "factor: maglev has no parameter 'factor', only key, size",
        ),
        (
            {"name": "bounded-load", "slots": 64},
            "slots: bounded-load has no parameter 'slots', only base, factor, key, size",
        ),
        (
            {"name": "bounded-load", "base": "rendezvous", "size": 7},
            "size: bounded-load has no parameter 'size', only base, factor, key, slots",
        ),
        ({"name": "python"}, "name: python needs a parameter 'file'"),
        ({"name": "python", "file": ""}, "file: must be the path of a file, not ''"),
        ({"name": "maglev", "siez": 7}, "did you mean 'size'?"),
        ({"name": "maglev", "size": 7.0}, "size: must be a whole number, not 7.0"),
        ({"name": "maglev", "size": True}, "size: must be a whole number, not true"),
        ({"name": "maglev", "size": 1}, "size: 1 is not in 2..8388593"),
        ({"name": "maglev", "key": "port"}, "'port' is not one of address, address-port"),
        (
            {"name": "maglev", "size": 65536},
            "size: 65536 is not prime; the nearest are 65521 or 65537",
        ),
        ({"name": "maglev", "size": 4}, "size: 4 is not prime; the nearest are 3 or 5"),
        (
            {"name": "maglev", "size": 8388592},
            "size: 8388592 is not prime; the nearest are 8388587 or 8388593",
        ),
        ({"name": "maglev", "size": 2}, "size 2 is smaller than the pool, which has 3 backends"),
        (
            {"name": "rendezvous", "slots": 65537},
            "slots: 65537 is not a power of two; the nearest are 65536 or 131072",
        ),
        (
            {"name": "rendezvous", "slots": 8388593},
            "slots: 8388593 is not a power of two; the nearest are 4194304",
        ),
        ({"name": "rendezvous", "slots": 2}, "slots 2 is smaller than the pool, which has 3"),
        ({"name": "bounded-load", "size": 9}, "size: 9 is not prime; the nearest are 7 or 11"),
        (
            {"name": "bounded-load", "factor": 1},
            "factor: must be more than 1 and at most 10, not 1",
        ),
        (
            {"name": "bounded-load", "factor": 1.0004},
            "factor: 1.0004 is 1 in thousandths, and must be more",
        ),
        ({"name": "anchor", "size": 2}, "size 2 is smaller than the pool, which has 3"),
    ],
)
def test_what_a_policy_cannot_be_told_is_said(policy: dict[str, Any], sentence: str) -> None:
    """Of a shadow as of a policy, and once."""
    for only in (said(policy), said("round-robin", shadow=policy)):
        assert len(only) == 1
        assert sentence.removeprefix("name: ") in only[0]


def test_a_table_has_room_for_every_backend_and_not_for_every_weight() -> None:
    """Weights are shares, whatever they add up to."""
    pool = [{"address": f"10.0.0.{n}", "weight": 65535} for n in (1, 2, 3)]

    assert not said({"name": "anchor", "size": 3}, *pool)
    assert not said({"name": "maglev", "size": 3}, *pool)


def test_a_name_that_is_nearly_one_leads_to_it() -> None:
    """Long names are misspelled."""
    (only,) = said("weighted-least-conections")

    assert only.endswith("did you mean 'weighted-least-connections'?")


def test_a_number_is_prime_or_it_is_not() -> None:
    """Held against the definition."""
    assert [n for n in range(2, 400) if is_prime(n)] == [
        n for n in range(2, 400) if all(n % divisor for divisor in range(2, n))
    ]
    assert is_prime(8388593)
    assert not is_prime(2897 * 2887)
