"""Time and memory of the alignment: cross-attention as published and as implemented here, and parallax attention.

All run at the published size (192 filters, images of 128 × 256): the three attention modules of a model, forward pass
and training step; "plain" is the softmax(QKᵀ)V of the published code. On a CPU each measurement runs in its own
process, for its own peak memory; the kinds alternate, so that a change of the machine's speed affects all.

    python benchmarks/attention.py                 # CPU, two threads, float32
    python benchmarks/attention.py --device cuda   # GPU: float32 and bf16; ratios are to plain float32
"""

import argparse
import contextlib
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from runs import option_parser
from torch import Tensor, nn

from ndic_core.catalogue import STRIDES
from ndic_core.evaluation.tables import write_table
from ndic_core.files import expand_path
from ndic_core.models.cross_attention import CrossAttentionModule
from ndic_core.models.parallax_attention import ParallaxAttention


class PlainCrossAttentionModule(CrossAttentionModule):
    """The published computation: all six projections, and explicit attention weights."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        width, inner = self.to_q.in_features, self.to_q.out_features
        del self.to_q, self.to_kv
        self.to_qkv_x = nn.Linear(width, 3 * inner, bias=False)
        self.to_qkv_y = nn.Linear(width, 3 * inner, bias=False)

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        a, b = self.norm(self.embed_x(self._tokens(t))), self.norm(self.embed_y(self._tokens(u)))
        q, _, _ = (self._split_heads(part) for part in self.to_qkv_x(a).chunk(3, dim=-1))
        _, k, v = (self._split_heads(part) for part in self.to_qkv_y(b).chunk(3, dim=-1))
        weights = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1)
        out = (weights @ v).transpose(1, 2).flatten(2)
        return self._untokens(self.unpack(self.dropout(self.to_out(out))))


def build(kind: str, args: argparse.Namespace) -> nn.ModuleList:
    """The three attention modules of a model."""
    if kind.startswith("parallax"):
        return ParallaxAttention(args.num_filters).cams
    cls = PlainCrossAttentionModule if kind.startswith("plain") else CrossAttentionModule
    height, width = args.image_size
    return nn.ModuleList(cls((height // stride, width // stride)) for stride in STRIDES)


def measure(kind: str, task: str, args: argparse.Namespace) -> dict:
    """Median seconds of a task, and its additional peak memory in MB."""
    device = torch.device(args.device)
    if device.type == "cpu":
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    dtype = torch.bfloat16 if "bf16" in kind else torch.float32
    modules, features = [part.to(device) for part in build(kind, args)], []
    for module, stride in zip(modules, STRIDES, strict=True):
        size = [side // stride for side in args.image_size]
        of_y = module.norm_y.normalized_shape[0] if kind.startswith("parallax") else args.num_filters
        channels = args.num_filters, of_y
        features.append([torch.randn(args.batch, n, *size, device=device) for n in channels])

    def forward():
        outs, match = [], ()  # a module of parallax attention passes its match to the next
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            for module, pair in zip(modules, features, strict=True):
                out = module(*pair, *match)
                if isinstance(out, tuple):
                    out, match = out[0], out[1:]
                outs.append(out)
        return outs

    def step():
        loss = sum(out.float().square().mean() for out in forward())
        loss.backward()
        for module in modules:
            module.zero_grad()

    def run():
        if task == "training step":
            step()
        else:
            with torch.inference_mode():
                forward()
        if device.type == "cuda":
            torch.cuda.synchronize()

    with contextlib.suppress(OSError):  # resets the peak on Linux; elsewhere it may be that of the imports
        Path("/proc/self/clear_refs").write_text("5")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    before = _memory(device)
    run()
    seconds = []
    for _ in range(args.repeat):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds), "memory": _memory(device) - before}


def _memory(device: torch.device) -> float:
    """Peak memory so far, in MB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--num-filters", type=int, default=192)
    parser.add_argument("--image-size", type=int, nargs=2, default=[128, 256], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--repeat", type=int, default=3, help="timed runs per process, after one that is not")
    parser.add_argument("--rounds", type=int, default=3, help="processes per measurement; medians are shown")
    parser.add_argument("--together", action="store_true", help="all in one process, as always on a GPU")
    parser.add_argument("--out", type=expand_path, help="CSV file to write")
    parser.add_argument("--one", nargs=2, metavar=("KIND", "TASK"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(*args.one, args)))
        return
    kinds = ["plain", "fused", "parallax"]
    if args.device == "cuda":
        kinds += [f"{kind} bf16" for kind in kinds]
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"CPU, {args.threads} threads"
    print(f"three attention modules, {args.num_filters} filters, {args.image_size[0]} × {args.image_size[1]}, {where}")
    print(f"torch {torch.__version__}\n")
    measured = measure if args.together or args.device == "cuda" else in_own_process
    rows = []
    for task in ("forward", "training step"):
        results = {kind: [] for kind in kinds}
        for _ in range(args.rounds):
            for kind in kinds:
                results[kind].append(measured(kind, task, args))
        plain = {key: statistics.median(r[key] for r in results["plain"]) for key in ("seconds", "memory")}
        for kind in kinds:
            seconds, memory = (statistics.median(r[key] for r in results[kind]) for key in ("seconds", "memory"))
            print(
                f"{task:14} {kind:17} {seconds:8.3f} s  {memory:8.0f} MB"
                f"   {plain['seconds'] / seconds:6.2f} × as fast, {memory / plain['memory']:4.0%} of the memory",
                flush=True,
            )
            row = dict(device=where, num_filters=args.num_filters, batch=args.batch, task=task, kind=kind)
            rows.append(row | dict(seconds=seconds, memory_mb=memory, times_as_fast=plain["seconds"] / seconds))
            if args.out:
                write_table(rows, args.out)


def in_own_process(kind: str, task: str, args: argparse.Namespace) -> dict:
    """`measure` in a process of its own."""
    command = [sys.executable, "-W", "ignore", *sys.argv, "--one", kind, task]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
