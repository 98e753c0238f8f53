"""Matching accuracy of trained attention on scenes of the generated street.

python benchmarks/alignment.py outputs/weight/A.safetensors outputs/weight/B.safetensors
"""

import torch
from runs import option_parser

from ndic_core.catalogue import STRIDES
from ndic_core.checkpoints.checkpoint import load_checkpoint
from ndic_core.data.disparity import true_offsets
from ndic_core.data.street import Street
from ndic_core.data.street.pairs import FIRST_INDEX
from ndic_core.evaluation.matching_accuracy import measure_alignment
from ndic_core.files import expand_path


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument(
        "weights", nargs="+", type=expand_path, help="checkpoints of cross_attention or parallax_attention"
    )
    parser.add_argument("--scenes", type=int, default=50, help="of the street's test split")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    street = Street(size=(128, 256))
    scenes = [street.pair(FIRST_INDEX["test"] + i) for i in range(args.scenes)]
    for stride in STRIDES:
        positions = [true_offsets(scene.disparity, scene.occluded, stride) for scene in scenes]
        partly = torch.stack([offset.isnan() & ~hidden for offset, hidden in positions]).float().mean()
        print(f"1/{stride}: {partly:.1%} of the positions are only partly visible in y and are left out")
    for path in args.weights:
        model = load_checkpoint(path)
        print(f"{path}: {model.name}")
        for layer in measure_alignment(model, scenes):
            print(
                f"  1/{layer.stride}: {layer.accuracy_1px:5.1%} of visible positions within one feature pixel "
                f"(upper bound {layer.accuracy_upper_bound:6.1%}, same position {layer.accuracy_zero_shift:5.1%}, "
                f"constant shift {layer.accuracy_constant_shift:5.1%}); "
                f"the no-match token finds occlusions with AUC {layer.occlusion_auc:.3f}"
            )


if __name__ == "__main__":
    main()
