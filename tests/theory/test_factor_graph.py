"""Belief propagation on small graphs, where the posterior can be computed by a sum over all words; its figures."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from ndic_core.errors import NDICError
from ndic_core.plots.belief_propagation import decoding_steps, ldpc_thresholds, message_rules
from ndic_core.theory.factor_graph import FactorGraph
from ndic_core.theory.ldpc import LDPC

TREE = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 1, 0, 1, 1]])
CYCLE = np.array([[1, 1, 0, 0, 0, 1], [0, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1]])  # of notebook 01
SURE = np.log(9)  # ratio of a bit that is flipped with probability 0.1


def posterior(parities, syndrome, prior):
    """Log-likelihood ratios of all bits, by a sum over the words of the bin."""
    words = np.array(list(product((0, 1), repeat=parities.shape[1])))
    words = words[(words @ parities.T % 2 == syndrome).all(1)]
    weight = np.exp(((0.5 - words) * prior).sum(1))
    return np.array([np.log(weight[bit == 0].sum() / weight[bit == 1].sum()) for bit in words.T])


@settings(max_examples=50, deadline=None)
@given(prior=st.lists(st.floats(-4, 4), min_size=6, max_size=6), syndrome=st.tuples(*[st.integers(0, 1)] * 3))
def test_beliefs_on_a_tree_are_the_posterior(prior, syndrome):
    exact = posterior(TREE, syndrome, np.array(prior))
    assert FactorGraph(TREE).run(syndrome, prior, passes=3).belief == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize("flipped", [*range(6), (0, 3)])
def test_single_flips_are_decoded_and_a_tie_is_not(flipped):
    graph, x = FactorGraph(CYCLE), np.array([[1, 0, 1, 1, 0, 0]], dtype=np.uint8)
    y = x.copy()
    y[0, flipped] ^= 1
    x_hat, solved = graph.decode(graph.syndrome(x), (1 - 2.0 * y) * SURE)
    assert np.array_equal(x_hat, x) == solved.all() == isinstance(flipped, int)
    if isinstance(flipped, int):
        assert (np.sign(posterior(CYCLE, graph.syndrome(x)[0], (1 - 2.0 * y[0]) * SURE)) == 1 - 2.0 * x[0]).all()


def test_a_message_by_hand():
    """Check B receives +2.2 and -2.2, and its parity is 0."""
    graph = FactorGraph(csr_matrix(CYCLE))
    step = graph.run([1, 0, 1], np.array([-1, 1, 1, -1, 1, 1]) * SURE, passes=1)
    edge = (graph.check == 1) & (graph.bit == 2)
    assert step.to_bits[edge] == pytest.approx(-2 * np.arctanh(0.8**2), abs=1e-4)
    assert step.belief[2] == pytest.approx(SURE - 2 * np.arctanh(0.8**2), abs=1e-4)
    assert step.to_checks[edge] == pytest.approx(SURE)


def test_run_is_iterate_without_a_stop():
    code, rng = LDPC(200, 100), np.random.default_rng(3)
    x = rng.integers(0, 2, size=(1, 200), dtype=np.uint8)
    prior = (1 - 2.0 * (x ^ (rng.random(x.shape) < 0.08))) * np.log(0.92 / 0.08)
    for passes, (_, words, _) in enumerate(code.iterate(code.syndrome(x), prior, iterations=10)):
        assert np.array_equal(words[0], code.run(code.syndrome(x)[0], prior[0], passes).belief < 0)
    assert passes > 0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: FactorGraph([[0, 2]]), "of 0 and 1"),
        (lambda: FactorGraph(CYCLE).run([0, 0], np.zeros(6), 1), "must have shape"),
        (lambda: FactorGraph(CYCLE).run([0, 0, 0], np.zeros(6), -1), "0 or more"),
        (lambda: decoding_steps(FactorGraph(CYCLE), [0, 0, 0], np.zeros(6), {}), "no step"),
    ],
)
def test_invalid_arguments_are_refused(wrong, says):
    with pytest.raises(NDICError, match=says):
        wrong()


def test_the_rules_show_the_inputs_of_each_message():
    figure = message_rules(FactorGraph(CYCLE), [1, 0, 1], [-2.2, 2.2, 2.2, -2.2, 2.2, 2.2], bit=3, check=1)
    graph, to_check, to_bit = ({text.get_text() for text in axis.texts} for axis in figure.axes)
    assert {"A: 1", "B: 0", "C: 1", "0", "5", "−2.2", "+2.2", "channel\nvalues"} <= graph
    assert {"B", "C", "3", "$r_{B3}$", "$m_{3C}$", "$\\ell_{3}$"} <= to_check
    assert {"B: 0", "$m_{1B}$", "$r_{B2}$", "$m_{3B}$"} <= to_bit


def test_the_steps_show_wrong_bits_and_violated_checks():
    graph, x = FactorGraph(CYCLE), np.array([1, 0, 1, 1, 0, 0])
    prior = (1 - 2 * (x ^ (np.arange(6) == 2))) * SURE
    steps = {f"pass {passes}": graph.run([1, 0, 1], prior, passes) for passes in range(3)}
    axes = decoding_steps(graph, [1, 0, 1], x, steps).axes
    assert [axis.get_title() for axis in axes] == [
        "pass 0: 1 wrong bit",
        "pass 1: 1 wrong bit",
        "pass 2: 0 wrong bits",
    ]
    assert ["B: 0 ✗" in {text.get_text() for text in axis.texts} for axis in axes] == [True, True, False]


def test_thresholds_are_drawn():
    courses = {0.06: ([0.06, 0], [0.06, 0.01]), 0.09: ([0.09, 0.07], [0.09, 0.06])}
    figure = ldpc_thresholds(courses, [0.07, 0.09], {"250 bits": [0, 1]}, threshold=0.084, limit=0.11)
    left, right = ([text.get_text() for text in axis.get_legend().get_texts()] for axis in figure.axes)
    assert left == ["p = 0.06", "p = 0.09", "infinite length"]
    assert right == ["250 bits", "threshold 0.084", "limit 0.110"]
