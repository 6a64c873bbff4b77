"""Tables as people see them: the layouts are promises too."""

from __future__ import annotations

from dataclasses import replace

import click
import pytest

from natlb.cli.tables import (
    aligned,
    amount,
    backends_table,
    duration,
    flows_table,
    services_table,
    stats_text,
    status_text,
)
from natlb.model import (
    Backend,
    BackendFlows,
    ByteCounts,
    Change,
    CheckResult,
    Flow,
    FlowCounts,
    PacketCounts,
    PerDirection,
    PoolCount,
    ProcessIds,
    Service,
    ServiceFlows,
    ServiceStatus,
    Shadow,
    SpreadCounts,
    Statistics,
    Status,
    WorkerStatistics,
)

WEB = Service(
    name="web",
    listen=["tcp://203.0.113.10:80"],
    policy="weighted-lc",
    nat="dnat",
    backends=PoolCount(total=3, up=3),
    flows=ServiceFlows(current=12, total=2100),
    new_flows_per_second=200.0,
)
BE1 = Backend(
    service="web",
    name="be1",
    address="10.77.0.11:8080",
    weight=1,
    effective_weight=1,
    backup=False,
    state="ready",
    health="up",
    flows=BackendFlows(current=4, opening=0, total=700),
    packets=PerDirection(original=4, reply=3),
    bytes=PerDirection(original=412, reply=640),
)
FLOW = Flow(
    service="web",
    backend="10.77.0.11:8080",
    protocol="tcp",
    client="198.51.100.2:40000",
    vip="203.0.113.10:80",
    server="10.77.0.11:8080",
    source=None,
    state="established",
    worker=0,
    age_seconds=1.2,
    idle_seconds=0.1,
    expires_seconds=7439.9,
    packets=PerDirection(original=4, reply=3),
    bytes=PerDirection(original=412, reply=640),
)
STATUS = Status(
    ready=True,
    version="0.1.0",
    engine="compiled",
    driver="tun",
    generation=2,
    config="/etc/natlb/natlb.yaml",
    pid=ProcessIds(supervisor=10, control=11, workers=[12]),
    services=[ServiceStatus(name="web", up=3, total=3)],
    changes=[],
)


def plain(text: str) -> list[str]:
    """Return lines without their colours."""
    return click.unstyle(text).splitlines()


def test_services_are_laid_out_as_ipvsadm_does() -> None:
    """To the column: who knows the one reads the other."""
    assert plain(services_table([WEB], [BE1], {"web/be1": 67.0})) == [
        "Prot VIP:Port                    Policy           Flows   New/s  Status",
        "TCP  203.0.113.10:80             weighted-lc         12   200/s  3 of 3 up",
        "  -> web/be1  10.77.0.11:8080    w1                   4    67/s  ready up",
    ]


def test_columns_grow_with_what_they_hold_and_stay_aligned() -> None:
    """IPv6 and long names push everything to the right, in every line."""
    long = replace(BE1, name="[fd00:77::11]:8080", address="[fd00:77::11]:8080")
    service = replace(WEB, listen=["tcp://[2001:db8::10]:80"], policy="a-policy-of-a-long-name")
    head, first, second, third = plain(services_table([service], [BE1, long], {}))

    assert head.index("New/s") + 5 == first.index("200/s") + 5
    assert second.index("10.77") == third.index("[fd00:77::11]:8080", 20)
    assert second.index("w1") == third.index("w1") == head.index("Policy")


def test_a_service_of_several_addresses_has_a_row_for_each() -> None:
    """Its numbers stand once, or they would be added up twice."""
    service = replace(WEB, listen=["tcp://203.0.113.10:80", "udp://203.0.113.10:80"])
    _, first, second = plain(services_table([service], [], {}))

    assert first.endswith("3 of 3 up")
    assert second.strip() == "UDP  203.0.113.10:80"


SHADOW = Shadow(
    policy="maglev",
    compared=2000,
    differed=501,
    spread={"be1": SpreadCounts(policy=700, shadow=903)},
)


def test_a_shadow_is_told_beside_what_was_done() -> None:
    """How often it differs, and what the spread would have been."""
    service = replace(WEB, shadow=SHADOW, fallbacks=3)
    _, first, second = plain(services_table([service], [BE1], {}))
    fresh = replace(SHADOW, compared=0, differed=0)

    assert first.endswith("3 of 3 up, shadow maglev differs in 25.1% of 2000, 3 fallbacks")
    assert second.endswith("ready up, got 700, shadow 903")
    asked = plain(services_table([replace(WEB, shadow=fresh, fallbacks=0)], [], {}))[1]
    assert asked.endswith("3 of 3 up, shadow maglev not asked yet")


def test_a_backup_and_a_slow_start_are_seen() -> None:
    """What there is of a weight by now, before the weight."""
    backup = replace(BE1, backup=True, effective_weight=0)
    rising = replace(BE1, weight=10, effective_weight=3.33)
    waits, rises = plain(services_table([WEB], [backup, rising], {}))[2:]
    waiting, risen = (line.split() for line in plain(backends_table([backup, rising]))[1:])

    assert waits.endswith("ready up, backup")
    assert waits.split()[3] == "w1"
    assert rises.split()[3] == "w3.33/10"
    assert (waiting[2], waiting[-1]) == ("1", "backup")
    assert (risen[2], risen[-1]) == ("3.33/10", "640")


def test_a_check_says_how_long_it_took_or_why_it_failed() -> None:
    """Its code too, where there is room for both."""
    good = CheckResult(status="up", code="L7OK", latency_ms=0.44, at="2026-01-02T03:04:05.678Z")
    bad = replace(good, status="down", code="L4TOUT", latency_ms=1000.2)
    pool = [replace(BE1, check=good), replace(BE1, health="down", check=bad)]
    up, down = plain(services_table([WEB], pool, {}))[2:]
    rows = [line.split()[-3:] for line in plain(backends_table(pool))[1:]]

    assert up.endswith("ready up 0.4 ms")
    assert down.endswith("ready down L4TOUT")
    assert rows == [["L7OK", "0.4", "ms"], ["L4TOUT", "1000.2", "ms"]]


def test_a_rate_that_is_not_known_is_a_dash() -> None:
    """One look tells no rate."""
    assert plain(services_table([WEB], [BE1], {}))[2].split()[-3:] == ["-", "ready", "up"]


def test_backends_of_other_services_stand_elsewhere() -> None:
    """Each below its own."""
    table = plain(services_table([WEB, replace(WEB, name="dns")], [BE1], {}))

    assert [line.startswith("  ->") for line in table] == [False, False, True, False]


@pytest.mark.parametrize(
    ("state", "health", "colour"),
    [
        ("ready", "up", "green"),
        ("ready", "unknown", "green"),
        ("ready", "down", "red"),
        ("draining", "up", "yellow"),
        ("maint", "down", "blue"),
    ],
)
def test_a_rows_colour_is_its_state(state, health, colour) -> None:
    """Seen from across the room."""
    backend = replace(BE1, state=state, health=health)

    for table in (services_table([WEB], [backend], {}), backends_table([backend])):
        line = table.splitlines()[-1]
        assert line == click.style(click.unstyle(line), fg=colour)


def test_backends_show_all_that_is_counted() -> None:
    """In the order of the document."""
    head, line = plain(backends_table([BE1]))

    assert head.split() == [
        *("Backend", "Address", "Weight", "State", "Health", "Flows", "Opening", "Total"),
        *("InPkts", "OutPkts", "InBytes", "OutBytes", "Check", "Latency"),
    ]
    assert line.split() == [
        *("web/be1", "10.77.0.11:8080", "1", "ready", "up", "4", "0", "700"),
        *("4", "3", "412", "640"),
    ]
    assert head.index("OutBytes") + len("OutBytes") == len(line)


def test_a_flow_fits_a_line_of_a_wide_terminal() -> None:
    """Both ends, who serves it, and how long it still lives."""
    head, line = plain(flows_table([FLOW]))

    assert line.split() == [
        *("TCP", "established", "198.51.100.2:40000", "203.0.113.10:80", "web/10.77.0.11:8080"),
        *("0.1s", "2h03m", "4/3", "412/640"),
    ]
    assert max(len(head), len(line)) <= 120


def test_empty_lists_are_a_heading() -> None:
    """Nothing there is an answer too."""
    assert len(plain(flows_table([]))) == len(plain(backends_table([]))) == 1
    assert len(plain(services_table([], [], {}))) == 1


def test_status_says_first_whether_packets_are_forwarded() -> None:
    """That is the question."""
    assert plain(status_text(STATUS)) == [
        "ready",
        "natlb        0.1.0, compiled, tun",
        "generation   2, /etc/natlb/natlb.yaml",
        "processes    supervisor 10, control 11, workers 12",
        "service web  3 of 3 up",
    ]
    idle = replace(STATUS, ready=False, pid=replace(STATUS.pid, workers=[]))
    assert plain(status_text(idle))[0] == "not ready"
    assert plain(status_text(idle))[3].endswith("workers none")


def test_status_names_what_differs_from_the_file() -> None:
    """So that nobody wonders why the file does not do what it says."""
    changed = replace(STATUS, changes=[Change(backend="web/be2", field="weight", file=1, now=5)])

    assert plain(status_text(changed))[-1] == "changed web/be2  weight is 5, 1 in the file"


def test_stats_are_exact_and_name_every_reason() -> None:
    """Here nothing is abbreviated: the sums must be checked by eye."""
    stats = Statistics(
        generation=2,
        uptime_seconds=60.0,
        workers=[WorkerStatistics(index=0, pid=12, restarts=1)],
        packets=PacketCounts(
            received=1_000_010, forwarded=8, passed=0, replied=1, dropped=3, held=0, sent=9
        ),
        bytes=ByteCounts(received=900, forwarded=800),
        flows=FlowCounts(current=1, peak=9, opened=21, closed=18, expired=2, evicted=0),
        drops={"malformed": 1, "martian": 2},
        replies={},
    )

    chosen = replace(stats, shadow={"web": SHADOW}, fallbacks={"web": 3})
    assert plain(stats_text(chosen))[-2:] == [
        "shadow web     maglev differs in 25.1% of 2000, be1 got 700, shadow 903",
        "fallbacks web  3",
    ]
    fresh = replace(stats, shadow={"web": replace(SHADOW, compared=0, differed=0)})
    assert plain(stats_text(fresh))[-1].endswith("maglev not asked yet")
    assert plain(stats_text(stats)) == [
        "generation  2",
        "uptime      1m00s",
        "worker 0    pid 12, 1 restarts",
        "packets     1000010 received, 8 forwarded, 0 passed, 1 replied, 3 dropped, 0 held, 9 sent",
        "bytes       900 received, 800 forwarded",
        "flows       1 current, 9 peak, 21 opened, 18 closed, 2 expired, 0 evicted",
        "drops       1 malformed, 2 martian",
        "replies     none",
    ]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (99_999, "99999"),
        (100_000, "100K"),
        (9_999_999, "9999K"),
        (10_000_000, "10M"),
        (12_345_678_901, "12G"),
        (10**30, "1000000000000000P"),
    ],
)
def test_large_counts_have_a_unit(number, text) -> None:
    """A column stays narrow; JSON has the exact number."""
    assert amount(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.19, "0.1s"),
        (59.99, "59.9s"),
        (60, "1m00s"),
        (3599, "59m59s"),
        (3600, "1h00m"),
        (86399, "23h59m"),
        (86400, "1d00h"),
        (1e9, "11574d01h"),
    ],
)
def test_times_are_told_in_two_units_at_most(seconds, text) -> None:
    """Cut, not rounded: nothing is shown to have lasted longer than it did."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(0.0, "0/s"), (0.26, "0.3/s"), (3.0, "3/s"), (9.96, "10/s"), (66.7, "67/s")]
)
def test_small_rates_keep_a_decimal(rate, text) -> None:
    """A flow every few seconds is not none."""
    line = plain(services_table([replace(WEB, new_flows_per_second=rate)], [], {}))[1]

    assert line.split()[-5] == text


def test_nothing_trails_a_line() -> None:
    """Blanks at a line's end break copies and comparisons."""
    assert aligned([["a", "b"], ["cc", ""]], "<<") == ["a   b", "cc"]
