"""The end of a fit, which sets all fitted attributes at once."""

import operator
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any


def publish(estimator: Any, draft: Any, before: Mapping[str, Any], steps: Sequence[Callable[[], Any]] = ()) -> None:
    """Give an estimator the attributes of its draft, a copy that was fitted.

    Ctrl-C interrupts before or after this as a whole, because Python handles signals between bytecode instructions, and the
    changes are made by one call into C.

    before: the estimator's attributes when the draft was made; those that another thread has set since then are kept.
    steps: functions in C to call at the same moment, which write into arrays and lists that others hold too.
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
