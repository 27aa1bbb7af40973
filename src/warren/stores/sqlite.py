"""A store in one SQLite file: durable, shared by the processes of one machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, insert, select
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from warren.errors import StoreError
from warren.stores.folder import folder_of
from warren.stores.ledger import Ledger, Rows
from warren.stores.schema import SCHEMA_VERSION, metadata, schema
from warren.stores.sql import SqlRows

WAL_RESET_FIXED = ((3, 51, 3), (3, 50, 7), (3, 44, 6))


def wal_is_safe(version: tuple[int, int, int]) -> bool:
    """Whether a SQLite version is free of the WAL-reset bug (3.7.0 to 3.51.2, with two back-ports)."""
    if version >= WAL_RESET_FIXED[0] and version != (3, 52, 0):
        return True
    return any(version[:2] == fixed[:2] and version >= fixed for fixed in WAL_RESET_FIXED[1:])


class SQLiteStore(Ledger):
    """One run of a SQLite file.

    A rollback journal (PERSIST) with ``synchronous=FULL``: a transaction that has returned is on the disk. Writers
    wait for each other in a fair queue beside SQLite's own lock, whose busy handler lets a writer starve.

    Args:
        path: The file; made with its folder where it is not there and `create` is true.
        run: Name of the run in it.
        create: Make the file where there is none.

    Raises:
        StoreError: There is no such file, it cannot be written, is damaged, or of another schema version.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        run: str = "default",
        *,
        create: bool = True,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self._mutex = threading.RLock()
        # Closed with the object at the latest: users hold results, and need not know that these hold files.
        self._files = contextlib.ExitStack()
        weakref.finalize(self, self._files.close)
        if not self.path.exists():
            if not create:
                raise StoreError(f"there is no store at {self.path}")
            self._make_file()
        try:
            self._open(create)
        except BaseException:
            self._files.close()  # also where the error is kept, and with it this object
            raise
        self._cursor = self._connection.cursor()
        self._rows = SqlRows(self._cursor, dialect(paramstyle="qmark"), run)

    def _open(self, create: bool) -> None:
        with self._refused():
            self._connection = self._connect()
            version = self._version(create)
        if version not in (None, SCHEMA_VERSION):
            raise StoreError(
                f"the store {self.path} has schema version {version}, and this warren reads {SCHEMA_VERSION}; "
                "use the warren that made it"
            )
        self._lock = self._open_lock()
        with self._refused():
            self._durable()
            if version is None:
                self._make_tables()

    def _make_file(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise StoreError(f"the store {self.path} cannot be made: {error.strerror}") from None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=60.0, isolation_level=None, check_same_thread=False)
        self._files.callback(connection.close)
        return connection

    def _version(self, create: bool) -> int | None:
        """The schema version of the file, or None where it is still empty. Writes nothing."""
        tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if schema.name in tables:
            found = self._connection.execute(f"SELECT version FROM {schema.name}").fetchone()
            return int(found[0]) if found is not None else None
        if tables or not create:
            raise StoreError(f"{self.path} is no store of warren; it is left as it is")
        return None

    def _open_lock(self) -> int:
        folder = folder_of(self.path)
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"the folder {folder} beside the store cannot be written: {error.strerror}") from None
        self._files.callback(os.close, lock)
        return lock

    def _durable(self) -> None:
        """Choose the journal, and have every commit on the disk before it returns."""
        mode = self._connection.execute("PRAGMA journal_mode").fetchone()[0]
        if mode == "wal" and not wal_is_safe(sqlite3.sqlite_version_info[:3]):
            raise StoreError(
                f"the store {self.path} is in WAL mode, and SQLite {sqlite3.sqlite_version} can lose data in it; "
                "open it where SQLite is 3.51.3 or later"
            )
        if mode != "wal":
            self._connection.execute("PRAGMA journal_mode=PERSIST")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA foreign_keys=ON")

    def _make_tables(self) -> None:
        engine = create_engine("sqlite://", creator=lambda: self._connection, poolclass=StaticPool)
        with self._exclusive(), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                metadata.create_all(connection)  # another process may have been here first: only what is missing
                if connection.execute(select(schema.c.version)).scalar() is None:
                    connection.execute(insert(schema).values(version=SCHEMA_VERSION))
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                with contextlib.suppress(DBAPIError):
                    connection.exec_driver_sql("ROLLBACK")
                raise

    @contextmanager
    def _refused(self) -> Iterator[None]:
        """SQLite's errors in one line that names the file."""
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if isinstance(cause, (sqlite3.ProgrammingError, sqlite3.IntegrityError)):
                raise  # ours to mend, not the file's
            raise StoreError(f"the store {self.path} cannot be used: {cause}; the file is left as it is") from error

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._mutex:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)

    @contextmanager
    def _write(self) -> Iterator[Rows]:
        with self._exclusive(), self._refused():
            self._cursor.execute("BEGIN IMMEDIATE")
            try:
                self._rows.begin()
                yield self._rows
                self._rows.flush()
                self._cursor.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._cursor.execute("ROLLBACK")
                raise

    @contextmanager
    def _read(self) -> Iterator[Rows]:
        with self._mutex, self._refused():
            self._cursor.execute("BEGIN")
            try:
                self._rows.begin()
                yield self._rows
            finally:
                self._cursor.execute("COMMIT")

    def names(self) -> list[str]:
        """Names of all runs in the file, the oldest first."""
        with self._read():
            return self._rows.names()

    def close(self) -> None:
        """Close the connection and the lock's file."""
        with self._mutex:
            self._files.close()


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
