"""Configuration files: the published one verbatim, and an error for every wrong key or value."""

import re

import pytest

import ndic_core as ndic
from ndic_core.config import Config

MATCHING_LOSS = "matching_loss_weight: 0.5\n"
MATCHING = f"{MATCHING_LOSS}model: parallax_attention\n"


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
    assert (config.model, config.lmbda, config.epochs) == ("cross_attention", 3e-5, 50000)
    assert (config.alpha, config.beta) == (0, 0)


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
    assert keys == ndic.load_config("config").model_fields_set


@pytest.mark.parametrize("name", ["config", "teaching", "parallax", "kitti_stereo", "kitti_general", "cityscape"])
def test_presets_build(name):
    config = ndic.load_config(name, num_filters=4)
    assert ndic.build_model(**config.model_arguments()).name == config.model


@pytest.mark.parametrize("model", ndic.MODELS)
def test_every_model_can_be_configured(model):
    """Also from a preset of another model, whose own keys are dropped."""
    config = ndic.load_config("teaching", model=model, lmbda=0.01, resize=(64, 128))
    assert ("heads" in config.model_fields_set) == (model == "cross_attention")
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
        ("colour: red", "unknown key 'colour': the keys are num_filters, lambda"),
        ("lambda: '3'", "lambda: got '3'; accepted is a positive number"),
        ("lambda: .inf", "lambda: got inf; accepted is a positive number"),
        ("lambda: true", "lambda: got True; accepted is a positive number"),
        ("train: yes", "train: got 'yes'; accepted is true or false"),
        ("epochs: 1.5", "epochs: got 1.5; accepted is a whole number of at least 1"),
        ("epochs: true", "epochs: got True; accepted is a whole number"),
        ("model: resnet", "model: got 'resnet'; accepted is bls17, bmshj18_factorized"),
        ("dataset_path: null", "dataset_path: got None; accepted is a path in quotes"),
        ("resize: 128", "resize: got 128; accepted is two whole numbers, [height, width]"),
        ("resize: [128, 250]", "resize: got [128, 250]; cross_attention takes multiples of 32"),
        ("model: bmshj18\nresize: [96, 256]", "resize: got [96, 256]; bmshj18 takes multiples of 64"),
        ("heads: 0\ndropout: 1", "heads: got 0; accepted is a whole number of at least 1; dropout: got 1; accepted is"),
        ("search_range: 8", "search_range: cross_attention has no such key, it is for model: parallax_attention"),
        ("lambda: [2, 1]", "lambda: got [2, 1]; accepted is a positive number, or for a variable-rate model"),
        ("optimizer: sgd", "optimizer: got 'sgd'; accepted is adam (with AMSGrad, as published) or soap"),
        ("ema_decay: 1.0", "ema_decay: got 1.0; accepted is a number from 0"),
        ("rate_balance: 0.6", "rate_balance: got 0.6; it needs lambda: [lowest, highest]"),
        ("warmup_steps: 3", "warmup_steps: got 3; only lr_scheduler: 'cosine' warms up"),
        (f"{MATCHING_LOSS}model: bls17\ndataset_name: Street", "it needs model: parallax_attention and dataset_name"),
        (f"{MATCHING}dataset_name: KITTI_Stereo", "it needs model: parallax_attention and dataset_name: Street"),
        (f"{MATCHING}dataset_name: Street\nstreet: {{time_offset: 0.1}}", "with street's time_offset the disparity"),
        (f"{MATCHING}dataset_name: Street\nstreet: {{vertical_misalignment: -1}}", "with street's vertical_misalign"),
        (f"{MATCHING}dataset_name: Street\ncompile: true", "it cannot be combined with compile: True"),
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
    text = f"{MATCHING}dataset_name: Street\nstreet: {{baseline: 1, time_offset: 0}}"
    assert load(tmp_path, text).matching_loss_weight == 0.5
    assert load(tmp_path, "matching_loss_weight: 0\ncompile: true").matching_loss_weight == 0


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(ndic.NDICError, match=r"no configuration .*missing.yaml: give a file, or one of the presets"):
        ndic.load_config(tmp_path / "missing.yaml")
    with pytest.raises(ndic.NDICError, match="cannot be read"):
        ndic.load_config(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ndic.NDICError, match="damaged: save it as UTF-8"):
        ndic.load_config(tmp_path / "binary.yaml")


def test_paths_are_expanded(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE", "DATA"):
        monkeypatch.setenv(name, str(tmp_path))
    config = ndic.load_config(
        "config", dataset_name="Folder", dataset_path=["~/left", "$DATA/right"], save_output_path="${DATA}/out"
    )
    assert config.dataset_path == [str(tmp_path / "left"), str(tmp_path / "right")]
    assert config.save_output_path == str(tmp_path / "out")


def test_exclude_is_refused_where_it_has_no_effect(tmp_path):
    (tmp_path / "a.yaml").write_text("dataset_name: Mixed\ntest: False\nexclude: ['007']\n")
    assert ndic.load_config(tmp_path / "a.yaml").exclude == ["007"]
    assert ndic.load_config(tmp_path / "a.yaml", dataset_name="Street").exclude == []
    with pytest.raises(ndic.NDICError, match="exclude: it is for dataset_name: Mixed; remove these files from Folder"):
        ndic.load_config("config", dataset_name="Folder", exclude=["007"])
