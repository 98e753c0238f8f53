"""A run is recognised by its data: other pairs are refused under the same name, the same ones are found anywhere."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import quiet, same_weights, stopping_after, teaching
from PIL import Image, ImageOps

import ndic_core as ndic
from ndic_core.data.datasets import load_split
from ndic_core.data.mixed import MixedPairs
from ndic_core.data.pairs import Pairs
from ndic_core.evaluation.tables import read_table
from ndic_core.run import assess, run
from ndic_core.training import train as training
from ndic_core.training.fingerprint import Fingerprint
from ndic_core.training.output_paths import Outputs


@pytest.fixture(scope="module")
def trained(own_folder, tmp_path_factory) -> Path:
    """Outputs of one epoch on `own_folder`."""
    out = tmp_path_factory.mktemp("trained")
    quiet(teaching(own_folder, out, epochs=1))
    return out


@pytest.fixture
def elsewhere(own_folder, tmp_path) -> Path:
    """A copy of `own_folder`."""
    return shutil.copytree(own_folder, tmp_path / "elsewhere")


def everything(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def darken(folder: Path, name: str, side: str = "left") -> None:
    file = folder / side / name
    with Image.open(file) as image:
        darker = image.point(lambda value: value // 2)
    darker.save(file)


def rename(folder: Path, before: str, after: str) -> None:
    for side in ("left", "right"):
        (folder / side / before).rename(folder / side / after)


def remove(folder: Path, *names: str) -> None:
    for side in ("left", "right"):
        for name in names:
            (folder / side / name).unlink()


def add(folder: Path, *names: str) -> None:
    for side in ("left", "right"):
        for i, name in enumerate(names):
            with Image.open(folder / side / f"{i:02d}.png") as image:  # mirrored: no pair is in two splits
                ImageOps.mirror(image).save(folder / side / name)


CHANGES = {  # what was done to a copy of the data, and what is reported: 20 pairs are 16, 2 and 2
    "changed": (
        lambda f: darken(f, "07.png"),
        r"train: 16 pairs of \S+ then, 16 of \S+ now, .*: left/07.png with .* has",
    ),
    "y": (lambda f: darken(f, "00.png", "right"), r"first difference: left/00.png with right/00.png has changed"),
    "validation": (lambda f: darken(f, "17.png"), r"\(val: 2 pairs of .* left/17.png with right/17.png has changed"),
    "grown": (
        lambda f: add(f, *(f"{i}.png" for i in range(90, 100))),
        r"16 pairs of .*, 24 of .* left/16.png .* is new",
    ),
    "first": (lambda f: add(f, "000.png"), r"train: 16 pairs of .*, 16 of .* left/000.png with right/000.png is new"),
    "shrunk": (lambda f: remove(f, "03.png", "04.png"), r"16 pairs of .*, 14 of .* left/03.png with .* is missing"),
    "order": (lambda f: rename(f, "00.png", "15x.png"), r"first difference: left/00.png with right/00.png is missing"),
    "other": (lambda f: [darken(f, f"{i:02d}.png") for i in range(20)], r"val: 2 pairs .* left/16.png .* has changed"),
}


@pytest.mark.parametrize(("change", "sentence"), CHANGES.values(), ids=CHANGES)
def test_other_data_of_the_same_name_is_refused(change, sentence, trained, elsewhere, tmp_path):
    change(elsewhere)
    out = shutil.copytree(trained, tmp_path / "out")
    before = everything(out)
    with pytest.raises(ndic.NDICError, match=sentence) as error:
        quiet(teaching(elsewhere, out, epochs=2))
    assert "\n" not in str(error.value)
    assert everything(out).items() >= before.items()


def test_the_remedies_for_other_data(trained, elsewhere, tmp_path):
    """Another name, or to delete what is named: the weights too, which a new training would overwrite."""
    darken(elsewhere, "07.png")
    out = shutil.copytree(trained, tmp_path / "out")
    before = everything(out)
    config = teaching(elsewhere, out, epochs=1)
    weights, state = Outputs(config).weights, Outputs(config).state
    with pytest.raises(ndic.NDICError, match=f"choose another experiment_name, or delete {weights} and {state} to"):
        quiet(config)
    quiet(config.model_copy(update={"experiment_name": "other"}))
    assert everything(out).items() > before.items()
    state.unlink()
    with pytest.raises(ndic.NDICError, match=f"choose another experiment_name, or delete {weights} to train anew"):
        quiet(config)
    weights.unlink()
    assert [row["epoch"] for row in quiet(config).history] == [1]


@pytest.mark.parametrize("resume", [True, False])
def test_weights_without_their_state_are_kept(resume, trained, own_folder, tmp_path):
    out = shutil.copytree(trained, tmp_path / "out")
    config = teaching(own_folder, out, epochs=1, resume=resume)
    Outputs(config).state.unlink()
    before = everything(out)
    with pytest.raises(ndic.NDICError, match=r"whose state .*\.state\.pt is missing, so that it cannot be resumed"):
        quiet(config)
    assert everything(out).items() >= before.items()


@pytest.mark.parametrize("kind", ["moved", "two folders", "renamed"])
def test_the_same_data_elsewhere_resumes_bit_for_bit(kind, own_folder, elsewhere, tmp_path, monkeypatch):
    whole = quiet(teaching(own_folder, tmp_path / "whole", epochs=2))
    monkeypatch.setattr(training, "CHECK_EVERY", 0)
    stopping_after(2, monkeypatch)
    assert quiet(teaching(own_folder, tmp_path / "parts", epochs=2)).stopped == "interrupted"
    monkeypatch.undo()
    path = elsewhere
    if kind == "two folders":
        (elsewhere / "left").rename(elsewhere / "first")
        path = [str(elsewhere / "first"), str(elsewhere / "right")]
    elif kind == "renamed":
        rename(elsewhere, "00.png", "0.png")  # still the first
    config = teaching(
        own_folder, tmp_path / "parts", epochs=2, dataset_path=path if kind == "two folders" else str(path)
    )
    again = quiet(config)
    assert again.history == whole.history
    assert same_weights(again.model, whole.model)
    stored = Fingerprint.read(Outputs(config).data)
    assert stored.path == (" and ".join(path) if kind == "two folders" else str(path))
    assert {split: len(pairs) for split, pairs in stored.pairs.items()} == {"train": 16, "val": 2}


def test_the_state_alone_knows_its_data(trained, elsewhere, own_folder, tmp_path):
    out = shutil.copytree(trained, tmp_path / "out")
    darken(elsewhere, "07.png")
    config = teaching(elsewhere, out, epochs=2)
    outputs = Outputs(config)
    for content in (b"junk", b'{"pairs": 3}', None):
        outputs.data.write_bytes(content) if content else outputs.data.unlink()
        with pytest.raises(ndic.NDICError, match=r"was trained on other data: choose another"):
            quiet(config)
    state = torch.load(outputs.state, weights_only=True)
    same = teaching(own_folder, out, epochs=2)
    torch.save({key: value for key, value in state.items() if key != "data"}, outputs.state)  # an earlier version's
    with pytest.raises(ndic.NDICError, match=r"unknown data \(\S+data\.json is missing or damaged\): choose another"):
        quiet(same)
    torch.save(state | {"data": None}, outputs.state)  # as `move_state` writes it
    assert len(quiet(config).history) == 2
    with pytest.raises(ndic.NDICError, match=r"left/07.png with right/07.png has changed"):
        quiet(same)


def test_leftover_settings_without_weights_refuse_nothing(own_folder, tmp_path):
    config = teaching(own_folder, tmp_path, epochs=1)
    outputs = Outputs(config)
    outputs.weights.parent.mkdir()
    outputs.write_settings(outputs.settings)
    Fingerprint("elsewhere", {"train": [("a", "b")], "val": []}).write(outputs.data)
    assert quiet(teaching(own_folder, tmp_path, epochs=1, seed=3)).stopped == "epochs"


def test_a_resumed_training_reports_that_it_ignores_weight_path(trained, own_folder, tmp_path):
    out, lines = shutil.copytree(trained, tmp_path / "out"), []
    start = dict(load_weight=True, weight_path="elsewhere.pt")
    training.train(teaching(own_folder, out, epochs=1, **start), progress=False, report=lines.append)
    assert lines[-1].endswith("going on after epoch 1, with its own weights in place of weight_path")


@pytest.fixture
def tested(tmp_path) -> Path:
    """Three test pairs, and `weights.safetensors`."""
    rng = np.random.default_rng(0)
    for side in ("left", "right"):
        (tmp_path / "data" / "test" / side).mkdir(parents=True)
        for i in range(3):
            pixels = Image.fromarray(rng.integers(0, 256, (4, 8, 3), dtype=np.uint8))
            pixels.resize((64, 32)).save(tmp_path / "data" / "test" / side / f"{i}.png")
    ndic.save_checkpoint(ndic.build_model("bls17", num_filters=4, lmbda=0.01), tmp_path / "weights.safetensors")
    return tmp_path


def to_test(folder: Path, data: str = "data", **changes):
    given = dict(train=False, load_weight=True, weight_path=str(folder / "weights.safetensors"), lmbda=0.01)
    return teaching(folder / data, folder / "out", **given | dict(model="bls17", num_filters=4) | changes)


def test_results_of_other_data_are_not_overwritten(tested):
    config = to_test(tested, save_image=False)
    assess(config, report=lambda line: None)
    shutil.copytree(tested / "data", tested / "moved")
    assess(to_test(tested, "moved", save_image=False), report=lambda line: None)  # the same data
    before = everything(tested / "out")
    remove(tested / "moved" / "test", "1.png")
    other = to_test(tested, "moved", save_image=False)
    sentence = r"test: 3 pairs then, 2 now, first difference: left/1.png with right/1.png is missing\): to keep them"
    with pytest.raises(ndic.NDICError, match=sentence):
        assess(other)
    assert everything(tested / "out") == before
    assess(other.model_copy(update={"experiment_name": "other"}), report=lambda line: None)
    assert everything(tested / "out").items() > before.items()


def test_a_test_replaces_all_of_an_earlier_one_and_nothing_else(tested, monkeypatch):
    monkeypatch.setattr("ndic_core.run.FIGURES", 1)
    config = to_test(tested)
    outputs = Outputs(config)
    assess(config, report=lambda line: None)
    assert len(list(outputs.images.iterdir())) == 4
    monkeypatch.setattr("ndic_core.run.FIGURES", 0)
    for name in ("0003.png", "0001_mine.png", "notes.txt"):
        (outputs.images / name).touch()
    before = everything(tested / "out")
    for function, fails in (  # interrupted after the second image, or the disk is full at the end
        ("write_image", lambda image, path: path.name != "0001.png" or 1 / 0),
        ("write_published_table", lambda rows, path: 1 / 0),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"ndic_core.run.{function}", fails)
            with pytest.raises(ZeroDivisionError):
                assess(config, report=lambda line: None)
        assert everything(tested / "out") == before
    assert not [file for file in outputs.table.parent.iterdir() if file.name.startswith(".")]
    outputs.table.unlink()
    remove(tested / "data" / "test", "1.png")
    assess(config, report=lambda line: None)
    shown = ["0000.png", "0001.png", "0001_mine.png", "0003.png", "notes.txt"]
    assert sorted(file.name for file in outputs.images.iterdir()) == shown
    assert len(read_table(outputs.table)) == 2
    assess(to_test(tested, save_image=False), report=lambda line: None)
    assert sorted(file.name for file in outputs.images.iterdir()) == shown[2:]


def test_weights_are_recognised_by_their_content(tested):
    config = to_test(tested, save_image=False)
    assess(config, report=lambda line: None)
    shutil.copyfile(tested / "weights.safetensors", tested / "copy.safetensors")
    assess(to_test(tested, save_image=False, weight_path=tested / "copy.safetensors"), report=lambda line: None)
    before = everything(tested / "out")
    ndic.save_checkpoint(ndic.build_model("bls17", num_filters=4, lmbda=0.01), tested / "copy.safetensors")
    with pytest.raises(ndic.NDICError, match=r"results of other weights \(\S+copy\.safetensors has changed\)"):
        assess(to_test(tested, weight_path=tested / "copy.safetensors"))
    assert everything(tested / "out") == before


def test_images_of_others_stay(tested):
    (tested / "out" / "results" / "mine").mkdir(parents=True)
    (tested / "out" / "results" / "mine" / "0000.png").touch()
    with pytest.raises(ndic.NDICError, match=r"images that no test of this name made: move 0000\.png elsewhere"):
        assess(to_test(tested, experiment_name="mine"))


def test_the_model_to_test_is_the_configured_one(tested):
    with pytest.raises(ndic.NDICError, match="the model to test is bmshj18, the configuration says bls17"):
        assess(to_test(tested), ndic.build_model("bmshj18", num_filters=4))


def test_trained_weights_are_tested_on_other_data_under_another_name(trained, elsewhere, tmp_path):
    """The refusal's remedy can be copied."""
    out = shutil.copytree(trained, tmp_path / "out")
    config = teaching(elsewhere, out, train=False, save_image=False)
    weights = Outputs(config).weights
    assess(config.model_copy(update=dict(load_weight=True, weight_path=str(weights))), report=lambda line: None)
    assess(config, report=lambda line: None)  # the same weights
    darken(elsewhere, "19.png")
    remedy = f"choose another experiment_name with load_weight: True and weight_path: '{weights}', or delete"
    with pytest.raises(ndic.NDICError, match=r"19.png with right/19.png has changed") as error:
        assess(config)
    assert remedy in str(error.value)
    changes = dict(experiment_name="other", load_weight=True, weight_path=str(weights))
    assert len(assess(config.model_copy(update=changes), report=lambda line: None)) == 6


def test_results_of_other_weights_or_data_are_refused_before_a_long_training(tested, own_folder, monkeypatch):
    assess(to_test(tested, save_image=False), report=lambda line: None)
    before = everything(tested / "out")
    ndic.save_checkpoint(ndic.build_model("bls17", num_filters=4, lmbda=0.01), tested / "others.safetensors")
    with pytest.raises(
        ndic.NDICError, match=r"other weights \(\S+weights\.safetensors then, \S+others\.safetensors now"
    ):
        assess(to_test(tested, weight_path=str(tested / "others.safetensors")))
    monkeypatch.setattr("ndic_core.run.train", lambda *a, **k: pytest.fail("trained first"))
    with pytest.raises(ndic.NDICError, match=r"other weights \(\S+/weights\.safetensors then, \S+/weight/\S+ now"):
        run(to_test(tested, train=True))
    assert everything(tested / "out") == before
    model = ndic.build_model("bls17", num_filters=4)
    assess(to_test(tested, load_weight=False, experiment_name="b", save_image=False), model, lambda line: None)
    with pytest.raises(ndic.NDICError, match="has results of other data"):
        run(to_test(tested, train=True, dataset_path=str(own_folder), experiment_name="b"))


def test_every_data_set_has_a_fingerprint(own_folder, tmp_path):
    def street(**parameters):
        changes = dict(dataset_name="Street", street_pairs=[2, 1, 1], street=parameters)
        return load_split(teaching(own_folder, tmp_path, **changes), "train", progress=False)

    assert street().contents == street().contents
    assert not {*street().digests} & {*street(baseline=0.7).digests}
    images = np.zeros((2, 48, 160, 3), np.uint8)
    sets = [Pairs(images, np.array([[0, 1]]), [name], digests=[f"of {name}"]) for name in ("real", "street", "native")]
    mixed = MixedPairs(*sets[:2], (32, 64), seed=0, native=sets[2], window_fraction=0.5)
    assert sorted(mixed.contents) == [(name, f"of {name}") for name in ("native", "real", "street")]
    assert sets[0].first(1).contents == sets[0].contents


@pytest.mark.parametrize(("few", "load_weight", "said"), [(5, False, True), (5, True, False), (4, False, False)])
def test_few_steps_from_fresh_weights_are_reported(few, load_weight, said, own_folder, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("ndic_core.run.FEW_STEPS", few)
    weights = Outputs(teaching(own_folder, trained)).weights
    start = dict(load_weight=load_weight, weight_path=str(weights))
    lines = []
    run(teaching(own_folder, tmp_path, epochs=1, test=False, **start), report=lines.append)
    assert lines[1].startswith("trained to epoch 1")
    assert len(lines) == 2 + said
    if said:
        assert lines[2].startswith(
            "4 steps are few for fresh weights, images are poor at first: train longer (epochs, "
        )
