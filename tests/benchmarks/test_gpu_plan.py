"""What is packed for a machine with a GPU, the plan that runs there, and what comes home from it."""

import json
import math
import os
import subprocess
import sys
import time
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
import torch
from conftest import PATIENCE, small_recipe

import ndic_core as ndic
from ndic_core.data.datasets import load_split
from ndic_core.evaluation.tables import read_table
from ndic_core.io import write_whole
from ndic_core.training.output_paths import Outputs
from ndic_core.training.recipe import load_recipe
from ndic_core.training.state import read_progress

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FRESH, FIRST, SECOND = "start/bmshj18_factorized", "mse/bmshj18_factorized", "mse/ndic_bls17"


@pytest.fixture
def bench(monkeypatch):
    """The scripts, as modules."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gpu_merge
    import gpu_pack
    import gpu_plan
    import gpu_trainings
    import optimizers
    import pretrain

    class Scripts:
        pack, plan, trainings, merge = gpu_pack, gpu_plan, gpu_trainings, gpu_merge
        train, rates = pretrain, optimizers

    return Scripts


@pytest.fixture
def home(tmp_path) -> list[str]:
    """A small recipe, its pairs, and an outputs folder: the arguments that name them."""
    recipe = small_recipe(tmp_path, streets=16, epochs=3)
    arguments = ["--recipe", str(recipe), "--data", str(tmp_path / "real")]
    return [*arguments, "--native", str(tmp_path / "native")]


def stages(home, tmp_path, outputs="outputs") -> dict:
    """The recipe's trainings by name, with the runner's outputs."""
    paths = dict(dataset_path=home[3], native_path=home[5], save_output_path=str(tmp_path / outputs))
    return {str(stage): stage for stage in load_recipe(home[1], **paths).values()}


def packed(bench, home, tmp_path) -> Path:
    """The runner's first training is complete, and all is packed but for the wheels."""
    bench.train.main([*home, "--out", str(tmp_path / "outputs"), "--only", FRESH])
    pack = tmp_path / "pack"
    bench.pack.main([str(pack), *home, "--outputs", str(tmp_path / "outputs"), "--no-wheels"])
    return pack


def trained(bench, home, tmp_path, pack) -> tuple[Path, dict]:
    """What the plan's trainings come to, without the processes: one by one, in this one."""
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    trainings = bench.trainings.Trainings(home[1], pack, tmp_path / "there", "cpu", {})
    while ready := trainings.ready():
        command = trainings.command(ready[0], 9)
        bench.train.main(command[1:])
    lacking = trainings.bring_home(out)
    report = bench.plan.Report(out, "cpu")
    facts = dict(ended="well", at_once=1, trainings=trainings.summary(), left_behind=lacking)
    report.note("training", **facts)
    return out, facts


def test_a_pack_goes_there_and_comes_home(bench, home, tmp_path, capsys):
    """The plan goes on where the runner was, on larger batches, and the runner takes in what came of it."""
    pack = packed(bench, home, tmp_path)
    here = stages(home, tmp_path)
    images = sorted((pack / "data" / "real" / "image_3").iterdir())
    assert [image.suffix for image in images] == [".webp"] * 32
    weights = sorted(file.name for file in (pack / "outputs" / "weight").iterdir())
    assert weights == sorted(
        (Outputs(here[FRESH].config).state.name, Outputs(here[FRESH].config).weights.name)
    )  # that it is complete, and what others start from

    out, facts = trained(bench, home, tmp_path, pack)
    assert facts["left_behind"] == []
    assert facts["trainings"].keys() == {FIRST, SECOND}
    assert all(training["complete"] for training in facts["trainings"].values())
    readme = tmp_path / "README.md"
    readme.write_text(f"{bench.merge.BEGIN}\n{bench.merge.END}\n")
    target = ["--results", str(tmp_path / "results"), "--readme", str(readme), "--threads", "1"]
    arguments = [str(out), *home, "--outputs", str(tmp_path / "outputs"), *target]
    with pytest.raises(SystemExit, match="holds a rehearsal on a CPU: nothing of it belongs to the results"):
        bench.merge.main(arguments)
    assert not Outputs(here[FIRST].config).state.exists()
    bench.merge.main([*arguments, "--rehearsal"])
    per_epoch = len(load_split(here[FIRST].config, "train", progress=False))
    for name in (FIRST, SECOND):
        files = Outputs(here[name].config)
        progress = read_progress(files.state)
        assert bench.train.complete(here[name])
        assert progress.images == progress.by_device["CPU"]["images"] == 3 * per_epoch
        assert progress.best == progress.history[-1]["val_loss"]
        assert len(progress.history) == 1  # measured here, not on the images of the pack
        assert ndic.load_checkpoint(files.weights).name == name.split("/")[1]
    said = capsys.readouterr().out
    assert f"{SECOND}: 0 → {3 * per_epoch} images ({3 * per_epoch} on CPU), cost" in said
    assert [row["training"] for row in read_table(tmp_path / "results" / "gpu_trainings.csv")] == [FIRST, SECOND]
    assert f"| {SECOND} | CPU | 1 | {3 * per_epoch} |" in readme.read_text()

    bench.merge.main([*arguments, "--rehearsal"])  # once more changes nothing
    assert f"{FIRST}: the {3 * per_epoch} images here are kept, {3 * per_epoch} came" in capsys.readouterr().out
    assert len(read_table(tmp_path / "results" / "gpu_trainings.csv")) == 2


def test_a_training_on_its_way_goes_there_and_back(bench, home, tmp_path, monkeypatch):
    """With its optimizer where there is room, without where not; the runner goes on in either case."""
    pack = packed(bench, home, tmp_path)
    trainings = bench.trainings.Trainings(home[1], pack, tmp_path / "there", "cpu", {})
    assert trainings.ready() == [FIRST, SECOND]
    rate = trainings.stages[FIRST].config.lr
    assert rate == 0.01 * bench.rates.learning_rate_factor(16, fresh=False)
    assert trainings.stages[FIRST].config.train_batch_size == 16
    interrupt_in_epoch(2, monkeypatch)
    bench.train.main(trainings.command(SECOND, 9)[1:])
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    assert trainings.ready() == [FIRST, SECOND]  # the other has done less
    assert 0 < trainings.progress(SECOND).epoch < 3
    here = stages(home, tmp_path)[SECOND]
    everything, room = None, 10**8
    for lacking in ([], [f"{SECOND}: optimizer, average"], [f"{SECOND}: optimizer, average, model"]):
        out = tmp_path / f"out_{room}"
        out.mkdir()
        assert trainings.bring_home(out, room) == lacking
        assert (out / "training.zip.0").stat().st_size < room
        folder = tmp_path / f"in_{room}"
        folder.mkdir()
        bench.merge.unpack(bench.merge.joined(out), bench.merge.file_names(here), folder)
        stage = stages(home, tmp_path, f"outputs_{room}")[SECOND]
        assert "cost" in bench.merge.take_in(stage, folder)
        state = torch.load(Outputs(stage.config).state, weights_only=True)
        assert set(state) == {"identity", "progress", "model", "optimizer", "average"} - set(
            lacking[0].split(": ")[1].split(", ") if lacking else []
        )
        images = read_progress(Outputs(stage.config).state).images
        assert images == (everything := everything or images) > 0
        only = ["--only", SECOND, "--out", str(tmp_path / f"outputs_{room}")]
        bench.train.main([*home, *only])
        assert bench.train.complete(stage)
        room = (out / "training.zip.0").stat().st_size  # the next time there is not quite as much


def interrupt_in_epoch(epoch: int, monkeypatch) -> None:
    """As Ctrl-C would, once so many epochs are done."""
    from ndic_core.training import loop as training_loop

    train_epoch = training_loop.Training.train_epoch
    monkeypatch.setattr(
        training_loop.Training,
        "train_epoch",
        lambda self, stop: "interrupted" if self.progress.epoch == epoch else train_epoch(self, stop),
    )


def test_what_the_pack_has_no_room_for_is_not_trained(bench, home, tmp_path):
    bench.train.main([*home, "--out", str(tmp_path / "outputs"), "--only", FRESH])
    left_out = bench.pack.pack_weights(stages(home, tmp_path).values(), tmp_path / "outputs", tmp_path / "w", 1000)
    assert left_out == [FRESH]
    assert not list((tmp_path / "w" / "weight").iterdir())
    pack = tmp_path / "pack"
    for name, source in (("real", home[3]), ("native", home[5])):
        bench.pack.pack_images(Path(source), pack / "data" / name)
    (pack / "pack.json").write_text(json.dumps({"left_out": left_out}))
    assert bench.trainings.Trainings(home[1], pack, tmp_path / "there", "cpu", {}).ready() == []


def test_what_came_is_not_mixed_with_what_is_running_or_another_training(bench, home, tmp_path):
    pack = packed(bench, home, tmp_path)
    out, _ = trained(bench, home, tmp_path, pack)
    folder = tmp_path / "in"
    folder.mkdir()
    stage = stages(home, tmp_path)[FIRST]
    bench.merge.unpack(bench.merge.joined(out), bench.merge.file_names(stage), folder)
    other = stage.config.model_copy(update={"seed": 7})
    with pytest.raises(ndic.NDICError, match="another seed: it cannot go on"):
        bench.merge.take_in(type(stage)(stage.name, stage.model, stage.start, other), folder)
    files = Outputs(stage.config)
    with (
        bench.merge.FileLock(files.weights.parent / f".{files.name}.lock"),
        pytest.raises(ndic.NDICError, match=f"{FIRST} is being trained: stop the runner first"),
    ):
        bench.merge.take_in(stage, folder)
    assert not files.state.exists()
    assert not files.weights.exists()
    (out / "training.zip.0").rename(out / "training.zip.1")
    with pytest.raises(ndic.NDICError, match=r"a piece of training\.zip is missing"):
        bench.merge.joined(out)


def test_an_archive_writes_nothing_but_the_files_that_were_asked_for(bench, tmp_path):
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in ("../../a.csv", "/tmp/b.csv", "measured/c.csv", "d.csv"):
            file.writestr(name, name)
    (tmp_path / "in").mkdir()
    assert sorted(bench.merge.unpack(content, ["a.csv", "c.csv"], tmp_path / "in")) == ["a.csv", "c.csv"]
    assert sorted(file.name for file in tmp_path.rglob("*.csv")) == ["a.csv", "c.csv"]
    assert {file.parent for file in tmp_path.rglob("*.csv")} == {tmp_path / "in"}


def test_trainings_run_side_by_side_and_end_in_time(bench, home, tmp_path, monkeypatch):
    """Real processes, two at once; one that fails is noted, and what waits for it is not begun."""
    pack = packed(bench, home, tmp_path)
    trainings = bench.trainings.Trainings(home[1], pack, tmp_path / "there", "cpu", {})
    command = trainings.command

    def failing(name: str, minutes: float) -> list[str]:
        return ["-c", "raise SystemExit(3)"] if name == FIRST else command(name, minutes)

    monkeypatch.setattr(trainings, "command", failing)
    notes = []
    trainings.run(time.monotonic() + PATIENCE, 2, tmp_path, notes.append)
    assert notes[:2] == [f"{FIRST} goes on after 0 images", f"{SECOND} goes on after 0 images"]
    assert notes[2:] == [f"{FIRST} failed, see its log"]
    assert trainings.summary().keys() == {SECOND}
    assert trainings.complete(SECOND)
    assert "complete" in (tmp_path / "training_mse_ndic_bls17.log").read_text()


def test_a_step_has_its_time_and_no_more(bench, tmp_path, monkeypatch):
    """What it has begun ends with it, even if it does not listen."""
    deaf = "import signal, subprocess, sys, time; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    child = f"[sys.executable, '-c', 'import time, pathlib; time.sleep({PATIENCE})']"
    code = f"{deaf} child = subprocess.Popen({child}); print(child.pid, flush=True); child.wait()"
    monkeypatch.setattr(bench.trainings, "GRACE", 0.1)
    facts = bench.plan.run(["-c", code], tmp_path / "log", 3.0)
    assert facts["ended"] == "the time is up"
    pid = (tmp_path / "log").read_text().strip()
    while pid and is_running(int(pid)):
        time.sleep(0.05)
    assert bench.plan.run(["-c", "raise SystemExit(2)"], tmp_path / "log", PATIENCE)["ended"] == "2"
    assert bench.plan.run(["-c", "print(1)"], tmp_path / "log", PATIENCE)["ended"] == "well"
    assert (tmp_path / "log").read_text() == "1\n"


def is_running(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_plan_ends_with_a_sentence_where_it_cannot_begin(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    arguments = ["--pack", str(tmp_path), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="there is no GPU here; --device cpu rehearses"):
        bench.plan.main(arguments)
    with pytest.raises(SystemExit, match=r"is no pack: benchmarks/gpu_pack\.py makes one"):
        bench.plan.main([*arguments, "--device", "cpu"])
    assert not (tmp_path / "out").exists()


def test_a_step_that_fails_is_noted_and_the_next_one_runs(bench, home, tmp_path, monkeypatch):
    pack = packed(bench, home, tmp_path)
    steps = {
        "attention": (["-c", "raise SystemExit('no such device')"], ["gpu_attention.csv"]),
        "where": (["-c", "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('a,b')"], ["where.csv"]),
    }

    def measurements(device, out):
        command, files = steps["where"]
        return steps | {"where": ([*command, str(out / "where.csv")], files)}

    monkeypatch.setattr(bench.plan, "measurements", measurements)
    out = tmp_path / "out"
    arguments = ["--pack", str(pack), "--out", str(out), "--device", "cpu", "--recipe", home[1]]
    bench.plan.main([*arguments, "--minutes", str(PATIENCE / 60), "--only", "attention", "where"])
    report = json.loads((out / "report.json").read_text())
    assert report["rehearsal"]
    assert report["steps"]["attention"]["ended"] == "1"
    assert report["steps"]["where"]["ended"] == "well"
    assert report["steps"]["where"]["files"] == "where.csv"
    with zipfile.ZipFile(out / "measurements.zip") as archive:
        assert archive.read("measured/where.csv") == b"a,b"
        assert b"no such device" in archive.read("logs/attention.log")


def test_the_learning_rate_of_a_batch_is_the_best_that_was_measured(bench):
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
    assert bench.rates.learning_rate_factor(16, True, rows) == 2
    assert bench.rates.learning_rate_factor(16, False, rows) == 1
    with pytest.raises(ValueError, match="no learning rate was measured for batches of 64"):
        bench.rates.learning_rate_factor(64, True, rows)
    assert all(math.isfinite(bench.rates.learning_rate_factor(bench.trainings.BATCH, fresh)) for fresh in (True, False))


def test_tables_say_what_was_measured(bench, tmp_path):
    assert bench.merge.tables(tmp_path) == "Nothing has been measured yet."
    rows = [
        dict(
            device="GPU X", num_filters=192, batch=1, task="forward", kind="fused bf16", seconds=0.0021, memory_mb=140.4
        )
        | dict(times_as_fast=12.345)
    ]
    bench.merge.write_table(rows, tmp_path / "gpu_attention.csv")
    rate = dict(model="bls17", num_filters=64, batch=16, precision="bf16", compile=False, device="GPU X")
    rate |= dict(images_per_second=1234.5, step_ms=13.2, state_mb=9.0)
    bench.merge.write_table([rate], tmp_path / "gpu_throughput.csv")
    text = bench.merge.tables(tmp_path)
    assert "192 filters, batches of 1, GPU X" in text
    assert "| fused bf16 | forward | 0.00210 | 140 | 12.35 |" in text
    assert "| bls17 | 64 | 16 | bf16 | False | 1234 | 13 |  |" in text


def test_the_table_is_that_of_the_results(bench):
    page = bench.merge.marked(BENCHMARKS / "README.md", bench.merge.BEGIN, bench.merge.END)
    found = page.search((BENCHMARKS / "README.md").read_text(encoding="utf-8"))[0]
    assert found == f"{bench.merge.BEGIN}\n{bench.merge.tables(BENCHMARKS / 'results')}\n{bench.merge.END}"


def test_the_project_fits_beside_its_pack(bench):
    """What travels must stay below 60 MiB: images and wheels take 40 of them."""
    if not (BENCHMARKS.parent / ".git").exists():
        pytest.skip("no git checkout")
    assert bench.pack.project_size() < 12 * bench.pack.MIB


def test_pieces_are_as_large_as_may_travel(bench, home, tmp_path, monkeypatch):
    pack = packed(bench, home, tmp_path)
    monkeypatch.setattr(bench.trainings, "PIECE", 50_000)
    out, facts = trained(bench, home, tmp_path, pack)
    pieces = sorted(out.glob("training.zip.*"))
    assert len(pieces) > 1
    assert all(piece.stat().st_size <= 50_000 for piece in pieces)
    content = bench.merge.joined(out)
    assert zipfile.ZipFile(content).testzip() is None
    assert facts["left_behind"] == []
    write_whole(pieces[0], b"")
    with pytest.raises(ndic.NDICError, match="missing or damaged"):
        bench.merge.joined(out)


def test_each_script_explains_itself(bench, capsys):
    for script in (bench.pack, bench.plan, bench.merge):
        with pytest.raises(SystemExit) as end:
            script.main(["--help"])
        assert end.value.code == 0
        assert f"python benchmarks/{script.__name__}.py" in capsys.readouterr().out


def test_what_came_and_is_worse_does_not_replace_the_best_weights(bench, home, tmp_path):
    """The training goes on from what came, its best weights remain; without weights of its own, nothing is taken."""
    pack = packed(bench, home, tmp_path)
    out, _ = trained(bench, home, tmp_path, pack)
    folder = tmp_path / "in"
    folder.mkdir()
    stage = stages(home, tmp_path)[FIRST]
    files = Outputs(stage.config)
    bench.merge.unpack(bench.merge.joined(out), bench.merge.file_names(stage), folder)
    whole = folder / files.state.name
    complete = whole.read_bytes()
    bench.train.main([*home, "--out", str(tmp_path / "outputs"), "--only", FIRST])

    def pretend(images: int, best: float) -> Path:
        """What is here has seen so few images, at so low a cost."""

        def change(progress):
            progress.images, progress.best = images, best

        bench.merge.move_state(files.state, files.state, stage.config, change=change)
        return files.weights

    before = pretend(1, 0.001).read_bytes()
    whole.write_bytes(complete)
    assert "the 0.0010 here are kept" in bench.merge.take_in(stage, folder)
    assert read_progress(files.state).images == 1
    bench.merge.move_state(tmp_path / "there" / "weight" / whole.name, whole, stage.config)  # with its model
    assert "1 → 33 images" in bench.merge.take_in(stage, folder)
    assert files.weights.read_bytes() == before
    assert read_progress(files.state).best == 0.001
    pretend(1, 1000.0)
    assert "1 → 33 images" in bench.merge.take_in(stage, folder)
    assert files.weights.read_bytes() != before


def test_the_street_is_the_same_from_processes(tmp_path, monkeypatch):
    small = dict(resize=[32, 64], street_pairs=[6, 1, 1], distortion_loss="MSE")
    config = ndic.load_config(
        "config", model="parallax_attention", dataset_name="Street", matching_loss_weight=1.0, **small
    )
    script = [sys.executable, "-W", "ignore", BENCHMARKS / "gpu_trainings.py", config.model_dump_json(by_alias=True)]
    cache = {"NDIC_CACHE": str(tmp_path / "processes")}
    done = subprocess.run(script, env=os.environ | cache, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("NDIC_CACHE", str(tmp_path / "threads"))
    for split in ("train", "val"):
        load_split(config, split, progress=False)
    made = [
        {file.name: file.read_bytes() for file in (tmp_path / how).glob("*.npy")} for how in ("processes", "threads")
    ]
    assert len(made[0]) == 3  # images of both splits, and the disparity of one
    assert made[0] == made[1]
