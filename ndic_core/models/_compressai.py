"""Imports from CompressAI: its range coder, GDN and entropy models, without the rest of the package.

`import compressai` also imports torch-geometric, torchvision and pandas, which takes nine seconds at the start of every
command and notebook. The parts used here need none of these. So the package is registered without running its
`__init__`, which runs when something that it defines is first used.
"""

import importlib.util
import sys


def _enter_without_init(name: str) -> None:
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    package = importlib.util.module_from_spec(spec)

    def run_init(attribute: str):
        if attribute.startswith("__") and attribute != "__version__":  # inspection tools look these up in any module
            raise AttributeError(attribute)
        del package.__getattr__
        spec.loader.exec_module(package)
        return getattr(package, attribute)

    package.__getattr__ = run_init
    # All that an entropy model uses of the package; `__init__` replaces both.
    package.get_entropy_coder = lambda: "ans"
    package.available_entropy_coders = lambda: ["ans"]
    sys.modules[name] = package


_enter_without_init("compressai")

from compressai.ans import BufferedRansEncoder, RansDecoder  # noqa: E402
from compressai.entropy_models import EntropyBottleneck, GaussianConditional  # noqa: E402
from compressai.entropy_models.entropy_models import pmf_to_quantized_cdf  # noqa: E402
from compressai.layers import GDN  # noqa: E402

__all__ = [
    "GDN",
    "BufferedRansEncoder",
    "EntropyBottleneck",
    "GaussianConditional",
    "RansDecoder",
    "pmf_to_quantized_cdf",
]
