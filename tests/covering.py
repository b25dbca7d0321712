"""Few cases out of many combinations, the same at every run."""

import itertools
import random


def dealt(first, second, rounds=2):
    """Pairs in which every level of either list stands at least `rounds` times, each time with another partner."""
    first, second = list(first), list(second)
    n_pairs = rounds * max(len(first), len(second))
    pairs = {}
    for number in range(n_pairs):
        one = first[number % len(first)]
        for offset in range(len(second)):  # the next partner that this one has not met
            pair = one, second[(number + number // len(first) + offset) % len(second)]
            if pair not in pairs:
                pairs[pair] = None
                break
    return list(pairs)


def covering(axes, settle=dict, seed=0):
    """Cases, dicts of a level per axis, in which every two levels of different axes that can meet do meet; greedy.

    settle: returns the nearest case that exists.
    """
    choose = random.Random(seed)

    def pairs_of(case):
        return set(itertools.combinations(((axis, case[axis]) for axis in axes), 2))

    wanted = [
        ((one, level), (other, other_level))
        for one, other in itertools.combinations(axes, 2)
        for level in axes[one]
        for other_level in axes[other]
    ]
    cases, covered = [], set()
    for pair in wanted:
        if pair in covered:
            continue
        drawn = [{axis: choose.choice(list(levels)) for axis, levels in axes.items()} for _ in range(40)]
        settled = [settle({**case, **dict(pair)}) for case in drawn]
        fitting = [case for case in settled if pair in pairs_of(case)]
        if fitting:  # else the two exclude each other
            cases.append(max(fitting, key=lambda case: len(pairs_of(case) - covered)))
            covered |= pairs_of(cases[-1])
    return cases
