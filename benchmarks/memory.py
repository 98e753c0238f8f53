"""Memory and time of `ndic encode` and `ndic decode` for large images, with the shipped weights.

Each command runs in a process of its own, as a user starts it; the peak includes Python, PyTorch and the image files.

    python benchmarks/memory.py                     # CPU, one thread, an hour
    python benchmarks/memory.py --against FOLDER    # and another version of the repository, in turn; prints both
"""

import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from readme import markdown
from runs import RESULTS, option_parser

from ndic_core.catalogue import CATALOGUE, MODELS
from ndic_core.evaluation.tables import write_table
from ndic_core.files import expand_path

TABLE = RESULTS / "memory.csv"
SIZES = ((1088, 1920), (3000, 4000))
ROOT = Path(__file__).parent.parent


def save_pair(folder: Path, height: int, width: int) -> None:
    """Two images of smooth shapes and noise, the second moved by 20 pixels."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (height // 16 + 1, width // 16 + 3, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((width + 32, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(smooth, dtype=np.int16) + random.integers(-8, 9, (height, width + 32, 1), dtype=np.int16)
    for name, left in (("x", 0), ("y", 20)):
        Image.fromarray(pixels[:, left : left + width].clip(0, 255).astype(np.uint8)).save(folder / f"{name}.png")


# A small process in between: the peak of a process starts from that of the one that started it.
LAUNCH = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, usage.ru_maxrss, usage.ru_utime + usage.ru_stime]))
"""


def measured(version: Path, threads: int, *command: str | Path) -> dict[str, float]:
    """Peak memory in MB and CPU seconds of an `ndic` command of a version of the repository."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(version)}
    line = [sys.executable, "-c", LAUNCH, sys.executable, "-m", "ndic_core", *command]
    done = subprocess.run(line, cwd=version, env=environment, check=True, stdout=subprocess.PIPE)
    status, peak, seconds = json.loads(done.stdout)
    if status:
        raise SystemExit(f"ndic {command[0]} failed")
    return {"memory_mb": peak / (2**20 if platform.system() == "Darwin" else 2**10), "cpu_seconds": seconds}


def table(rows: list[dict]) -> str:
    """The table of benchmarks/README.md."""
    kinds = [(size, task) for size in SIZES for task in ("encode", "decode")]
    lines = []
    for name in MODELS:
        found = {
            (row["height"], row["width"], row["task"]): f"{row['memory_mb']:.0f} MB; {row['cpu_seconds']:.0f} s"
            for row in rows
            if row["model"] == name
        }
        lines.append([f"`{name}`", *(found.get((*size, task), "") for size, task in kinds)])
    return markdown(["model", *(f"{task} {size[0]} × {size[1]}" for size, task in kinds)], lines)


def main() -> None:
    parser = option_parser(__doc__, threads=1)
    parser.add_argument("--model", action="append", choices=MODELS, help="a model to measure; all by default")
    parser.add_argument("--against", type=expand_path, help="the folder of another version of the repository")
    parser.add_argument("--table", type=expand_path, default=TABLE, help="CSV file to write")
    args = parser.parse_args()
    versions = [ROOT] if args.against is None else [args.against, ROOT]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for (height, width), model in itertools.product(SIZES, args.model or MODELS):
            save_pair(folder, height, width)
            side = ("--side-info", folder / "y.png") if CATALOGUE[model].side_info else ()
            commands = {
                "encode": ("encode", folder / "x.png", folder / "x.ndic", "--model", model),
                "decode": ("decode", folder / "x.ndic", folder / "out.png", *side),
            }
            for task, command in commands.items():
                for version in versions:
                    found = measured(version, args.threads, *command)
                    print(f"{version} {model} {found}", flush=True)
                rows.append(dict(model=model, height=height, width=width, task=task, **found))
                write_table(rows, args.table)


if __name__ == "__main__":
    main()
