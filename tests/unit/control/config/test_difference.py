from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natlb.control.config.difference import Difference, difference, refuse_restart
from natlb.control.config.load import config_from_mapping
from natlb.errors import ConfigError

if TYPE_CHECKING:
    from natlb.control.config.values import Config


def config(services: dict[str, list[Any]], **more: Any) -> Config:
    """Return services with these backends, each on a port of its own."""
    named = {
        name: {"listen": f"tcp://203.0.113.10:{ord(name[0])}", "backends": backends}
        for name, backends in services.items()
    }
    return config_from_mapping({"services": named, **more})


OLD = config({"web": ["10.0.0.1", "10.0.0.2"], "dns": ["10.0.0.3"]})


def test_equal_configurations_do_not_differ() -> None:
    """A reload of the same file does nothing."""
    assert difference(OLD, OLD) == Difference()
    assert not difference(OLD, OLD)


def test_services_and_backends_that_come_and_go_are_named() -> None:
    """With the backends of a service that comes or goes as a whole."""
    new = config({"web": ["10.0.0.2", "10.0.0.4"], "mail": ["10.0.0.5"]})

    assert difference(OLD, new) == Difference(
        added=("web/10.0.0.4", "mail", "mail/10.0.0.5"),
        removed=("web/10.0.0.1", "dns", "dns/10.0.0.3"),
    )


def test_a_backend_that_keeps_its_name_and_not_its_address_is_changed() -> None:
    """The service itself is not."""
    old = config({"web": [{"name": "b", "address": "10.0.0.1"}]})
    new = config({"web": [{"name": "b", "address": "10.0.0.2"}]})

    assert difference(old, new) == Difference(changed=("web/b",))


def test_an_address_written_differently_is_the_same() -> None:
    """Only what it means counts."""
    old = config({"web": [{"name": "b", "address": "10.0.0.1:80"}]})
    new = config({"web": [{"name": "b", "address": "10.0.0.1:080"}]})

    assert not difference(old, new)


def test_a_service_is_changed_by_a_parameter_of_its_policy() -> None:
    """One that is written out and is the default is none."""
    old, same, new = (
        config_from_mapping(
            {
                "services": {
                    "web": {
                        "listen": "tcp://203.0.113.10:80",
                        "policy": policy,
                        "backends": ["10.0.0.1"],
                    }
                }
            }
        )
        for policy in (
            "source-hash",
            {"name": "source-hash", "key": "address"},
            {"name": "source-hash", "key": "address-port"},
        )
    )

    assert not difference(old, same)
    assert difference(old, new) == Difference(changed=("web",))


@pytest.mark.parametrize("more", [{"weight": 2}, {"max_flows": 5}, {"backup": True}])
def test_a_backend_is_changed_by_what_it_is_given(more: dict[str, Any]) -> None:
    """The service is as it was."""
    new = config({"web": [{"address": "10.0.0.1", **more}, "10.0.0.2"], "dns": ["10.0.0.3"]})

    assert difference(OLD, new) == Difference(changed=("web/10.0.0.1",))


def test_a_service_is_changed_by_its_own_keys_and_by_global_timeouts() -> None:
    """Its timeouts are merged."""
    new = config({"web": ["10.0.0.1", "10.0.0.2"], "dns": ["10.0.0.3"]}, timeouts={"udp": 5})

    assert difference(OLD, new) == Difference(changed=("web", "dns"))


@pytest.mark.parametrize(
    "everywhere",
    [{"access": {"deny": ["10.0.0.0/8"]}}, {"timeouts": {"fragment": 5}}, {"seed": 1}],
)
def test_what_holds_for_every_service_changes_each(everywhere: dict[str, Any]) -> None:
    """Though they have lists and times of their own: nothing may be left as it was."""
    services = {
        name: {
            "listen": f"tcp://203.0.113.10:{port}",
            "backends": ["10.0.0.1"],
            "access": {"allow": ["192.0.2.0/24"]},
            "timeouts": {"fragment": 1},
        }
        for name, port in (("web", 80), ("dns", 53))
    }
    old = config_from_mapping({"services": services})
    new = config_from_mapping({"services": services, **everywhere})

    assert difference(old, new) == Difference(changed=("web", "dns"))


def test_the_order_of_sources_is_no_difference() -> None:
    """They are a set."""
    one, other = (
        config({"web": []}, datapath={"source": source})
        for source in (["10.77.0.1-10.77.0.2"], ["10.77.0.2", "10.77.0.1"])
    )

    assert not difference(one, other)


def test_the_order_of_services_is_no_difference() -> None:
    """They do not share a port."""
    new = config({"dns": ["10.0.0.3"], "web": ["10.0.0.1", "10.0.0.2"]})

    assert not difference(OLD, new)


def test_a_change_of_the_log_needs_no_restart() -> None:
    """It is still a difference."""
    new = config({"web": ["10.0.0.1", "10.0.0.2"], "dns": ["10.0.0.3"]}, log={"level": "debug"})
    found = difference(OLD, new)

    assert found == Difference(log_changed=True)
    assert found
    refuse_restart(found)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("datapath", {"max_flows": 5}),
        ("datapath", {"source": "10.77.0.1"}),
        ("datapath", {"error_rate": 5}),
        ("api", {"listen": "unix:/x"}),
        ("state", "/x"),
    ],
)
def test_what_a_running_natlb_cannot_follow_is_refused(key: str, value: object) -> None:
    """With 65, the key, and the word restart."""
    found = difference(config({"web": []}), config({"web": []}, **{key: value}))

    assert found.restart == (key,)
    assert found.datapath_changed == (key == "datapath")
    with pytest.raises(ConfigError, match=f"a change of '{key}' needs a restart") as caught:
        refuse_restart(found)
    assert caught.value.exit_code == 65


POOLS = st.dictionaries(
    st.sampled_from(["web", "dns", "mail"]),
    st.lists(st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"]), unique=True),
    min_size=1,
).map(config)


@given(POOLS, POOLS)
def test_what_is_added_one_way_is_removed_the_other(old: Config, new: Config) -> None:
    """A difference is a plan: applied, it leads from the old names to the new."""
    there, back = difference(old, new), difference(new, old)

    assert set(there.added) == set(back.removed)
    assert set(there.changed) == set(back.changed)
