"""The contract of checkpoint stores, as tests: subclass it, give it the fixture, let pytest collect it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from warren.checkpoints import CheckpointStore, Published
from warren.errors import CheckpointDamaged, CheckpointMissing, InvalidValue
from warren.state import decode, encode

_BAD_NAMES = {
    "a folder": "/".join(["..", "0" * 64 + "-a.safetensors"]),
    "an absolute path": "/tmp/" + "0" * 64 + "-a.safetensors",
    "no suffix": "0" * 64 + "-a",
    "no token": "0" * 64 + "-.safetensors",
    "a short digest": "0" * 63 + "-a.safetensors",
    "a line more": "0" * 64 + "-a.safetensors\n",
    "nothing": "",
}
_ABSENT = "0" * 64 + "-absent.safetensors"


class CheckpointStoreContract:
    """What `warren.checkpoints.CheckpointStore` promises. Override the fixture `checkpoints`."""

    @pytest.fixture
    def checkpoints(self) -> CheckpointStore | Iterator[CheckpointStore]:
        """An empty store."""
        raise NotImplementedError("override the fixture `checkpoints` with one that gives an empty store")

    def test_what_is_published_is_loaded(self, checkpoints: CheckpointStore) -> None:
        """Name, digest and size are those of the bytes, and the state comes back."""
        encoded = encode({"w": np.arange(5.0), "step": 3})
        published = checkpoints.publish(encoded, "t1")
        content = checkpoints.load(published.name, published.digest)
        assert bytes(content) == encoded.tobytes()
        assert published.size == len(content) == encoded.size
        assert published.digest == hashlib.sha256(content).hexdigest()
        assert published.name == f"{published.digest}-t1.safetensors"
        tree = decode(content)
        np.testing.assert_array_equal(tree["w"], np.arange(5.0))
        assert tree["step"] == 3

    def test_a_state_without_arrays(self, checkpoints: CheckpointStore) -> None:
        """A file that is a header only."""
        published = checkpoints.publish(encode(None), "t1")
        assert decode(checkpoints.load(published.name, published.digest)) is None

    def test_equal_states_are_two_checkpoints(self, checkpoints: CheckpointStore) -> None:
        """Deleting one of two equal checkpoints leaves the other."""
        one, two = self._publish(checkpoints, "t1"), self._publish(checkpoints, "t2")
        assert one.digest == two.digest
        assert one.name != two.name
        checkpoints.delete(one.name)
        assert list(checkpoints.names()) == [two.name]
        checkpoints.load(two.name, two.digest)

    def test_publishing_again_is_harmless(self, checkpoints: CheckpointStore) -> None:
        """The same state under the same token is the same checkpoint."""
        one, two = self._publish(checkpoints, "t1"), self._publish(checkpoints, "t1")
        assert one == two
        assert list(checkpoints.names()) == [one.name]

    def test_names_are_sorted(self, checkpoints: CheckpointStore) -> None:
        """An empty store has none."""
        assert list(checkpoints.names()) == []
        published = [self._publish(checkpoints, f"t{i}", value=i).name for i in range(5)]
        assert list(checkpoints.names()) == sorted(published)

    def test_what_is_written_into_loaded_bytes_stays_there(self, checkpoints: CheckpointStore) -> None:
        """The bytes are writable, so that arrays over them are, and the checkpoint is immutable."""
        published = self._publish(checkpoints, "t1", value=7)
        decode(checkpoints.load(published.name, published.digest))["w"][:] = -1.0
        again = decode(checkpoints.load(published.name, published.digest))
        np.testing.assert_array_equal(again["w"], [7.0, 7.0])

    def test_loaded_bytes_outlive_the_checkpoint(self, checkpoints: CheckpointStore) -> None:
        """A donor may be collected while it is being copied."""
        published = self._publish(checkpoints, "t1", value=7)
        tree = decode(checkpoints.load(published.name, published.digest))
        checkpoints.delete(published.name)
        np.testing.assert_array_equal(tree["w"], [7.0, 7.0])

    def test_delete_is_idempotent(self, checkpoints: CheckpointStore) -> None:
        """Deleting twice, or before anything was published, is no error."""
        checkpoints.delete(_ABSENT)
        published = self._publish(checkpoints, "t1")
        checkpoints.delete(published.name)
        checkpoints.delete(published.name)
        with pytest.raises(CheckpointMissing, match="t1"):
            checkpoints.load(published.name, published.digest)

    def test_absent(self, checkpoints: CheckpointStore) -> None:
        """A checkpoint that never was, where there is another."""
        self._publish(checkpoints, "t1")
        with pytest.raises(CheckpointMissing, match="absent"):
            checkpoints.load(_ABSENT, "0" * 64)

    def test_another_digest_is_refused(self, checkpoints: CheckpointStore) -> None:
        """The digest of the record decides, not that of the name."""
        published = self._publish(checkpoints, "t1")
        with pytest.raises(CheckpointDamaged, match=published.digest):
            checkpoints.load(published.name, "0" * 64)

    @pytest.mark.parametrize("name", _BAD_NAMES.values(), ids=_BAD_NAMES.keys())
    def test_names_of_another_form_are_refused(self, checkpoints: CheckpointStore, name: str) -> None:
        """No name leads out of the store."""
        with pytest.raises(InvalidValue, match="sha256"):
            checkpoints.load(name, "0" * 64)
        with pytest.raises(InvalidValue, match="sha256"):
            checkpoints.delete(name)

    @pytest.mark.parametrize("token", ["", "a/b", "..", "a b", "a\n", "ä", "x" * 65])
    def test_tokens_of_another_form_are_refused(self, checkpoints: CheckpointStore, token: str) -> None:
        """A token becomes a part of a name."""
        with pytest.raises(InvalidValue, match="token"):
            self._publish(checkpoints, token)
        assert list(checkpoints.names()) == []

    def test_sweep_keeps_what_is_referred_to(self, checkpoints: CheckpointStore) -> None:
        """Only what is old and nobody's goes."""
        kept, lost = self._publish(checkpoints, "t1"), self._publish(checkpoints, "t2")
        later = time.time() + 1000.0
        assert checkpoints.sweep(keep={kept.name}.__contains__, older_than=60.0, now=later) == (lost.name,)
        assert list(checkpoints.names()) == [kept.name]
        assert checkpoints.sweep(keep={kept.name}.__contains__, older_than=60.0, now=later) == ()

    def test_sweep_keeps_what_is_young(self, checkpoints: CheckpointStore) -> None:
        """The record of a checkpoint is written after it; a clock that was set back deletes nothing."""
        published = self._publish(checkpoints, "t1")
        assert checkpoints.sweep(keep=lambda name: False, older_than=3600.0, now=time.time()) == ()
        assert checkpoints.sweep(keep=lambda name: False, older_than=0.0, now=time.time() - 1000.0) == ()
        assert list(checkpoints.names()) == [published.name]

    def test_sweep_of_an_empty_store(self, checkpoints: CheckpointStore) -> None:
        """Nothing to do, and no error."""
        assert checkpoints.sweep(keep=lambda name: False, older_than=0.0, now=time.time()) == ()

    def test_threads(self, checkpoints: CheckpointStore) -> None:
        """Several threads publish, load and delete at once."""

        def work(number: int) -> float:
            published = self._publish(checkpoints, f"t{number}", value=number % 3)
            value = float(decode(checkpoints.load(published.name, published.digest))["w"][0])
            if number % 2:
                checkpoints.delete(published.name)
            return value

        with ThreadPoolExecutor(8) as pool:
            values = list(pool.map(work, range(32)))
        assert values == [float(number % 3) for number in range(32)]
        assert len(list(checkpoints.names())) == 16

    @staticmethod
    def _publish(checkpoints: CheckpointStore, token: str, *, value: float = 0.0) -> Published:
        return checkpoints.publish(encode({"w": np.full(2, value)}), token)
