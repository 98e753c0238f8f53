"""Training throughput and memory over models, widths, batches and precisions, with the package's training loop.

The recipe of the shipped weights (MS-SSIM, 128 × 256) on generated pairs: four times the largest batch, so that the
start of an epoch weighs little. Batch sizes should divide the number of pairs, because a smaller last batch counts as a
step. A setting that does not fit into memory, or that the device does not support, is left out.

    python benchmarks/throughput.py                                                    # CPU, a minute
    python benchmarks/throughput.py --device cuda --filters 64 192 --batch 1 16 64 --out training.csv
"""

import math
import os
import time
from functools import partial
from itertools import product

import torch
from runs import option_parser, street_config

from ndic_core.catalogue import MODELS
from ndic_core.errors import NDICError
from ndic_core.evaluation.tables import write_table
from ndic_core.files import expand_path
from ndic_core.training.throughput import throughput, throughput_table


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--models", nargs="+", default=["ndic_bls17"], choices=MODELS)
    parser.add_argument("--filters", nargs="+", type=int, default=[64])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--precision", nargs="+", default=["float32", "bf16"], choices=["auto", "float32", "bf16"])
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--seconds", type=float, default=5, help="per setting")
    parser.add_argument("--limit", type=float, default=math.inf, help="seconds after which no further setting starts")
    parser.add_argument("--out", type=expand_path, help="CSV file to write")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    processes, first = int(os.environ.get("WORLD_SIZE", 1)), os.environ.get("RANK", "0") == "0"  # from torchrun
    say = partial(print, flush=True) if first else lambda *_: None
    rows, began = [], time.monotonic()
    for batch, filters, precision, model in product(args.batch, args.filters, args.precision, args.models):
        if time.monotonic() - began > args.limit:
            say(f"{model}, {filters} filters, batch {batch}, {precision}: no time was left")
            continue
        config = street_config(
            "ms-ssim",
            model,
            4 * max(args.batch),
            cuda=args.device == "cuda",
            num_filters=filters,
            train_batch_size=batch,
            precision=precision,
            compile=args.compile,
        )
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
