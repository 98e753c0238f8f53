"""The recipe: what every stage of every model is trained with, and from which weights it starts."""

import pytest

import ndic_core as ndic
from ndic_core.config_file import read_yaml
from ndic_core.training.output_paths import Outputs
from ndic_core.training.recipe import load_recipe

SHARED_KEYS = (
    *("num_filters", "resize", "train_batch_size", "seed", "optimizer", "lr", "lr_scheduler", "warmup_steps"),
    *("max_grad_norm", "ema_decay", "rate_balance", "lmbda", "distortion_loss", "epochs"),
    *("dataset_name", "exclude", "synthetic_fraction", "window_fraction", "street_pairs", "street"),
)


def test_models_that_are_compared_are_trained_alike():
    recipe = load_recipe("pretrain")
    for stage in {name for name, _ in recipe}:
        settings = {
            tuple(str(getattr(item.config, key)) for key in SHARED_KEYS)
            for (name, _), item in recipe.items()
            if name == stage
        }
        assert len(settings) == 1


def test_every_model_is_trained_for_both_metrics_in_an_order_that_works():
    recipe = load_recipe("pretrain", save_output_path="out")
    for name, loss in (("mse", "MSE"), ("ms-ssim", "MS-SSIM")):
        assert {model for stage, model in recipe if stage == name} == set(ndic.MODELS)
        assert {item.config.distortion_loss for (stage, _), item in recipe.items() if stage == name} == {loss}
    names = list(map(str, recipe.values()))
    assert names[0] == "start/bmshj18_factorized"
    assert names.index("start/bls17") == names.index("mse/bls17") - 1  # not before it is needed
    done = []
    for item in recipe.values():
        assert item.start is None or item.start in done
        done.append(item)
        if item.start:
            assert item.config.load_weight
            assert item.config.weight_path == Outputs(item.start.config).weights.as_posix()
        else:
            assert not item.config.load_weight
    assert len({Outputs(item.config).weights for item in done}) == len(done)
    lineage = map(str, recipe["ms-ssim", "cross_attention"].lineage)
    assert [*lineage] == ["start/bmshj18_factorized", "mse/cross_attention", "ms-ssim/cross_attention"]
    assert {recipe[stage, "cross_attention"].config.alpha for stage in ("mse", "ms-ssim")} == {0.1}


def test_a_recipe_of_ones_own(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "extends: pretrain\nnum_filters: 8\norder: [bls17, cross_attention, bmshj18_factorized]\n"
        "models: {cross_attention: {heads: 2}}\n"
        "stages:\n  first: {models: [bmshj18_factorized, bls17], epochs: 1}\n  second: {from: first, epochs: 2}\n"
    )
    recipe = load_recipe(file, embed_dim=16, seed=3)
    assert list(recipe) == [
        ("first", "bls17"),
        ("second", "bls17"),
        ("first", "bmshj18_factorized"),
        ("second", "cross_attention"),
        ("second", "bmshj18_factorized"),
    ]
    config = recipe["second", "cross_attention"].config
    assert (config.num_filters, config.heads, config.embed_dim, config.alpha) == (8, 2, 16, 0)
    assert (config.seed, config.epochs) == (3, 2)
    assert config.experiment_name == "mine_second_Mixed_cross_attention_MSE_lambda_5e-05-0.01"
    assert recipe["second", "bls17"].start is recipe["first", "bls17"]
    with pytest.raises(ndic.NDICError, match=r"mine\.yaml is a recipe of several trainings.*benchmarks/pretrain\.py"):
        ndic.load_config(file)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("lr: 0.1\n", "mine.yaml is no recipe: it has no stages; a single training is `ndic train --config"),
        ("stages: {a: {from: b}}\n", "stage a starts from b, which is no earlier stage"),
        ("stages: {a: {}}\norder: [bls18]\n", "there is no model bls18; the models are bls17"),
        ("stages: {a: {epochs: 0}}\ntest: False\n", "mine.yaml, a/bls17: epochs: got 0; accepted is a whole number"),
        (
            "stages: {a: {models: [bls17]}, b: {from: a, models: [bmshj18]}}\norder: [bls17, bmshj18]\n",
            "stage b starts from a, which trains no model that bmshj18 can start from",
        ),
        ("stages: {a: {models: [bmshj18]}}\norder: [bls17]\n", "stage a trains bmshj18, which is not in order"),
        ("stages: {a: }\n", "stage a must hold lines of the form key: value"),
        ("stages: {a: {}}\norder: bls17\n", "order must be a list of models, and models hold keys for each"),
    ],
)
def test_what_is_no_recipe_is_said(lines, sentence, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(lines)
    with pytest.raises(ndic.NDICError, match=sentence):
        load_recipe(file)


def test_a_file_extends_another(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "a.yaml").write_text(
        "extends: teaching\nlr: 0.1\nexclude: 'list.txt'\ndataset_name: Mixed\ntest: False\n"
    )
    (tmp_path / "list.txt").write_text("# why\n007\n\n008 # and why\n9#a\n")
    (tmp_path / "below" / "b.yaml").write_text("extends: ../a.yaml\nepochs: 3\n")
    config = ndic.load_config(tmp_path / "below" / "b.yaml")
    teaching = ndic.load_config("teaching")
    assert (config.lr, config.epochs, config.num_filters) == (0.1, 3, teaching.num_filters)
    assert config.exclude == ["007", "008", "9#a"]
    assert read_yaml(tmp_path / "below" / "b.yaml")["epochs"] == 3


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("extends: a.yaml", r"a.yaml extends itself, by way of .*a.yaml and .*b.yaml"),
        ("extends: c.yaml", r"there is no configuration .*c.yaml"),
        ("exclude: 'gone.txt'", r"there is no list file .*gone.txt"),
    ],
)
def test_what_cannot_be_extended_is_said(lines, sentence, tmp_path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text(lines)
    with pytest.raises(ndic.NDICError, match=sentence):
        ndic.load_config(tmp_path / "a.yaml")
