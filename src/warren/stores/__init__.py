"""The durable record of a run, and the queue that workers take members from.

`MemoryStore` is exported here; `warren.stores.sqlite` is imported where a file is opened, since SQLAlchemy is slow to
import.
"""

from warren.stores.base import Round, Store, Stretch, Turn
from warren.stores.ledger import Ledger
from warren.stores.memory import MemoryStore
from warren.stores.rows import Rows, Tables

__all__ = ["Ledger", "MemoryStore", "Round", "Rows", "Store", "Stretch", "Tables", "Turn"]
