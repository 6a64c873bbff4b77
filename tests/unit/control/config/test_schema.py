from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from natlb.control.config.schema import json_schema
from natlb.control.config.shape import PARTS


def part(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the schema of a mapping."""
    found: dict[str, Any] = schema["$defs"][name]
    return found


def test_the_schema_knows_every_key_and_no_other() -> None:
    """An editor underlines the rest."""
    schema = json_schema()
    parts = {"FileShape": schema, **schema["$defs"]}
    for model in PARTS.values():
        known = parts[model.__name__]

        assert set(known["properties"]) == set(model.model_fields)
        assert known["additionalProperties"] is False


def test_the_schema_knows_short_forms_choices_and_ranges() -> None:
    """One listen or a list; a backend's address or a mapping."""
    schema = json_schema()
    service = part(schema, "ServiceShape")["properties"]

    assert service["listen"]["anyOf"][0] == {"type": "string"}
    assert service["no_backend"]["enum"] == ["reject", "drop"]
    assert part(schema, "DatapathShape")["properties"]["max_flows"]["maximum"] == 16777215
    assert part(schema, "ServiceShape")["required"] == ["listen", "backends"]
    assert service["nat"]["enum"] == ["dnat", "full"]
    assert service["max_flows"]["default"] == "none"
    assert {"type": "boolean"} in service["mss_clamp"]["anyOf"]


def test_the_schema_knows_how_a_backend_can_be_chosen() -> None:
    """By which policies, within which numbers, and that there may be no shadow."""
    schema = json_schema()
    policy, service = (part(schema, f"{name}Shape")["properties"] for name in ("Policy", "Service"))

    assert "weighted-least-connections" in policy["name"]["enum"]
    assert policy["size"]["minimum"] == 2
    assert (policy["factor"]["exclusiveMinimum"], policy["factor"]["maximum"]) == (1, 10)
    assert part(schema, "BackendShape")["properties"]["weight"]["maximum"] == 65535
    assert {"const": "none", "type": "string"} in service["shadow"]["anyOf"]
    assert [service[key]["default"] for key in ("shadow", "affinity", "slow_start")] == ["none"] * 3
    assert service["panic_threshold"]["maximum"] == 1


def test_the_schema_can_be_printed() -> None:
    """`python -m natlb.control.config.schema` > natlb.schema.json."""
    words = [sys.executable, "-W", "error", "-m", "natlb.control.config.schema"]
    printed = subprocess.run(words, capture_output=True, check=True, timeout=60)

    assert json.loads(printed.stdout) == json_schema()
