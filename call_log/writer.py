"""The durable log of calls: an event is kept before it is answered, and decided by what was kept.

Every delivery is put at the end of one line (`waiting.py`). One thread writes: it takes the oldest
of the line and, in one transaction, reads the states of their calls, lets the answers stand that
were given already, decides on the rest and keeps all; then it answers, and takes them out of the
line. One sync for all. That the decision is made inside the transaction is why two servers on one
log never dial twice for a call.

    request ---> line of jobs ---> writer ---transaction---> store
       ^                              |
       +----------- answer -----------+---> purge

While the log fails, or takes too long, everything in the line answers itself from memory, because
people are on the phone, and stays where it stands; what comes meanwhile does the same. Only
`call_completed` and unknown events are refused, so that they may be sent again; they stay in the
line too. The log alone is the authority: memory is asked only while the log fails, and for the ages
of calls that began here.

What the threads share is in the fields that `CallLog.__init__` names, under one lock. It is never
held during I/O; decisions are made under it, and do none.
"""

import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from call_log import saved
from call_log.memory import MAX_STATES, States
from call_log.purge import Purge
from call_log.sqlite import SqliteStore
from call_log.store import Row, Store, StoreError, microseconds, utc
from call_log.waiting import Job, WaitingLine
from calls import PURGED, UNKNOWN, CallState, Clock, Decide, Decision, Delivery, LogUnavailable
from events import CallCompleted, IncomingCall, UnknownEvent

_MAX_WAIT_S = 0.5
_TICK_S = 0.25
_MAX_RETRIED_S = 0.2
_MAX_CLOSING_S = 1.0
_MAX_AHEAD_S = 5.0
_TIDY_EVERY_S = 0.05
_OVERDUE_EVERY_S = 60.0

_yield_processor = getattr(os, "sched_yield", lambda: None)  # Windows has none


class CallLog:
    """Keeps calls in a store, and purges each `keep_days` after its first event, in small steps.

    `notify` gets a line when a fault begins, and one when it has ended. Raises `StoreError` if the
    store cannot be used at the start.
    """

    def __init__(
        self, store: Store, notify: Callable[[str], None], *, keep_days: int, clock: Clock
    ) -> None:
        self._store, self._notify, self._clock = store, notify, clock
        # Read and written by the requests and the writer, all with the lock held: the line and its
        # jobs, the memory, whether requests wait for the writer, whether all that was answered is
        # kept, the two counts, and whether the log is closed. Two steps of a request need no lock:
        # it looks whether it waits, and puts its job at the end of the line. It looks once more
        # then: so a job is in the line before all in it are answered, or answers itself.
        self._lock = threading.Lock()
        self._line = WaitingLine()
        self._memory = States(waiting=self._line)
        self._is_waited_for = self._is_well = True
        self._unkept = self._dropped = 0
        self._is_closed = False
        # A queue locks by itself. A request leaves a word in it unless there is one: the writer,
        # which alone takes it out, looks at the line after that, and sleeps until there is one.
        self._wake: SimpleQueue[None] = SimpleQueue()
        # Written once, by `close`, and read by the writer: a single assignment.
        self._close_by: float | None = None
        # The writer's own from here on: no other thread uses the store or these.
        self._must_reconnect = False
        self._began: OrderedDict[str, float] = OrderedDict()
        self._tidy_at_s = self._overdue_at_s = 0.0
        store.open()
        store.erase_deleted()  # a server may have been killed between purging and this
        saved.take_in(store, notify)
        self._purge = Purge(store, keep_days, clock)
        self._thread = threading.Thread(target=self._run, name="call-log", daemon=True)
        self._thread.start()

    def answer(self, delivery: Delivery, decide: Decide) -> tuple[CallState, Decision]:
        """Decide on an event and keep it, within half a second; see `calls.CallStore`.

        Raises `LogUnavailable` for an event that must be kept and cannot be, and after `close`.
        """
        job = Job(delivery, decide)
        is_in_line = self._is_waited_for
        if is_in_line:
            self._line.put(job)
            if self._wake.empty():
                self._wake.put(None)
        if not (is_in_line and self._is_waited_for):  # not now, or not any more
            with self._lock:
                if self._is_closed and not is_in_line:
                    raise LogUnavailable
                self._answer_from_memory(job, is_in_line=is_in_line)
                if not is_in_line:
                    self._dropped += not self._line.add_answered(job)
        elif not job.wait(_MAX_WAIT_S):
            self._fail(f"{self._store.place}: takes longer than {_MAX_WAIT_S * 1000:.0f} ms")
        return job.result()

    def health(self) -> dict[str, object]:
        """Return whether what is answered is kept, and how much is not."""
        with self._lock:
            return {
                "call_log": "ok" if self._is_well else "failing",
                "waiting_events": 0 if self._is_well else len(self._line),
                "answered_unkept": self._unkept,
                "dropped_events": self._dropped,
            }

    def close(self) -> int:
        """Keep what is in the line, for a second or so, disconnect, and return how many are lost.

        What is not kept by then is saved in a file for the next start. A writer that hangs in the
        database may keep some of it all the same: nothing is counted twice when it is taken in.
        """
        self._close_by = time.monotonic() + _MAX_CLOSING_S
        self._wake.put(None)
        self._thread.join(2 * _MAX_CLOSING_S)
        with self._lock:
            self._is_closed, self._is_waited_for = True, False
            for job in self._line:
                self._answer_from_memory(job)
            left = self._line.clear()
        return saved.save(self._store, left, self._notify) if left else 0

    def _fail(self, cause: str) -> None:
        """Let no request wait for the writer until the log is well again."""
        with self._lock:
            was_well, self._is_well = self._is_well, False
            if self._is_waited_for:
                self._is_waited_for = False
                for job in self._line:
                    self._answer_from_memory(job)
        if was_well:
            self._notify(f"the call log is failing, events are held in memory: {cause}")

    def _answer_from_memory(self, job: Job, *, is_in_line: bool = True) -> None:
        """Answer a job by what is in memory, or by the decision that is only not kept yet.

        Called with the lock held: the writer decides under it too, and so one of the two finds the
        decision of the other and never makes a different one.
        """
        if job.is_answered:
            return
        if job.row is None and job.error is None:
            state = self._memory.state(job.reference_id)
            job.decide_by(state)
            self._memory.put(job.reference_id, job.state_after(state))
        if job.error is None and isinstance(job.delivery.event, CallCompleted | UnknownEvent):
            job.answer(LogUnavailable())
        else:
            self._unkept += job.error is None
            job.answer(job.error)
        if is_in_line:
            self._line.count(job)

    def _run(self) -> None:
        """Keep what comes, and try again until it is kept."""
        while self._close_by is None or (len(self._line) and time.monotonic() < self._close_by):
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 - without this thread nothing is kept
                self._must_reconnect = True
                self._fail(_cause(error))
                time.sleep(_TICK_S)
        # A reader that is still connected keeps the database from doing so as it closes, and then a
        # file that is moved now would not be whole.
        with suppress(StoreError):
            self._store.erase_deleted()
        self._store.close()

    def _turn(self) -> None:
        """Do once all there is to do; wait a moment for it."""
        with suppress(Empty):
            self._wake.get(timeout=0 if len(self._line) else _TICK_S)
            _yield_processor()  # to those about to come: the more share a sync the better
        with self._lock:
            batch = self._line.hold()
        try:
            self._keep_whole(batch)
        finally:
            with self._lock:
                self._line.release(batch)
        with self._lock:
            has_recovered = self._note_success()
        if has_recovered:
            self._notify("the call log has recovered, all events that were held are kept")
        if time.monotonic() >= self._tidy_at_s:
            self._tidy()

    def _keep_whole(self, batch: Sequence[Job]) -> None:
        """Keep a batch, at once again after a quick failure such as a lost connection."""
        started = time.monotonic()
        if self._must_reconnect or (not batch and self._store.is_replaced()):
            self._reconnect()
        try:
            self._keep(batch)
        except StoreError as first:
            if time.monotonic() - started > _MAX_RETRIED_S:
                raise
            try:
                self._reconnect()
                self._keep(batch)
            except StoreError:
                raise first from None  # it names the cause best

    def _note_success(self) -> bool:
        """Let requests wait again once one transaction can keep what is left.

        Return whether the log is well again, as nothing that was answered is left; under load, more
        is always in the line.
        """
        self._is_waited_for = self._is_waited_for or self._line.is_short
        if self._is_well or not self._is_waited_for:
            return False
        self._is_well = not any(job.is_answered for job in self._line)
        return self._is_well

    def _tidy(self) -> None:
        """Purge a few old calls, and write down a few whose end never came."""
        self._tidy_at_s = time.monotonic() + _TIDY_EVERY_S
        now = self._clock()
        try:
            purged = self._purge.turn()
            if now.monotonic_s >= self._overdue_at_s:
                found_some = self._store.record_overdue(microseconds(now.utc))
                self._overdue_at_s = now.monotonic_s + (0 if found_some else _OVERDUE_EVERY_S)
        except StoreError as error:
            self._must_reconnect = True
            self._notify(f"old calls are not purged or written down: {error}")
            return
        with self._lock:
            for reference_id in purged:
                if reference_id in self._memory:
                    self._memory.put(reference_id, PURGED)

    def _reconnect(self) -> None:
        was_replaced = self._store.reconnect()
        self._must_reconnect = False
        if was_replaced:
            what = "the file or its -wal was deleted, renamed or replaced; the one here now is used"
            self._notify(f"{self._store.place}: {what}")

    def _keep(self, batch: Sequence[Job]) -> None:
        """Keep a batch and answer it; if there is an event that the database does not take, singly.

        Such an event is answered, counted and dropped.
        """
        try:
            self._decide_and_keep(batch)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a value
            if len(batch) > 1:
                for job in batch:
                    self._keep([job])
                return
            with self._lock:
                for job in batch:
                    self._answer_from_memory(job)
                self._dropped += len(batch)
            self._notify(f"an event could not be kept and was dropped: {_cause(error)}")
        with self._lock:
            for job in batch:
                job.answer(job.error)
            self._line.remove(batch)

    def _decide_and_keep(self, batch: Sequence[Job]) -> None:
        """Decide on jobs by what is kept, and keep them.

        The decision is made inside the transaction that keeps it, because two processes on one log
        must never give two different dials for one call: the transaction shuts others out from
        these calls between reading their state and committing the answer. Memory learns of a
        decision as soon as it is made and before it is committed: a request that takes too long
        meanwhile must not be decided differently.

        What was committed to a file that is no longer at its path is kept again, in the one that
        is, before it is answered.

        Raises `StoreError`; then nothing is kept, or all if only the answer to the commit was lost.
        """
        ids = {job.reference_id for job in batch}
        while ids:
            with self._store.transaction(ids):
                known, purged = self._store.rows(ids, bodies=False), self._store.find_purged(ids)
                states = self._fold_states(ids, known) | dict.fromkeys(purged, PURGED)
                with self._lock:
                    self._decide(batch, states)
                    rows = [job.row for job in batch if job.row is not None]
                self._store.keep(rows, purged, known)
            if not self._store.is_replaced():
                return
            self._reconnect()

    def _fold_states(self, ids: set[str], rows: Iterable[Row]) -> dict[str, CallState]:
        """Fold the state of each call out of what the log holds of it."""
        states = dict.fromkeys(ids, UNKNOWN)
        for row in rows:
            call, event = row.reference_id, row.to_event()
            is_first = isinstance(event, IncomingCall)  # of others the time does not matter
            seen_s = (self._began.get(call) or self._seen_s(row)) if is_first else 0.0
            states[call] = states[call].after(event, row.wire, seen_s, row.accept_digit)
        return states

    def _seen_s(self, row: Row) -> float:
        """Return the monotonic time of a row that another process, or an earlier one, has kept.

        It is worked out by the wall clock. A time in the future shows that this was set back: the
        row may be of any age, and counts as old.
        """
        now = self._clock()
        age_s = (now.utc - utc(row.first_seen)).total_seconds()
        return -math.inf if age_s < -_MAX_AHEAD_S else now.monotonic_s - max(age_s, 0.0)

    def _decide(self, batch: Sequence[Job], states: dict[str, CallState]) -> None:
        """Decide on each job that has no answer yet by the state that those before it have left.

        Called with the lock held. What memory has of a call that was answered from it since, by a
        job that is not in the batch, is newer than what is known here.
        """
        answered_since = self._line.find_answered_after(batch)
        for job in batch:
            call, event, state = job.reference_id, job.delivery.event, states[job.reference_id]
            if not job.is_answered:
                job.decide_by(state)
            if isinstance(event, IncomingCall) and state.incoming is None:
                self._began[call] = job.delivery.received.monotonic_s
                if len(self._began) > MAX_STATES:
                    self._began.popitem(last=False)
            states[call] = job.state_after(state)
            if call not in answered_since:
                self._memory.put(call, states[call])


def _cause(error: Exception) -> str:
    """Return what may be logged of an error: others than ours may quote somebody's number."""
    return str(error) if isinstance(error, StoreError) else type(error).__name__


def store_of(url: str) -> Store:
    """Return the store, not yet open, that a URL names."""
    if url.startswith("sqlite:///"):
        return SqliteStore(Path(url.removeprefix("sqlite:///")))
    try:
        from call_log.postgresql import PostgresStore
    except ImportError:
        raise StoreError(
            "call_log: wanted the PostgreSQL driver, got none; install requirements-postgresql.txt"
        ) from None
    return PostgresStore(url)
