"""The durable log of calls: an event is kept before it is answered, and decided by what was kept.

One thread writes. It takes all queued events and, in one transaction, reads the states of their
calls, decides on each and keeps them; only then it completes them: one sync for all. That the
decision is made inside the transaction is why two servers on one log never dial twice for a call.

    request threads ---queue---> writer ---transaction---> store
       |        ^                  |
       |        +----complete------+---> purge
       |                           |
       +-----> memory, backlog <---+     watchdog: aborts a store that hangs

While the database fails or takes too long, events of a call in progress are decided by the memory
of recent calls and go to the backlog, because people are on the phone; they are counted as answered
unkept. `call_completed` and unknown events are refused, so that they may be sent again, and go to
the backlog too.

One lock guards what the threads share: memory, backlog, condition of the log and completion of
jobs. It is never held during I/O; decisions are made under it, and do none.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path

from call_log import backlog
from call_log.backlog import Backlog, PendingRow
from call_log.batch import MAX_JOBS, Job, JobQueue, decide_and_keep
from call_log.memory import InMemoryCalls, Memory
from call_log.purge import Purge
from call_log.sqlite import SqliteStore
from call_log.store import Store, StoreError, fails_for_all
from calls import A, CallState, CallStore, Delivery, LogUnavailable, Timestamp
from events import CallCompleted, UnknownEvent

_MAX_WAIT_S = 0.5
_TICK_S = 0.25
_MAX_RETRIED_S = 0.2
_MAX_TURN_S = 1.0
_MAX_CLOSING_S = 1.0


class Condition(Enum):
    """How the log is doing."""

    OK = auto()
    FAILING = auto()  # requests do not wait for the writer
    CATCHING_UP = auto()  # they do again, but some of the backlog is left


class CallLog:
    """Keeps calls in a store, and purges each `keep_days` after its first event, in small steps.

    `notify` gets a line when a fault begins, and one when it has ended. Raises `StoreError` if the
    store cannot be used at the start.
    """

    def __init__(
        self,
        store: Store,
        notify: Callable[[str], None],
        *,
        keep_days: int,
        clock: Callable[[], Timestamp],
    ) -> None:
        self._store, self._notify, self._clock = store, notify, clock
        self._lock = threading.Lock()
        self._queue = JobQueue()
        self._batch: list[Job] = []
        self._backlog = Backlog(backlog.MAX_BYTES)
        self._condition = Condition.OK
        self._unkept = self._dropped = 0
        self._must_reconnect = False
        self._turn_since: float | None = None
        self._close_by: float | None = None
        self._closed = threading.Event()
        store.open()
        try:
            store.erase_deleted()  # a server may have been killed between purging and this
            backlog.import_spilled(store, notify)
            self._memory = Memory(store, clock())
            self._purge = Purge(store, keep_days, clock)
        except StoreError:
            store.close()
            raise
        self._thread = threading.Thread(target=self._run, name="call-log", daemon=True)
        self._thread.start()
        threading.Thread(target=self._watch, name="call-log-watchdog", daemon=True).start()

    def answer(self, delivery: Delivery, decide: Callable[[CallState], A]) -> tuple[CallState, A]:
        """Decide on an event and keep it, within half a second; see `calls.CallStore`.

        Raises `LogUnavailable` for an event that must be kept and cannot be, and after `close`.
        """
        if self._closed.is_set():
            raise LogUnavailable
        job = Job(delivery, decide)
        # The log may begin to fail, or recover, right after this look. Then the job is queued for a
        # writer that fails, and is answered after half a second like any other; or it is in the
        # backlog, and is kept with the next turn.
        if self._condition is Condition.FAILING:
            with self._lock:
                self._defer(job)
        else:
            self._queue.put(job)
            if not job.wait(_MAX_WAIT_S):
                self._fail(f"{self._store.place}: takes longer than {_MAX_WAIT_S * 1000:.0f} ms")
                with self._lock:
                    self._answer_unkept(job)  # the writer still has it, and keeps or defers it
        return job.result()

    def health(self) -> dict[str, object]:
        """Return whether what is answered is kept, and how much is not."""
        with self._lock:
            is_ok = self._condition is Condition.OK
            waiting = len(self._queue) + len(self._batch) + len(self._backlog)
            return {
                "call_log": "ok" if is_ok else "failing",
                "waiting_events": 0 if is_ok else waiting,
                "answered_unkept": self._unkept,
                "dropped_events": self._dropped,
            }

    def close(self) -> int:
        """Keep what is pending, for a second or so, disconnect, and return how many are lost.

        What is not kept by then is written to a file for the next start. A writer that hangs in the
        database may keep its batch all the same: each row in the file notes what was tried, so that
        the import counts nothing twice.
        """
        self._close_by = time.monotonic() + _MAX_CLOSING_S
        self._queue.wake()
        self._thread.join(2 * _MAX_CLOSING_S)
        self._closed.set()
        with self._lock:
            for job in self._batch:
                self._defer(job)
            while len(self._queue):
                for job in self._queue.take_batch(0):
                    self._defer(job)
            left, self._backlog, self._batch = self._backlog.copies(), Backlog(0), []
        return backlog.spill(self._store, left, self._notify) if left else 0

    def _watch(self) -> None:
        """Abort a database in which the writer hangs.

        The writer may get its answer just now. Then it loses a connection that works,
        and makes another one.
        """
        while not self._closed.wait(_TICK_S):
            since = self._turn_since
            if since is not None and time.monotonic() - since > _MAX_TURN_S:
                self._store.abort()

    def _answer_unkept(self, job: Job) -> None:
        """Complete a job by what is in memory, or by the decision that could only not be kept.

        Called with the lock held: the writer decides under it too, and so one of the two finds the
        decision of the other and never makes a different one.
        """
        if job.is_complete:
            return
        if not job.is_decided:
            state = self._memory.state(job.reference_id)
            job.decide_by(state)
            after = job.state_after(state)
            if state.incoming is None and after.incoming:
                after = replace(after, is_unread=True)
            self._memory.put(job.reference_id, after)
        if job.error is None and isinstance(job.delivery.event, CallCompleted | UnknownEvent):
            job.complete(LogUnavailable())
            return
        self._unkept += job.error is None
        job.complete(job.error)

    def _defer(self, job: Job) -> None:
        """Complete a job now and keep its row later; it is dropped if the backlog has no room."""
        self._answer_unkept(job)
        if job.pending is not None and not self._backlog.add(job.pending):
            self._dropped += 1
        job.pending = None

    def _fail(self, cause: str) -> None:
        with self._lock:
            was_ok = self._condition is Condition.OK
            self._condition = Condition.FAILING
        if was_ok:
            self._notify(f"the call log is failing, events are held in memory: {cause}")

    def _recover(self) -> None:
        """Let requests wait for the writer again once the next turn can keep the whole backlog.

        The log is ok when the backlog is empty; the queue, under load, hardly ever is.
        """
        with self._lock:
            left = len(self._backlog)
            if self._condition is Condition.FAILING and left < MAX_JOBS:
                self._condition = Condition.CATCHING_UP
            has_recovered = self._condition is Condition.CATCHING_UP and not left
            if has_recovered:
                self._condition = Condition.OK
        if has_recovered:
            self._notify("the call log has recovered, all events that were held are kept")

    def _run(self) -> None:
        """Keep what comes, and try again until it is kept."""
        while not self._may_close():
            try:
                self._batch = self._queue.take_batch(0 if len(self._backlog) else _TICK_S)
                self._turn()
            except Exception as error:  # noqa: BLE001 - without this thread nothing is kept
                self._defer_batch(error)
                time.sleep(_TICK_S)
        self._store.close()

    def _defer_batch(self, error: Exception) -> None:
        """Answer the batch from memory, and have it kept later."""
        self._must_reconnect, self._turn_since = True, None
        self._fail(str(error) if isinstance(error, StoreError) else type(error).__name__)
        with self._lock:
            for job in self._batch:
                self._defer(job)
            self._batch = []

    def _may_close(self) -> bool:
        is_done = not (len(self._queue) or len(self._backlog))
        return self._close_by is not None and (is_done or time.monotonic() > self._close_by)

    def _turn(self) -> None:
        """Do once all there is to do; the backlog goes first, the oldest rows of it."""
        self._turn_since = time.monotonic()
        if self._must_reconnect or self._store.file_replaced():
            self._reconnect()
        with self._lock:
            oldest = self._backlog.oldest()
        self._keep_with_retry(oldest)
        self._batch = []
        self._recover()
        self._purge_some()
        self._turn_since = None

    def _purge_some(self) -> None:
        try:
            purged = self._purge.turn()
        except StoreError as error:
            self._must_reconnect = True
            self._notify(f"old calls are not purged: {error}")
            return
        with self._lock:
            self._memory.erase(purged)

    def _reconnect(self) -> None:
        was_replaced = self._store.reconnect()
        self._must_reconnect = False
        if was_replaced:
            self._notify(
                f"{self._store.place}: the file was deleted, renamed or replaced; events are now"
                " kept in the file at this path, which was created if it was missing"
            )

    def _keep_with_retry(self, oldest: list[PendingRow]) -> None:
        """Keep the batch; after a quick failure, such as a lost connection, try again at once."""
        started = time.monotonic()
        try:
            self._keep(oldest, self._batch)
        except StoreError as first:
            if time.monotonic() - started > _MAX_RETRIED_S:
                raise
            try:
                self._reconnect()
                self._keep(oldest, self._batch)
            except StoreError:
                raise first from None  # it names the cause best

    def _keep(self, rows: list[PendingRow], jobs: list[Job]) -> None:
        """Keep a batch; if the database cannot take some event, one by one and without that one."""
        now = self._clock()
        try:
            decide_and_keep(self._store, self._memory, rows, jobs, lock=self._lock, now=now)
            with self._lock:
                self._backlog.remove_kept(rows)
        except Exception as error:
            if fails_for_all(error):
                raise
            if len(rows) + len(jobs) == 1:
                self._drop(rows, jobs, error)
                return
            for row in rows:
                self._keep([row], [])
            for job in jobs:
                self._keep([], [job])

    def _drop(self, rows: list[PendingRow], jobs: list[Job], error: Exception) -> None:
        with self._lock:
            for row in rows:
                self._backlog.remove(row)
            for job in jobs:
                self._answer_unkept(job)
                job.pending = None
            self._dropped += 1
        cause = error if isinstance(error, StoreError) else type(error).__name__
        self._notify(f"an event could not be kept and was dropped: {cause}")


def opened(
    url: str, notify: Callable[[str], None], *, keep_days: int, clock: Callable[[], Timestamp]
) -> CallStore:
    """Return the store of calls that a URL names; an empty URL keeps nothing on disk.

    Raises `StoreError` if there is a log that cannot be used.
    """
    if not url:
        return InMemoryCalls()
    return CallLog(store_of(url), notify, keep_days=keep_days, clock=clock)


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
