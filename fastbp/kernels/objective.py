"""Loss and gradient over all samples, for solvers that need both."""

from . import needs
from .atomics import barrier
from .compiler import entry, part
from .dropout import nothing_dropped
from .layout import Network, Samples, Strips, Workspace
from .passes import batch_step
from .steps import refresh_own_copies, total
from .toolchain.pack import Doubles, Integers, Reals
from .updates import Step, StepRule

LOSS, IS_COMPLETE = range(2)  # elements of `result`


@part
def objective(
    thread: int,
    n_threads: int,
    sync: Integers,
    network: Network,
    params: Reals,
    samples: Samples,
    order: Integers,
    gather: int,
    workspace: Workspace,
    strips: Strips,
    rule: StepRule,
) -> tuple[bool, float]:
    """Compute the loss with its penalty, and its gradient in workspace.gradient, over all samples with all threads of a team.

    Returns whether it is complete, not interrupted, and the loss.
    """
    refresh_own_copies(network, params, workspace, strips, thread)
    barrier(sync, n_threads)
    n_rows = order.size if gather else samples.table.n_rows
    is_complete, loss, weight_sum = batch_step(
        thread, n_threads, sync, network, params, samples, order, 0, n_rows, gather, workspace, strips, rule,
        Step(0.0, 0.0, 0.0, 0.0), params, params, params, nothing_dropped(network, workspace),
    )  # fmt: skip
    return is_complete, loss + 0.5 * rule.alpha * total(workspace.strip_norms) / weight_sum


@entry(parts=needs.objective)
def evaluate(
    thread: int,
    n_threads: int,
    sync: Integers,
    network: Network,
    params: Reals,
    samples: Samples,
    order: Integers,
    gather: int,
    workspace: Workspace,
    strips: Strips,
    rule: StepRule,
    result: Doubles,
):
    """The objective as an entry; result: (2,), for the loss and whether it is complete."""
    is_complete, loss = objective(thread, n_threads, sync, network, params, samples, order, gather, workspace, strips, rule)
    if thread == 0:
        result[LOSS] = loss
        result[IS_COMPLETE] = 1.0 if is_complete else 0.0
