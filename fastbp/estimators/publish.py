"""The end of a fit: what it has brought takes its place all at once."""

import operator
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any


def publish(estimator: Any, draft: Any, before: Mapping[str, Any], steps: Sequence[Callable[[], Any]] = ()) -> None:
    """Make an estimator what its draft is.

    Ctrl-C comes before all of it or after all of it: Python looks for signals between two of its own instructions, and there is
    none within.

    Parameters
    ----------
    estimator : estimator
    draft : estimator
        A copy of it, which has been worked on.
    before : dict
        The estimator's attributes when the copy was made; what somebody else has set since then stays.
    steps : sequence of callable
        What is to be done at the same moment, by calls into C alone: to write into arrays and lists that others hold too.
    """
    now, after = vars(estimator), vars(draft)
    if len(now) != len(before) or not all(map(operator.is_, now.values(), before.values())):
        changed = {name: value for name, value in after.items() if name not in before or before[name] is not value}
        after = {name: value for name, value in now.items() if name in after or name not in before} | changed
    become: Any = partial(object.__setattr__, estimator, "__dict__", after)
    if steps:
        everything: list[Any] = [*steps, become]
        deque(map(operator.call, everything), maxlen=0)
    else:
        become()
