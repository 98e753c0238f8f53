"""Several processes share the work of one, and give its result."""

import json
import os
import socket
import subprocess
import sys
import textwrap

import pytest
import torch
from conftest import PATIENCE, teaching

import ndic_core as ndic
from ndic_core.training.devices import launch
from ndic_core.training.output_paths import Outputs


def test_a_batch_that_cannot_be_shared(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ndic.NDICError, match="train_batch_size: got 4; 3 processes share each batch"):
        launch(train_batch_size=4)


DISTRIBUTED = """
import json, sys
import torch
import ndic_core as ndic
from ndic_core.training.train import train

torch.set_num_threads(1)
# Noise is drawn per process; without it, two processes and one must compute the same.
torch.rand_like = lambda values: torch.full_like(values, 0.5)
torch.randn_like = torch.zeros_like
config = ndic.load_config("teaching", **json.loads(sys.argv[1]))
trained = train(config, progress=False)
import os
if os.environ.get("RANK", "0") == "0":
    print(json.dumps([row["val_loss"] for row in trained.history]))
"""


# Both follow a gradient's direction whatever its length, so weights whose gradient is all rounding noise may differ;
# SOAP turns them together, in the eigenbases of such a gradient.
@pytest.mark.parametrize(
    ("keys", "alike"),
    [({}, 0.999), (dict(optimizer="soap", ema_decay=0.9, rate_balance=0.6), 0.98)],
    ids=["adam", "soap"],
)
def test_two_processes_do_what_one_does(keys, alike, own_folder, tmp_path):
    """DDP over gloo at the same global batch; 16 pairs leave a batch of 4 at the end of an epoch."""
    script = tmp_path / "job.py"
    script.write_text(textwrap.dedent(DISTRIBUTED))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", *_port()]
    results, weights = [], []
    for i, launcher in enumerate(([sys.executable], torchrun)):
        config = teaching(own_folder, tmp_path / str(i), lmbda=[0.001, 0.01], alpha=0, **keys)
        changes = config.model_dump(by_alias=True, exclude_defaults=True)
        changes["train_batch_size"] = 6
        done = subprocess.run(
            [*launcher, str(script), json.dumps(changes)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout.splitlines()[-1]))
        weights.append(ndic.load_checkpoint(Outputs(config).weights))
    assert results[1] == pytest.approx(results[0], rel=1e-4)
    one, two = (torch.cat([p.detach().flatten() for p in model.parameters()]) for model in weights)
    assert ((one - two).abs() < 1e-4).float().mean() > alike
    assert results[0][-1] < results[0][0]


def test_validation_is_shared_unevenly_without_harm(tmp_path):
    """17 pairs over two processes: one has two batches, the other one; and fewer pairs than processes."""
    script = tmp_path / "job.py"
    script.write_text(
        textwrap.dedent("""
        import sys
        import torch
        import ndic_core as ndic
        from ndic_core.data.pairs import Pairs
        from ndic_core.training.devices import launch
        from ndic_core.training.validation import validate
        import numpy as np

        torch.set_num_threads(1)
        fabric = launch(train_batch_size=4)
        torch.manual_seed(0)
        model = ndic.build_model("bls17", num_filters=4)
        images = np.random.default_rng(0).integers(0, 256, (17, 32, 64, 3), dtype=np.uint8)
        for count in (17, 1):
            pairs = Pairs(images, np.zeros((count, 2), int) + np.arange(count)[:, None], ["a"] * count)
            stop = lambda: bool(fabric.all_reduce(torch.zeros(1)).sum())
            result = validate(model, pairs, fabric, distortion_loss="MSE", interrupted=stop)
            if fabric.is_global_zero:
                print(result["val_loss"])
        """)
    )
    outputs = []
    for launcher in ([sys.executable], [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", *_port()]):
        done = subprocess.run([*launcher, str(script)], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        outputs.append([float(line) for line in done.stdout.split()])
    assert outputs[1] == pytest.approx(outputs[0], rel=1e-5)


def _port() -> list[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return [f"--master_port={free.getsockname()[1]}"]
