"""Names of files: legal everywhere, telling, never shared."""

import pytest

import ndic_core as ndic
from ndic_core.training.output_paths import Outputs, experiment_name, identity

DEFAULT = "cross_attention_MS-SSIM_lambda_3e-05_KITTI_Stereo"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, DEFAULT),  # the published name holds a colon, which Windows forbids
        (dict(lmbda=6e-05), DEFAULT + "_lambda_6e-05"),
        (dict(lmbda=0.00003), DEFAULT),
        (dict(dataset_name="KITTI_General"), "cross_attention_MS-SSIM_lambda_3e-05_KITTI_General"),
        (dict(model="ndic_bls17"), DEFAULT + "_ndic_bls17"),
        (dict(distortion_loss="MSE"), DEFAULT + "_MSE"),
        (dict(lmbda=[0.01, 0.1]), DEFAULT + "_lambda_0.01-0.1"),
        (
            dict(lmbda=[0.01, 0.1], experiment_name="a_lambda_0.01-0.1"),
            "a_lambda_0.01-0.1_KITTI_Stereo_cross_attention_MS-SSIM",
        ),
        (dict(model="bls17", experiment_name="ndic_bls17"), "ndic_bls17_KITTI_Stereo_bls17_MS-SSIM_lambda_3e-05"),
        (
            dict(model="bmshj18", experiment_name="bmshj18_factorized"),
            "bmshj18_factorized_KITTI_Stereo_bmshj18_MS-SSIM_lambda_3e-05",
        ),
        (dict(experiment_name="con"), "_con_KITTI_Stereo_cross_attention_MS-SSIM_lambda_3e-05"),
        (dict(experiment_name="../../x"), "_.._x_KITTI_Stereo_cross_attention_MS-SSIM_lambda_3e-05"),
        (dict(experiment_name=" . "), "experiment_KITTI_Stereo_cross_attention_MS-SSIM_lambda_3e-05"),
        (dict(experiment_name="lambda:0.00003"), "lambda_0.00003_KITTI_Stereo_cross_attention_MS-SSIM"),
    ],
)
def test_names(changes, name):
    assert experiment_name(ndic.load_config("config", **changes)) == name


def test_without_a_name_the_published_pattern_is_filled_in(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("dataset_name: 'Folder'\nmodel: 'bls17'\nlambda: 0.001\n")
    assert experiment_name(ndic.load_config(file)) == "bls17_MS-SSIM_Folder_lambda_0.001"


def test_lambdas_are_told_in_full():
    names = {experiment_name(ndic.load_config("config", lmbda=lmbda)) for lmbda in (0.0020001, 0.00200010001)}
    assert len(names) == 2


def test_the_published_places():
    outputs = Outputs(ndic.load_config("config", save_output_path="out"))
    assert outputs.weights.as_posix() == f"out/weight/{DEFAULT}.safetensors"
    assert outputs.table.as_posix() == f"out/results/{DEFAULT}.csv"
    assert outputs.pictures.as_posix() == f"out/results/{DEFAULT}"


def test_identity_holds_what_shapes_a_training_and_nothing_else():
    one = ndic.load_config("config", epochs=3, cuda=False, max_minutes=1.0, verbose_period=1, test=False)
    assert identity(one) == identity(ndic.load_config("config"))
    for change in (dict(lr=0.1), dict(alpha=1), dict(seed=1), dict(num_filters=8), dict(train_batch_size=2)):
        assert identity(ndic.load_config("config", **change)) != identity(one)
