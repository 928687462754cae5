"""The recent calls of the log in memory, for when the log cannot be read.

The last calls and the ids of purged ones are read at the start, so that a captured request of an
earlier process is recognised as replayed even while the log fails. Calls of another process on the
same log are known as they were at the start, and as they were last read with an event of theirs.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice

from call_log.purge import PurgedCalls
from call_log.store import Row, Store, utc
from calls import PURGED, UNKNOWN, A, CallState, Delivery, Timestamp
from events import IncomingCall

MAX_STATES = 20_000

_PAGE = 500


class States:
    """The states of the calls that were last heard of; when there is no room, the oldest goes."""

    def __init__(self, max_states: int = MAX_STATES) -> None:
        # In a plain dict the search for the oldest key passes over all that were removed.
        self._states: OrderedDict[str, CallState] = OrderedDict()
        self.max_states = max_states

    def state(self, reference_id: str) -> CallState:
        """Return the state of a call, `UNKNOWN` if there is none."""
        return self._states.get(reference_id, UNKNOWN)

    def put(self, reference_id: str, state: CallState) -> None:
        """Keep a state in place of an older one of the same call."""
        if state is not UNKNOWN:
            self._states[reference_id] = state
            if len(self._states) > self.max_states:
                self._states.popitem(last=False)


class InMemoryCalls(States):
    """Calls in memory alone: hours of them at one a second.

    What `routing.decide` answers for a call that is no longer known never cuts a live one.
    """

    def __init__(self, max_states: int = MAX_STATES) -> None:
        super().__init__(max_states)
        self._lock = threading.Lock()

    def answer(self, delivery: Delivery, decide: Callable[[CallState], A]) -> tuple[CallState, A]:
        """Decide on an event; see `calls.CallStore`."""
        event, seen_s = delivery.event, delivery.received.monotonic_s
        with self._lock:  # held for the decision too, or copies of one event would all be the first
            state = self.state(event.reference_id)
            answer = decide(state)
            self.put(event.reference_id, state.after(event, answer.command.to_wire(), seen_s))
        return state, answer

    def health(self) -> dict[str, object]:
        """Report that nothing outlives the process."""
        return {"call_log": "off"}

    def close(self) -> int:
        """Do nothing: nothing was to be kept, so nothing is lost."""
        return 0


class Memory(States):
    """The states of the last calls of a log, and whether an older one was purged.

    The writer and the requests share it: they use it with the log's lock held.
    """

    def __init__(self, store: Store, now: Timestamp) -> None:
        super().__init__()
        self._opened = now
        self._newest = store.newest()
        self._purged = PurgedCalls(store)
        ids = list(islice(store.newest_calls(), self.max_states))[::-1]
        for begin in range(0, len(ids), _PAGE):
            some = ids[begin : begin + _PAGE]
            for call, state in self.states(some, store.rows(some, bodies=False), now).items():
                self.put(call, PURGED if call in self._purged else state)

    def state(self, reference_id: str) -> CallState:
        """Return the state of a call, `PURGED` if it was purged, `UNKNOWN` if it is not known."""
        state = super().state(reference_id)
        return PURGED if state is UNKNOWN and reference_id in self._purged else state

    def purged(self, reference_ids: Iterable[str]) -> set[str]:
        """Return which of some calls are remembered as purged, also in a file that is gone."""
        return {each for each in reference_ids if self.state(each) is PURGED}

    def erase(self, reference_ids: Iterable[str]) -> None:
        """Forget some calls, but for the fact that they were purged."""
        for each in reference_ids:
            self._states.pop(each, None)
            self._purged.add(each)

    def states(
        self, ids: Iterable[str], rows: Iterable[Row], now: Timestamp
    ) -> dict[str, CallState]:
        """Fold the state of each call out of its rows."""
        states = dict.fromkeys(ids, UNKNOWN)
        for row in rows:
            call, event = row.reference_id, row.to_event()
            is_first = isinstance(event, IncomingCall)  # of others, time and reply do not matter
            reply, seen_s = (row.wire, self._seen_s(row, now)) if is_first else ({}, 0.0)
            states[call] = states[call].after(event, reply, seen_s)
        return states

    def merged(self, reference_id: str, state: CallState) -> CallState:
        """Return a state that was read from the log, merged with what is remembered of the call.

        A purged call stays purged. One that began in this process has its age by the monotonic
        clock. One that began before has the higher of two ages: as it was first read, and as it is
        read now.
        """
        memory = self.state(reference_id)
        if memory is PURGED:
            return PURGED
        merged = state.merged(memory)
        is_older = memory.is_unread or memory.first_seen_s < self._opened.monotonic_s
        if state.incoming and memory.incoming and is_older:
            return replace(merged, first_seen_s=min(state.first_seen_s, memory.first_seen_s))
        return merged

    def _seen_s(self, row: Row, now: Timestamp) -> float:
        """Return the monotonic time of a row that another process, or an earlier one, has kept.

        A row holds only a wall-clock time, and that clock may have jumped either way since. So the
        age of the row is the higher of two: `by_wall`, from its time to the wall clock's present;
        and `by_log`, from its time to the newest one that the log held when this process started,
        and from there on by the monotonic clock. A jump can make a row older, but no younger than
        the log itself shows.

        Row seen at 12:00:00, newest in the log 13:00:00; this process began at 500 s on the
        monotonic clock, where it is 510 s now; the wall clock was set back and says 12:00:30.
        `by_wall` is 30 s, which would open the window for repeats; `by_log` is 3,600 s and 10 s.
        Returned is 510 - 3,610 = -3,100 s.
        """
        by_wall = abs(now.utc - utc(row.first_seen)).total_seconds()
        newest = self._opened.utc if self._newest is None else utc(self._newest)
        before = (newest - utc(row.first_seen)).total_seconds()
        by_log = before + now.monotonic_s - self._opened.monotonic_s
        return now.monotonic_s - max(by_wall, by_log)
