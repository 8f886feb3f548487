"""How much memory training takes on a large file, beside a small one.

    python benchmarks/memory_large_file.py [--size 2G] [--steps 3]

Makes a table of random sentence pairs of each size in a temporary folder, runs `regard train` on it for a few
steps on one thread, and prints the peak of its anonymous memory (RssAnon, what cannot be given back to the
disk), its time, and what it said of where the ids are. The bar: at most 500 MB more than for the small file.
Linux only.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

SMALL = 2_000_000
UNITS = {"K": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True)
class Peak:
    """What one run took."""

    size: int
    anonymous: int
    seconds: float
    ids: int


def write_table(path: Path, size: int) -> None:
    """About `size` bytes of pairs of sentences from a vocabulary like a language's."""
    chance = random.Random(1)
    words = ["".join(chance.choices("etaoinshrdlcumw", k=chance.randint(2, 9))) for _ in range(30_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    stock = chance.choices(words, weights, k=1 << 20)  # drawn once: drawing is slow
    with path.open("w", encoding="utf-8") as file:
        file.write("source\ttarget\n")
        while file.tell() < size:
            lines = []
            for _ in range(10_000):
                begin, count, other = chance.randrange(1 << 19), chance.randint(4, 20), chance.randint(4, 20)
                middle = begin + count
                lines.append(f"{' '.join(stock[begin:middle])}\t{' '.join(stock[middle : middle + other])}\n")
            file.write("".join(lines))


def anonymous_memory(pid: int) -> int:
    """Bytes of RssAnon now; 0 once the process has gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


def measure(folder: Path, size: int, steps: int) -> Peak:
    table = folder / f"{size}.tsv"
    write_table(table, size)
    out = folder / f"run-{size}"
    command = [sys.executable, "-m", "regard", "train", "translation", str(table), "--out", str(out)]
    command += ["--steps", str(steps), "--threads", "1", "--set", "train.valid_rows=50"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    started, peak, ids = time.monotonic(), 0, 0
    with subprocess.Popen(command, env=environment) as process:
        while process.poll() is None:
            peak = max(peak, anonymous_memory(process.pid))
            files = (out / "training" / "examples").glob("*.npy")
            ids = sum(file.stat().st_size for file in files) or ids
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"training ended with {process.returncode}")
    table_size = table.stat().st_size
    table.unlink()
    return Peak(table_size, peak, time.monotonic() - started, ids)


def bytes_of(text: str) -> int:
    return int(float(text[:-1]) * UNITS[text[-1].upper()]) if text[-1].upper() in UNITS else int(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="2G", help="of the large file, such as 300M")
    parser.add_argument("--steps", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        peaks = [measure(Path(folder), size, options.steps) for size in (SMALL, bytes_of(options.size))]
    print(f"{'file':>10} {'RssAnon peak':>14} {'seconds':>9} {'ids on disk':>12}")
    for peak in peaks:
        print(
            f"{peak.size / 1e6:7.0f} MB {peak.anonymous / 1e6:11.0f} MB {peak.seconds:9.0f}"
            f" {peak.ids / 1e6:9.0f} MB"
        )
    more = (peaks[1].anonymous - peaks[0].anonymous) / 1e6
    print(f"{more:.0f} MB more for the large file; the bar is 500 MB: {'held' if more <= 500 else 'MISSED'}")


if __name__ == "__main__":
    main()
