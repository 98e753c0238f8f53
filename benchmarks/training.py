"""Training speed: the package's training loop against a plain loop in the published style.

The plain loop takes one pair at a time, decodes, crops and resizes its two PNG files every time, uses float32 and
PyTorch's default memory layout, CompressAI's GDN and explicit attention weights, computes everything from y, and takes
PSNR and MS-SSIM of every image on the CPU. The package's loop trains in batches from its cache, in bf16 where the
device supports it. Both train the same model on the same files, alternately in one process.

    python benchmarks/training.py                          # CPU, the teaching configuration
    python benchmarks/training.py --device cuda --preset config --batch 8 --models cross_attention
"""

import contextlib
import itertools
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from attention import PlainCrossAttentionModule
from PIL import Image
from runs import option_parser

from ndic_core.catalogue import MODELS
from ndic_core.config import Config, load_config
from ndic_core.data.street import Street
from ndic_core.evaluation.tables import write_table
from ndic_core.files import expand_path
from ndic_core.metrics import ms_ssim, psnr
from ndic_core.models import aligned, baselines, codec, ndic
from ndic_core.models._compressai import GDN as PlainGDN
from ndic_core.models.factory import build_model
from ndic_core.models.gdn import GDN
from ndic_core.models.transforms import channels_last
from ndic_core.training.devices import device_name, launch
from ndic_core.training.losses import rate_distortion_loss
from ndic_core.training.setup import set_up
from ndic_core.training.train import train_step

KITTI = (375, 1242)  # height and width
CROP = (370, 740)


def write_files(folder: Path, count: int) -> None:
    """Pairs of a KITTI image's size: a view of the generated street, enlarged, with noise of its own in each."""
    rng = np.random.default_rng(0)
    pair = Street().pair(0)
    for side, image in (("left", pair.x), ("right", pair.y)):
        (folder / side).mkdir()
        pixels = (image.permute(1, 2, 0) * 255).byte().numpy()
        large = np.asarray(Image.fromarray(pixels).resize(KITTI[::-1], Image.Resampling.BICUBIC)).astype(np.int16)
        noisy = ((large + rng.integers(-4, 5, large.shape)).clip(0, 255).astype(np.uint8) for _ in range(count))
        with ThreadPoolExecutor() as pool:
            for i, image in enumerate(noisy):
                pool.submit(Image.fromarray(image).save, folder / side / f"{i:03d}.png")


def plain_steps(config: Config, folder: Path, device: torch.device):
    """Endless steps of the plain loop; yields the number of images of each step."""
    model = plain_model(config).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), config.lr, amsgrad=True)
    lefts = sorted((folder / "left").iterdir())
    for left in itertools.cycle(lefts):
        x, y = (_read(path, config.resize)[None].to(device) for path in (left, folder / "right" / left.name))
        if torch.rand(()) < 0.5:
            x, y = x.flip(-1), y.flip(-1)
        with default_layout():
            out = model(x, y)
        terms = rate_distortion_loss(out, x, y, config.lmbda, config.alpha, config.beta, config.distortion_loss)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        seen = out["x_hat"].detach().cpu().clamp(0, 1)
        psnr(x.cpu(), seen).item(), ms_ssim(x.cpu(), seen).item(), terms["loss"].item()
        yield 1


def plain_model(config: Config) -> torch.nn.Module:
    """The package's model with the published, slower GDN and attention modules."""
    model = build_model(**config.model_arguments())
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, GDN):
                setattr(module, name, PlainGDN(len(child.beta), inverse=child.inverse))
    if config.model == "cross_attention":
        sizes = [tuple(side // stride for side in config.resize) for stride in (8, 4, 2)]
        shape = config.embed_dim, config.heads, config.head_dim, config.patch_grid, config.dropout
        model.cams = torch.nn.ModuleList(PlainCrossAttentionModule(size, *shape) for size in sizes)
    return model


@contextlib.contextmanager
def default_layout():
    """Convolutions in PyTorch's default layout, without `channels_last`."""
    users = (aligned, baselines, codec, ndic)
    for user in users:
        user.channels_last = torch.Tensor.contiguous
    try:
        yield
    finally:
        for user in users:
            user.channels_last = channels_last


def _read(path: Path, size) -> torch.Tensor:
    image = Image.open(path).convert("RGB")
    top, left = (image.height - CROP[0]) // 2, (image.width - CROP[1]) // 2
    image = image.crop((left, top, left + CROP[1], top + CROP[0])).resize(size[::-1], Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def package_steps(config: Config, folder: Path):
    """Endless epochs of the package's loop; yields the number of images of each epoch."""
    config = config.model_copy(update={"dataset_name": "Folder", "dataset_path": str(folder), "save_weights": False})
    setup = set_up(config, launch(config.cuda, config.train_batch_size))
    setup.net.train()
    for epoch in itertools.count():
        for batch in setup.loader.epoch(epoch):
            train_step(setup, batch)
        yield len(setup.train_pairs)


def rate(steps, seconds: float, device: torch.device) -> float:
    """Images per second over at least `seconds`."""
    start, images = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        images += next(steps)
        if device.type == "cuda":
            torch.cuda.synchronize()
    return images / (time.perf_counter() - start)


def compare(config: Config, folder: Path, seconds: float, rounds: int) -> dict:
    """Images per second of both loops, and on a GPU their peak memory."""
    device = torch.device("cuda" if config.cuda else "cpu")
    loops = {"plain": plain_steps(config, folder, device), "package": package_steps(config, folder)}
    rates = {name: [] for name in loops}
    memory = dict.fromkeys(loops, 0.0)
    for i in range(rounds + 1):
        for name, steps in loops.items():
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            measured = rate(steps, seconds, device)
            if device.type == "cuda":
                memory[name] = torch.cuda.max_memory_allocated() / 2**20
            if i:  # the first round warms up
                rates[name].append(measured)
    plain, ours = (statistics.median(values) for values in rates.values())
    sizes = dict(model=config.model, num_filters=config.num_filters, batch=config.train_batch_size)
    peaks = {f"{name}_peak_mb": value for name, value in memory.items()} if device.type == "cuda" else {}
    return dict(device=device_name(device), **sizes, plain=plain, package=ours, times_as_fast=ours / plain, **peaks)


def line(row: dict) -> str:
    peaks = [f"{row[f'{name}_peak_mb']:.0f}" for name in ("plain", "package") if f"{name}_peak_mb" in row]
    peak = f"; peak {' and '.join(peaks)} MB" if peaks else ""
    rates = f"plain {row['plain']:8.2f}/s, package {row['package']:8.2f}/s"
    return f"{row['model']:20} {rates}: {row['times_as_fast']:5.2f} × as fast{peak}"


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--preset", default="teaching", help="a preset or a YAML file")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--batch", type=int, help="of the package's loop; the preset's where left out")
    parser.add_argument("--seconds", type=float, default=10, help="per loop and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=80, help="files to train on")
    parser.add_argument("--out", type=expand_path, help="CSV file to write")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    changes = {"train_batch_size": args.batch} if args.batch else {}
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"CPU, {args.threads} threads"
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        os.environ["NDIC_CACHE"] = stack.enter_context(tempfile.TemporaryDirectory())
        write_files(Path(folder), args.pairs)
        rows = []
        for i, name in enumerate(args.models):
            config = load_config(args.preset, model=name, cuda=args.device == "cuda", **changes)
            if not i:
                print(f"{args.preset}, batches of {config.train_batch_size}, {where}, torch {torch.__version__}\n")
            rows.append(compare(config, Path(folder), args.seconds, args.rounds))
            print(line(rows[-1]), flush=True)
            if args.out:
                write_table(rows, args.out)


if __name__ == "__main__":
    main()
