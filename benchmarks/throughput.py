"""Training, images a second and memory, over widths, batches and precisions: the package's own loop after warm-up.

The recipes of the shipped weights (MS-SSIM, 128 × 256), on generated streets in place of their pictures.

    python benchmarks/throughput.py                                                    # CPU, a minute
    python benchmarks/throughput.py --device cuda --filters 64 192 --batch 1 16 64 --out training.csv
"""

import argparse
from itertools import product
from pathlib import Path

import torch

from ndic_core.config import load_config
from ndic_core.evaluation import write_table
from ndic_core.models.catalogue import MODELS
from ndic_core.throughput import throughput, throughput_table


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
    parser.add_argument("--out", type=Path, help="a .csv to write")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    for model, filters, batch, precision in product(args.models, args.filters, args.batch, args.precision):
        config = load_config(
            f"pretrain_{model}",
            dataset_name="Street",
            street_pairs=[max(args.batch), 1, 1],
            load_weight=False,
            cuda=args.device == "cuda",
            num_filters=filters,
            train_batch_size=batch,
            precision=precision,
            compile=args.compile,
        )
        rows.append(throughput(config, args.seconds))
        print(throughput_table(rows).splitlines()[-1], flush=True)
    print(f"\nPyTorch {torch.__version__}, all together:\n{throughput_table(rows)}")
    if args.out:
        write_table(rows, args.out)


if __name__ == "__main__":
    main()
