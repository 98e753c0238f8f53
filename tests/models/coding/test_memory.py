"""Memory: what coding needs is stated before it starts."""

import pytest
import torch
from conftest import lively

import ndic_core as ndic
from ndic_core.models.coding import memory
from ndic_core.models.coding.compress import padded_layout


def test_too_little_memory_is_stated_before_the_work(monkeypatch):
    model, (x, y) = lively("ndic_bls17"), torch.rand(2, 3, 32, 48)
    stream = ndic.encode(model, x)
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    monkeypatch.setattr(model, "analyse", None)  # is not called
    sentence = r"ode an image of 32 × 48 with ndic_bls17 needs about 0\.0 GB .* make the image smaller$"
    with pytest.raises(ndic.NDICError, match="to enc" + sentence):
        ndic.encode(model, x)
    with pytest.raises(ndic.NDICError, match="to dec" + sentence):
        ndic.decode(model, stream, y)


def test_nothing_is_refused_where_the_system_does_not_say(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    ndic.encode(lively("bls17"), torch.rand(3, 32, 48))


@pytest.mark.parametrize("name", ndic.MODELS)
def test_twelve_megapixels_need_less_than_two_gigabytes(name):
    model = ndic.load_pretrained(name)
    for task in ("encode", "decode"):
        small, large = (
            memory.memory_needed(model, padded_layout(model, *size), task) for size in ((128, 256), (3000, 4000))
        )
        assert small < 2e8 < large < 1.4e9  # Python and PyTorch take the rest


def test_memory_of_the_system_and_of_a_container(tmp_path, monkeypatch):
    files = {"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    4000 kB\n"}
    monkeypatch.setattr(memory.Path, "read_text", lambda path: files[str(path)] if str(path) in files else no_file())

    def no_file():
        raise FileNotFoundError

    assert memory.available_memory() == 4_096_000
    group = "/sys/fs/cgroup/memory"
    files |= {
        f"{group}.current": "900000\n",
        f"{group}.stat": "anon 1\ninactive_file 100000\n",
        f"{group}.max": "max\n",
    }
    assert memory.available_memory() == 4_096_000
    files[f"{group}.max"] = "1000000\n"
    assert memory.available_memory() == 200_000
    del files["/proc/meminfo"]
    assert memory.available_memory() is None
