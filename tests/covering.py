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


def named(value):
    """The names of one case, or of a pair, as part of a test's name, by which ``-k`` finds it."""
    return value if isinstance(value, str) else "-".join(value)


def covering(axes, settle=dict, forbidden=(), seed=0, tries=10):
    """Cases, dicts of a level per axis, in which every two levels of different axes that can meet do meet; greedy.

    settle: returns the nearest case that exists; forbidden: pairs ((axis, level), (axis, level)), either way round, that no case
    holds. The axes with the most forbidden pairs should be the first.
    """
    choose = random.Random(seed)
    cells = [(axis, level) for axis, levels in axes.items() for level in levels]
    wanted = [pair for pair in itertools.combinations(cells, 2) if pair[0][0] != pair[1][0] and not _is_in(pair, forbidden)]
    cases, missing = [], {both for pair in wanted for both in (pair, pair[::-1])}
    for pair in wanted:
        if pair not in missing:
            continue
        drawn = (_completed(pair, axes, forbidden, missing, choose) for _ in range(tries))
        settled = [[(axis, case[axis]) for axis in axes] for case in map(settle, filter(None, drawn))]
        fitting = [case for case in settled if set(pair) <= set(case)]
        if fitting:  # else the two exclude each other, or all others
            case = max(fitting, key=lambda case: sum(both in missing for both in itertools.combinations(case, 2)))
            cases.append(dict(case))
            missing -= set(itertools.permutations(case, 2))
    return cases


def _is_in(pair, forbidden):
    return pair in forbidden or pair[::-1] in forbidden


def _completed(chosen, axes, forbidden, missing, choose):
    """Return a case with the chosen cells: of the levels that go with these, one that brings most missing pairs; or None."""
    chosen = list(chosen)
    named = {axis for axis, _ in chosen}
    constrained = {axis for pair in forbidden for axis, _ in pair}
    first = [axis for axis in axes if axis in constrained][:2]
    others = [axis for axis in axes if axis not in first]
    choose.shuffle(others)
    for axis in (*first, *others):
        if axis in named:
            continue
        allowed = [(axis, level) for level in axes[axis] if not any(_is_in(((axis, level), cell), forbidden) for cell in chosen)]
        if not allowed:
            return None
        gains = [sum((cell, other) in missing for other in chosen) for cell in allowed]
        chosen.append(choose.choice([cell for cell, gain in zip(allowed, gains, strict=True) if gain == max(gains)]))
    return dict(chosen)
