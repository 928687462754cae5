"""Our server with one promise broken, to see that the tests would notice.

The environment variable ODD says which: `early` answers before it keeps, `unsynced` keeps without a
sync.
"""

import os
import sys
from typing import Any

import app
from call_log import writer
from call_log.sqlite import SqliteStore
from call_log.waiting import Job
from call_log.writer import CallLog
from calls import CallState, Decide, Decision, Delivery
from serving import sources


class EarlyLog(CallLog):
    def answer(self, delivery: Delivery, decide: Decide) -> tuple[CallState, Decision]:
        job = Job(delivery, decide)
        with self._lock:
            known = self._memory.state(job.reference_id)
            self._line.put(job)
            self._wake.put(None)
        return known, decide(known)


class UnsyncedStore(SqliteStore):
    def open(self, *, write: bool = True) -> None:
        super().open(write=write)
        self.execute("PRAGMA synchronous = OFF")


if os.environ["ODD"] == "early":
    opening: Any = sources
    opening.CallLog = EarlyLog
else:
    stores: Any = writer
    stores.SqliteStore = UnsyncedStore
sys.exit(app.main())
