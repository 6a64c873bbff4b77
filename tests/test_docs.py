"""The documents name what there is: no reason, command, package or field is missing or made up."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from natlb import errors
from natlb.cli.lab import lab
from natlb.cli.root import LATER, MODULES
from natlb.control.compile import RunTime
from natlb.control.compile.pools import service_pool
from natlb.control.config import parse_config
from natlb.control.host.operation import PROTOCOL
from natlb.control.host.rules import (
    BACKENDS,
    ERRORS,
    GIVEN_BACK,
    LAST,
    LOCAL,
    NEIGHBOURS,
    OPEN,
    PRIVATE_ADDRESS,
    PRIVATE_ADDRESS6,
    PUBLIC_ADDRESS,
    SHARED,
    SHARED_HAIRPIN,
    SHARED_TABLE,
    TABLE,
    VIPS,
)
from natlb.core.layout import HALF, ROW, STATE_LABELS
from natlb.core.policy import POLICY_NAMES
from natlb.core.verdict import ECHO, REASON_LABELS
from natlb.errors import NatlbError
from natlb.lab.topology import load_topology
from natlb.wire.reasons import DropReason
from tests.pictures import TOP, draw_all, draw_top, picture_of
from tests.pictures import commands as picture_commands
from tests.source_tree import read_tree
from tests.state_diagram import draw
from tests.test_architecture import MAY_IMPORT

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("netns/*.md")])
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`]+)`")
WHO = re.compile(r"((?:(?:b\d|spare)(?:, )?)+) (?:is |are )?(down|drain)")
OTHER_CODES = {"0", "1", "130"}  # done, found wanting, interrupted: no exceptions


def read(name: str) -> str:
    """Return a document."""
    return (ROOT / name).read_text(encoding="utf-8")


def rows(name: str, mark: str) -> list[list[str]]:
    """Return the cells of the table between two marks, without its head."""
    _, begun, rest = read(name).partition(f"<!-- {mark} -->\n")
    table, ended, _ = rest.partition(f"<!-- /{mark} -->")
    assert begun, f"{name} has no table {mark}"
    assert ended, f"{name}: table {mark} does not end"
    lines = table.strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def blocks(name: str, kind: str) -> list[str]:
    """Return the blocks of code of one kind."""
    return [found["text"] for found in BLOCK.finditer(read(name)) if found["kind"] == kind]


def anchors(document: Path) -> set[str]:
    """Return what links may name in a document: its headings, as GitHub spells them."""
    text = BLOCK.sub("", document.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def broken_links(document: Path) -> Iterator[str]:
    """Yield the links of a document that lead nowhere; those out of the tree are not followed."""
    for link in LINK.finditer(document.read_text(encoding="utf-8")):
        place, _, anchor = link["target"].partition("#")
        target = (document.parent / place).resolve() if place else document
        if "://" in place:
            continue
        if not target.exists():
            yield f"{document.relative_to(ROOT)}: {link['target']}: no such file"
        elif anchor and anchor not in anchors(target):
            yield f"{document.relative_to(ROOT)}: {link['target']}: no such heading"


def test_the_readme_begins_with_the_two_commands() -> None:
    """Whoever comes new tries before reading."""
    first = re.findall(r"(?:^ {4}.*\n)+", read("README.md"), re.MULTILINE)[0]

    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    """A file that moves takes its links along."""
    assert not list(broken_links(document))


def test_every_reason_is_explained_and_no_other() -> None:
    """Whoever sees a counter rise looks it up."""
    explained = [row[0].strip("`") for row in rows("docs/dataplane.md", "reasons")]

    assert explained == [reason.label for reason in DropReason] + [REASON_LABELS[ECHO]]


def test_reasons_for_later_are_those_that_no_code_gives() -> None:
    """A reason that is given must say what causes it."""
    later = {
        row[0].strip("`").replace("-", "_").upper()
        for row in rows("docs/dataplane.md", "reasons")
        if row[2] == "later"
    }
    source = "\n".join(
        module.text
        for module in read_tree(ROOT).values()
        if module.name.startswith(("natlb.wire.", "natlb.core."))
        and module.name != "natlb.wire.reasons"
    )
    given = {each.name for each in DropReason if re.search(rf"\b{each.name}\b", source)}

    assert later == {each.name for each in DropReason} - given


def test_every_state_of_a_flow_is_explained() -> None:
    """The words of `natlb flows` are those of the docs."""
    found = re.findall(r"^\| `(\w+)` \| (?:TCP|UDP) \|", read("docs/dataplane.md"), re.MULTILINE)

    assert sorted(found) == sorted(set(STATE_LABELS.values()))


def test_the_states_of_tcp_are_drawn_as_their_table_is() -> None:
    """A diagram that is drawn by hand is wrong from the second change on."""
    (drawn,) = blocks("docs/dataplane.md", "mermaid")

    assert drawn == draw()


@pytest.mark.parametrize(("mark", "record"), [("row", ROW), ("half", HALF)])
def test_the_row_is_drawn_as_it_is(mark: str, record: object) -> None:
    """A layout that is wrong on paper costs whoever debugs by it a day."""
    fields = getattr(record, "fields")  # noqa: B009 - a NumPy dtype, whose stubs say "maybe"
    drawn = [
        (int(offset), CODE.findall(name), int(octets))
        for offset, name, octets, _ in rows("docs/dataplane.md", mark)
    ]
    covered = [name for _, names, _ in drawn for name in _spelled_out(names)]

    assert covered == list(fields)
    for offset, names, octets in drawn:
        spelled = _spelled_out(names)
        assert offset == fields[spelled[0]][1], names
        assert octets == sum(fields[name][0].itemsize for name in spelled), names


def _spelled_out(names: list[str]) -> list[str]:
    """Return the fields that `source0` to `source3` stands for."""
    if len(names) == 1:
        return names
    first, last = names
    return [f"{first[:-1]}{number}" for number in range(int(first[-1]), int(last[-1]) + 1)]


def test_every_package_is_in_the_table_of_imports() -> None:
    """The table in the docs is the one that the architecture test holds."""
    tree = read_tree(ROOT)
    there = {name.split(".")[1] if "." in name else "natlb" for name in tree}
    expected = {
        layer: {each for each in allowed.split() if each.split(".")[0] in there}
        for layer, allowed in MAY_IMPORT.items()
        if layer in there
    }
    drawn = {
        row[0].strip("`").removesuffix("/").removesuffix(".py"): set(CODE.findall(row[2]))
        for row in rows("docs/architecture.md", "imports")
    }

    drawn["natlb"] = drawn.pop("__init__")
    assert drawn == expected


def test_the_stages_of_a_packet_are_modules() -> None:
    """A module that is renamed takes its line in the docs along."""
    tree = read_tree(ROOT)
    named = [
        name for row in rows("docs/architecture.md", "stages") for name in CODE.findall(row[1])
    ]
    modules = [
        f"natlb.{name.replace('/', '.')}"
        if name.startswith(("wire/", "io/"))
        else f"natlb.core.{name.rstrip('/')}"
        for name in named
    ]

    assert not [name for name in modules if name not in tree]


def test_every_command_is_in_the_readme() -> None:
    """A command that nobody reads about is not used."""
    readme = read("README.md")
    assert isinstance(lab, click.Group)
    commands = {*MODULES, *(f"lab {name}" for name in lab.commands)} - {"lab"}

    assert not [name for name in commands if not re.search(rf"`natlb {name}\b", readme)]
    assert not [name for name in LATER if f"`{name}`" not in readme]


def test_every_picture_is_drawn_by_a_command_that_stands_there() -> None:
    """What a reader sees is what a reader can run, and nothing else lies there."""
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", read("docs/policies.md"))
    drawn = [picture_of(words) for words in picture_commands()]
    there = (ROOT / "docs" / "pictures" / "policies").iterdir()

    assert [f"docs/{picture}" for picture in shown] == drawn
    assert {path.relative_to(ROOT).as_posix() for path in there} == set(drawn)


def test_every_policy_is_in_the_docs() -> None:
    """Whoever chooses one reads what it does."""
    text = read("docs/policies.md")

    assert not [name for name in POLICY_NAMES if f"`{name}`" not in text]


@pytest.mark.soak
def test_pictures_are_drawn_as_they_are(tmp_path: Path) -> None:
    """By the matplotlib of the lock, to the octet: a policy that changes changes its picture."""
    draw_all(tmp_path)
    for words in picture_commands():
        picture = picture_of(words) or ""

        assert (tmp_path / picture).read_bytes() == (ROOT / picture).read_bytes(), picture
    draw_top(tmp_path / "top.svg")
    assert (tmp_path / "top.svg").read_bytes() == (ROOT / TOP).read_bytes()


def test_every_exit_code_is_in_the_docs_and_no_other() -> None:
    """Scripts go by them."""
    kinds = (kind for kind in vars(errors).values() if isinstance(kind, type))
    codes = {str(kind.exit_code) for kind in kinds if issubclass(kind, NatlbError)}

    assert {row[0] for row in rows("docs/operations.md", "exit codes")} == codes | OTHER_CODES


def test_every_variable_of_the_environment_is_in_the_docs() -> None:
    """What changes a program's ways must not be a secret."""
    source = "\n".join(module.text for module in read_tree(ROOT).values())
    variables = set(re.findall(r"\bNATLB_[A-Z]+(?:_[A-Z]+)*", source))

    assert not [name for name in variables if name not in read("docs/operations.md")]


def test_the_numbers_of_the_host_set_up_are_in_the_docs() -> None:
    """An administrator meets them in `ip rule`."""
    text = read("docs/operations.md")
    words = [
        *(f"table {table}" for table in (TABLE, SHARED_TABLE)),
        f"protocol {PROTOCOL}",
        *(f"rule {priority}: " for priority in (BACKENDS, ERRORS, LAST)),
        *(f"{priority}: `" for priority in (GIVEN_BACK, NEIGHBOURS, SHARED_HAIRPIN, SHARED, LOCAL)),
        f"rules {VIPS} to {OPEN}",
        *(PUBLIC_ADDRESS, PRIVATE_ADDRESS, PRIVATE_ADDRESS6),
    ]

    assert not [each for each in words if each not in text]


def test_configurations_in_the_readme_are_valid() -> None:
    """The first thing that anybody copies."""
    (smallest,) = blocks("README.md", "yaml")

    assert len(smallest.splitlines()) == 4
    assert parse_config(smallest, "natlb.yaml").services["web"].backends


def test_the_topology_in_the_docs_can_be_loaded(tmp_path: Path) -> None:
    """It is there to be copied."""
    (text,) = blocks("netns/README.md", "yaml")
    file = tmp_path / "small.yaml"
    file.write_text(text, encoding="utf-8")

    assert load_topology(str(file)).balancer == "lb"


def test_the_snippet_in_the_readme_prints_what_it_says() -> None:
    """Code in a document is code."""
    (snippet,) = blocks("README.md", "python")
    _, _, behind = read("README.md").partition(snippet)
    said = BLOCK.search(behind)
    assert said is not None
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(snippet, "README.md", "exec"), {"__name__": "snippet"})

    assert printed.getvalue() == said["text"]


def test_a_decision_that_another_supersedes_is_listed_so() -> None:
    """Whoever reads the old page must learn of the new one from the list: pages are not edited."""
    listing = read("docs/decisions/README.md")
    for page in (ROOT / "docs" / "decisions").glob("[0-9]*.md"):
        text = page.read_text(encoding="utf-8")
        for number in re.findall(r"^Supersedes .*?\[(\d{4})\]", text, re.MULTILINE):
            (line,) = re.findall(rf"^\| \[{number}\].*$", listing, re.MULTILINE)
            assert "supersede" in line, page.name
            assert page.name[:4] in line, page.name


def test_every_decision_is_in_the_list_under_its_number() -> None:
    """A page that is not listed is not found."""
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    listed = re.findall(r"\[(\d{4})\]\((.*?)\)", read("docs/decisions/README.md"))

    assert listed == [(page.name[:4], page.name) for page in pages]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {page.name[:4]} ")
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Choice", "Price"]


def test_examples_of_who_gets_new_flows_are_true() -> None:
    """Whoever plans for the day that servers fail goes by them."""
    text = next(each for each in blocks("docs/operations.md", "yaml") if "panic_threshold" in each)
    web = parse_config(text, "natlb.yaml").services["web"]
    fates = {"down": RunTime(health="down"), "drain": RunTime(state="draining")}
    for words, pool in rows("docs/operations.md", "pool"):
        named = words.replace("all four", "b1, b2, b3, spare")
        run_time = {
            ("web", name): fates[fate]
            for names, fate in WHO.findall(named)
            for name in names.split(", ")
        }
        serving = [backend.name for backend in service_pool(web, run_time).members]

        assert re.split("[:;]", pool)[0].split(", ") == serving
        assert bool(run_time) is (words != "all are up")


def test_a_policy_of_ones_own_is_told_all_that_it_may_use() -> None:
    """Fields, calls and numbers in the docs are those of the code."""
    from natlb.control.policy import program_rules, program_sample
    from natlb.core.layout import PROGRAM_STATE
    from natlb.core.policy.program import STEPS, STEPS_A_BACKEND
    from natlb.policy import Flow, Pool

    text = (ROOT / "docs" / "policies-of-your-own.md").read_text(encoding="utf-8")
    fields = {f"pool.{name}" for name in Pool._fields} | {f"flow.{name}" for name in Flow._fields}
    calls = next(line for line in text.splitlines() if line.startswith("| calls"))
    told = {word for span in CODE.findall(calls) for word in span.split()}

    assert {name for name in fields if f"| `{name}` |" not in text} == set()
    assert told == program_rules.BUILTINS | program_rules.MATH | {"math"}
    assert all(f"`a.{name}()`" in text for name in program_rules.METHODS)
    assert f"{STEPS:,} steps, and {STEPS_A_BACKEND} more" in text
    assert f"{PROGRAM_STATE:,} numbers" in text
    assert f"1 to {max(program_sample.SIZES)} backends" in text
