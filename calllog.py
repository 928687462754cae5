"""The durable log of calls: what is answered has been kept, and is decided by what was kept.

One thread writes. It takes all events that wait, reads their calls' stories, decides each, keeps
them in one transaction and only then lets them be answered: one sync for all.

While the database fails or takes too long, events of a call in progress are decided by the memory
of recent calls and wait in line to be kept, because somebody is on the phone. Such an event counts
as answered unkept. `call_completed` and events we do not know are worth more kept than answered.
"""

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import logstore
from calls import UNKNOWN, A, Call, Calls, Delivery, Moment, RecentCalls
from events import CallCompleted, UnknownEvent
from logstore import RefusedError, Row, Store, StoreError
from sqlite_store import SqliteStore

SQLITE = "sqlite:///"

_MOST_WAIT_S = 0.5
_TICK_S = 0.25
_AT_ONCE_S = 0.2
_MOST_IN_ONE = 200
_MOST_SILENT_S = 1.0
_MOST_IN_LINE = 10_000
_MOST_CLOSING_S = 1.0
_PURGE_EVERY_S = 60.0
_PURGE_STEP_S = 0.05
_SCRUB_AGAIN_S = 1.0
_PURGED_AT_ONCE = 50
_MOST_REWRITTEN = 32 * 2**20  # bytes: less than half a second's work

_let_others_go_first = getattr(os, "sched_yield", lambda: None)  # Windows has none


class LogUnavailable(Exception):  # noqa: N818 - the word of its answer
    """The event cannot be kept now, and is of no use to anybody unless it is."""

    status = 503
    word = "log_unavailable"
    cause = "the call log fails"


@dataclass(slots=True, eq=False)
class _Job:
    """A delivery on its way into the log.

    `done` is released when it is kept, or cannot be for now. Once it is `answered`, its answer
    stays, whatever else is kept first.
    """

    delivery: Delivery
    decide: Callable[[Call], Any]
    done: Any = field(default_factory=threading.Lock)
    known: Call = UNKNOWN
    answer: Any = None
    row: Row | None = None
    error: Exception | None = None
    kept: bool = False
    answered: bool = False
    tried: bool = False

    @property
    def reference_id(self) -> str:
        return self.delivery.event.reference_id

    def settle(self, known: Call) -> None:
        """Decide by what is known, unless that is answered already; never raises."""
        try:
            if not self.answered:
                self.known, self.answer = known, self.decide(known)
            self.row = logstore.row(self.delivery, self.answer)
        except Exception as error:  # noqa: BLE001 - it is the fault of this event alone
            self.error = error

    def after(self, known: Call) -> Call:
        """Return the story with this event added."""
        if self.row is None:
            return known
        event, seen_s = self.delivery.event, self.delivery.moment.monotonic_s
        return known.after(event, self.answer.command.to_wire(), seen_s)

    def release(self) -> None:
        """Let whoever waits for it go on."""
        with contextlib.suppress(RuntimeError):  # a second time is as good as once
            self.done.release()


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
        clock: Callable[[], Moment],
    ) -> None:
        self._store, self._tell, self._clock = store, tell, clock
        self._keep = timedelta(days=keep_days)
        self._recent = RecentCalls()
        self._lock = threading.Lock()
        self._line: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._batch: list[_Job] = []
        self._failing = self._broken = self._is_busy = False
        self._unkept = self._dropped = 0
        self._purge_at = 0.0
        self._to_scrub = False
        self._turn_since: float | None = None
        self._close_by: float | None = None
        store.open()
        store.scrub()  # in case that whoever purged last was ended before
        self._opened = clock()
        self._newest = store.newest()
        self._thread = threading.Thread(target=self._run, name="call-log", daemon=True)
        self._thread.start()

    def answer(self, delivery: Delivery, decide: Callable[[Call], A]) -> tuple[Call, A]:
        """Decide on an event and keep it, within half a second; see `Calls`.

        Raises `LogUnavailable` for an event that has to be kept and cannot be.
        """
        job = _Job(delivery, decide)
        job.done.acquire()
        waits = not self._failing
        self._stand_in_line(job)
        if not waits:
            self._hurry()
        elif not job.done.acquire(timeout=_MOST_WAIT_S):
            self._fails(f"{self._store.place}: takes longer than {_MOST_WAIT_S * 1000:.0f} ms")
        if not job.kept:
            with self._lock:
                self._answer_unkept(job)
        return job.known, job.answer

    def health(self) -> dict[str, object]:
        """Return whether what is answered is kept, and how much is not."""
        self._hurry()
        with self._lock:
            return {
                "call_log": "failing" if self._failing else "ok",
                "waiting_events": self._line.qsize() + len(self._batch) if self._failing else 0,
                "answered_unkept": self._unkept,
                "dropped_events": self._dropped,
            }

    def close(self) -> None:
        """Keep what waits, for a second at most, and let go of the store."""
        self._close_by = time.monotonic() + _MOST_CLOSING_S
        self._line.put(None)  # so that nobody waits for the next event
        self._thread.join(2 * _MOST_CLOSING_S)
        left = len(self._batch)
        while some := self._next_in_line(wait_s=0):
            left += len(some)
        if left:
            self._tell(f"the call log is closed, and {left} event(s) are not kept")

    def _hurry(self) -> None:
        """Cut off a database that has not answered the writer for too long."""
        since = self._turn_since
        if since is not None and time.monotonic() - since > _MOST_SILENT_S:
            self._store.hurry()

    def _stand_in_line(self, job: _Job) -> None:
        """Have it kept in its turn; the line is bounded, and who has waited longest has to go."""
        self._line.put(job)
        if self._line.qsize() > _MOST_IN_LINE:
            with contextlib.suppress(queue.Empty), self._lock:
                self._line.get_nowait()
                self._dropped += 1

    def _answer_unkept(self, job: _Job) -> None:
        """Decide by what is in memory, unless the writer has decided and could only not keep it."""
        if job.kept:  # at the last moment
            return
        if job.answer is None and job.error is None:
            job.settle(self._recent.story(job.reference_id))
        if job.error is not None:
            raise job.error
        job.answered = True
        self._recent.put(job.reference_id, job.after(self._recent.story(job.reference_id)))
        if isinstance(job.delivery.event, CallCompleted | UnknownEvent):
            raise LogUnavailable
        self._unkept += 1

    def _fails(self, cause: str) -> None:
        with self._lock:
            known, self._failing = self._failing, True
        if not known:
            self._tell(f"the call log fails, events wait to be kept: {cause}")

    def _is_well(self) -> None:
        with self._lock:
            failed, self._failing = self._failing, False
        if failed:
            self._tell("the call log is well again, everything that waited is kept")

    def _run(self) -> None:
        """Keep what comes, and try again until it is kept."""
        while not self._may_close():
            again = bool(self._batch)
            self._batch = self._batch or self._next_in_line(_TICK_S)
            try:
                self._turn(again=again)
            except Exception as error:  # noqa: BLE001 - without this thread nothing is kept
                self._broken, self._turn_since = True, None
                self._fails(str(error) if isinstance(error, StoreError) else type(error).__name__)
                for job in self._batch:
                    job.release()
                time.sleep(_TICK_S)
        self._store.close()

    def _may_close(self) -> bool:
        if self._close_by is None:
            return False
        return time.monotonic() > self._close_by or (self._line.empty() and not self._batch)

    def _next_in_line(self, wait_s: float) -> list[_Job]:
        """Return those who wait, or who come in this time; where there are many, more are near."""
        jobs = []
        with contextlib.suppress(queue.Empty):
            jobs.append(self._line.get(timeout=wait_s))
            if self._is_busy:  # the more are kept with one sync, the less each costs
                _let_others_go_first()
            while len(jobs) < _MOST_IN_ONE:
                jobs.append(self._line.get_nowait())
        self._is_busy = len(jobs) > 1
        return [job for job in jobs if job is not None]

    def _turn(self, *, again: bool) -> None:
        """Do what there is to do, once; `again` is for a batch that could not be kept before."""
        self._turn_since = time.monotonic()
        if self._broken or self._store.is_displaced():
            self._mend()
        self._keep_or_mend()
        if not again and len(self._batch) < _MOST_IN_ONE:  # all who stood in line
            self._is_well()
        self._batch = []
        self._clear_out()
        self._turn_since = None

    def _mend(self) -> None:
        was_lost = self._store.mend()
        self._broken = False
        if was_lost:
            self._tell(
                f"{self._store.place}: the file was taken away, and is there again with all it"
                " held; stop the server before you move it"
            )

    def _keep_or_mend(self) -> None:
        """Keep the batch; what fails at once, such as a lost connection, is tried again at once."""
        started = time.monotonic()
        try:
            self._keep_what_is_taken(self._batch)
        except StoreError as first:
            if time.monotonic() - started > _AT_ONCE_S:
                raise
            try:
                self._mend()
                self._keep_what_is_taken(self._batch)
            except StoreError:
                raise first from None  # it says best what is wrong

    def _keep_what_is_taken(self, jobs: list[_Job]) -> None:
        """Keep a batch; an event that cannot be kept at all is set aside, so that others can."""
        try:
            self._keep_batch(jobs)
        except Exception as error:
            if isinstance(error, StoreError) and not isinstance(error, RefusedError):
                raise
            if len(jobs) > 1:
                for job in jobs:
                    self._keep_what_is_taken([job])
                return
            with self._lock:
                self._dropped += 1
            cause = error if isinstance(error, StoreError) else type(error).__name__
            self._tell(f"an event is not kept: {cause}")
            jobs[0].release()

    def _keep_batch(self, jobs: list[_Job]) -> None:
        """Decide and keep some events in one transaction, then let them be answered.

        Memory knows of a decision as soon as it is made: who cannot wait for it to be kept must
        not decide otherwise.
        """
        if not jobs:
            return
        ids = {job.reference_id: job.delivery.moment for job in jobs}
        with self._store.transaction(ids):
            there, purged = self._store.rows(ids), self._store.purged(ids)
            stories = self._stories(ids, there, purged)
            with self._lock:
                for job in jobs:
                    known = stories[job.reference_id].joined(self._recent.story(job.reference_id))
                    job.settle(known)
                    self._recent.put(job.reference_id, job.after(known))
            self._store.keep(list(_to_keep(jobs, there, purged)))
        with self._lock:
            for job in jobs:
                job.kept = job.error is None
        for job in jobs:
            job.release()

    def _stories(
        self, ids: dict[str, Moment], rows: Iterable[Row], purged: set[str]
    ) -> dict[str, Call]:
        """Fold the story of each call out of everything that is kept of it."""
        stories = dict.fromkeys(ids, UNKNOWN) | dict.fromkeys(purged, Call(completed=True))
        for row in rows:
            if row.reference_id not in purged:
                known, seen_s = stories[row.reference_id], self._seen_s(row, ids[row.reference_id])
                stories[row.reference_id] = known.after(row.told(), row.wire, seen_s)
        return stories

    def _seen_s(self, row: Row, now: Moment) -> float:
        """Return the monotonic time of what another process, or one before this, has kept.

        By the wall clock, whichever way it may have jumped; and it was not later than the newest
        event that was there when this process began.
        """
        age = abs(now.utc - logstore.utc(row.first_seen)).total_seconds()
        if self._newest is not None:
            before = logstore.utc(self._newest) - logstore.utc(row.first_seen)
            age = max(age, before.total_seconds() + now.monotonic_s - self._opened.monotonic_s)
        return now.monotonic_s - age

    def _clear_out(self) -> None:
        """Purge a few calls that have been kept long enough, then what is left of them."""
        now = self._clock()
        if now.monotonic_s < self._purge_at:
            return
        # Not by a wall clock that has jumped ahead: it would purge everything.
        passed = timedelta(seconds=now.monotonic_s - self._opened.monotonic_s)
        before = logstore.microseconds(self._opened.utc + passed - self._keep)
        self._purge_at = now.monotonic_s + _PURGE_EVERY_S
        try:
            if old := self._store.older_than(before, _PURGED_AT_ONCE):
                self._store.purge(old)
                self._purge_at = now.monotonic_s + _PURGE_STEP_S
                self._to_scrub = True
            elif self._to_scrub:
                self._to_scrub = not self._store.scrub(rewrite_up_to=_MOST_REWRITTEN)
                if self._to_scrub:
                    self._purge_at = now.monotonic_s + _SCRUB_AGAIN_S
        except StoreError as error:
            self._broken = True
            self._tell(f"old calls are not purged: {error}")


def opened(
    url: str, tell: Callable[[str], None], *, keep_days: int, clock: Callable[[], Moment]
) -> Calls:
    """Return what remembers calls under this setting; an empty one keeps nothing on disk.

    Raises `StoreError` if there is a log that cannot be used.
    """
    if not url:
        return RecentCalls()
    return CallLog(store_of(url), tell, keep_days=keep_days, clock=clock)


def store_of(url: str) -> Store:
    """Return the store, not yet open, that a URL names."""
    if url.startswith(SQLITE):
        return SqliteStore(Path(url.removeprefix(SQLITE)))
    try:
        from postgres_store import PostgresStore
    except ImportError:
        raise StoreError(
            "call_log: wanted the PostgreSQL driver, got none; install requirements-postgresql.txt"
        ) from None
    return PostgresStore(url)


def _to_keep(jobs: Iterable[_Job], rows: Iterable[Row], purged: set[str]) -> Iterable[Row]:
    """Yield what is to be kept; of a call that was purged nothing that is anybody's.

    A commit that seemed to fail may have been done: then the row is written again, since its sync
    may be what failed, and is not counted again.
    """
    there = {(row.sha256, row.last_seen) for row in rows}
    for job in jobs:
        if job.row is not None:
            done = job.tried and (job.row.sha256, job.row.last_seen) in there
            row = job.row._replace(deliveries=0) if done else job.row
            yield logstore.emptied(row) if job.reference_id in purged else row
            job.tried = True
