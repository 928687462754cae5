"""The durable log of calls: what is answered has been kept, and is decided by what was kept.

One thread writes. It takes all events that wait, reads their calls' stories, decides each, keeps
them in one transaction and only then lets them be answered: one sync for all.

    request threads ---line---> writer ---transaction---> store
       |        ^                 |
       |        +----complete-----+---> purge
       |                          |
       +-----> memory, waiting <--+     watch: cuts off a store that hangs

While the database fails or takes too long, events of a call in progress are decided by the memory
of recent calls and wait to be kept, because somebody is on the phone. Such an event counts as
answered unkept. `call_completed` and events we do not know are worth more kept than answered.

What the threads share stands under one lock: memory, waiting, the state of the log, and who
completes a job. It is held for no I/O but for the decisions, which do none.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from call_log import waiting
from call_log.batch import MAX_JOBS, Job, Line, keep
from call_log.memory import InMemoryCalls, Memory
from call_log.purge import Purge
from call_log.sqlite import SqliteStore
from call_log.store import RefusedError, Store, StoreError
from call_log.waiting import Unkept, Waiting
from calls import A, CallState, CallStore, Delivery, Timestamp
from events import CallCompleted, UnknownEvent

SQLITE = "sqlite:///"

_MAX_WAIT_S = 0.5
_TICK_S = 0.25
_AT_ONCE_S = 0.2
_MAX_SILENT_S = 1.0
_MAX_CLOSING_S = 1.0


class LogUnavailable(Exception):  # noqa: N818 - the word of its answer
    """The event cannot be kept now, and is of no use to anybody unless it is."""

    word = "log_unavailable"
    cause = "the call log fails"


class CallLog:
    """Keeps calls in a store, and purges each `keep_days` after its first event, in small steps.

    `tell` hears of each trouble once, and of its end. Raises `StoreError` if the store cannot be
    used from the start.
    """

    def __init__(
        self,
        store: Store,
        tell: Callable[[str], None],
        *,
        keep_days: int,
        clock: Callable[[], Timestamp],
    ) -> None:
        self._store, self._tell, self._clock = store, tell, clock
        self._lock = threading.Lock()
        self._line = Line()
        self._batch: list[Job] = []
        self._waiting = Waiting(waiting.MAX_BYTES)
        self._failing = self._is_told = self._broken = False
        self._unkept = self._dropped = 0
        self._turn_since: float | None = None
        self._close_by: float | None = None
        self._closed = threading.Event()
        store.open()
        try:
            store.erase_deleted()  # in case that the server that purged last was ended before
            waiting.take_in(store, tell)
            self._memory = Memory(store, clock())
            self._purge = Purge(store, keep_days, clock)
        except StoreError:
            store.close()
            raise
        self._thread = threading.Thread(target=self._run, name="call-log", daemon=True)
        self._thread.start()
        threading.Thread(target=self._watch, name="call-log-watch", daemon=True).start()

    def answer(self, delivery: Delivery, decide: Callable[[CallState], A]) -> tuple[CallState, A]:
        """Decide on an event and keep it, within half a second; see `Calls`.

        Raises `LogUnavailable` for an event that has to be kept and cannot be.
        """
        job = Job(delivery, decide)
        # The log may begin to fail, or be well again, after this look. Then the job is in the line
        # of a writer that fails, and is answered after half a second as any other; or waits, and
        # is kept with the next turn.
        if self._failing:
            with self._lock:
                self._answer_unkept(job)
                self._let_wait(job)
        else:
            self._line.put(job)
            if not job.wait(_MAX_WAIT_S):
                self._fails(f"{self._store.place}: takes longer than {_MAX_WAIT_S * 1000:.0f} ms")
                with self._lock:
                    self._answer_unkept(job)  # the writer has it, and keeps it or lets it wait
        return job.result()

    def health(self) -> dict[str, object]:
        """Return whether what is answered is kept, and how much is not."""
        with self._lock:
            in_hand = len(self._line) + len(self._batch) + len(self._waiting)
            return {
                "call_log": "failing" if self._is_told else "ok",
                "waiting_events": in_hand if self._is_told else 0,
                "answered_unkept": self._unkept,
                "dropped_events": self._dropped,
            }

    def close(self) -> int:
        """Keep what waits, for a second at most, let go of the store, and return what is lost.

        What is not kept by then is written to a file, for the next start. A writer that hangs in
        the database may keep some of it all the same; it is noted there what that may be.
        """
        self._close_by = time.monotonic() + _MAX_CLOSING_S
        self._line.end()
        self._thread.join(2 * _MAX_CLOSING_S)
        self._closed.set()
        with self._lock:
            for job in [*self._batch, *self._line.take(0)]:
                self._answer_unkept(job)
                self._let_wait(job)
            left, self._waiting, self._batch = self._waiting.all(), Waiting(0), []
        return self._write(left) if left else 0

    def _write(self, left: list[Unkept]) -> int:
        try:
            path = waiting.write(waiting.beside(self._store), left)
        except OSError as error:
            self._tell(
                f"{len(left)} event(s) are LOST: they could neither be kept in the call log, nor"
                f" written beside it ({error.strerror})"
            )
            return len(left)
        self._tell(f"{len(left)} event(s) wait in {path}, and are kept at the next start")
        return 0

    def _watch(self) -> None:
        """Cut off a database that has not answered the writer for too long.

        The writer may have its answer at this very moment: then it loses a connection that is well
        again, which it makes anew.
        """
        while not self._closed.wait(_TICK_S):
            since = self._turn_since
            if since is not None and time.monotonic() - since > _MAX_SILENT_S:
                self._store.abort()

    def _answer_unkept(self, job: Job) -> None:
        """Decide by what is in memory, unless the writer has decided and could only not keep it.

        With the lock: else the writer would decide at the same time, and perhaps otherwise.
        """
        if job.is_complete:
            return
        if not job.is_decided:
            known = self._memory.story(job.reference_id)
            job.settle(known)
            self._memory.put(job.reference_id, job.after(known))
        if job.error is None and isinstance(job.delivery.event, CallCompleted | UnknownEvent):
            job.complete(LogUnavailable())
            return
        self._unkept += job.error is None
        job.complete(job.error)

    def _let_wait(self, job: Job) -> None:
        """Have it kept later; the line is bounded, and no place is taken from those who wait."""
        if job.unkept is not None and not self._waiting.add(job.unkept):
            self._dropped += 1
        job.unkept = None

    def _fails(self, cause: str) -> None:
        with self._lock:
            known, self._failing, self._is_told = self._is_told, True, True
        if not known:
            self._tell(f"the call log fails, events wait to be kept: {cause}")

    def _is_well(self) -> None:
        """Have events wait for the log again as soon as all that is left goes with the next turn.

        It is over when all is kept: under load there is always something that has just come.
        """
        with self._lock:
            left = len(self._waiting)
            self._failing = self._failing and left >= MAX_JOBS
            is_over = self._is_told and not left
            self._is_told = self._is_told and not is_over
        if is_over:
            self._tell("the call log is well again, everything that waited is kept")

    def _run(self) -> None:
        """Keep what comes, and try again until it is kept."""
        while not self._may_close():
            try:
                self._batch = self._line.take(0 if len(self._waiting) else _TICK_S)
                self._turn()
            except Exception as error:  # noqa: BLE001 - without this thread nothing is kept
                self._put_off(error)
                time.sleep(_TICK_S)
        self._store.close()

    def _put_off(self, error: Exception) -> None:
        """Answer the batch as it is, and let it wait."""
        self._broken, self._turn_since = True, None
        self._fails(str(error) if isinstance(error, StoreError) else type(error).__name__)
        with self._lock:
            for job in self._batch:
                self._answer_unkept(job)
                self._let_wait(job)
            self._batch = []

    def _may_close(self) -> bool:
        if self._close_by is None:
            return False
        is_empty = not (len(self._line) or len(self._waiting))
        return is_empty or time.monotonic() > self._close_by

    def _turn(self) -> None:
        """Do what there is to do, once: first for those who have waited longest."""
        self._turn_since = time.monotonic()
        if self._broken or self._store.file_replaced():
            self._reconnect()
        with self._lock:
            some = self._waiting.first()
        self._keep_or_mend(some)
        self._batch = []
        self._is_well()
        self._clear_out()
        self._turn_since = None

    def _clear_out(self) -> None:
        try:
            purged = self._purge.turn()
        except StoreError as error:
            self._broken = True
            self._tell(f"old calls are not purged: {error}")
            return
        with self._lock:
            self._memory.erase(purged)

    def _reconnect(self) -> None:
        was_taken_away = self._store.reconnect()
        self._broken = False
        if was_taken_away:
            self._tell(
                f"{self._store.place}: the file was deleted, renamed or replaced; what is there now"
                " is used, a new one if there was none"
            )

    def _keep_or_mend(self, some: list[Unkept]) -> None:
        """Keep the batch; what fails at once, such as a lost connection, is tried again at once."""
        started = time.monotonic()
        try:
            self._keep_what_is_taken(some, self._batch)
        except StoreError as first:
            if time.monotonic() - started > _AT_ONCE_S:
                raise
            try:
                self._reconnect()
                self._keep_what_is_taken(some, self._batch)
            except StoreError:
                raise first from None  # it says best what is wrong

    def _keep_what_is_taken(self, some: list[Unkept], jobs: list[Job]) -> None:
        """Keep a batch; an event that cannot be kept at all is set aside, so that others can."""
        try:
            keep(self._store, self._memory, some, jobs, lock=self._lock, now=self._clock())
            with self._lock:
                self._waiting.kept(some)
        except Exception as error:
            if isinstance(error, StoreError) and not isinstance(error, RefusedError):
                raise
            if len(some) + len(jobs) > 1:
                for each in some:
                    self._keep_what_is_taken([each], [])
                for job in jobs:
                    self._keep_what_is_taken([], [job])
                return
            self._set_aside(some, jobs, error)

    def _set_aside(self, some: list[Unkept], jobs: list[Job], error: Exception) -> None:
        with self._lock:
            for each in some:
                self._waiting.drop(each)
            for job in jobs:
                self._answer_unkept(job)
                job.unkept = None
            self._dropped += 1
        cause = error if isinstance(error, StoreError) else type(error).__name__
        self._tell(f"an event is not kept: {cause}")


def opened(
    url: str, tell: Callable[[str], None], *, keep_days: int, clock: Callable[[], Timestamp]
) -> CallStore:
    """Return what remembers calls under this setting; an empty one keeps nothing on disk.

    Raises `StoreError` if there is a log that cannot be used.
    """
    if not url:
        return InMemoryCalls()
    return CallLog(store_of(url), tell, keep_days=keep_days, clock=clock)


def store_of(url: str) -> Store:
    """Return the store, not yet open, that a URL names."""
    if url.startswith(SQLITE):
        return SqliteStore(Path(url.removeprefix(SQLITE)))
    try:
        from call_log.postgresql import PostgresStore
    except ImportError:
        raise StoreError(
            "call_log: wanted the PostgreSQL driver, got none; install requirements-postgresql.txt"
        ) from None
    return PostgresStore(url)
