"""Memory layouts of convolutions compared: channels first (NCHW) and channels last.

Analysis and synthesis transforms of four layers, forward pass and training step; the layouts alternate in one process.
All models use `ndic_core.models.transforms.channels_last`.

    python benchmarks/layout.py                  # CPU, two threads, float32
    python benchmarks/layout.py --device cuda    # GPU, float32 and bf16
"""

import statistics
import time

import torch
from runs import option_parser
from torch import nn

from ndic_core.models.transforms import analysis_4, synthesis_4

REPEAT = 9  # timed runs, after one that is not


def times(net: nn.Module, images: torch.Tensor, dtype: torch.dtype) -> dict[str, dict[str, float]]:
    """Median seconds by task and layout."""
    layouts = {"NCHW": torch.contiguous_format, "channels last": torch.channels_last}
    batches = {name: images.contiguous(memory_format=layout) for name, layout in layouts.items()}

    def forward(batch):
        with torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
            return net(batch)

    def evaluate(batch):
        with torch.inference_mode():
            forward(batch)

    def train(batch):
        forward(batch).float().square().mean().backward()
        net.zero_grad()

    results = {}
    for name, work in (("forward", evaluate), ("training step", train)):
        seconds = {layout: [] for layout in batches}
        for i in range(REPEAT + 1):
            for layout, batch in batches.items():
                start = time.perf_counter()
                work(batch)
                if images.is_cuda:
                    torch.cuda.synchronize()
                if i:  # the first round warms up
                    seconds[layout].append(time.perf_counter() - start)
        results[name] = {layout: statistics.median(values) for layout, values in seconds.items()}
    return results


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"CPU, {args.threads} threads"
    print(f"analysis and synthesis of four layers, 128 × 256, {where}, torch {torch.__version__}\n")
    precisions = {"float32": torch.float32} | ({"bf16": torch.bfloat16} if args.device == "cuda" else {})
    for num_filters in (48, 192):
        net = nn.Sequential(analysis_4(num_filters), synthesis_4(num_filters, num_filters)).to(args.device)
        for batch in (1, 4):
            images = torch.rand(batch, 3, 128, 256, device=args.device)
            for precision, dtype in precisions.items():
                for work, seconds in times(net, images, dtype).items():
                    plain, last = seconds["NCHW"], seconds["channels last"]
                    print(
                        f"{num_filters:3} filters, batch {batch}, {precision:7} {work:14}"
                        f" NCHW {1e3 * plain:7.1f} ms, channels last {1e3 * last:7.1f} ms: {plain / last:.2f} × as fast"
                    )


if __name__ == "__main__":
    main()
