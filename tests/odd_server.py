"""Our server with one promise broken, to see that the tests would notice.

The environment variable ODD says which: `early` answers before it keeps, `unsynced` keeps without a
sync.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import calllog
import cli
from batch import Job
from calllog import CallLog
from calls import A, Call, Delivery
from sqlite_store import SqliteStore


class EarlyLog(CallLog):
    def answer(self, delivery: Delivery, decide: Callable[[Call], A]) -> tuple[Call, A]:
        job = Job(delivery, decide)
        self._line.put(job)
        known = self._memory.story(job.reference_id)
        return known, decide(known)


class UnsyncedStore(SqliteStore):
    def open(self, *, write: bool = True) -> None:
        super().open(write=write)
        self._execute("PRAGMA synchronous = OFF")


ours: Any = calllog
if os.environ["ODD"] == "early":
    ours.CallLog = EarlyLog
else:
    ours.SqliteStore = UnsyncedStore
sys.exit(cli.main([]))
