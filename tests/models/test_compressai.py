"""CompressAI is imported without most of its dependencies, and is complete when the rest of it is used."""

import subprocess
import sys
import textwrap

from conftest import PATIENCE


def test_only_what_is_needed_is_loaded_and_the_rest_on_demand():
    script = """
        import sys, torch, ndic_core, ndic_core as ndic
        model = ndic.build_model("ndic_bmshj18", num_filters=2)
        ndic.decode(model, ndic.encode(model, torch.rand(3, 64, 64)), torch.rand(3, 64, 64))
        assert not {"torch_geometric", "torchvision", "pandas"} & set(sys.modules)
        import compressai
        from compressai.zoo import bmshj2018_factorized
        from compressai.layers import GDN
        from ndic_core.models.transforms import GDN as ours
        assert issubclass(ours, GDN)
        assert compressai.__version__ and compressai.models.FactorizedPrior(8, 8) is not None
        assert compressai.get_entropy_coder.__module__ == "compressai"
        ndic_core.models._compressai._enter_without_init("compressai")
        assert sys.modules["compressai"] is compressai  # an earlier import is kept
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
