"""The calls of this process in memory: by these a server answers while the log fails.

Nothing is read from the log at the start, so a call that began before is not known here. What
`routing.decide` answers for a call that is not known never cuts a live one.
"""

import threading
from collections import OrderedDict
from collections.abc import Container

from calls import UNKNOWN, CallState, Decide, Decision, Delivery

MAX_STATES = 20_000


class States:
    """The states of the calls that were last heard of; when there is no room, the oldest goes.

    None of those in `waiting` goes; they have to be fewer than there is room for.
    """

    def __init__(self, max_states: int = MAX_STATES, waiting: Container[str] = ()) -> None:
        # In a plain dict the search for the oldest key passes over all that were removed.
        self._states: OrderedDict[str, CallState] = OrderedDict()
        self.max_states, self._waiting = max_states, waiting

    def __contains__(self, reference_id: str) -> bool:
        return reference_id in self._states

    def state(self, reference_id: str) -> CallState:
        """Return the state of a call, `UNKNOWN` if there is none."""
        return self._states.get(reference_id, UNKNOWN)

    def put(self, reference_id: str, state: CallState) -> None:
        """Keep a state in place of an older one of the same call."""
        self._states[reference_id] = state
        while len(self._states) > self.max_states:
            oldest, its_state = self._states.popitem(last=False)
            if oldest in self._waiting:
                self._states[oldest] = its_state


class InMemoryCalls(States):
    """Calls in memory alone: hours of them at one a second."""

    def __init__(self, max_states: int = MAX_STATES) -> None:
        super().__init__(max_states)
        self._lock = threading.Lock()

    def answer(self, delivery: Delivery, decide: Decide) -> tuple[CallState, Decision]:
        """Decide on an event; see `calls.CallStore`."""
        event = delivery.event
        with self._lock:  # held for the decision too, or copies of one event would all be the first
            state = self.state(event.reference_id)
            answer = decide(state)
            reply, seen_s = answer.command.to_wire(), delivery.received.monotonic_s
            self.put(event.reference_id, state.after(event, reply, seen_s, answer.accept_digit))
        return state, answer

    def health(self) -> dict[str, object]:
        """Report that nothing outlives the process."""
        return {"call_log": "off"}

    def close(self) -> int:
        """Do nothing: nothing was to be kept, so nothing is lost."""
        return 0
