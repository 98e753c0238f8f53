"""Configuration files: the published one verbatim, and an error for every wrong key or value."""

import re

import pytest

import ndic_core as ndic
from ndic_core.config import Config
from ndic_core.config_file import presets

MATCHING_LOSS = "model: parallax_attention\nmatching_loss_weight: 0.5\n"


def load(tmp_path, text: str):
    file = tmp_path / "experiment.yaml"
    file.write_text(text, encoding="utf-8")
    return ndic.load_config(file)


def test_every_key_is_documented():
    for name, field in Config.model_fields.items():
        assert field.description.endswith("."), name
        assert field.json_schema_extra["accepts"], name


def test_shipped_defaults_are_the_published_ones():
    """The file has every published key, with the default of the class."""
    config = ndic.load_config("config")
    assert config == Config()
    assert len(config.model_fields_set) == 22
    assert (config.model, config.lmbda, config.epochs, config.alpha, config.beta) == (
        "cross_attention",
        3e-5,
        50000,
        0,
        0,
    )


def test_published_yaml_verbatim(shared, tmp_path):
    """Every block of the published README, as it stands there."""
    readme = (shared / "seed" / "ndic_cam_readme.md").read_text(encoding="utf-8")
    blocks = [b for b in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL) if "..." not in b]
    keys = set()
    for block in blocks:
        block = block.replace("3e-05''", "3e-05'")  # a quote too many there
        config = load(tmp_path, block)
        keys |= config.model_fields_set
        if "inference" not in block and "weight_path: './p" not in block:
            assert config == Config()
    assert keys == published_keys()


def published_keys() -> set[str]:
    """The keys in the package's copy of the published defaults."""
    return ndic.load_config("config").model_fields_set


@pytest.mark.parametrize("name", ["config", "teaching", "parallax", "kitti_stereo", "kitti_general", "cityscape"])
def test_presets_build(name):
    config = ndic.load_config(name, num_filters=4)
    assert name in presets()
    assert ndic.build_model(**config.model_arguments()).name == config.model


@pytest.mark.parametrize("model", ndic.MODELS)
def test_every_model_can_be_configured(model):
    config = ndic.load_config("teaching", model=model, lmbda=0.01)
    built = ndic.build_model(**config.model_arguments())
    assert (built.name, built.lambdas) == (model, (0.01, 0.01))


def test_numbers_as_people_write_them(tmp_path):
    assert load(tmp_path, "lambda: 3e-05").lmbda == 3e-5
    assert load(tmp_path, "lr: 1E-4").lr == 1e-4
    assert load(tmp_path, "beta: 1").beta == 1.0
    assert load(tmp_path, "").epochs == 50000


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lamda: 3", "unknown key 'lamda': did you mean 'lambda'?"),
        ("lmbda: 3", "unknown key 'lmbda': did you mean 'lambda'?"),
        ("colour: red", "unknown key 'colour': the keys are num_filters, lambda"),
        ("3: red", "unknown key '3'"),
        ("lambda: '3'", "lambda: got '3'; accepted is a positive number"),
        ("lambda: 0", "lambda: got 0; accepted is a positive number"),
        ("lambda: .inf", "lambda: got inf; accepted is a positive number"),
        ("lambda: true", "lambda: got True; accepted is a positive number"),
        ("alpha: -1", "alpha: got -1; accepted is a number of at least 0"),
        ("train: yes", "train: got 'yes'; accepted is true or false"),
        ("train: 1", "train: got 1; accepted is true or false"),
        ("epochs: 1.5", "epochs: got 1.5; accepted is a whole number of at least 1"),
        ("epochs: true", "epochs: got True; accepted is a whole number"),
        ("model: resnet", "model: got 'resnet'; accepted is bls17, bmshj18_factorized"),
        (
            "dataset_name: KITTI",
            "dataset_name: got 'KITTI'; accepted is KITTI_Stereo, KITTI_General, Cityscape, Street, Mixed or Folder",
        ),
        ("distortion_loss: PSNR", "distortion_loss: got 'PSNR'; accepted is MS-SSIM or MSE"),
        ("dataset_path: null", "dataset_path: got None; accepted is a path in quotes"),
        ("resize: 128", "resize: got 128; accepted is two whole numbers, [height, width]"),
        ("resize: [128, 256, 3]", "resize: got [128, 256, 3]; accepted is two whole numbers"),
        ("resize: [128, 250]", "resize: got [128, 250]; cross_attention takes multiples of 32"),
        ("model: bmshj18\nresize: [96, 256]", "resize: got [96, 256]; bmshj18 takes multiples of 64"),
        ("heads: 0\ndropout: 1", "heads: got 0; accepted is a whole number of at least 1; dropout: got 1; accepted is"),
        ("search_rang: 3", "unknown key 'search_rang': did you mean 'search_range'?"),
        ("search_range: -1", "search_range: got -1; accepted is a whole number from 0 to 4096"),
        ("search_range: 8", "search_range: cross_attention has no such key, it is for model: parallax_attention"),
        ("lambda: [2, 1]", "lambda: got [2, 1]; accepted is a positive number, or for a variable-rate model"),
        ("matching_loss_weight: -1", "matching_loss_weight: got -1; accepted is a number of at least 0"),
        (
            "matching_loss_weight: 1",
            "matching_loss_weight: got 1.0; it needs model: parallax_attention and dataset_name: Street (or Mixed)",
        ),
        (
            MATCHING_LOSS + "dataset_name: KITTI_Stereo",
            "matching_loss_weight: got 0.5; it needs model: parallax_attention and dataset_name",
        ),
        (
            MATCHING_LOSS + "dataset_name: Street\nstreet: {time_offset: 0.1}",
            "matching_loss_weight: got 0.5; with street's time_offset the disparity is not the true match",
        ),
        (
            MATCHING_LOSS + "dataset_name: Street\nstreet: {vertical_misalignment: -1}",
            "matching_loss_weight: got 0.5; with street's vertical_misalignment the disparity",
        ),
        (
            MATCHING_LOSS + "dataset_name: Street\ncompile: true",
            "matching_loss_weight: got 0.5; it cannot be combined with compile: True",
        ),
        ("- train", "is no configuration: it must hold lines of the form key: value"),
        ("train: [", "is not valid YAML in line 1"),
        ("train: true\ntrain: false", "is not valid YAML in line 2: found duplicate key"),
        ("lr: 2001-99-99", "is not valid YAML"),
        ("a: " + "[" * 1500, "is not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']", "is not valid YAML"),
    ],
)
def test_what_is_wrong_is_named(text, sentence, tmp_path):
    with pytest.raises(ndic.NDICError, match=re.escape(sentence)) as caught:
        load(tmp_path, text)
    assert str(tmp_path / "experiment.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_guidance_where_the_truth_is_known(tmp_path):
    assert (
        load(
            tmp_path, MATCHING_LOSS + "dataset_name: Street\nstreet: {baseline: 1, time_offset: 0}"
        ).matching_loss_weight
        == 0.5
    )
    assert load(tmp_path, "matching_loss_weight: 0\ncompile: true").matching_loss_weight == 0


def test_changes_may_be_tuples():
    assert ndic.load_config("teaching", resize=(64, 128)).resize == [64, 128]


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(
        ndic.NDICError, match=r"there is no configuration .*missing.yaml: give a file, or one of the presets"
    ):
        ndic.load_config(tmp_path / "missing.yaml")
    with pytest.raises(ndic.NDICError, match="cannot be read"):
        ndic.load_config(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ndic.NDICError, match="not valid YAML"):
        ndic.load_config(tmp_path / "binary.yaml")
