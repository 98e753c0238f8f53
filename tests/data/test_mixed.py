"""The data set Mixed: real pairs, windows and the street's pairs with random crops and colours in every epoch."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Answers, quiet, same_weights, teaching
from lightning_fabric import Fabric
from PIL import Image
from torchvision.transforms.v2 import functional as transforms

import ndic_core as ndic
from ndic_core.compare import draw_curves
from ndic_core.data.datasets import load_split
from ndic_core.data.pairs import Pairs
from ndic_core.data.real_pairs import held_out
from ndic_core.training.loader import PairLoader
from ndic_core.training.recipe import load_recipe

SIZE = (32, 64)
NATIVE = (80, 260)  # of the images at the camera's resolution


def write_pairs(root: Path, count: int, size: tuple[int, int], shift: int, step: float, extra_row: bool) -> Path:
    """Pairs whose red encodes the column, green the row and blue the number; y is shifted to the left. With
    `extra_row`, every other pair has one row more."""
    rows, columns = np.arange(size[0] + extra_row), np.arange(size[1] + shift)
    image = np.zeros((len(rows), len(columns), 3), np.uint8)
    image[..., 0], image[..., 1] = columns * step, 3 * rows[:, None]
    for side, left in (("image_2", 0), ("image_3", shift)):
        (root / side).mkdir()
        for i in range(count):
            view = image[: size[0] + (extra_row and i % 2), left : left + size[1]].copy()
            view[..., 2] = i
            Image.fromarray(view).save(root / side / f"{i:03d}.png")
    return root


@pytest.fixture(scope="session")
def real_folder(tmp_path_factory) -> Path:
    """34 pairs with KITTI's aspect."""
    return write_pairs(tmp_path_factory.mktemp("real"), 34, (48, 160), shift=6, step=1, extra_row=False)


@pytest.fixture(scope="session")
def native_folder(tmp_path_factory) -> Path:
    """Ten of the pairs, of which four are not held out, twice as large."""
    return write_pairs(tmp_path_factory.mktemp("native"), 10, NATIVE, shift=20, step=0.9, extra_row=True)


def windowed(real_folder, native_folder, tmp_path, **changes):
    """As `mixed`, half of it windows: 8 whole views, 8 windows of 8 native pairs, and 5 of the street."""
    return mixed(real_folder, tmp_path, **{"native_path": str(native_folder), "window_fraction": 0.5, **changes})


def mixed(real_folder, tmp_path, **changes):
    """A configuration with 4 pairs to train on and 30 to validate on, in both orders: 8 + 3 pairs in an epoch."""
    data = dict(dataset_name="Mixed", dataset_path=str(real_folder), resize=list(SIZE), street_pairs=[5, 1, 1])
    return teaching(real_folder, tmp_path, **{**data, "test": False, **changes})


def loaded(config, split="train"):
    return load_split(config, split, progress=False)


def test_an_epoch_has_every_real_pair_in_both_orders_and_its_share_of_the_street(real_folder, tmp_path):
    pairs = loaded(mixed(real_folder, tmp_path))
    assert (len(pairs.real), len(pairs)) == (8, 11)
    sides = ("image_2", "image_3"), ("image_3", "image_2")
    assert set(pairs.real.names) == {f"{a}/{i:03d}.png with {b}/{i:03d}.png" for a, b in sides for i in range(4)}
    seen = [pairs.in_epoch(epoch)._crop(i)[1] for epoch in range(5) for i in range(8, 11)]
    assert seen == [0, 1, 2, 3, 4] * 3  # every scene of the street in turn
    assert pairs.epoch == 0


def test_validation_is_the_pairs_held_out_whole_and_unchanged(real_folder, tmp_path):
    pairs = loaded(mixed(real_folder, tmp_path), "val")
    assert isinstance(pairs, Pairs)
    assert (len(pairs), pairs.size) == (60, SIZE)
    assert {round(255 * x[2].mean().item()) for x in pairs.batch(range(60))[0]} == set(range(4, 34))


def test_held_out_are_the_last_of_kitti_2015_where_origins_are_known(tmp_path):
    write_pairs(tmp_path, 6, (1, 1), shift=0, step=0, extra_row=False)
    assert held_out(tmp_path, 2) == {"004", "005"}
    rows = [f"{i:03d}\t{'kitti2015/000007' if i < 4 else 'kitti_road/1'}\t" for i in range(6)]
    (tmp_path / "index.tsv").write_text("\n".join(["id\tset\tpath", *rows]))
    assert held_out(tmp_path, 2) == {"002", "003"}
    with pytest.raises(ndic.NDICError, match=r"6 pairs, 4 of them from KITTI 2015 by index.tsv; 6 are held out"):
        held_out(tmp_path, 6)


def test_excluded_pairs_are_not_trained_on(real_folder, tmp_path):
    config = mixed(real_folder, tmp_path, exclude=["001", "030"])
    pairs = loaded(config)
    assert {name[8:11] for name in pairs.real.names} == {"000", "002", "003"}
    assert len(loaded(config, "val")) == 60
    with pytest.raises(ndic.NDICError, match=r"exclude: .* has no pairs 1\.png, 77; name them without"):
        loaded(mixed(real_folder, tmp_path, exclude=["77", "1.png"]))


def test_the_recipe_excludes_the_pairs_of_the_results(shared):
    """Frames of one drive are in both folders, and two pairs to validate on are there a second time."""
    lines = (shared / "data" / "kitti_train" / "index.tsv").read_text(encoding="utf-8").splitlines()
    drive = [name for name, origin, *_ in (line.split("\t") for line in lines) if origin.startswith("kitti_odom")]
    for stage in load_recipe("pretrain").values():
        assert set(stage.config.exclude) == {*drive, "224", "242"}


def test_there_is_no_test_split_and_no_curve_of_random_crops(real_folder, tmp_path):
    with pytest.raises(ndic.NDICError, match="split train of dataset_name: Mixed changes with every epoch: use val"):
        draw_curves(mixed(real_folder, tmp_path), tmp_path / "c.csv", [], [("bls17", "MSE")], split="train")
    with pytest.raises(ndic.NDICError, match="to train on and has no pairs to test on"):
        loaded(mixed(real_folder, tmp_path), "test")


def test_a_batch_equals_torchvision_applied_to_each_pair(real_folder, tmp_path):
    """Same crop and colours in x and y, but for brightness. The draws depend on seed, epoch and number only."""
    pairs = loaded(mixed(real_folder, tmp_path)).in_epoch(3)
    pairs.real.images = np.random.default_rng(0).integers(0, 256, pairs.real.images.shape, dtype=np.uint8)
    numbers = [5, 9, 0, 3]
    x, y = pairs.batch(numbers)
    for place, i in enumerate(numbers):
        rng = np.random.default_rng([pairs.seed, 3, i + 1])
        if i < 8:
            views, (height, width) = pairs.real.pixels([i])[0].permute(0, 3, 1, 2), pairs.real.size
            h = round(height * rng.uniform(0.78, 1))
            w = min(width, round(h * SIZE[1] / SIZE[0]))
            top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
            views = transforms.resized_crop(views, top, left, h, w, SIZE, antialias=True) / 255
        else:
            views = torch.stack(pairs.street[pairs._crop(i)[1]])
            rng.uniform()  # whether it is a window
        brightness, contrast, saturation = rng.uniform(0.8, 1.2, 3)
        views = transforms.adjust_brightness(views, brightness)
        pivot = transforms.rgb_to_grayscale(views).mean()  # of both images: a surface keeps one colour
        views = (contrast * views + (1 - contrast) * pivot).clamp(0, 1)
        views = transforms.adjust_saturation(views, saturation)
        views[1] = transforms.adjust_brightness(views[1], rng.uniform(0.95, 1.05))
        assert torch.allclose(torch.stack([x[place], y[place]]), views, atol=1e-5)


def test_the_streets_share_may_be_chosen(real_folder, tmp_path):
    sets = [loaded(mixed(real_folder, tmp_path, synthetic_fraction=share)) for share in (0, 0.25, 0.5)]
    assert list(map(len, sets)) == [8, 11, 16]
    assert sets[0].batch([0, 7])[0].shape == (2, 3, *SIZE)


def test_only_the_streets_pairs_have_a_disparity(real_folder, tmp_path):
    config = mixed(real_folder, tmp_path, model="parallax_attention", matching_loss_weight=1.0)
    fabric = Fabric(accelerator="cpu", devices=1)
    loader = PairLoader(loaded(config), fabric, config.train_batch_size, epochs=3, matching_loss_weight=1.0)
    batches = list(loader.epoch(0))
    assert all((batch.disparity is None) == (batch.known is None) for batch in batches)
    assert sum(len(batch.known) for batch in batches if batch.known is not None) == 3
    plain = loaded(config.model_copy(update={"matching_loss_weight": 0}))
    assert plain.with_ground_truth(range(11)) == []


def test_an_interrupted_training_continues_identically(real_folder, tmp_path):
    changes = dict(model="parallax_attention", matching_loss_weight=1.0, alpha=0, beta=0, epochs=2)
    whole, config = (mixed(real_folder, tmp_path / name, distortion_loss="MSE", **changes) for name in "ab")
    assert quiet(config.model_copy(update={"max_minutes": 1e-6})).stopped == "max_minutes"
    assert same_weights(quiet(whole).model, quiet(config).model)


def test_half_of_an_epoch_may_be_windows(real_folder, native_folder, tmp_path):
    pairs = loaded(windowed(real_folder, native_folder, tmp_path))
    assert (len(pairs.real), pairs.first_street, len(pairs)) == (8, 16, 21)
    assert pairs.native.size == NATIVE  # the smallest of all: some have a row more
    assert pairs.street.size == (64, 128)
    numbers = [pairs.in_epoch(epoch)._crop(i)[1] for epoch in range(2) for i in range(8, 16)]
    assert numbers == [*range(8)] * 2  # every native pair in turn
    boxes = [pairs.in_epoch(epoch)._crop(i)[2] for epoch in range(40) for i in range(16, 21)]
    assert all(width == 2 * height and 32 <= height <= 64 for _, _, height, width in boxes)
    assert all(0 <= top <= 64 - height and 0 <= left <= 128 - width for top, left, height, width in boxes)
    assert 70 < boxes.count((0, 0, 64, 128)) < 130  # of 200


def test_windows_have_every_scale_from_the_cameras_own_to_the_whole_view(real_folder, native_folder, tmp_path):
    pairs = loaded(windowed(real_folder, native_folder, tmp_path))
    heights = []
    for epoch in range(30):
        of_epoch = pairs.in_epoch(epoch)
        x, y = of_epoch.batch(range(8, 16))
        assert x.shape == y.shape == (8, 3, *SIZE)
        for place, i in enumerate(range(8, 16)):
            _, number, (_, _, height, width) = of_epoch._crop(i)
            heights.append(height)
            assert (y[place] - x[place])[0].mean().sign() == (1 if number % 2 == 0 else -1)  # the second is swapped
            assert width == min(NATIVE[1], 2 * height)
    assert min(heights) == 32
    assert max(heights) > 76
    assert 0.35 < np.mean(np.array(heights) < (32 * 80) ** 0.5) < 0.65  # log-uniform


def test_windows_are_validated_apart(real_folder, native_folder, tmp_path):
    """Six native pairs are held out, in both orders; the same windows every time, of the camera's resolution."""
    changes = dict(model="bls17", epochs=1, lmbda=[0.001, 0.01], alpha=0, beta=0)
    config = windowed(real_folder, native_folder, tmp_path, **changes)
    pairs = loaded(config, "val")
    assert pairs.parts == {"whole": range(60), "window": range(60, 72)}
    assert len(pairs) == 72
    x, y = pairs.batch(range(60, 72))
    for i in range(12):
        steps = 255 * (x[i, 0, 0, 1:] - x[i, 0, 0, :-1])
        assert steps.mean().item() == pytest.approx(0.9, abs=0.02)  # a column of the file is a column here
        assert 255 * (y[i, 0] - x[i, 0]).mean().item() == pytest.approx(18 if i % 2 == 0 else -18, abs=1)
    assert torch.equal(x, loaded(config, "val").batch(range(60, 72))[0])
    row = quiet(config).history[-1]
    assert row["cost_low"] < row["cost_middle"] < row["cost_high"]
    assert row["val_loss"] == pytest.approx((row["cost_low"] * row["cost_middle"] * row["cost_high"]) ** (1 / 3))
    assert min(row["cost_whole"], row["cost_window"]) < row["val_loss"] < max(row["cost_whole"], row["cost_window"])


def test_the_disparity_is_cropped_with_the_images(real_folder, native_folder, tmp_path):
    changes = dict(model="parallax_attention", matching_loss_weight=1.0, street=dict(noise=0.0, exposure=0.0))
    pairs = loaded(windowed(real_folder, native_folder, tmp_path, **changes))
    better, larger = [], []
    for epoch in range(6):
        of_epoch = pairs.in_epoch(epoch)
        numbers = range(16, 21)
        assert of_epoch.with_ground_truth(range(21)) == list(numbers)
        (x, y), truth = of_epoch.batch(numbers), of_epoch.ground_truth(numbers)
        for place, i in enumerate(numbers):
            columns = torch.arange(64) - truth[place]
            near = truth[place].isfinite()
            assert ((columns >= 0) & (columns <= 63))[near].all()  # the match of all others is outside y
            found = y[place].gather(-1, columns.where(near, 0).round().long().expand(3, -1, -1))
            errors = [(view - x[place]).abs().mean(0)[near].mean() for view in (found, y[place])]
            better.append(errors[0] < errors[1])
            _, number, (top, left, height, width) = of_epoch._crop(i)
            seen = pairs.street.ground_truth([number])[0][top : top + height, left : left + width]
            larger.append((truth[place].nanmedian() * width / 64 - seen.nanmedian()).abs().item())
    assert sum(better) >= 28  # of 30
    assert np.median(larger) < 0.5


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (dict(native_path="somewhere"), "window_fraction and native_path: they are for dataset_name: Mixed, both or"),
        (dict(window_fraction=1), "window_fraction: got 1; accepted is a number from 0 to below 1"),
        (dict(synthetic_fraction=1), "synthetic_fraction: got 1; accepted is a number from 0 to below 1"),
        (dict(test=True), "test: dataset_name: Mixed has no pairs to test on; set test: False"),
    ],
)
def test_wrong_keys_are_refused(changes, sentence, real_folder, tmp_path):
    with pytest.raises(ndic.NDICError, match=sentence):
        mixed(real_folder, tmp_path, **changes)


def test_native_pairs_that_do_not_fit_are_named(real_folder, native_folder, tmp_path):
    small = windowed(real_folder, native_folder, tmp_path, model="bls17", resize=[96, 192])
    with pytest.raises(ndic.NDICError, match=r"has images of 80 × 260, smaller than resize: \[96, 192\]"):
        loaded(small)
    damaged = tmp_path / "damaged"
    shutil.copytree(native_folder, damaged)
    (damaged / "image_3" / "002.png").write_bytes(b"no image")
    with pytest.raises(ndic.NDICError, match=r"damaged/image_3/002\.png is not an image"):
        loaded(windowed(real_folder, damaged, tmp_path))
    for side in ("image_2", "image_3"):
        (damaged / side / "abc.png").touch()
    with pytest.raises(ndic.NDICError, match=r"native_path: .* has no pairs abc; names must be the same in both"):
        loaded(windowed(real_folder, damaged, tmp_path))


def test_preloaded_crops_are_equal_up_to_rounding(real_folder, native_folder, tmp_path):
    """Of whole views, windows and the street in one pass, which does not wait for the device."""
    config = windowed(real_folder, native_folder, tmp_path)
    one_by_one = loaded(config).in_epoch(3)
    preloaded = loaded(config)
    preloaded.preload(torch.device("cpu"))
    assert preloaded._preloaded.max_crop == (80, 160)  # native images are wider
    chosen = [20, 0, 9, 3, 15, 18]
    with Answers() as asked:
        found = preloaded.in_epoch(3).batch(chosen)
    assert not asked.operations
    for a, b in zip(one_by_one.batch(chosen), found, strict=True):
        assert (a - b).abs().max() < 3 / 255  # two roundings and a contrast of up to 1.2
        assert (a - b).abs().mean() < 0.3 / 255
