"""`natlb simulate`: what it takes, what it refuses, what it prints."""

from __future__ import annotations

import json

import pytest

from natlb.core.policy import POLICY_NAMES

QUICK = ("--flows", "40", "--backends", "3")
CONFIG = """
services:
  web: {listen: tcp://203.0.113.10:80, policy: source-hash, backends: [10.77.0.1:80, 10.77.0.2:80]}
"""
TWO = CONFIG + "  dns: {listen: udp://203.0.113.10:53, backends: [10.77.0.3]}\n"


@pytest.fixture(autouse=True)
def few_are_asked(monkeypatch) -> None:
    """Interpreted, twenty thousand are many."""
    monkeypatch.setattr("natlb.simulation.disruption.CLIENTS", 200)


def config(folder, text: str = CONFIG) -> str:
    """Return the path of a configuration."""
    (folder / "natlb.yaml").write_text(text)
    return str(folder / "natlb.yaml")


def test_a_table_with_a_row_for_each_policy(command) -> None:
    """And who moved where the pool changed."""
    said = command(
        "simulate", *QUICK, "--policy=round-robin", "--policy=source-hash", "--fail=b2@0.01-0.02"
    )
    lines = said.out.splitlines()

    assert said.code == 0
    assert [line.split()[0] for line in lines if line] == [
        *("Policy", "round-robin", "source-hash", "Clients", "round-robin", "source-hash"),
    ]
    assert lines[4].split("  ")[-2:] == ["fail b2 at 0.01 s", "recover b2 at 0.02 s"]


def test_one_document(command) -> None:
    """With what it is of."""
    said = command("simulate", *QUICK, "--policy=round-robin", "--json", "--seed=3", "--slow=b2:2")
    document = json.loads(said.out)

    assert said.code == 0
    assert {key: document[key] for key in ("seed", "flows", "servers")} == {
        "seed": 3, "flows": 40, "servers": 0,
    }  # fmt: skip
    assert document["backends"][1] == {"name": "b2", "weight": 1, "slow": 2.0}
    (policy,) = document["policies"]
    assert list(policy) == [
        *("policy", "flows", "balance", "fairness", "herd", "waiting_seconds", "disruptions"),
        *("shares", "course"),
    ]


def test_equal_seeds_print_the_same_and_others_do_not(command) -> None:
    """To the last digit."""
    words = ("simulate", *QUICK, "--policy=source-hash", "--json")
    one, again, other = command(*words), command(*words), command(*words, "--seed=2")

    assert one.out == again.out
    assert one.out != other.out


def test_without_a_policy_it_is_a_handful(command) -> None:
    """Of those there are."""
    said = command("simulate", *QUICK, "--json")
    names = [each["policy"] for each in json.loads(said.out)["policies"]]

    assert "round-robin" in names
    assert set(names) <= set(POLICY_NAMES)


def test_a_configuration_s_service_by_its_own_policy(command, folder) -> None:
    """Or by another one."""
    file = config(folder, TWO)
    own = json.loads(command("simulate", file, "--service=web", "--flows=20", "--json").out)
    other = json.loads(
        command(
            "simulate", file, "--service=dns", "--flows=20", "--json", "--policy=source-hash"
        ).out
    )

    assert own["policies"][0]["policy"] == "source-hash"
    assert [each["name"] for each in own["backends"]] == ["10.77.0.1:80", "10.77.0.2:80"]
    assert other["service"] == "dns"


def test_weights_are_those_of_the_backends(command) -> None:
    """So many as there are."""
    said = command("simulate", "--weights=1,2,3", "--flows=20", "--policy=round-robin", "--json")

    assert [each["weight"] for each in json.loads(said.out)["backends"]] == [1, 2, 3]


def test_changes_of_all_kinds(command) -> None:
    """Each a column, in the order of time."""
    said = command(
        "simulate", *QUICK, "--policy=round-robin", "--json",
        "--drain=b1@0.03", "--remove=b2@0.01-0.02", "--weigh=b3:5@0.015",
    )  # fmt: skip
    (policy,) = json.loads(said.out)["policies"]

    assert [each["change"] for each in policy["disruptions"]] == [
        *("remove b2", "weigh b3 5", "add b2", "drain b1"),
    ]


def test_pictures_are_written(command, folder) -> None:
    """As many as were asked for."""
    places = [folder / "x.png", folder / "x.svg"]
    said = command(
        "simulate", *QUICK, "--policy=round-robin", "--title=Words",
        *(f"--picture={place}" for place in places),
    )  # fmt: skip

    assert said.code == 0
    assert all(place.stat().st_size > 1000 for place in places)
    assert "<!-- Words -->" in places[1].read_text()


def test_the_flows_of_a_capture(command, folder) -> None:
    """Instead of invented ones."""
    from dpkt.pcap import Writer

    from natlb.testing import packets

    with (folder / "x.pcap").open("wb") as file:
        writer = Writer(file, linktype=101)
        for port in range(7):
            packet = packets.tcp(f"198.51.100.2:{40000 + port}", "203.0.113.10:80", "S")
            writer.writepkt(packet, 1000.0 + port)
    said = command("simulate", f"--pcap={folder}/x.pcap", "--policy=round-robin", "--json")

    assert json.loads(said.out)["flows"] == 7
    assert json.loads(said.out)["span_seconds"] == 6.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--flows=0",), "--flows 0 is not in 1..16777216"),
        (("--flows=many",), "invalid value for '--flows'"),
        (("--backends=0",), "0 backends are not in 1..10000"),
        (("--weights=1,x",), "--weights '1,x': they are written 1,2,3"),
        (("--weights=1,2", "--backends=3"), "--backends 3, and 2 weights"),
        (("--arrivals=poison:1",), "--arrivals 'poison:1': no form 'poison'"),
        (("--holding=exp",), "--holding 'exp': it is written exp:MEAN"),
        (("--clients=zipf:1",), "--clients 'zipf:1': it is written zipf:EXPONENT:N"),
        (("--handshake=exp:x",), "--handshake 'exp:x': MEAN 'x' is not a number above 0"),
        (("--policy=round-robbin",), "--policy 'round-robbin': "),
        (("--policy=contrast-x",), "--policy 'contrast-x': no such contrast"),
        (("--slow=b1",), "--slow 'b1': it is written BACKEND:TIMES"),
        (("--slow=b99:2",), "no backend 'b99'"),
        (("--fail=b1",), "--fail 'b1': it is written BACKEND@SECONDS"),
        (("--drain=b99@1",), "no backend 'b99'"),
        (("--weigh=b1@1",), "--weigh 'b1@1': it is written BACKEND:WEIGHT@SECONDS"),
        (("--servers=-1",), "--servers -1 is below 0"),
        (("--seed=-1",), "--seed -1 is below 0"),
        (("--picture=x.gif",), "--picture 'x.gif': its name has to end in .png or .svg"),
        (("--pcap=/nowhere",), "--pcap '/nowhere': "),
        (("--pcap=/nowhere", "--arrivals=poisson:1"), "--arrivals: the flows are those of the"),
        (("--service=web",), "--service is one of a configuration"),
    ],
)
def test_what_cannot_be_is_refused(command, words, said) -> None:
    """As a mistake of the command line, with the option that is meant."""
    answer = command("simulate", "--policy=round-robin", *words)

    assert answer.code == 2
    assert answer.err.startswith(f"error: {said}")
    assert answer.out == ""


def test_what_a_configuration_says_is_not_said_again(command, folder) -> None:
    """Its backends are its backends."""
    answer = command("simulate", config(folder), "--weights=1,2")

    assert answer.code == 2
    assert "the backends are those of the configuration" in answer.err


def test_a_configuration_that_is_wrong_or_not_there_is_65(command, folder) -> None:
    """As for every command."""
    assert command("simulate", "/nowhere.yaml").code == 65
    assert command("simulate", config(folder, "services: {}")).code == 65


def test_a_service_that_is_not_there_is_64(command, folder) -> None:
    """And one that is not named, of several, a mistake of the command line."""
    assert command("simulate", config(folder, TWO), "--service=x").code == 64
    assert command("simulate", config(folder, TWO)).code == 2


def test_pictures_without_matplotlib_are_69(command, folder, monkeypatch) -> None:
    """Before anything is run."""
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    answer = command("simulate", *QUICK, f"--picture={folder}/x.png")

    assert answer.code == 69
    assert answer.err.endswith("fix: pip install 'natlb[pictures]'\n")
