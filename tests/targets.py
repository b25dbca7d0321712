"""Random targets that suit a loss, by what its record says of them."""

from fastbp.names import LOSSES


def targets_for(loss, random, n_rows, n_outputs):
    """Targets, (n_rows, n_outputs), half as many where each has two outputs, or class numbers, (n_rows,): on both sides of what
    the outputs are near to."""
    record = LOSSES[loss]
    if record.has_class_numbers:
        return random.randint(n_outputs, size=n_rows)
    if record.highest_target == 1.0:
        return random.randint(2, size=(n_rows, n_outputs))
    if record.excludes_lowest:
        return random.gamma(2.0, size=(n_rows, n_outputs))
    if record.lowest_target == 0.0:
        counts = random.poisson(2.0, (n_rows, n_outputs))
        return counts * random.gamma(2.0, size=(n_rows, n_outputs)) if record.parameter else counts
    return 2.0 * random.normal(size=(n_rows, n_outputs // 2 if record.has_spread else n_outputs))
