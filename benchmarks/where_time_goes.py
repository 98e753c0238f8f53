"""Profile of a training step by kind of operation, with PyTorch's profiler: a table and a figure.

Every operation in a few steps of the package's training loop is assigned to a kind by its name: on a CPU with its own
time, on a GPU with that of its kernels. On a CPU the kinds add up to the step; on a GPU the rest is "the GPU waits" for
the CPU to launch operations. The number of operations, which determines that time, is the same on any device: it is
counted for a step with the recipe's own optimizer, and for that optimizer alone.

    python benchmarks/where_time_goes.py                    # the shipped sizes, batches of 4, two CPU threads
    python benchmarks/where_time_goes.py --device cuda --filters 192 --batch 16 --models cross_attention
"""

import argparse
import re
import time
from collections import Counter
from io import BytesIO

import torch
from matplotlib.figure import Figure
from runs import RESULTS, option_parser, street_config
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from ndic_core.catalogue import MODELS
from ndic_core.config import Config
from ndic_core.evaluation.tables import write_table
from ndic_core.files import expand_path, make_folder, write_whole
from ndic_core.training.devices import launch
from ndic_core.training.setup import Setup, set_up
from ndic_core.training.train import train_step

# Kinds with a pattern of operation names, the first match counts, and a colour (Okabe–Ito).
KINDS = {
    "convolutions": ("conv", "#0072B2"),
    "attention (and the priors' products)": ("scaled_dot_product|softmax|bmm|unfold", "#E69F00"),
    "other matrix products (GDN, projections)": ("mm|matmul|linear", "#009E73"),
    "the optimizer": ("adam|foreach", "#CC79A7"),
    "moving data (layout, joining, types)": ("copy|cat|fill|zero|clone|index|flip|select", "#56B4E9"),
    "all else (pointwise, sums)": ("", "#999999"),
}
WAITS = ("the GPU waits", "#FFFFFF")
WARM_UP, STEPS = 3, 3


def kind_of(operation: str) -> str:
    """Which of `KINDS` an operation belongs to."""
    return next(kind for kind, (pattern, _) in KINDS.items() if re.search(pattern, operation, re.IGNORECASE))


class Operations(TorchDispatchMode):
    """Counts the operations that compute or copy data."""

    NOTHING = re.compile("view|shape|permute|transpose|expand|slice|select|stride|squeeze|detach|alias|empty|split|^t$")

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += not self.NOTHING.search(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def operations(config: Config) -> dict[str, int]:
    """Operations of a step, and of its optimizer alone."""
    setup = set_up(config, launch(config.cuda, config.train_batch_size))
    epoch(setup)  # SOAP's first step only initialises
    counted, step = Operations(), setup.optimizer.step

    def counted_step() -> None:
        with counted:
            step()

    setup.optimizer.step = counted_step
    with Operations() as whole:
        train_step(setup, next(setup.loader.epoch(1)))
    return {"operations": whole.count, "optimizer_operations": counted.count}


def measure(model: str, args: argparse.Namespace) -> dict:
    """Milliseconds of a step by kind, and operations."""
    config = street_config(
        "mse",
        model,
        args.batch * STEPS,
        num_filters=args.filters,
        train_batch_size=args.batch,
        cuda=args.device == "cuda",
        precision=args.precision,
        save_weights=False,
    )
    counted = operations(config)
    config = config.model_copy(update={"optimizer": "adam", "ema_decay": 0})
    cuda = args.device == "cuda"
    setup = set_up(config, launch(config.cuda, config.train_batch_size))
    for _ in range(WARM_UP):
        epoch(setup)
    activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * cuda]
    with profile(activities=activities) as profiler:
        began = time.perf_counter()
        epoch(setup)
        if cuda:
            torch.cuda.synchronize()
        step_ms = 1000 * (time.perf_counter() - began) / STEPS
    spent = Counter()
    for event in profiler.key_averages():
        if event.device_type != DeviceType.CPU:
            continue  # a kernel: its time is also in the operation that launched it
        microseconds = event.self_device_time_total if cuda else event.self_cpu_time_total
        spent[kind_of(event.key)] += microseconds / 1000 / STEPS
    if cuda:
        spent[WAITS[0]] = max(0.0, step_ms - sum(spent.values()))
    device = torch.cuda.get_device_name() if cuda else f"CPU, threads: {torch.get_num_threads()}"
    precision = "bf16" if setup.bf16 else "float32"
    sizes = {"model": model, "num_filters": args.filters, "batch": args.batch, "precision": precision, "device": device}
    return sizes | {kind: spent[kind] for kind in [*KINDS, *[WAITS[0]] * cuda]} | counted


def epoch(setup: Setup) -> None:
    """Train on all batches once."""
    setup.net.train()
    for batch in setup.loader.epoch(0):
        train_step(setup, batch)


def draw(rows: list[dict]) -> Figure:
    """A bar for each model: shares of a step, and the time of one image."""
    figure = Figure(figsize=(11, 1.9 + 0.5 * len(rows)), layout="constrained")
    axis = figure.subplots()
    labels = [f"{row['model']}, {row['num_filters']} filters" for row in rows]
    left = [0.0] * len(rows)
    colours = {kind: colour for kind, (_, colour) in KINDS.items()} | dict([WAITS])
    for kind, colour in colours.items():
        if kind not in rows[0]:
            continue
        totals = [sum(row.get(other, 0) for other in colours) for row in rows]
        shares = [100 * row[kind] / total for row, total in zip(rows, totals, strict=True)]
        axis.barh(labels, shares, left=left, color=colour, edgecolor="black", linewidth=0.6, label=kind)
        left = [a + b for a, b in zip(left, shares, strict=True)]
    for i, (row, total) in enumerate(zip(rows, totals, strict=True)):
        words = f"{total / row['batch']:.0f} ms an image; {row['operations']:,} operations"
        axis.text(101, i, f"{words}, {row['optimizer_operations']:,} SOAP's", va="center", fontsize=9)
    axis.set(xlim=(0, 100), xlabel="share of a training step (%)")
    axis.invert_yaxis()
    first = rows[0]
    axis.set_title(f"batches of {first['batch']}, 128 × 256, {first['precision']}, {first['device']}", fontsize=10)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return figure


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bf16"])
    parser.add_argument("--out", type=expand_path, default=RESULTS, help="for the table and figure")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    make_folder(args.out)
    rows = []
    for model in args.models:
        rows.append(measure(model, args))
        words = (f"{key} {value:.0f} ms" if isinstance(value, float) else str(value) for key, value in rows[-1].items())
        print(", ".join(words), flush=True)
        name = f"where_time_goes_{args.device}"
        write_table(rows, args.out / f"{name}.csv")
        buffer = BytesIO()
        draw(rows).savefig(buffer, format="png", dpi=110)
        write_whole(args.out / f"{name}.png", buffer.getvalue())


if __name__ == "__main__":
    main()
