"""The contract of checkpoint stores, as tests: subclass it, give it the fixture, let pytest collect it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from warren.checkpoints import CheckpointStore, Published
from warren.errors import CheckpointDamaged, CheckpointMissing, InvalidValue, StateError
from warren.state import Encoded, decode, encode

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

    # -- states published together ------------------------------------------------------------------------------

    def test_each_of_those_published_together_is_a_checkpoint(self, checkpoints: CheckpointStore) -> None:
        """Digest, size and bytes are those that it would have alone; its name holds its place."""
        encoded = [encode({"w": np.full(size, 1.5), "step": size}) for size in (0, 5, 3_000, 700_000)]
        published = checkpoints.publish_all(encoded, "t1")
        for place, (one, alone) in enumerate(zip(published, encoded, strict=True)):
            content = alone.tobytes()
            assert one.digest == hashlib.sha256(content).hexdigest()
            assert one.size == alone.size
            assert one.name == f"{one.digest}-t1_{place}.safetensors"
            assert bytes(checkpoints.load(one.name, one.digest)) == content
        assert list(checkpoints.names()) == sorted(one.name for one in published)

    def test_none_published_together(self, checkpoints: CheckpointStore) -> None:
        """No error, and nothing is there."""
        assert checkpoints.publish_all([], "t1") == []
        assert list(checkpoints.names()) == []

    def test_those_published_together_are_deleted_one_by_one(self, checkpoints: CheckpointStore) -> None:
        """Equal or not; what is left can be loaded all the time, and what was deleted cannot."""
        encoded = [encode({"w": np.full(100, value)}) for value in (0.0, 1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 6.0)]
        left = checkpoints.publish_all(encoded, "t1")
        for place in (2, 0, 5, 3, 1, 1, 0, 0):
            gone = left.pop(place)
            checkpoints.delete(gone.name)
            checkpoints.delete(gone.name)
            with pytest.raises(CheckpointMissing, match=gone.name):
                checkpoints.load(gone.name, gone.digest)
            assert list(checkpoints.names()) == sorted(one.name for one in left)
            for one in left:
                checkpoints.load(one.name, one.digest)

    def test_many_are_deleted_at_once(self, checkpoints: CheckpointStore) -> None:
        """Of one publication or of several, also those that are not there."""
        together, others = self._together(checkpoints, "t1", 6), self._together(checkpoints, "t2", 6)
        single, kept = self._publish(checkpoints, "t3"), self._publish(checkpoints, "t4")
        left = {together[1].name, others[3].name, others[4].name, kept.name}
        gone = [one.name for one in (*together, single, *others) if one.name not in left]
        checkpoints.delete_all([*gone, _ABSENT, gone[0]])
        checkpoints.delete_all(gone)
        checkpoints.delete_all(())
        assert set(checkpoints.names()) == left
        for one in (together[1], others[3], others[4], kept):
            checkpoints.load(one.name, one.digest)
        with pytest.raises(InvalidValue, match="sha256"):
            checkpoints.delete_all([kept.name, "../name"])
        assert set(checkpoints.names()) == left

    def test_loaded_bytes_stay_apart_and_outlive_those_published_together(self, checkpoints: CheckpointStore) -> None:
        """What is written into one is not seen in another, nor loaded again; deleting them changes nothing."""
        published = self._together(checkpoints, "t1", 5)
        trees = [decode(checkpoints.load(one.name, one.digest)) for one in published]
        trees[2]["w"][:] = -1.0
        np.testing.assert_array_equal(decode(checkpoints.load(published[2].name, published[2].digest))["w"], [2.0] * 10)
        for some in (published[:4], published[4:]):
            checkpoints.delete_all([one.name for one in some])
        np.testing.assert_array_equal([tree["w"][9] for tree in trees], [0.0, 1.0, -1.0, 3.0, 4.0])

    def test_sweep_of_those_published_together(self, checkpoints: CheckpointStore) -> None:
        """Each is kept or deleted for itself; those that are young stay."""
        published, later = self._together(checkpoints, "t1", 5), time.time() + 1000.0
        names = sorted(one.name for one in published)
        assert checkpoints.sweep(keep=lambda name: False, older_than=3600.0, now=time.time()) == ()
        assert checkpoints.sweep(keep=set(names[1:]).__contains__, older_than=60.0, now=later) == (names[0],)
        assert checkpoints.sweep(keep=set(names[1:]).__contains__, older_than=60.0, now=later) == ()
        assert checkpoints.sweep(keep={names[2]}.__contains__, older_than=60.0, now=later) == (names[1], *names[3:])
        assert list(checkpoints.names()) == [names[2]]
        checkpoints.load(names[2], names[2][:64])
        assert checkpoints.sweep(keep=lambda name: False, older_than=60.0, now=later) == (names[2],)
        assert list(checkpoints.names()) == []

    def test_one_that_cannot_be_read_leaves_nothing_of_all(self, checkpoints: CheckpointStore) -> None:
        """All of them or none."""

        def fail() -> memoryview:
            raise StateError("the device is lost")

        good = encode({"w": np.ones(1000)})
        bad = Encoded(header=good.header, leaves=(good.leaves[0]._replace(read=fail),), size=good.size)
        with pytest.raises(StateError, match="lost"):
            checkpoints.publish_all([good, bad, good], "t1")
        assert list(checkpoints.names()) == []

    @pytest.mark.parametrize("token", ["", "a/b", "a b", "a\n", "x" * 62])
    def test_tokens_that_leave_no_room_for_places_are_refused(self, checkpoints: CheckpointStore, token: str) -> None:
        """The place of each becomes a part of its name too."""
        with pytest.raises(InvalidValue, match="11 states must be 1 to 61 letters"):
            self._together(checkpoints, token, 11)
        assert list(checkpoints.names()) == []
        published = self._together(checkpoints, "x" * 61, 11)
        assert list(checkpoints.names()) == sorted(one.name for one in published)

    def test_threads_that_publish_together(self, checkpoints: CheckpointStore) -> None:
        """Several threads publish, load and delete at once, also of one publication."""
        shared = self._together(checkpoints, "shared", 32)

        def work(number: int) -> None:
            own = self._together(checkpoints, f"t{number}", 4)
            checkpoints.delete(shared[number].name)
            checkpoints.delete_all([one.name for one in own[:3]])
            for one in (own[3], *shared[30:]):
                checkpoints.load(one.name, one.digest)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(30)))
        assert len(list(checkpoints.names())) == 32

    @staticmethod
    def _together(checkpoints: CheckpointStore, token: str, count: int) -> list[Published]:
        return checkpoints.publish_all([encode({"w": np.full(10, float(value))}) for value in range(count)], token)

    @staticmethod
    def _publish(checkpoints: CheckpointStore, token: str, *, value: float = 0.0) -> Published:
        return checkpoints.publish(encode({"w": np.full(2, value)}), token)
