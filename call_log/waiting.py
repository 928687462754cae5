"""What waits for the log: one line of deliveries, in the order in which they came.

A delivery stands here from its arrival until it is kept, whether or not its request was answered
meanwhile. Nothing overtakes: the writer keeps the oldest first. The room is so many bytes, and what
has a place keeps it.

The requests and the writer share the line and the jobs in it: whatever is read or changed of
either, but for `Job.wait` and the result of a complete job, is so with the log's lock held.
"""

import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from call_log.store import Key, Row, anonymise, first_portion, row_of
from calls import PURGED, UNKNOWN, CallState, Decide, Delivery

MAX_BYTES = 32 * 2**20

_JOB_BYTES = 2_500  # what a job takes without its body


@dataclass(slots=True, eq=False)
class Job:
    """One delivery: to be decided, answered and kept.

    The writer answers it once it is kept. While the log fails, or takes too long, it is answered
    before; that answer stands, whatever the writer finds later. `row` is what has to be kept,
    `None` until the delivery was decided. `is_held` is true while the writer is keeping it,
    `is_counted` once it takes room in the line.

    A bare lock wakes the request: with a future's condition a tenth fewer events a second were
    measured.
    """

    delivery: Delivery
    decide: Decide
    state: CallState = UNKNOWN
    decision: Any = None
    row: Row | None = None
    error: Exception | None = None
    is_answered: bool = False
    is_held: bool = False
    is_counted: bool = False
    _answered: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._answered.acquire()

    @property
    def reference_id(self) -> str:
        """The call's."""
        return self.delivery.event.reference_id

    def decide_by(self, state: CallState) -> None:
        """Decide by the state of the call; never raises. A later decision replaces this one."""
        self.state, self.error, self.row = state, None, None
        try:
            self.decision = self.decide(state)
            row = row_of(self.delivery, self.decision)
            self.row = anonymise(row) if state is PURGED else row
        except Exception as error:  # noqa: BLE001 - it is the fault of this event alone
            self.error = error

    def state_after(self, state: CallState) -> CallState:
        """Return a state of the call with this event and its answer added."""
        if self.row is None or state is PURGED:
            return state
        event, seen_s = self.delivery.event, self.delivery.received.monotonic_s
        return state.after(event, self.row.wire, seen_s, self.row.accept_digit)

    def answer(self, error: Exception | None = None) -> None:
        """Wake the request with the decision or an error, unless it was answered already."""
        if not self.is_answered:
            self.error, self.is_answered = error, True
            self._answered.release()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the job is answered; false if that takes longer."""
        return self._answered.acquire(timeout=timeout_s)

    def result(self) -> tuple[CallState, Any]:
        """Return the state before the event and the decision, or raise what went wrong."""
        if self.error is not None:
            raise self.error
        return self.state, self.decision


class WaitingLine:
    """The jobs that are not kept yet, the oldest first. All but `put` needs the log's lock."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._answered: dict[Key, Job] = {}
        self._calls = Counter[str]()
        self._room = MAX_BYTES

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs))  # in one step: a job may be put meanwhile

    def __contains__(self, reference_id: object) -> bool:
        """Whether an answered job of a call is in the line."""
        return reference_id in self._calls

    @property
    def is_short(self) -> bool:
        """Whether one transaction can keep all of it."""
        jobs = list(self)
        return len(first_portion(jobs, _size)) == len(jobs)

    def put(self, job: Job) -> None:
        """Put a job at the end whose request waits for the writer; needs no lock."""
        self._jobs.append(job)

    def add_answered(self, job: Job) -> bool:
        """Put an answered job at the end, or to its like; false if there is no room for it.

        It is counted together with an answered delivery of the same, but never with one that the
        writer is keeping.
        """
        if job.row is None:
            return True
        like = self._answered.get(job.row.key)
        if like is not None and like.row is not None and not like.is_held:
            like.row = like.row.with_repeat(job.row)
            return True
        if _size(job) > self._room:
            return False
        self._jobs.append(job)
        self.count(job)
        return True

    def count(self, job: Job) -> None:
        """Have an answered job of the line take room, and its repeats be counted with it."""
        if job.row is not None and not job.is_counted:
            job.is_counted = True
            self._answered[job.row.key] = job
            self._calls[job.reference_id] += 1
            self._room -= _size(job)

    def hold(self) -> list[Job]:
        """Return the jobs to be kept next; they stay in the line."""
        held = first_portion(self, _size)
        for job in held:
            job.is_held = True
        return held

    def find_answered_after(self, jobs: Sequence[Job]) -> set[str]:
        """Return the calls of answered jobs behind these, which are the first of the line."""
        return {job.reference_id for job in list(self)[len(jobs) :] if job.is_answered}

    def release(self, jobs: Sequence[Job]) -> None:
        """Let go of jobs that could not be kept."""
        for job in jobs:
            job.is_held = False

    def remove(self, jobs: Sequence[Job]) -> None:
        """Take jobs out that were kept, or can never be: the first of the line."""
        for job in jobs:
            if not (self._jobs and self._jobs[0] is job):
                continue  # a stop has cleared the line
            self._jobs.popleft()
            if job.is_counted and job.row is not None:
                self._room += _size(job)
                self._calls -= Counter([job.reference_id])
                if self._answered.get(job.row.key) is job:
                    del self._answered[job.row.key]

    def clear(self) -> list[Row]:
        """Take everything out; return what is to be kept of it."""
        rows = [job.row for job in self._jobs if job.row is not None]
        self._jobs.clear()
        return rows


def _size(job: Job) -> int:
    """Return the bytes of memory, about."""
    return len(job.delivery.body) + _JOB_BYTES
