"""`natlb check`: ask a backend now, and show each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from natlb.cli.options import BackendName, Terms, backend_argument, json_option, shared
from natlb.cli.output import say
from natlb.cli.see import as_json
from natlb.errors import HostError

if TYPE_CHECKING:
    from natlb.model import CheckReport

FOUND_WANTING = 1
EXIT_CODES = {"up": 0, "down": FOUND_WANTING, "unknown": HostError.exit_code}


@click.command()
@shared()
@json_option
@backend_argument
@click.pass_obj
def check(terms: Terms, backend: BackendName) -> int:
    """Check a backend now, and show each step; exit code 1 if it is down.

    Its health stays as it is: this check counts for nothing.
    """
    report = terms.client.check(*backend)
    say(as_json(report) if terms.json else check_text(report), terms)
    return EXIT_CODES[report.status]


def check_text(report: CheckReport) -> str:
    """Return a report as lines: who is asked, each step with its time, the verdict."""
    steps = [
        f"  {phase.name:<9}  {phase.milliseconds:9.3f} ms  {phase.seen}".rstrip()
        for phase in report.phases
    ]
    verdict = f"{report.status} {report.code}, {report.latency_ms:g} ms: {report.reason}"
    head = f"{report.service}/{report.name}: {report.type} {report.target}"
    return "\n".join([head, *steps, verdict])
