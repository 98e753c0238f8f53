"""The pair of models that decides, at the published size, trained for as many images as fit into some minutes on a GPU.

    python benchmarks/replication_gpu.py --minutes 60 --table benchmarks/results/gpu_replication.csv

192 filters, images of 128 × 256, modules and lambdas as published, for MS-SSIM, all rates in one model. A quarter of
the time goes to `bmshj18_factorized`, from which both start; the rest to both, for the same number of steps. Measured
are held-out pairs on real bytes. `replication.py` answers the same question at sizes that a CPU can train.
"""

import time
from collections.abc import Callable
from functools import partial
from itertools import chain, count
from pathlib import Path

import torch
from replication import AS_PUBLISHED, HELD_OUT, LAMBDAS, Line, prepared
from runs import RESULTS, add_data_options, finished, option_parser

from ndic_core.config import Config
from ndic_core.config_file import parse_changes
from ndic_core.data.datasets import load_split
from ndic_core.evaluation.evaluate import averages, evaluate, lambdas
from ndic_core.evaluation.tables import write_table
from ndic_core.models.codec import Codec
from ndic_core.models.factory import build_model
from ndic_core.training.devices import device_name, launch
from ndic_core.training.recipe import load_recipe
from ndic_core.training.setup import set_up
from ndic_core.training.train import train, train_step

TABLE = RESULTS / "gpu_replication.csv"
GROUP = "published size"
LINES = (Line(GROUP, "`ndic_bls17`", "ndic_bls17"), Line(GROUP, AS_PUBLISHED))
KEYS = dict(num_filters=192, embed_dim=256, heads=8, head_dim=None, dropout=0.1, alpha=0, lmbda=[0.00003, 0.0003])
KEYS |= dict(distortion_loss="MS-SSIM", train_batch_size=16, window_fraction=0, native_path="", ema_decay=0)
KEYS |= dict(warmup_steps=50, validation_period=1000)
WARM_UP, TIMED = 12, 8  # steps; SOAP's first update of its eigenbases is among the former
START_SHARE = 0.25  # of the time


def configuration(stage: str, model: str, data: Path, device: str, changes: dict) -> Config:
    """The recipe's configuration at the published size, with `changes` of keys."""
    keys = KEYS | dict(dataset_path=str(data), cuda=device == "cuda") | changes
    config = load_recipe("pretrain", **keys)[stage, model].config
    return config.model_copy(update=dict(load_weight=False, save_weights=False, verbose_period=0))


def epochs_within(seconds: float, *parts: tuple[Config, Callable[[], Codec]]) -> int:
    """How many epochs of all parts fit into some seconds, measured on a few steps; one at least.

    Args:
        parts: the configuration and a function that makes the model, of each training.
    """
    needed = 0.0
    for config, model in parts:
        setup = set_up(config, launch(config.cuda, config.train_batch_size), model())
        setup.net.train()
        batches = chain.from_iterable(map(setup.loader.epoch, count()))
        for steps in (WARM_UP, TIMED):
            began = time.perf_counter()
            for _ in range(steps):
                _, terms = train_step(setup, next(batches))
            terms["loss"].item()  # waits for the GPU
        needed += (time.perf_counter() - began) / TIMED * len(setup.loader)
    return max(1, int(seconds / needed))


def trained(config: Config, model: Codec, epochs: int) -> Codec:
    """The model after its training."""
    return finished(train(config.model_copy(update={"epochs": epochs}), progress=False, model=model))


def main(arguments: list[str] | None = None) -> None:
    parser = option_parser(__doc__)
    add_data_options(parser, TABLE)
    parser.add_argument("--minutes", type=float, default=5, help="for the trainings")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="keys to set differently")
    parser.add_argument("--pairs", type=int, default=60, help="to measure on")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    end = time.monotonic() + 60 * args.minutes
    given = args.data, args.device, parse_changes(args.set)
    config = configuration("start", "bmshj18_factorized", *given)
    make = partial(build_model, **config.model_arguments())
    simpler = trained(config, make(), epochs_within(60 * args.minutes * START_SHARE, (config, make)))
    configs = [configuration("mse", line.model, *given) for line in LINES]
    makes = [partial(prepared, line, config, simpler) for line, config in zip(LINES, configs, strict=True)]
    epochs = epochs_within(end - time.monotonic(), *zip(configs, makes, strict=True))
    rows = []
    for line, config, make in zip(LINES, configs, makes, strict=True):
        model = trained(config, make(), epochs).to(args.device)
        pairs = load_split(config, "val", False).first(args.pairs)
        for lmbda in lambdas(model, LAMBDAS):
            points = averages(evaluate(model, pairs, lmbda, ("matching_y", "mismatched_y"), progress=False))
            facts = {"group": GROUP, "line": line.label, "seed": 0, "epochs": epochs, "data": HELD_OUT}
            rows += [facts | {"device": device_name(torch.device(args.device))} | point for point in points]
        write_table(rows, args.table)


if __name__ == "__main__":
    main()
