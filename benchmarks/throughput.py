"""Training, images a second and memory, over widths, batches and precisions: the package's own loop after warm-up.

The recipes of the shipped weights (MS-SSIM, 128 × 256), on generated streets in place of their pictures: four of the
largest batch, so that what an epoch begins with weighs little (give batches that divide it: a smaller last one would
weigh as much as a full one). A setting that does not fit into memory, or that the device cannot compute, is left out.

    python benchmarks/throughput.py                                                    # CPU, a minute
    python benchmarks/throughput.py --device cuda --filters 64 192 --batch 1 16 64 --out training.csv
"""

import argparse
import math
import os
import time
from functools import partial
from itertools import product
from pathlib import Path

import torch

from ndic_core.catalogue import MODELS
from ndic_core.errors import NDICError
from ndic_core.evaluation.tables import write_table
from ndic_core.training.recipe import load_recipe
from ndic_core.training.throughput import throughput, throughput_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--models", nargs="+", default=["ndic_bls17"], choices=MODELS)
    parser.add_argument("--filters", nargs="+", type=int, default=[64])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--precision", nargs="+", default=["float32", "bf16"], choices=["auto", "float32", "bf16"])
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--seconds", type=float, default=5, help="per setting")
    parser.add_argument("--limit", type=float, default=math.inf, help="seconds after which no further setting is begun")
    parser.add_argument("--out", type=Path, help="a .csv to write")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    processes, first = int(os.environ.get("WORLD_SIZE", 1)), os.environ.get("RANK", "0") == "0"  # from torchrun
    say = partial(print, flush=True) if first else lambda *_: None
    rows, began = [], time.monotonic()
    for batch, filters, precision, model in product(args.batch, args.filters, args.precision, args.models):
        if time.monotonic() - began > args.limit:
            say(f"{model}, {filters} filters, batch {batch}, {precision}: no time was left")
            continue
        recipe = load_recipe(
            "pretrain",
            dataset_name="Street",
            native_path="",
            window_fraction=0,
            matching_loss_weight=0,
            street_pairs=[4 * max(args.batch), 1, 1],
            cuda=args.device == "cuda",
            num_filters=filters,
            train_batch_size=batch,
            precision=precision,
            compile=args.compile,
        )
        config = recipe["ms-ssim", model].config.model_copy(update={"load_weight": False})
        try:
            rows.append(throughput(config, args.seconds))
        except (NDICError, torch.cuda.OutOfMemoryError) as error:
            if processes > 1:  # the others may be waiting for this one
                raise
            say(f"{model}, {filters} filters, batch {batch}, {precision}: {error}")
            continue
        say(throughput_table(rows).splitlines()[-1])
        if args.out and first:
            write_table(rows, args.out)
    say(f"\nPyTorch {torch.__version__}, all together:\n{throughput_table(rows)}")


if __name__ == "__main__":
    main()
