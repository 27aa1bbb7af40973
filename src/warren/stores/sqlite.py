"""A store in one SQLite file: durable, shared by the processes of one machine."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, text, update
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from warren.errors import StoreError
from warren.stores.batch import Batch, Known
from warren.stores.contention import Contention, Patience, is_busy
from warren.stores.filesystem import mounts, refuse_network
from warren.stores.folder import folder_of
from warren.stores.ledger import Ledger
from warren.stores.migrations import known, steps
from warren.stores.place import real_path
from warren.stores.rows import Rows, Tables
from warren.stores.schema import SCHEMA_VERSION, checkpoints, metadata, schema
from warren.stores.sql import SqlRows
from warren.stores.turnstile import Turnstile

WAL_RESET_FIXED = ((3, 51, 3), (3, 50, 7), (3, 44, 6))

_BOUNDS = ("PRAGMA wal_autocheckpoint=1000", "PRAGMA journal_size_limit=4194304")
"""A log is emptied after so many pages, and it or a journal cut back to so many bytes: those pages, and no fewer."""

_TRY = 0.25
"""Seconds that SQLite itself waits for another connection before the wait is ours, where Ctrl-C is heard."""

_EARNED, _SHARE = 4, 16
"""Transactions in a row without another's between them, at least, and members for each, before all are read."""

_FILES = select(checkpoints.c.name, checkpoints.c.digest).where(
    checkpoints.c.dropped.is_(None), checkpoints.c.inline.is_(None)
)
_SNAPSHOT = "SELECT 1 FROM sqlite_master LIMIT 1"


def wal_is_safe(version: tuple[int, int, int]) -> bool:
    """Whether a SQLite version is free of the WAL-reset bug (3.7.0 to 3.51.2, with two back-ports)."""
    if version >= WAL_RESET_FIXED[0] and version != (3, 52, 0):
        return True
    return any(version[:2] == fixed[:2] and version >= fixed for fixed in WAL_RESET_FIXED[1:])


class SQLiteStore(Ledger):
    """One run of a SQLite file.

    A transaction that has returned is on the disk: ``synchronous=FULL``, in a new file with a write-ahead log where
    the SQLite that is linked has a safe one, else with a rollback journal (PERSIST). Writers wait for each other at two
    locks of ours beside SQLite's own, whose busy handler lets a writer starve. Whoever else holds the file is waited
    for without limit.

    Looking changes nothing and needs no right to write: the files of its locks are made by the first write, and a file
    of an earlier version is only brought to this one by `migrate`.

    Args:
        path: The file; made with its folder where it is not there and `create` is true. Links are followed once.
        run: Name of the run in it.
        create: Make the file where there is none.
        patience: How others are waited for.

    Raises:
        StoreError: There is no such file, it is damaged, lost, on a network file system, or of a later schema
            version.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        run: str = "default",
        *,
        create: bool = True,
        patience: Patience | None = None,
    ) -> None:
        super().__init__()
        self.path = real_path(path)
        self._lock, self._queue = (Turnstile(folder_of(self.path) / name) for name in ("lock", "queue"))
        patience = Patience() if patience is None else patience
        self._contention = Contention(self.path, self._lock.path, self._queue.path, patience)
        self._dialect = dialect(paramstyle="qmark")
        self._mutex = threading.RLock()
        # Closed with the object at the latest: users hold results, and need not know that these hold files.
        self._files = contextlib.ExitStack()
        self._files.callback(self._lock.close)
        self._files.callback(self._queue.close)
        weakref.finalize(self, self._files.close)
        if not create and not self.path.exists():
            raise StoreError(f"there is no store at {path}")
        # The path was looked up before: what is mounted on demand is in the list by now.
        refuse_network(self.path, mounts())
        # Looked at before the file is: whoever makes both makes the tables first.
        remains = _remains(self.path)
        if not _holds(self.path):
            self._refuse_loss(remains)
            self._make_file()
        try:
            self._open(create, remains)
        except BaseException:
            self._files.close()  # also where the error is kept, and with it this object
            raise
        self._rows = SqlRows(self._cursor, self._dialect, run)
        self._known: Known | None = None
        self._last = -1
        self._undisturbed = 0

    # -- opening ------------------------------------------------------------------------------------------------

    def _open(self, create: bool, remains: Path | None) -> None:
        with self._refused():
            version = self._found()
        if version is None:
            self._refuse_loss(remains)
            if not create:
                raise StoreError(f"{self.path} is no store of warren; it is left as it is")
        elif not known(version, SCHEMA_VERSION):
            raise StoreError(_other_version(self.path, version))
        self._older = version if version is not None and version < SCHEMA_VERSION else None
        with self._refused():
            if version is None:
                self._choose_log()
            if not self._still:
                self._durable()
            if version is None:
                self._make_tables()

    def _found(self) -> int | None:
        """Connect, and read the schema version; None where there is none yet."""
        self._still = False
        self._connect(str(self.path))
        try:
            return self._version()
        except sqlite3.OperationalError as error:
            # With a log even a reader makes files, which a folder that is read-only does not let it. What is still in
            # a log or a journal would be passed over.
            unfinished = any(os.path.lexists(f"{self.path}{end}") for end in ("-wal", "-journal"))
            if is_busy(error) or unfinished or os.access(self.path.parent, os.W_OK, effective_ids=_EFFECTIVE):
                raise
        self._still = True
        self._connect(f"{self.path.as_uri()}?immutable=1", uri=True)
        return self._version()

    def _refuse_loss(self, remains: Path | None) -> None:
        """Refuse to begin anew where a record was lost: what is beside it would be swept away."""
        if remains is not None:
            raise StoreError(
                f"the store {self.path} is gone or empty, and {remains} is still there; put the file back or restore "
                "a backup to go on with it, or delete what is left to begin anew"
            )

    def _make_file(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Not opened where it is there: closing it would take the locks of this process away.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except OSError as error:
            raise StoreError(f"the store {self.path} cannot be made: {error.strerror}") from None

    def _connect(self, database: str, *, uri: bool = False) -> None:
        connection = sqlite3.connect(database, timeout=_TRY, isolation_level=None, check_same_thread=False, uri=uri)
        self._files.callback(connection.close)
        self._connection, self._cursor = connection, connection.cursor()

    def _query(self, statement: Any) -> list[Any]:
        """Carry out a statement that is not worth keeping compiled."""
        compiled: Any = statement.compile(dialect=self._dialect)
        values = [compiled.params[name] for name in compiled.positiontup]
        return self._cursor.execute(str(compiled), values).fetchall()

    def _version(self) -> int | None:
        """The schema version of the file, or None where it is still empty. Writes nothing."""
        with self._snapshot():
            tables = {name for (name,) in self._query(_TABLES)}
            if schema.name in tables:
                found = self._query(select(schema.c.version))
                return int(found[0][0]) if found else None
        if tables:
            raise StoreError(f"{self.path} is no store of warren; it is left as it is")
        return None

    def _choose_log(self) -> None:
        """Let a new file have a write-ahead log, where that is safe."""
        if not wal_is_safe(sqlite3.sqlite_version_info[:3]):
            return
        with self._exclusive():
            if self._version() is None:  # else another process was faster, and it has chosen
                self._ask("PRAGMA journal_mode=WAL")

    def _durable(self) -> None:
        """Keep the file's journal or log, bound its size, and have every commit on the disk before it returns."""
        mode = self._ask("PRAGMA journal_mode")
        if mode == "wal" and not wal_is_safe(sqlite3.sqlite_version_info[:3]):
            raise StoreError(
                f"the store {self.path} is in WAL mode, and SQLite {sqlite3.sqlite_version} can lose data in it; "
                "open it where SQLite is 3.51.3 or later"
            )
        if mode != "wal":
            self._ask("PRAGMA journal_mode=PERSIST")
        for pragma in (*_BOUNDS, "PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON"):
            self._ask(pragma)

    def _ask(self, pragma: str) -> Any:
        found = self._contention.execute(self._cursor, pragma).fetchone()
        return None if found is None else found[0]

    def _make_tables(self) -> None:
        with self._exclusive(), self._transaction():
            if self._query(_TABLES):
                return  # another process was here first
            for table in metadata.sorted_tables:
                self._cursor.execute(str(CreateTable(table).compile(dialect=self._dialect)))
                for index in sorted(table.indexes, key=lambda index: str(index.name)):
                    self._cursor.execute(str(CreateIndex(index).compile(dialect=self._dialect)))
            self._query(insert(schema).values(version=SCHEMA_VERSION))

    def migrate(self) -> None:
        """Bring a file of an earlier version to this one, whole or not at all; for those who will work on it.

        Raises:
            StoreError: It cannot be written.
        """
        if self._older is None:
            return
        with self._exclusive(), self._refused(), self._transaction():
            found = int(self._query(select(schema.c.version))[0][0])  # another process may have been here first
            if found > SCHEMA_VERSION:
                raise StoreError(_other_version(self.path, found))
            for statement in steps(found, SCHEMA_VERSION):
                self._cursor.execute(statement)
            self._query(update(schema).values(version=SCHEMA_VERSION))
        self._older = None

    def _refuse_older(self) -> None:
        if self._older is not None:
            raise StoreError(
                f"the store {self.path} has schema version {self._older}, and this warren works with {SCHEMA_VERSION}; "
                f"looking changes nothing, so warren resume {self.path} brings it to this version, or use the warren "
                "that made it"
            )

    # -- transactions -------------------------------------------------------------------------------------------

    @contextmanager
    def _refused(self) -> Iterator[None]:
        """SQLite's errors, and texts that no warren wrote, in one line that names the file."""
        try:
            yield
        except (sqlite3.Error, json.JSONDecodeError, UnicodeDecodeError) as error:
            if isinstance(error, (sqlite3.ProgrammingError, sqlite3.IntegrityError)):
                raise  # ours to mend, not the file's
            if "not a database" in str(error) and not folder_of(self.path).is_dir():
                raise StoreError(f"{self.path} is no store of warren ({error}); it is left as it is") from error
            remedy = "the file is left as it is: see to its disk, or restore a backup"
            if "unable to open" in str(error) or "readonly" in str(error):
                remedy = "see that it and its folder can be read and written, or copy both to where they can"
            if "is full" in str(error):
                remedy = "make space there, and go on: what was stored before is not affected"
            raise StoreError(f"the store {self.path} cannot be used: {error}; {remedy}") from error

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._mutex:
            lock, queue = self._lock.descriptor(), self._queue.descriptor()
            try:  # before the wait: an interrupt may come when it is over
                self._contention.take(lock, queue)
                yield
            finally:
                self._contention.leave(lock, queue)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:  # before it begins: an interrupt may come when it has
            self._contention.execute(self._cursor, "BEGIN IMMEDIATE")
            yield
            # Where a reader is in the way, the transaction stays as it is, and is committed later.
            self._contention.execute(self._cursor, "COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._cursor.execute("ROLLBACK")
            raise

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        try:
            self._cursor.execute("BEGIN")
            # Taken at once, so that no later statement can meet a writer's lock.
            self._contention.execute(self._cursor, _SNAPSHOT)
            yield
        finally:
            with contextlib.suppress(sqlite3.Error):  # nothing was written; the cause is what has to be told
                self._cursor.execute("ROLLBACK")

    @contextmanager
    def _write(self) -> Iterator[Tables]:
        self._refuse_older()
        with self._exclusive(), self._refused(), self._transaction():
            self._rows.begin()
            yield self._rows
            self._rows.flush()

    @contextmanager
    def _many(self) -> Iterator[Rows]:
        with self._write():
            known, self._known = self._known, None  # what a transaction that fails leaves in it is not the record
            batch = Batch(self._rows, known)
            yield batch
            known = batch.flush()
        self._known = known

    @contextmanager
    def _next(self) -> Iterator[Rows]:
        with self._write() as rows:
            known, self._known = self._known, None
            batch = Batch(self._rows, known) if self._worth(rows.run().revision) else None
            yield rows if batch is None else batch
            known = None if batch is None else batch.flush()
            last = rows.run().revision
        self._known, self._last = known, last

    def _worth(self, revision: int) -> bool:
        """Whether one interval's work is cheaper in memory: what is known then is likely to stay true for long.

        Reading all members pays where nobody else writes. Where others do, it would have to be done again and again, so
        it has to be earned first.
        """
        self._undisturbed = self._undisturbed + 1 if revision == self._last else 0
        return self._undisturbed >= _EARNED and self._undisturbed * _SHARE >= self._rows.size()

    @contextmanager
    def _read(self) -> Iterator[Tables]:
        self._refuse_older()
        with self._mutex, self._refused(), self._snapshot():
            self._rows.begin()
            yield self._rows

    # -- the file as a whole ------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Names of all runs in the file, the oldest first; of any version."""
        with self._mutex, self._refused(), self._snapshot():
            return self._rows.names()

    def files(self) -> list[tuple[str, str]]:
        """Name and digest of each checkpoint of any run that can be loaded and is a file; of any version."""
        with self._mutex, self._refused(), self._snapshot():
            return [(str(name), str(digest)) for name, digest in self._query(_FILES)]

    def verify(self) -> None:
        """Read the whole file and see that it is sound.

        Raises:
            StoreError: It is damaged.
        """
        with self._mutex, self._refused(), self._snapshot():
            found = self._ask("PRAGMA quick_check(1)")
            whole = self._ask("PRAGMA page_count") * self._ask("PRAGMA page_size")
            size = self.path.stat().st_size
            # What is missing from the last page would be read as zeros. With a log, pages may be there only.
            if found == "ok" and size < whole and not _holds(_log_of(self.path)):
                found = f"it has {size} bytes of {whole}"
        if found != "ok":
            raise StoreError(
                f"the store {self.path} is damaged: {' '.join(str(found).split())}; the file is left as it is: "
                "restore a backup"
            )

    def copy(self, target: Path, before: Callable[[Sequence[tuple[str, str]]], None]) -> None:
        """Copy all runs as they are at one moment, while others wait to write.

        Args:
            target: An empty file on a disk of this machine.
            before: Is given name and digest of each checkpoint that the copy will name and that is a file. None of
                them is deleted before it returns.

        Raises:
            StoreError: It cannot be copied.
        """
        with self._exclusive(), self._read():
            before([(str(name), str(digest)) for name, digest in self._query(_FILES)])
            with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as other:
                try:
                    other.execute("PRAGMA synchronous=OFF")  # a copy that was interrupted is of no use anyway
                    self._connection.backup(other)
                except sqlite3.Error as error:
                    raise StoreError(f"the store {self.path} cannot be copied to {target}: {error}") from error

    def close(self) -> None:
        """Close the connection and the files of the locks."""
        with self._mutex:
            self._files.close()


_EFFECTIVE = os.access in os.supports_effective_ids
_TABLES = select(text("name")).select_from(text("sqlite_master")).where(text("type = 'table'"))


def _other_version(path: Path, found: int) -> str:
    return (
        f"the store {path} has schema version {found}, and this warren reads {SCHEMA_VERSION}; use the warren that "
        "made it, or a later one"
    )


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _holds(path: Path) -> bool:
    """Whether there is a file with anything in it."""
    return path.exists() and path.stat().st_size > 0


def _remains(path: Path) -> Path | None:
    """What a lost record leaves behind and a new one would destroy: checkpoints, or commits in a log."""
    log = _log_of(path)
    if _holds(log) and not _holds(path):
        return log
    folder = folder_of(path) / "checkpoints"
    there = (next(folder.glob(kind), None) for kind in ("*.safetensors", "pack-*"))
    return folder if any(one is not None for one in there) else None


def runs_in(path: str | os.PathLike[str]) -> list[str]:
    """Names of the runs that a store's file holds.

    Raises:
        StoreError: There is no such file, or it is no store.
    """
    store = SQLiteStore(path, create=False)
    try:
        return store.names()
    finally:
        store.close()
