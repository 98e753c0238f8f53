"""Attention maps of small models of `replication.py`, for notebook 06.

    python benchmarks/replication_maps.py     # from the weights; writes results/replication_maps.npz

Scenes are test scenes of the generated street, which no training has used, at the size of the small models. Maps are of
the layer at 1/4, where those that search are most accurate, for one scene; accuracies are those of `measure_alignment`
over several scenes.
"""

import argparse
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from replication import AS_PUBLISHED, LINES, OURS, SEARCH, SMALL, WITHIN_ROW, Line, configuration, weights_path
from runs import RESULTS, option_parser
from safetensors.torch import load_file

from ndic_core.data.street import Street, StreetPair
from ndic_core.data.street.pairs import FIRST_INDEX
from ndic_core.evaluation.matching_accuracy import measure_alignment
from ndic_core.files import expand_path, write_whole
from ndic_core.models.codec import Codec
from ndic_core.models.factory import build_model

FILE = RESULTS / "replication_maps.npz"
SHOWN = (AS_PUBLISHED, SEARCH, WITHIN_ROW, OURS)
SEED, SCENES = 0, 8  # of the training; number of scenes
DRAWN, LAYER = 2, 1  # the scene and the layer whose maps are stored


def lines() -> list[Line]:
    """The first line of each label: those of the small size."""
    return [next(line for line in LINES if line.label == label) for label in SHOWN]


def trained(line: Line, args: argparse.Namespace) -> Codec:
    """The model of a line with its weights."""
    model = build_model(**configuration(line, SEED, args).model_arguments())
    line.change(model)
    model.load_state_dict(load_file(weights_path(line, SEED, args)))
    return model.eval()


def arrays(models: Sequence[Codec], pairs: Sequence[StreetPair]) -> dict[str, np.ndarray]:
    """What the notebook needs of these models, in their order.

    Returns:
        `maps_0`, `maps_1`, ...: the maps of one scene, mean over the heads, float16; `scene`: its number among the test
        scenes; `accuracy`, `upper_bound` and `constant_shift`: (models, 3), for the layers at 1/8, 1/4 and 1/2.
    """
    found, drawn = {"scene": np.array(DRAWN)}, pairs[DRAWN]
    for i, model in enumerate(models):
        maps = model.attention_maps(model.to_model(drawn.x[None]), model.to_model(drawn.y[None]))[LAYER]
        found[f"maps_{i}"] = maps.mean(1, keepdim=True).half().numpy()
    measured = [measure_alignment(model, pairs) for model in models]
    names = {"accuracy": "accuracy_1px", "upper_bound": "accuracy_upper_bound"}
    for key, name in (names | {"constant_shift": "accuracy_constant_shift"}).items():
        found[key] = np.array([[getattr(layer, name) for layer in layers] for layers in measured])
    return found


def main() -> None:
    parser = option_parser(__doc__, threads=1)
    parser.add_argument("--out", type=expand_path, default=Path("outputs/replication"), help="folder of the weights")
    args = parser.parse_args()
    args.data = args.native = Path()  # no images are loaded
    street = Street(size=SMALL["resize"])
    pairs = [street.pair(FIRST_INDEX["test"] + i) for i in range(SCENES)]
    buffer = BytesIO()
    np.savez_compressed(buffer, labels=np.array(SHOWN), **arrays([trained(line, args) for line in lines()], pairs))
    write_whole(FILE, buffer.getvalue())


if __name__ == "__main__":
    main()
