"""What this process remembers of the call log, for when the log cannot be asked.

The last calls and the ids of purged ones are read at the start: a captured request of an earlier
process is known as replayed also while the log fails. Of the calls of another process on the same
log it knows what was there at the start, and what was read since with an event of the same call.
Not for several threads: the writer and the requests share the log's lock.
"""

import threading
from array import array
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice

from call_log.store import Row, Store, fingerprint, utc
from calls import PURGED, UNKNOWN, A, CallState, Delivery, Timestamp
from events import CallCompleted, DialCompleted, IncomingCall, PlayCompleted, SpeakCompleted

MAX_STATES = 20_000
MAX_PURGED = 1_000_000

_READ_AT_ONCE = 500
_MAX_ROWS = 200_000  # ten a call
_MATTER = tuple(
    each.name
    for each in (IncomingCall, DialCompleted, SpeakCompleted, PlayCompleted, CallCompleted)
)


class InMemoryCalls:
    """The stories of the last 20,000 calls, in memory: hours of calls at one a second.

    When it is full the oldest story goes; what `routing.decide` answers for a call it does not know
    never cuts a live one.
    """

    def __init__(self, most: int = MAX_STATES) -> None:
        # A plain dict looks longer and longer for its oldest key, the more of them have gone.
        self._stories: OrderedDict[str, CallState] = OrderedDict()
        self.most = most
        self._lock = threading.Lock()

    def story(self, reference_id: str) -> CallState:
        """Return what is known of the call, `UNKNOWN` if nothing is."""
        return self._stories.get(reference_id, UNKNOWN)

    def put(self, reference_id: str, story: CallState) -> None:
        """Keep a story in the place of an older one of the same call."""
        if story is not UNKNOWN:
            self._stories[reference_id] = story
            if len(self._stories) > self.most:
                self._stories.popitem(last=False)

    def erase(self, reference_id: str) -> None:
        """Remember of a call, if anything, only that it was purged."""
        if reference_id in self._stories:
            self._stories[reference_id] = PURGED

    def answer(self, delivery: Delivery, decide: Callable[[CallState], A]) -> tuple[CallState, A]:
        """Decide on an event; see `calls.CallStore`."""
        event, seen_s = delivery.event, delivery.moment.monotonic_s
        with self._lock:
            known = self.story(event.reference_id)
            answer = decide(known)
            self.put(event.reference_id, known.after(event, answer.command.to_wire(), seen_s))
        return known, answer

    def health(self) -> dict[str, object]:
        """Tell that nothing outlives the process."""
        return {"call_log": "off"}

    def close(self) -> int:
        """Forget everything; there is nothing to keep, and so nothing is lost."""
        return 0


class Memory:
    """The stories of the last calls, and whether an older one was purged."""

    def __init__(self, store: Store, now: Timestamp) -> None:
        self._opened = now
        self._newest = store.newest()
        # 64 bits of each SHA-256, in order: eight bytes a call, and hardly ever another's.
        self._purged = array("Q", sorted(map(_short, islice(store.fingerprints(), MAX_PURGED))))
        self._recent = InMemoryCalls()
        for call, story in self._read(store, now).items():
            self.put(call, PURGED if self._has_purged(call) else story)

    def _read(self, store: Store, now: Timestamp) -> dict[str, CallState]:
        """Return the stories of the last calls, the latest heard of last.

        The table is read from its end, which is ten times as fast as by calls; then what is older
        of those calls that began before.
        """
        rows: list[Row] = []
        ids: dict[str, None] = {}
        for row in islice(store.newest_rows(), _MAX_ROWS):
            if len(ids) == self._recent.most and row.reference_id not in ids:
                break
            ids[row.reference_id] = None
            if row.event in _MATTER:
                rows.append(row)
        stories = self.stories(reversed(ids), reversed(rows), now)
        older = [call for call, story in stories.items() if story.incoming is None]
        for begin in range(0, len(older), _READ_AT_ONCE):
            some = older[begin : begin + _READ_AT_ONCE]
            stories |= self.stories(some, store.rows(some, bodies=False), now)
        return stories

    def story(self, reference_id: str) -> CallState:
        """Return what is known of a call, `PURGED` if it was purged, `UNKNOWN` if nothing is."""
        story = self._recent.story(reference_id)
        return PURGED if story is UNKNOWN and self._has_purged(reference_id) else story

    def put(self, reference_id: str, story: CallState) -> None:
        """Remember a story in the place of an older one of the same call."""
        self._recent.put(reference_id, story)

    def purged(self, reference_ids: Iterable[str]) -> set[str]:
        """Return which of some calls are known here as purged, such as in a file that is gone."""
        return {each for each in reference_ids if self.story(each) is PURGED}

    def erase(self, reference_ids: Iterable[str]) -> None:
        """Remember of some calls only that they were purged."""
        for each in reference_ids:
            self._recent.erase(each)
            if not self._has_purged(each):
                insort(self._purged, _short(fingerprint(each)))

    def stories(
        self, ids: Iterable[str], rows: Iterable[Row], now: Timestamp
    ) -> dict[str, CallState]:
        """Fold the story of each call out of everything that is kept of it."""
        stories = dict.fromkeys(ids, UNKNOWN)
        for row in rows:
            call, event = row.reference_id, row.told()
            is_first = isinstance(event, IncomingCall)  # of others, time and reply do not matter
            reply, seen_s = (row.wire, self._seen_s(row, now)) if is_first else ({}, 0.0)
            stories[call] = stories[call].after(event, reply, seen_s)
        return stories

    def joined(self, reference_id: str, story: CallState) -> CallState:
        """Return a story that was read, with what is remembered of the same call.

        What this process saw begin has its age by the monotonic clock. What began before it has the
        higher one of two ages: as it was read first, and as it is read now.
        """
        memory = self.story(reference_id)
        known = story.joined(memory)
        if story.incoming and memory.incoming and memory.first_seen_s < self._opened.monotonic_s:
            return replace(known, first_seen_s=min(story.first_seen_s, memory.first_seen_s))
        return known

    def _has_purged(self, reference_id: str) -> bool:
        if not self._purged:  # then the costly SHA-256 is saved
            return False
        short = _short(fingerprint(reference_id))
        place = bisect_left(self._purged, short)
        return place < len(self._purged) and self._purged[place] == short

    def _seen_s(self, row: Row, now: Timestamp) -> float:
        """Return the monotonic time of what another process, or one before this, has kept.

        A row holds a time of the wall clock alone, which may have jumped either way since. So the
        row is as old as the higher one of two ages says: `by_wall`, from its time to the wall's
        present; and `by_log`, from its time to the newest one that the log held at the start of
        this process, and from there on by the monotonic clock. A jump can make it older, and no
        younger than the log itself shows.

        Row seen at 12:00:00, newest in the log 13:00:00; this process began at 500 s on the
        monotonic clock, where it is 510 s now; the wall clock was set back and says 12:00:30.
        `by_wall` is 30 s, which would open the window for repeats; `by_log` is 3,600 s and 10 s.
        Returned is 510 - 3,610 = -3,100 s.
        """
        by_wall = abs(now.utc - utc(row.first_seen)).total_seconds()
        if self._newest is None:
            return now.monotonic_s - by_wall
        before = (utc(self._newest) - utc(row.first_seen)).total_seconds()
        by_log = before + now.monotonic_s - self._opened.monotonic_s
        return now.monotonic_s - max(by_wall, by_log)


def _short(fingerprint: str) -> int:
    return int(fingerprint[:16], 16)
