"""Deliveries on their way into the log: queued one by one, decided and kept a batch at a time.

A batch is one transaction, and one sync for everything in it.
"""

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from call_log.memory import Memory
from call_log.store import Row, Store, anonymised, row_of
from calls import PURGED, UNKNOWN, CallState, Delivery, Timestamp

_yield_processor = getattr(os, "sched_yield", lambda: None)  # Windows has none


def _held_lock() -> Any:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True, eq=False)
class Job:
    """One delivery that a request waits to have decided and kept.

    The writer completes it when the delivery is kept or could not be. A request that has waited too
    long completes it itself, and the reply it sent then stands, whatever the writer finds later.
    `pending` is the row that has to be kept, and `None` again once it is.

    Both threads may have hold of a job, so once it is queued everything in it is read and changed
    under the log's lock. `wait` and `result` need none: what is complete does not change.

    A bare lock wakes the request: with a future's condition a tenth fewer events a second were
    measured.
    """

    delivery: Delivery
    decide: Callable[[CallState], Any]
    state: CallState = UNKNOWN
    answer: Any = None
    pending: Row | None = None
    error: Exception | None = None
    is_complete: bool = False
    _completion: Any = field(default_factory=_held_lock)

    @property
    def reference_id(self) -> str:
        """The call's."""
        return self.delivery.event.reference_id

    def decide_by(self, state: CallState) -> CallState:
        """Decide by the state of the call, unless the request has its reply already; never raises.

        A retry of the batch decides anew: another server may have kept something meanwhile. Return
        the state of the call with this event added; a purged call stays purged.
        """
        if not self.is_complete:
            self.state, self.error, self.pending = state, None, None
            try:
                self.answer = self.decide(state)
                row = row_of(self.delivery, self.answer)
                self.pending = anonymised(row) if state is PURGED else row
            except Exception as error:  # noqa: BLE001 - it is the fault of this event alone
                self.error = error
        if self.pending is None or state is PURGED:
            return state
        event, seen_s = self.delivery.event, self.delivery.received.monotonic_s
        return state.after(event, self.answer.command.to_wire(), seen_s)

    def complete(self, error: Exception | None = None) -> None:
        """Wake the request with the decision or an error, unless the job is complete already."""
        if not self.is_complete:
            self.error, self.is_complete = error, True
            self._completion.release()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the job is complete; false if that takes longer."""
        return bool(self._completion.acquire(timeout=timeout_s))

    def result(self) -> tuple[CallState, Any]:
        """Return the state before the event and the decision, or raise what went wrong."""
        if self.error is not None:
            raise self.error
        return self.state, self.answer


def taken(jobs: "queue.SimpleQueue[Job | None]", timeout_s: float) -> list[Job]:
    """Return all jobs that are queued; wait for a first one, or for `None`, for so long.

    Each waits for its own, so that there are no more than requests at a time.
    """
    some = []
    with contextlib.suppress(queue.Empty):
        some.append(jobs.get(timeout=timeout_s))
        _yield_processor()  # to those about to come: the more share a sync the better
        while True:
            some.append(jobs.get_nowait())
    return [job for job in some if job is not None]


def decide_and_keep(
    store: Store,
    memory: Memory,
    rows: Sequence[Row],
    jobs: Sequence[Job],
    *,
    lock: threading.Lock,
    now: Timestamp,
) -> None:
    """Decide on jobs by what is kept, keep them with rows of the backlog, and complete them.

    The decision is made inside the transaction that keeps it, because two processes on one log must
    never give two different dials for one call: the transaction shuts others out from these calls
    between reading their state and committing the reply. Memory learns of a decision as soon as it
    is made and before it is committed: a request that times out meanwhile must not decide
    differently.

    Raises `StoreError`; then nothing is kept, or all if only the answer to the commit was lost.
    """
    with lock:  # on a retry some are kept already
        jobs = [job for job in jobs if job.pending or not job.is_complete]
    if not (rows or jobs):
        return
    ids = {row.reference_id for row in rows} | {job.reference_id for job in jobs}
    with store.transaction(ids):
        stored, purged = store.rows(ids, bodies=False), store.purged(ids)
        with lock:  # a request that times out now decides before this or after it
            purged |= memory.purged(ids)
            memory.erase(purged)
            states = memory.states(ids, stored, now)
            for job in jobs:  # each by the state that those before it have left
                call = job.reference_id
                memory.put(call, job.decide_by(memory.merged(call, states[call])))
            pending = [job.pending for job in jobs if job.pending]
        store.keep([*rows, *pending], purged)
    with lock:
        for job in jobs:
            job.pending = None
            job.complete(job.error)
