"""Several processes share the work of one, and give its result."""

import json
import os
import socket
import subprocess
import sys

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


def outputs_of_one_and_two(tmp_path, script: str, *arguments: tuple[str, ...]) -> list[str]:
    """What a script prints in one process, and in two of `torchrun`; each may have its own arguments."""
    (tmp_path / "job.py").write_text(script)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = f"--master_port={free.getsockname()[1]}"
    outputs = []
    for launcher, more in zip(
        ([], ["-m", "torch.distributed.run", "--nproc_per_node=2", port]), arguments, strict=True
    ):
        command = [sys.executable, *launcher, str(tmp_path / "job.py"), *more]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    return outputs


DISTRIBUTED = """
import json, os, sys
import torch
import ndic_core as ndic
from ndic_core.training.train import train

torch.set_num_threads(1)
# Noise is drawn per process; without it, two processes and one must compute the same.
torch.rand_like = lambda values: torch.full_like(values, 0.5)
torch.randn_like = torch.zeros_like
config = ndic.load_config("teaching", **json.loads(sys.argv[1]))
trained = train(config, progress=False)
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
    configs = [teaching(own_folder, tmp_path / i, lmbda=[0.001, 0.01], alpha=0, **keys) for i in ("one", "two")]
    changes = [config.model_dump(by_alias=True, exclude_defaults=True) | {"train_batch_size": 6} for config in configs]
    outputs = outputs_of_one_and_two(tmp_path, DISTRIBUTED, *([json.dumps(change)] for change in changes))
    results = [json.loads(output.splitlines()[-1]) for output in outputs]
    assert results[1] == pytest.approx(results[0], rel=1e-4)
    models = [ndic.load_checkpoint(Outputs(config).weights) for config in configs]
    one, two = (torch.cat([p.detach().flatten() for p in model.parameters()]) for model in models)
    assert ((one - two).abs() < 1e-4).float().mean() > alike
    assert results[0][-1] < results[0][0]


UNEVEN = """
import numpy as np
import torch
import ndic_core as ndic
from ndic_core.data.pairs import Pairs
from ndic_core.training.devices import launch
from ndic_core.training.validation import validate

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
"""


def test_validation_is_shared_unevenly_without_harm(tmp_path):
    """17 pairs over two processes: one has two batches, the other one; and fewer pairs than processes."""
    outputs = outputs_of_one_and_two(tmp_path, UNEVEN, (), ())
    one, two = ([float(line) for line in output.split()] for output in outputs)
    assert two == pytest.approx(one, rel=1e-5)
