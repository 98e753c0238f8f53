"""What the models are, known without importing PyTorch: the command line's help answers from here."""

from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True)
class ModelInfo:
    """One line of the catalogue.

    Attributes:
        name: the public name, as in the YAML key `model`.
        where: `module:Class` inside `ndic_core.models`.
        code: the number that stands for the model in an `.ndic` file (0 to 15, never reused).
        side_info: whether the decoder needs the correlated image `y`.
        multiple_of: image sides must be multiples of this (at the default patch grid).
        transmitted: the latents that are sent, in the order of the stream's likelihoods.
        title: what it is, in a few words.
        source: the paper.
        colour: in all figures, from the Okabe–Ito palette.
        marker: in all figures, as matplotlib names it.
    """

    name: str
    where: str
    code: int
    side_info: bool
    multiple_of: int
    transmitted: tuple[str, ...]
    title: str
    source: str
    colour: str
    marker: str

    def load_class(self):
        """The model's class (imports PyTorch and CompressAI)."""
        module, name = self.where.split(":")
        return getattr(import_module(f"ndic_core.models.{module}"), name)


_ENTRIES = (
    ModelInfo(
        "bls17",
        "baselines:BLS17",
        code=0,
        side_info=False,
        multiple_of=16,
        transmitted=("x",),
        title="three layers, factorised prior",
        source="Ballé, Laparra & Simoncelli 2017, arXiv 1611.01704",
        colour="#999999",
        marker="o",
    ),
    ModelInfo(
        "bmshj18_factorized",
        "baselines:BMSHJ18Factorized",
        code=1,
        side_info=False,
        multiple_of=16,
        transmitted=("x",),
        title="four layers, factorised prior: the matched baseline",
        source="Ballé et al. 2018, arXiv 1802.01436",
        colour="#000000",
        marker="s",
    ),
    ModelInfo(
        "bmshj18",
        "baselines:BMSHJ18",
        code=2,
        side_info=False,
        multiple_of=64,
        transmitted=("x", "z"),
        title="four layers, scale hyperprior",
        source="Ballé et al. 2018, arXiv 1802.01436",
        colour="#56B4E9",
        marker="D",
    ),
    ModelInfo(
        "ndic_bls17",
        "distributed:NDICBls17",
        code=3,
        side_info=True,
        multiple_of=16,
        transmitted=("x",),
        title="common information from y, factorised priors",
        source="Mital et al. 2022 (NDIC), arXiv 2106.11723",
        colour="#E69F00",
        marker="^",
    ),
    ModelInfo(
        "ndic_bmshj18",
        "distributed:NDICBmshj18",
        code=4,
        side_info=True,
        multiple_of=64,
        transmitted=("x", "z"),
        title="common information from y, scale hyperpriors",
        source="Mital et al. 2022 (NDIC), arXiv 2106.11723",
        colour="#009E73",
        marker="v",
    ),
    ModelInfo(
        "cross_attention",
        "aligned:CrossAttention",
        code=5,
        side_info=True,
        multiple_of=32,
        transmitted=("x",),
        title="ndic_bls17 with decoder features aligned by cross-attention",
        source="Mital et al. 2022 (NDIC-CAM), arXiv 2207.08489",
        colour="#D55E00",
        marker="P",
    ),
    ModelInfo(
        "parallax_attention",
        "parallax_attention:ParallaxAttention",
        code=6,
        side_info=True,
        multiple_of=16,
        transmitted=("x",),
        title="y aligned along the row, coarse to fine, factorised prior",
        source="this project",
        colour="#CC79A7",
        marker="*",
    ),
)

CATALOGUE: dict[str, ModelInfo] = {info.name: info for info in _ENTRIES}
MODELS: tuple[str, ...] = tuple(CATALOGUE)
METRICS = ("MS-SSIM", "MSE")  # what shipped weights are trained for; the first is the default
