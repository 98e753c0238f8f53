"""The generated street: rendering speed and statistics of its geometry.

python benchmarks/street.py                  # one thread, 50 pairs for the speed, 200 for the geometry
"""

import time
from dataclasses import replace

import torch
from runs import option_parser

from ndic_core.data.disparity import warp
from ndic_core.data.street import Street, StreetPair

TIMED, PAIRS = 50, 200  # scenes for the speed and for the geometry


def warp_psnr(pair: StreetPair) -> float:
    """PSNR in dB of x against y read at column − disparity, where x is not occluded."""
    warped = warp(pair.y, pair.disparity)
    return -10 * (warped - pair.x)[:, ~pair.occluded].square().mean().log10().item()


def main() -> None:
    parser = option_parser(__doc__, threads=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    street = Street()
    street.pair(0)
    start = time.perf_counter()
    for index in range(TIMED):
        street.pair(index)
    speed = TIMED / (time.perf_counter() - start)
    print(f"{speed:.1f} pairs a second at {street.size[0]} × {street.size[1]}")

    clean = replace(street, noise=0, exposure=0)
    pairs = [clean.pair(index) for index in range(PAIRS)]
    disparity = torch.cat([pair.disparity.flatten() for pair in pairs]).sort().values
    low, high = (disparity[int(q * (len(disparity) - 1))].item() for q in (0.01, 0.99))
    occluded = torch.stack([pair.occluded.float().mean() for pair in pairs]).mean().item()
    psnr = torch.tensor([warp_psnr(pair) for pair in pairs])
    print(f"disparity, 1st and 99th percentile: {low:.1f} and {high:.1f} px; occluded {occluded:.1%}")
    print(f"y warped by disparity, against x: mean {psnr.mean():.1f} dB, lowest {psnr.min():.1f} dB")


if __name__ == "__main__":
    main()
