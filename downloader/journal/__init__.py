"""The durable memory of a run: one SQLite file that says where every item stands.

    schema     tables, indexes, and migrations from older versions
    connections   to write, or to look without changing anything
    database   a connection, its lock, transactions
    keys       identity of a row across runs
    columns    values as columns store them
    planning   rows into the plan, under names of their own
    facts      facts into states; the only caller of `advance`
    bodies     which item had which bytes first
    views      what the journal says: open items, counts, records, written files
    shape      what the items hold, all together
    journal    all of it, as one object that threads share

The only user of sqlite3. The planner thread and the writer thread write; every other thread reads.
"""

from downloader.journal.excerpts import StoredItem
from downloader.journal.journal import Journal
from downloader.journal.keys import make_key
from downloader.journal.planning import NameOptions, Namer, OverwritePolicy, RetryFilter
from downloader.journal.schema import SCHEMA_VERSION
from downloader.journal.shape import ItemShape
from downloader.journal.views import CommonFailure, Written, WrittenFile

FILE_NAME = "journal.sqlite3"

__all__ = [
    "FILE_NAME",
    "SCHEMA_VERSION",
    "CommonFailure",
    "ItemShape",
    "Journal",
    "NameOptions",
    "Namer",
    "OverwritePolicy",
    "RetryFilter",
    "StoredItem",
    "Written",
    "WrittenFile",
    "make_key",
]
