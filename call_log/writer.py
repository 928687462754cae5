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
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

from call_log import backlog
from call_log.backlog import Backlog, Condition
from call_log.batch import Job, decide_and_keep, taken
from call_log.memory import InMemoryCalls, Memory
from call_log.purge import Purge
from call_log.sqlite import SqliteStore
from call_log.store import Row, Store, StoreError
from calls import A, CallState, CallStore, Delivery, LogUnavailable, Timestamp
from events import CallCompleted, UnknownEvent

_MAX_WAIT_S = 0.5
_TICK_S = 0.25
_MAX_RETRIED_S = 0.2
_MAX_TURN_S = 1.0
_MAX_CLOSING_S = 1.0


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
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._batch: list[Job] = []
        self._backlog = Backlog()
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
        if self._backlog.condition is Condition.FAILING:
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
            is_ok = self._backlog.condition is Condition.OK
            waiting = self._queue.qsize() + len(self._batch) + len(self._backlog)
            return {
                "call_log": "ok" if is_ok else "failing",
                "waiting_events": 0 if is_ok else waiting,
                "answered_unkept": self._backlog.unkept,
                "dropped_events": self._backlog.dropped,
            }

    def close(self) -> int:
        """Keep what is pending, for a second or so, disconnect, and return how many are lost.

        What is not kept by then is saved in a file for the next start. A writer that hangs in the
        database may keep its batch all the same: the import counts nothing twice.
        """
        self._close_by = time.monotonic() + _MAX_CLOSING_S
        self._queue.put(None)  # the writer may be waiting for a job
        self._thread.join(2 * _MAX_CLOSING_S)
        self._closed.set()
        with self._lock:
            for job in self._batch + taken(self._queue, 0):
                self._defer(job)
            left, self._batch = self._backlog.take_all(), []
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
        if job.answer is None and job.error is None:
            state = self._memory.state(job.reference_id)
            after = job.decide_by(state)
            if state.incoming is None and after.incoming:
                after = replace(after, is_unread=True)
            self._memory.put(job.reference_id, after)
        if job.error is None and isinstance(job.delivery.event, CallCompleted | UnknownEvent):
            job.complete(LogUnavailable())
            return
        self._backlog.unkept += job.error is None
        job.complete(job.error)

    def _defer(self, job: Job) -> None:
        """Complete a job now and keep its row later."""
        self._answer_unkept(job)
        if job.pending is not None:
            self._backlog.add(job.pending)
        job.pending = None

    def _fail(self, cause: str) -> None:
        with self._lock:
            was_ok = self._backlog.fail()
        if was_ok:
            self._notify(f"the call log is failing, events are held in memory: {cause}")

    def _run(self) -> None:
        """Keep what comes, and try again until it is kept."""
        while not self._may_close():
            try:
                self._batch = taken(self._queue, 0 if len(self._backlog) else _TICK_S)
                self._turn()
            except Exception as error:  # noqa: BLE001 - without this thread nothing is kept
                self._defer_batch(error)
                time.sleep(_TICK_S)
        self._store.close()

    def _may_close(self) -> bool:
        is_done = not (self._queue.qsize() or len(self._backlog))
        return self._close_by is not None and (is_done or time.monotonic() > self._close_by)

    def _defer_batch(self, error: Exception) -> None:
        """Answer the batch from memory, and have it kept later."""
        self._must_reconnect, self._turn_since = True, None
        self._fail(_cause(error))
        with self._lock:
            for job in self._batch:
                self._defer(job)
            self._batch = []

    def _turn(self) -> None:
        """Do once all there is to do; the backlog goes first, the oldest rows of it."""
        started = self._turn_since = time.monotonic()
        if self._must_reconnect or self._store.file_replaced():
            self._reconnect()
        try:
            self._keep_next()
        except StoreError as first:
            if time.monotonic() - started > _MAX_RETRIED_S:
                raise
            try:  # at once, after a quick failure such as a lost connection
                self._reconnect()
                self._keep_next()
            except StoreError:
                raise first from None  # it names the cause best
        self._batch = []
        with self._lock:
            has_recovered = self._backlog.recover()
        if has_recovered:
            self._notify("the call log has recovered, all events that were held are kept")
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

    def _keep_next(self) -> None:
        with self._lock:
            oldest = self._backlog.oldest()
        self._keep(oldest, self._batch)

    def _keep(self, rows: Sequence[Row], jobs: Sequence[Job]) -> None:
        """Keep a batch; if the database cannot take some event, one by one and without that one."""
        now = self._clock()
        try:
            decide_and_keep(self._store, self._memory, rows, jobs, lock=self._lock, now=now)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a value
            if len(rows) + len(jobs) > 1:
                for row in rows:
                    self._keep([row], [])
                for job in jobs:
                    self._keep([], [job])
                return
            with self._lock:
                for job in jobs:
                    self._answer_unkept(job)
                    job.pending = None
                self._backlog.dropped += 1
            self._notify(f"an event could not be kept and was dropped: {_cause(error)}")
        with self._lock:
            self._backlog.remove(rows)


def _cause(error: Exception) -> str:
    """Return what may be logged of an error: others than ours may quote somebody's number."""
    return str(error) if isinstance(error, StoreError) else type(error).__name__


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
