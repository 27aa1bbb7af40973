from __future__ import annotations

import copy
import hashlib
import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from warren.population import Keys

KEYS = Keys(seed=7, member=3, interval=12, attempt=1)


def philox(text: str) -> np.random.Generator:
    """The generator of a key's text, from its definition."""
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=np.array([number & (2**64 - 1), number >> 64], dtype=np.uint64)))


def test_a_key_is_what_it_is_for() -> None:
    assert list(KEYS.generator("explore").random(4)) == list(philox("7/3/12/1/explore").random(4))
    assert list(KEYS.shared("ties").random(4)) == list(philox("7/*/12/ties").random(4))


def test_golden_values() -> None:
    """Fixed for good: a change here changes every recorded run."""
    digest = hashlib.blake2b(b"0/0/0/0/prior", digest_size=16).digest()
    assert digest.hex() == "8b67604ec5d27af0bcf1124ec67d8b7d"
    assert Keys(seed=0, member=0, interval=0).generator("prior").random(2).tolist() == [
        0.5279327412570965,
        0.8450733535649363,
    ]
    assert Keys(seed=0, member=0, interval=0).integer("prior") == int.from_bytes(digest, "little") // 2**65


def test_an_integer_is_a_seed() -> None:
    found = [replace(KEYS, member=member).integer("torch") for member in range(2000)]
    assert len(set(found)) == 2000
    assert all(0 <= number < 2**63 for number in found)
    assert stats.kstest(np.array(found) / 2**63, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("field", ["seed", "member", "interval", "attempt"])
def test_every_part_of_a_key_matters(field: str) -> None:
    other = replace(KEYS, **{field: getattr(KEYS, field) + 1})
    assert other.generator("donor").random() != KEYS.generator("donor").random()
    assert other.integer("donor") != KEYS.integer("donor")


def test_the_purpose_matters() -> None:
    assert KEYS.generator("donor").random() != KEYS.generator("opponent").random()


def test_what_members_have_in_common() -> None:
    """The shared draw depends on the run and the interval only."""
    expected = KEYS.shared("ties").random()
    assert replace(KEYS, member=9, attempt=0).shared("ties").random() == expected
    assert replace(KEYS, interval=13).shared("ties").random() != expected
    assert replace(KEYS, seed=8).shared("ties").random() != expected


def test_a_draw_does_not_depend_on_draws_before() -> None:
    first = KEYS.generator("explore")
    first.random(100)
    assert KEYS.generator("explore").random() == philox("7/3/12/1/explore").random()


def test_streams_of_neighbours_are_independent() -> None:
    """Uniform over members, and not correlated with the next member's or the next interval's."""
    grid = np.array(
        [[Keys(seed=0, member=m, interval=i).generator("explore").random() for i in range(40)] for m in range(40)]
    )
    assert stats.kstest(grid.ravel(), "uniform").pvalue > 1e-3
    for a, b in ((grid[:-1], grid[1:]), (grid[:, :-1], grid[:, 1:]), (grid, grid.T)):
        off = ~np.eye(40, dtype=bool)[: a.shape[0], : a.shape[1]] if a is grid else np.ones(a.shape, dtype=bool)
        assert abs(np.corrcoef(a[off], b[off])[0, 1]) < 4 / np.sqrt(off.sum() / (2 if a is grid else 1))


def test_a_generator_goes_on_where_its_copy_was_made() -> None:
    rng = KEYS.generator("user")
    rng.random(3)
    copies = [copy.deepcopy(rng), pickle.loads(pickle.dumps(rng))]
    expected = rng.random(5).tolist()
    assert [one.random(5).tolist() for one in copies] == [expected] * 2
