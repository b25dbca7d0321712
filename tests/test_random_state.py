"""The state that kernels draw on stays that of NumPy's RandomState."""

import threading

import numpy as np
import pytest
from sklearn.utils import check_random_state

from fastbp.training import random_state as twister


def next_numbers(random_state):
    return random_state.randint(2**31, size=1000)


@pytest.mark.parametrize("seed", [0, 7, np.int64(2**32 - 1), True])
def test_seeded_is_check_random_state(seed):
    np.testing.assert_array_equal(next_numbers(twister.seeded(seed)), next_numbers(check_random_state(seed)))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "0"])
def test_bad_seeds_raise_what_scikit_learn_raises(seed):
    with pytest.raises(ValueError) as expected:
        check_random_state(seed)
    with pytest.raises(ValueError) as got:
        twister.seeded(seed)
    assert str(got.value) == str(expected.value)


def test_a_given_random_state_is_used_itself():
    random_state = np.random.RandomState(0)
    assert twister.seeded(random_state) is random_state
    assert twister.seeded(None) is check_random_state(None)


@pytest.mark.parametrize("make", [twister.seeded, np.random.RandomState], ids=["of the thread", "another"])
@pytest.mark.parametrize("n_drawn", [0, 3, 700])
def test_state_opens_and_closes(make, n_drawn):
    """What is drawn from key and position goes on where the RandomState was, and the other way round."""
    random_state, expected = make(5), np.random.RandomState(5)
    random_state.uniform(size=n_drawn)
    expected.uniform(size=n_drawn)
    key, position = twister.open_twister(random_state)
    state = expected.get_state()
    np.testing.assert_array_equal(key, state[1])
    assert position[0] == state[2]
    following = np.random.RandomState(6).get_state()
    key[:], position[0] = following[1], 100
    twister.close_twister(random_state, key, position)
    expected.set_state(("MT19937", following[1], 100))
    np.testing.assert_array_equal(next_numbers(random_state), next_numbers(expected))


def test_copy_starts_again_and_again():
    copied = twister.Twister(np.random.RandomState(3))
    key, position = copied.open()
    key[:], position[0] = 0, 5
    twister.close_twister(copied, key, position)
    np.testing.assert_array_equal(next_numbers(copied.random_state()), next_numbers(np.random.RandomState(3)))


def test_other_generators_have_no_twister():
    assert twister.open_twister(np.random.RandomState(np.random.PCG64(0))) is None


def test_each_thread_has_its_own():
    mine = twister.seeded(0)
    found = []
    thread = threading.Thread(target=lambda: found.append((twister.seeded(1), twister.open_twister(mine))))
    thread.start()
    thread.join()
    theirs, (key, position) = found[0]
    assert theirs is not mine
    np.testing.assert_array_equal(key, mine.get_state()[1])
    assert position[0] == mine.get_state()[2]
    np.testing.assert_array_equal(next_numbers(mine), next_numbers(np.random.RandomState(0)))


def test_what_is_lent_is_its_own_until_it_is_given_back():
    with twister.Lent(3) as outer:
        drawn = [outer.randint(1000)]
        for seed in (3, 5):
            assert twister.seeded(seed) is not outer
            with twister.Lent(seed) as inner, twister.Lent(7) as innermost:
                assert len({id(outer), id(inner), id(innermost)}) == 3
                np.testing.assert_array_equal(next_numbers(inner), next_numbers(np.random.RandomState(seed)))
            drawn.append(outer.randint(1000))
    expected = np.random.RandomState(3)
    assert drawn == [expected.randint(1000) for _ in range(3)]
    assert twister.seeded(1) is outer  # without the time that a new one takes
    given = np.random.RandomState(2)
    with pytest.raises(KeyError), twister.Lent(0) as lent, twister.Lent(given) as own:
        assert own is given and lent is outer
        raise KeyError
    assert twister.seeded(1) is outer
