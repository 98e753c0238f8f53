"""The replication: equal trainings from one start, and the table that compares them."""

from argparse import Namespace
from pathlib import Path

import pytest
import replication
import replication_report
import torch
from conftest import lively
from replication import ALIGNMENT_ONLY, ANCHOR, AS_PUBLISHED, COMBINED, CONTROLS, HELD_OUT, LINES, MODULE, UNALIGNED

import ndic_core as ndic


def course_and_curve(group, line, seed, rate, loss):
    """Rows of one training: four validations, four points with matching y and as many with a mismatched one."""
    key = {"group": group, "line": line, "seed": seed}
    rows = [key | {"data": "training", "steps": steps, "cost": 1 / steps} for steps in (10, 20, 25, 30)]
    for lmbda, bpp in zip((1, 2, 3, 4), (0.1, 0.2, 0.4, 0.8), strict=True):
        point = key | {"data": HELD_OUT, "lmbda": lmbda, "bpp": rate * bpp, "psnr": 20 + 3 * lmbda}
        rows.append(point | {"side_info": "matching_y"})
        other = point | {"psnr": 20 + 3 * lmbda - loss}
        rows += [other | {"side_info": kind} for kind in ("mismatched_y", ALIGNMENT_ONLY)]
    return rows


@pytest.fixture
def rows():
    found = []
    for seed in (0, 1):
        found += course_and_curve(MODULE, ANCHOR, seed, 1 + seed, 1)
        found += course_and_curve(MODULE, AS_PUBLISHED, seed, (1 + seed) * (0.9 - 0.1 * seed), 2)
        found += course_and_curve(CONTROLS, UNALIGNED, seed, 1.5 * (1 + seed), 0)
    return found


def test_a_line_is_compared_with_the_anchor_of_its_seed(rows):
    measured = replication_report.Measured(rows)
    assert measured.savings(MODULE, AS_PUBLISHED, HELD_OUT) == pytest.approx([-10, -20])
    assert measured.savings(CONTROLS, UNALIGNED, HELD_OUT) == pytest.approx([50, 50])
    assert measured.losses(MODULE, AS_PUBLISHED, ALIGNMENT_ONLY) == pytest.approx([-2, -2])
    assert measured.course(MODULE, AS_PUBLISHED, 1)[:2] == [(10, 0.1), (20, 0.05)]
    lines = replication_report.table(rows).splitlines()
    assert "| `cross_attention` as published | -15.0 ± 7.1 % |  |  | -2.00 ± 0.00 dB | -2.00 ± 0.00 dB | 2 |" in lines
    assert "| `cross_attention` as published | 30 | 0.1000 | 0.0500 | 0.0400 | 0.0333 |" in lines


def test_the_figure_has_the_measured_lines_and_the_best_first(rows):
    axis = replication_report.figure_of(replication_report.Measured(rows)).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == [AS_PUBLISHED.replace("`", ""), UNALIGNED]


def test_every_line_is_a_training_of_its_own(tmp_path):
    assert len({(line.group, line.label) for line in LINES}) == len(LINES)
    args = Namespace(data=tmp_path, native=tmp_path)
    for line in LINES:
        config = replication.configuration(line, 1, args)
        assert (config.model, config.seed, config.distortion_loss) == (line.model, 1, "MSE")
        assert 0 in replication.seeds_of(line)
        assert len(replication.seeds_of(line)) == 3 or line.group not in (MODULE, COMBINED, CONTROLS)


def test_all_models_start_alike_and_as_published():
    """The transforms come from one model; the module's weights are random, and the same for a seed."""
    args = Namespace(data=Path("a"), native=Path("b"))
    line = next(line for line in LINES if line.label == AS_PUBLISHED)
    simpler = lively("bmshj18_factorized", num_filters=24)
    models = [replication.prepared(line, replication.configuration(line, seed, args), simpler) for seed in (0, 0, 1)]
    for model in models:
        assert torch.equal(model.analysis_x.conv1.weight, simpler.analysis_x.conv1.weight)
    queries = [model.cams[0].to_q.weight for model in models]
    assert torch.equal(queries[0], queries[1])
    assert not torch.equal(queries[0], queries[2])
    assert not torch.equal(models[0].cams[0].embed_x.weight, models[0].cams[0].embed_y.weight)  # as a search has them
    assert ndic.encode(models[0].eval(), torch.rand(3, 64, 128))
