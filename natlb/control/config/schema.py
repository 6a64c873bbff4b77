"""The configuration as JSON schema, for editors: `python -m natlb.control.config.schema`.

It tells keys, types, choices and defaults. What it cannot tell, such as the form of an address
or that two services may not share one, only `natlb validate` finds.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from natlb.control.config.shape import FileShape


def json_schema() -> dict[str, Any]:
    """Return a schema of draft 2020-12 that every valid configuration keeps."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **FileShape.model_json_schema(), "title": "natlb configuration"}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
