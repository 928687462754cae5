"""Deliveries on their way into the log: one by one in a line, decided and kept a batch at a time.

A batch is one transaction, and one sync for all that is in it.
"""

import contextlib
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from call_log import waiting
from call_log.memory import Memory
from call_log.store import Store, emptied, row_of
from call_log.waiting import Unkept
from calls import PURGED, UNKNOWN, CallState, Delivery, Timestamp

MAX_JOBS = 200

_let_others_go_first = getattr(os, "sched_yield", lambda: None)  # Windows has none


def _asleep() -> Any:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True, eq=False)
class Job:
    """A delivery on its way into the log.

    Its request waits until it is complete. The writer completes it when the delivery is kept or
    could not be; a request that cannot wait for so long does it itself, and what it answered stays,
    whichever other delivery is kept first. `unkept` is what has to be kept, `None` again when it
    is. Whoever reads or changes it after it was put into the line has the log's lock, but for
    `wait` and `result`: what is complete does not change.

    A bare lock wakes the request: a future's condition costs a tenth of all events a second.
    """

    delivery: Delivery
    decide: Callable[[CallState], Any]
    known: CallState = UNKNOWN
    answer: Any = None
    unkept: Unkept | None = None
    error: Exception | None = None
    is_complete: bool = False
    _asleep: Any = field(default_factory=_asleep)

    @property
    def reference_id(self) -> str:
        """The call's."""
        return self.delivery.event.reference_id

    @property
    def is_decided(self) -> bool:
        """Whether it is known what to answer, be it an error."""
        return self.answer is not None or self.error is not None

    def settle(self, known: CallState) -> None:
        """Decide by what is known, unless that is answered already; never raises."""
        if self.is_complete:
            return
        self.known, self.error = known, None
        try:
            self.answer = self.decide(known)
            row = row_of(self.delivery, self.answer)
        except Exception as error:  # noqa: BLE001 - it is the fault of this event alone
            self.error, self.unkept = error, None
            return
        self.unkept = self.unkept or Unkept(row)
        self.unkept.row = emptied(row) if known is PURGED else row

    def after(self, known: CallState) -> CallState:
        """Return the story with this event added; of a purged call nothing is."""
        if self.unkept is None or known is PURGED:
            return known
        event, seen_s = self.delivery.event, self.delivery.moment.monotonic_s
        return known.after(event, self.answer.command.to_wire(), seen_s)

    def complete(self, error: Exception | None = None) -> None:
        """Let the request go on, with the decision or an error, unless it has gone on itself."""
        if not self.is_complete:
            self.error, self.is_complete = error, True
            self._asleep.release()

    def wait(self, most_s: float) -> bool:
        """Wait until it is complete; false if that takes longer."""
        return bool(self._asleep.acquire(timeout=most_s))

    def result(self) -> tuple[CallState, Any]:
        """Return what was known and decided, or raise what went wrong."""
        if self.error is not None:
            raise self.error
        return self.known, self.answer


class Line:
    """Jobs in the order in which they came, put by any thread and taken by the writer."""

    def __init__(self) -> None:
        self._line: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._is_busy = False

    def __len__(self) -> int:
        return self._line.qsize()

    def put(self, job: Job) -> None:
        """Let a job be taken."""
        self._line.put(job)

    def end(self) -> None:
        """Let the writer, if it waits for a job, go on."""
        self._line.put(None)

    def take(self, wait_s: float) -> list[Job]:
        """Return those who wait, or who come in this time; where there are many, more are near."""
        jobs = []
        with contextlib.suppress(queue.Empty):
            jobs.append(self._line.get(timeout=wait_s))
            if self._is_busy:  # the more are kept with one sync, the less each costs
                _let_others_go_first()
            while len(jobs) < MAX_JOBS:
                jobs.append(self._line.get_nowait())
        self._is_busy = len(jobs) > 1
        return [job for job in jobs if job is not None]


def keep(
    store: Store,
    memory: Memory,
    some: list[Unkept],
    jobs: list[Job],
    *,
    lock: threading.Lock,
    now: Timestamp,
) -> None:
    """Keep what has waited, decide on jobs by all that is kept, keep those and answer them.

    Decided in the transaction that keeps it: two processes on one log must never give two different
    dials for one call. Memory knows of a decision as soon as it is made: a request that cannot wait
    until it is kept must not decide otherwise. Raises `StoreError`; then nothing is kept, or, if
    the answer to the commit was lost, all.
    """
    jobs = [job for job in jobs if job.unkept or not job.is_complete]  # the others are kept
    if not (some or jobs):
        return
    ids = {each.row.reference_id for each in some} | {job.reference_id for job in jobs}
    with store.transaction(ids):
        there, purged = store.rows(ids, bodies=False), store.purged(ids)
        with lock:
            purged |= memory.purged(ids)
            memory.erase(purged)
            stories = memory.stories(ids, there, now)
            for job in jobs:
                each = job.reference_id
                known = PURGED if each in purged else memory.joined(each, stories[each])
                job.settle(known)
                memory.put(each, job.after(known))
            unkept = some + [job.unkept for job in jobs if job.unkept]
            rows = waiting.rows_to_keep(unkept, there, purged)
        store.keep(rows)
    with lock:
        for job in jobs:
            job.unkept = None
            job.complete(job.error)
