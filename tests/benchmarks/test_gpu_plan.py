"""The GPU pack, the plan that runs on it, and merging what the plan wrote."""

import json
import math
import pickle
import shutil
import signal
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import gpu_merge
import gpu_pack
import gpu_plan
import gpu_trainings
import optimizers
import pretrain
import pytest
import replication_gpu
import torch
from conftest import PATIENCE, small_recipe
from filelock import FileLock
from pretrain import progress_of

import ndic_core as ndic
from ndic_core.data.datasets import load_split
from ndic_core.data.street import Street
from ndic_core.evaluation.tables import read_table, write_table
from ndic_core.training.loader import PairLoader
from ndic_core.training.output_paths import Outputs
from ndic_core.training.recipe import Stage, load_recipe
from ndic_core.training.state import move_state, read_state

FRESH, FIRST, SECOND = "start/bmshj18_factorized", "mse/bmshj18_factorized", "mse/ndic_bls17"


class Home:
    """A small recipe and a folder of outputs, in which the first stage is complete, and their pack."""

    def __init__(self, folder: Path):
        self.recipe = str(small_recipe(folder, streets=16, epochs=3))
        self.real, self.native = str(folder / "real"), str(folder / "native")
        self.arguments = ["--recipe", self.recipe, "--data", self.real, "--native", self.native]
        self.outputs, self.pack = folder / "outputs", folder / "pack"
        self.train(self.outputs, FRESH)
        gpu_pack.main([str(self.pack), *self.arguments, "--outputs", str(self.outputs), "--no-wheels"])

    def train(self, outputs: Path, name: str) -> None:
        pretrain.main([*self.arguments, "--out", str(outputs), "--only", name])

    def stages(self, outputs: Path) -> dict[str, Stage]:
        paths = dict(dataset_path=self.real, native_path=self.native, save_output_path=str(outputs))
        return {str(stage): stage for stage in load_recipe(self.recipe, **paths).values()}

    def there(self, outputs: Path) -> gpu_trainings.Trainings:
        return gpu_trainings.Trainings(self.recipe, self.pack, outputs, "cpu", {})


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def trained(home, tmp_path_factory) -> gpu_trainings.Trainings:
    """All trainings of the plan complete, one after the other in this process."""
    trainings = home.there(tmp_path_factory.mktemp("there"))
    while ready := trainings.ready():
        pretrain.main(trainings.command(ready[0], 9)[1:])
    return trainings


def write_output(trainings, out: Path) -> Path:
    """What the plan writes about its trainings."""
    out.mkdir()
    trainings.bring_home(out)
    gpu_plan.Report(out, "cpu").note("training", at_once=1, trainings=trainings.summary())
    return out


def unpacked(out: Path, stage: Stage, folder: Path) -> Path:
    """The folder with a training's files from the archive."""
    folder.mkdir()
    gpu_merge.unpack(gpu_merge.joined(out), gpu_merge.file_names(stage), folder)
    return folder


@pytest.mark.slow
def test_a_pack_is_trained_and_merged(home, trained, tmp_path, capsys):
    """The plan resumes with larger batches, and its trainings are validated again on the original images."""
    images = sorted((home.pack / "data" / "real" / "image_3").iterdir())
    assert [image.suffix for image in images] == [".webp"] * 32
    outputs = tmp_path / "outputs"
    shutil.copytree(home.outputs, outputs)
    here = home.stages(outputs)
    files = Outputs(here[FRESH].config)
    packed = {file.name for file in (home.pack / "outputs" / "weight").iterdir()}
    assert packed == {files.state.name, files.weights.name}  # complete, and the start of the others

    out = write_output(trained, tmp_path / "out")
    summary = trained.summary()
    assert summary.keys() == {FIRST, SECOND}
    assert all(training["complete"] for training in summary.values())
    results = tmp_path / "results"
    arguments = [str(out), *home.arguments, "--outputs", str(outputs), "--results", str(results), "--threads", "1"]
    with pytest.raises(SystemExit, match="holds a rehearsal on a CPU, which is no result: name another --results"):
        gpu_merge.main([str(out), *home.arguments, "--outputs", str(outputs)])
    assert not Outputs(here[FIRST].config).state.exists()
    gpu_merge.main(arguments)
    count = 3 * len(load_split(here[FIRST].config, "train", progress=False))
    for name in (FIRST, SECOND):
        files = Outputs(here[name].config)
        progress = read_state(files.state)
        assert pretrain.complete(here[name])
        assert progress.images == progress.by_device["CPU"]["images"] == count
        assert progress.best == progress.history[-1]["val_loss"]
        assert len(progress.history) == 1
        assert ndic.load_checkpoint(files.weights).name == name.split("/")[1]
    assert f"{SECOND}: 0 → {count} images ({count} on CPU), cost" in capsys.readouterr().out
    assert [row["training"] for row in read_table(results / "gpu_trainings.csv")] == [FIRST, SECOND]
    assert f"| {SECOND} | CPU | 1 | {count} |" in gpu_merge.tables(results)

    gpu_merge.main(arguments)  # merging again changes nothing
    assert f"{FIRST}: the {count} images here are kept, {count} came" in capsys.readouterr().out
    assert len(read_table(results / "gpu_trainings.csv")) == 2


@pytest.mark.slow
def test_an_unfinished_training_is_resumed_and_merged(home, tmp_path, monkeypatch):
    """It resumes from its best weights."""
    trainings = home.there(tmp_path / "there")
    assert trainings.ready() == [FIRST, SECOND]
    config = trainings.stages[FIRST].config
    assert config.lr == 0.01 * optimizers.learning_rate_factor(16, fresh=False)
    assert config.train_batch_size == 16
    with monkeypatch.context() as patch:  # interrupted in the third epoch
        batches = PairLoader.epoch

        def interrupted(self, epoch, start=0):
            if epoch == 2:
                signal.raise_signal(signal.SIGINT)
            return batches(self, epoch, start)

        patch.setattr(PairLoader, "epoch", interrupted)
        pretrain.main(trainings.command(SECOND, 9)[1:])
    assert trainings.ready() == [FIRST, SECOND]  # the least progress first
    assert 0 < progress_of(trainings.stages[SECOND]).epoch < 3
    monkeypatch.setattr(gpu_trainings, "PIECE", 50_000)
    out = tmp_path / "out"
    out.mkdir()
    trainings.bring_home(out)
    pieces = sorted(out.glob("training.zip.*"))
    assert len(pieces) > 1
    assert all(piece.stat().st_size <= 50_000 for piece in pieces)
    stage = home.stages(tmp_path / "outputs")[SECOND]
    assert "cost" in gpu_merge.take_in(stage, unpacked(out, stage, tmp_path / "in"))
    assert read_state(Outputs(stage.config).state).images == progress_of(trainings.stages[SECOND]).images
    home.train(tmp_path / "outputs", SECOND)
    assert pretrain.complete(stage)
    pieces[0].unlink()
    with pytest.raises(ndic.NDICError, match="missing or damaged"):
        gpu_merge.joined(out)


@pytest.mark.slow
def test_another_or_a_running_training_is_not_merged(home, trained, tmp_path):
    out = write_output(trained, tmp_path / "out")
    stage = home.stages(tmp_path / "outputs")[FIRST]
    folder = unpacked(out, stage, tmp_path / "in")
    other = stage.config.model_copy(update={"seed": 7})
    with pytest.raises(ndic.NDICError, match="another seed: it cannot resume"):
        gpu_merge.take_in(Stage(stage.name, stage.model, stage.start, other), folder)
    files = Outputs(stage.config)
    with (
        FileLock(files.weights.parent / f".{files.name}.lock"),
        pytest.raises(ndic.NDICError, match=f"{FIRST} is being trained: stop pretrain.py first"),
    ):
        gpu_merge.take_in(stage, folder)
    assert not files.state.exists()
    assert not files.weights.exists()


@pytest.mark.slow
def test_worse_weights_do_not_replace_the_best(home, trained, tmp_path):
    out = write_output(trained, tmp_path / "out")
    stage = home.stages(tmp_path / "outputs")[FIRST]
    folder = unpacked(out, stage, tmp_path / "in")
    files = Outputs(stage.config)
    shutil.copytree(home.outputs, tmp_path / "outputs")
    home.train(tmp_path / "outputs", FIRST)
    count = read_state(files.state).images

    def pretend(best: float) -> bytes:
        """Change the local training to one with a single image and this cost; returns its weights."""

        def change(progress):
            progress.images, progress.best = 1, best

        move_state(files.state, files.state, stage.config, change=change)
        return files.weights.read_bytes()

    before = pretend(0.001)
    assert "the 0.0010 here are kept" in gpu_merge.take_in(stage, folder)
    assert read_state(files.state).images == 1
    assert files.weights.read_bytes() == before
    pretend(1000.0)
    assert f"1 → {count} images" in gpu_merge.take_in(stage, folder)
    assert files.weights.read_bytes() != before


def test_only_the_wanted_files_of_an_archive_are_written(tmp_path):
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in ("../../a.csv", "/tmp/b.csv", "measured/c.csv", "d.csv"):
            file.writestr(name, name)
    (tmp_path / "in").mkdir()
    assert sorted(gpu_merge.unpack(content, ["a.csv", "c.csv"], tmp_path / "in")) == ["a.csv", "c.csv"]
    assert sorted(tmp_path.rglob("*.csv")) == [tmp_path / "in" / "a.csv", tmp_path / "in" / "c.csv"]


@pytest.mark.slow
def test_trainings_run_side_by_side(home, tmp_path, monkeypatch):
    """Each waits until the other has started; a failed one is reported."""
    trainings = home.there(tmp_path / "there")
    started = {FIRST: tmp_path / "first", SECOND: tmp_path / "second"}

    def command(name: str, minutes: float) -> list[str]:
        other = started[SECOND if name == FIRST else FIRST]
        wait = f"while not Path({str(other)!r}).exists(): time.sleep(0.05)"
        code = f"import time; from pathlib import Path; Path({str(started[name])!r}).touch()\n{wait}"
        return ["-c", f"{code}\nraise SystemExit({3 if name == FIRST else 0})"]

    monkeypatch.setattr(trainings, "command", command)
    notes = []
    trainings.run(time.monotonic() + PATIENCE, 2, tmp_path, notes.append)
    assert notes[:2] == [f"{FIRST} goes on after 0 images", f"{SECOND} goes on after 0 images"]
    assert notes[2:] == [f"{FIRST} failed, see its log"]


def test_a_step_is_stopped_with_its_children(tmp_path, monkeypatch):
    """Even if it ignores the interrupt; its child holds a pipe open for as long as it lives."""
    deaf = "import signal, subprocess, sys, time; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    child = f"[sys.executable, '-c', 'import time; time.sleep({PATIENCE})']"
    code = f"{deaf} child = subprocess.Popen({child}); print(child.pid, flush=True); child.wait()"
    monkeypatch.setattr(gpu_trainings, "GRACE", 0.1)
    facts = gpu_plan.run(["-c", code], tmp_path / "log", 5.0)
    assert facts["ended"] == "the time is up"
    pid = (tmp_path / "log").read_text().strip()
    while pid and is_running(int(pid)):
        time.sleep(0.05)
    assert gpu_plan.run(["-c", "raise SystemExit(2)"], tmp_path / "log", PATIENCE)["ended"] == "2"
    assert gpu_plan.run(["-c", "print(1)"], tmp_path / "log", PATIENCE)["ended"] == "well"
    assert (tmp_path / "log").read_text() == "1\n"


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_plan_needs_a_gpu_and_a_pack(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    arguments = ["--pack", str(tmp_path), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="there is no GPU; use --device cpu for a rehearsal"):
        gpu_plan.main(arguments)
    with pytest.raises(SystemExit, match=r"is no pack: benchmarks/gpu_pack\.py makes one"):
        gpu_plan.main([*arguments, "--device", "cpu"])
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_failed_step_is_reported_and_the_next_one_runs(home, tmp_path, monkeypatch):
    def measurements(device, pack, out, minutes):
        write = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('a,b')"
        return {
            "attention": (["-c", "raise SystemExit('no such device')"], ["gpu_attention.csv"]),
            "where": (["-c", write, str(out / "where.csv")], ["where.csv"]),
        }

    monkeypatch.setattr(gpu_plan, "measurements", measurements)
    out = tmp_path / "out"
    arguments = ["--pack", str(home.pack), "--out", str(out), "--device", "cpu", "--recipe", home.recipe]
    gpu_plan.main([*arguments, "--minutes", str(PATIENCE / 60), "--only", "attention", "where"])
    report = json.loads((out / "report.json").read_text())
    assert report["rehearsal"]
    assert report["steps"]["attention"]["ended"] == "1"
    assert report["steps"]["where"]["ended"] == "well"
    assert report["steps"]["where"]["files"] == "where.csv"
    with zipfile.ZipFile(out / "measurements.zip") as archive:
        assert archive.read("measured/where.csv") == b"a,b"
        assert b"no such device" in archive.read("logs/attention.log")


@pytest.mark.slow
def test_the_pair_of_the_replication_is_trained_and_measured_equally(home, tmp_path):
    """With no time at all, each is trained for one epoch."""
    command, files = gpu_plan.measurements("cpu", home.pack, tmp_path, 0.0)["replication"]
    replication_gpu.main(command[1:])
    rows = read_table(tmp_path / files[0])
    assert {row["line"] for row in rows} == {line.label for line in replication_gpu.LINES}
    assert {(row["epochs"], row["images"]) for row in rows} == {(1, 2)}
    assert len({row["lmbda"] for row in rows}) == 4
    text = gpu_merge.tables(tmp_path)
    assert "**Replication** at the published size, in MS-SSIM (1 epochs each, CPU):" in text
    assert "| `ndic_bls17` | 0 |" in text
    assert "| `cross_attention` as published |" in text
    settings = [replication_gpu.configuration("mse", name, Path("data"), "cuda", {}) for name in ndic.MODELS[-2:]]
    assert {config.num_filters for config in settings} == {192}


def test_the_learning_rate_of_a_batch_size_is_the_best_measured_one():
    def row(group, variant, lr, batch, cost):
        settings = f"optimizer soap, lr {lr}, epochs 2, train_batch_size {batch}, ema_decay 0.995"
        return dict(group=group, variant=variant, settings=settings, val_loss=cost)

    rows = [
        row("batch", "4 images", 0.01, 4, 0.3),
        row("batch", "16 images", 0.01, 16, 0.29),
        row("batch", "16 images, 2e-2", 0.02, 16, 0.28),
        row("from other weights", "SOAP 3e-3", 0.003, 4, 0.25),
        row("from other weights", "16 images, SOAP 3e-3", 0.003, 16, 0.2),
        row("from other weights", "16 images, SOAP 1e-2", 0.01, 16, 0.21),
    ]
    assert optimizers.learning_rate_factor(16, True, rows) == 2
    assert optimizers.learning_rate_factor(16, False, rows) == 1
    with pytest.raises(ValueError, match="no learning rate was measured for batches of 64"):
        optimizers.learning_rate_factor(64, True, rows)
    factors = [optimizers.learning_rate_factor(gpu_trainings.BATCH, fresh) for fresh in (True, False)]
    assert all(map(math.isfinite, factors))


def test_tables_of_measurements(tmp_path):
    assert gpu_merge.tables(tmp_path) == "Nothing has been measured yet."
    attention = dict(device="GPU X", num_filters=192, batch=1, task="forward", kind="fused bf16")
    attention |= dict(seconds=0.0021, memory_mb=140.4, times_as_fast=12.345)
    write_table([attention], tmp_path / "gpu_attention.csv")
    rate = dict(model="bls17", num_filters=64, batch=16, precision="bf16", compile=False, device="GPU X")
    rate |= dict(images_per_second=1234.5, step_ms=13.2, state_mb=9.0)
    write_table([rate], tmp_path / "gpu_throughput.csv")
    text = gpu_merge.tables(tmp_path)
    assert "192 filters, batches of 1, GPU X" in text
    assert "| fused bf16 | forward | 0.00210 | 140 | 12.35 |" in text
    assert "| bls17 | 64 | 16 | bf16 | False | 1234 | 13 |  |" in text


def test_the_project_fits_beside_its_pack():
    """The project and its pack must stay below 60 MiB: images and wheels take 40 of them."""
    if not (gpu_pack.PROJECT / ".git").exists():
        pytest.skip("no git checkout")
    assert gpu_pack.project_size() < 12 * gpu_pack.MIB


def test_processes_send_the_same_pairs(monkeypatch):
    def pickled(pool, function, indices):
        return pickle.loads(pickle.dumps(list(map(function, indices))))

    monkeypatch.setattr(ProcessPoolExecutor, "map", pickled)
    street = Street(size=(32, 64))
    (pair,) = gpu_trainings.Processes(1).map(street.pair, [5])
    assert vars(pair).keys() == {"x", "y", "disparity", "occluded"}
    assert all(torch.equal(value, getattr(street.pair(5), name)) for name, value in vars(pair).items())


@pytest.mark.slow
def test_processes_that_start_afresh_have_one_thread():
    """As on Windows and macOS; with Python 3.14 they do on Linux too."""
    with gpu_trainings.Processes(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(torch.get_num_threads).result() == 1
