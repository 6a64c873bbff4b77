"""Coverage-guided fuzzing of the interpreted kernels: `python -m tests.fuzz [RUNS]`.

Begins with `corpus.txt`, follows the branches of `natlb.wire` and `natlb.core`, and stops after so
many inputs. An input that breaks a law is left in a file, and the exit code is not 0.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

RUNS = 100_000
LONGEST = 2048


def main() -> None:
    """Fuzz."""
    os.environ["NATLB_JIT"] = "0"
    import atheris

    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with atheris.instrument_imports(include=["natlb.wire", "natlb.core"]):
        from tests.fuzz.harness import Harness, corpus
    harness = Harness()
    with tempfile.TemporaryDirectory(prefix="natlb-fuzz-") as folder:
        for number, octets in enumerate(corpus()):
            (Path(folder) / f"{number:03}").write_bytes(octets)
        options = [f"-runs={runs}", f"-max_len={LONGEST}", "-print_final_stats=1", "-verbosity=1"]
        atheris.Setup([sys.argv[0], *options, folder], harness.take)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
