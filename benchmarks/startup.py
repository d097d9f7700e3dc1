"""How long `flukeprint --help` takes beside an empty Python: the ratio of medians of one run.

python benchmarks/startup.py [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from flukeprint.files import write_text

ROUNDS = 15


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    empty, helped = [], []
    for _ in range(ROUNDS):
        empty.append(seconds("-c", "pass"))
        helped.append(seconds("-m", "flukeprint", "--help"))
    ratio = statistics.median(helped) / statistics.median(empty)
    text = json.dumps({"flukeprint --help / python -c pass": round(ratio, 2)}, indent=1)
    sys.stdout.write(text + "\n")
    if options.out:
        write_text(options.out, text + "\n")


def seconds(*arguments: str) -> float:
    """Wall time of one Python process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
