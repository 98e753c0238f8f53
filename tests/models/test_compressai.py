"""CompressAI is entered lightly, and is whole again for whoever wants the rest of it."""

import subprocess
import sys
import textwrap

from conftest import PATIENCE


def run(script: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


def test_only_what_is_needed_is_loaded():
    run(
        """
        import sys, torch, ndic_core as ndic
        model = ndic.build_model("ndic_bmshj18", num_filters=2)
        ndic.decode(model, ndic.encode(model, torch.rand(3, 64, 64)), torch.rand(3, 64, 64))
        assert not {"torch_geometric", "torchvision", "pandas"} & set(sys.modules)
        """
    )


def test_the_rest_loads_when_asked_for():
    run(
        """
        import ndic_core as ndic
        ndic.build_model("bls17", num_filters=2)
        import compressai
        from compressai.zoo import bmshj2018_factorized
        from compressai.layers import GDN
        from ndic_core.models.transforms import GDN as ours
        assert issubclass(ours, GDN)
        assert compressai.__version__ and compressai.models.FactorizedPrior(8, 8) is not None
        assert compressai.get_entropy_coder.__module__ == "compressai"
        """
    )


def test_it_may_have_been_imported_before():
    run(
        """
        import compressai
        import ndic_core as ndic
        ndic.build_model("bls17", num_filters=2)
        assert compressai.models.FactorizedPrior(8, 8) is not None
        """
    )
