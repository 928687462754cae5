"""The pages: each is a function of an address's parameters, the log, the list and the time."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bottle import HTTPError, HTTPResponse, template

from allow_list.stamp import stamp_of
from calls import Clock, Decision
from config import Settings
from events import IncomingCall
from records import CallRecord
from routing import AllowList, AllowListError, Reason, Route
from tools.history import conditions, times
from tools.history.reach import PersonRow, refusal_of, state
from tools.history.steps import arrows
from tools.history.stored import LogError, is_missing, reading
from tools.history.totals import report
from tools.inspector import questions
from tools.inspector.drawing import SCALES
from tools.inspector.kept import Kept
from tools.inspector.questions import Question
from tools.inspector.shown import Shown
from tools.list_advice.explained import explain
from tools.list_advice.nearest_cause import nearest_cause
from tools.list_advice.words import in_words, texts_of

AskServer = Callable[[], tuple[str, str]]
"""Says whether the server serves this list: a word for the colour, and a sentence. At once."""

NO_CALL = "The log holds no such call: it may have been purged."

_VIEWS = [str(Path(__file__).parent / "views")]
_ROUTES = 100
_FILTERS = ("number", "whole", "disposition", "reason", "external_id", "since", "until")


def redirect(path: str, values: Mapping[str, str]) -> HTTPResponse:
    """Return an answer that leads to another page, by a path relative to this one."""
    query = urlencode(values)
    return HTTPResponse("", 303, {"Location": f"{path}?{query}" if query else path})


def without_log(error: LogError) -> str:
    """Return what a page says where there is no log yet."""
    how = "start the server with `make run` in one window and play two with `make call` in another"
    return f"There are no calls yet. To make some, {how}. {error}."


class Pages:
    """Makes the pages. Raises `LogError` where the log cannot be read."""

    def __init__(
        self,
        settings: Settings,
        read_list: Callable[[], AllowList],
        clock: Clock,
        served: AskServer,
        *,
        full: bool,
    ) -> None:
        self._settings, self._clock, self._served = settings, clock, served
        self._shown = Shown(full=full)
        # Each thread of the HTTP server writes and reads these three, under no lock of ours: a
        # cache has its own, and of what is kept each is written and found in one operation, which
        # the interpreter does whole. Two threads may read a list that has changed twice.
        self._read_list = lru_cache(maxsize=1)(lambda _: read_list())
        self._answers = Kept[tuple[IncomingCall, Decision, str]]()
        self._numbers = Kept[str]()

    def page(self, name: str, **values: Any) -> str:
        """Return a page by the name of its template."""
        values |= {"shown": self._shown, "served": self._served()}
        return str(template(name, values, template_lookup=_VIEWS))

    def message(self, title: str, text: str) -> str:
        """Return a page that only says something."""
        return self.page("message", title=title, text=self._shown.sentence(text))

    def state(self, _: Mapping[str, str]) -> str:
        """Return a page of nothing but what stands at the top of each."""
        return self.message("Server and list", "The line above says which list the server serves.")

    def search(self, form: Mapping[str, str]) -> str:
        """Lead to the calls that a form asks for, by an address without a number in full."""
        raise redirect("./", self._question(form).values)

    def _question(self, query: Mapping[str, str]) -> Question:
        return questions.question(query, self._numbers, self._clock().utc, self._shown)

    def calls(self, query: Mapping[str, str]) -> str:
        """Return the page of the last calls."""
        asked = self._question(query)
        given = {name: query[name] for name in _FILTERS if query.get(name)}
        if given != asked.values:
            raise redirect("./", asked.values)
        calls, older, no_log = list[CallRecord](), None, ""
        try:
            with reading(self._settings) as log:
                if not asked.faults:
                    calls, older = questions.last_calls(log, asked, self._clock().utc)
        except LogError as error:
            if not is_missing(error):
                raise
            no_log = without_log(error)
        return self.page("calls", calls=calls, older=older, no_log=no_log, asked=asked)

    def call(self, query: Mapping[str, str]) -> str:
        """Return the page of one call. Raises a 404 if it is not in the log."""
        now, shown = self._clock().utc, self._shown
        with reading(self._settings) as log:
            found = log.call(query.get("id", ""), now)
        if found is None:
            raise HTTPError(404, NO_CALL)
        call, events = found
        drawn = list(arrows(events, shown.view))
        return self.page(
            "call",
            call=call,
            is_live=conditions.is_live().passes(call),
            drawings=[(name, scale, list(scale.sequence(drawn))) for name, scale in SCALES.items()],
            events=[(kept, self._cause(kept.event, kept.reason, now)) for kept in events],
            legs=[leg for kept in events for leg in getattr(kept.event, "legs", ())],
        )

    def _cause(self, event: object, reason: str | None, now: datetime) -> str:
        """Return why a call was refused, by the list as it is now: it may have changed since."""
        if reason is None or not isinstance(event, IncomingCall):
            return ""
        try:
            allow_list = self._list()
        except AllowListError:
            return "The allow-list has faults now, so the cause cannot be told."
        found = allow_list.find(event.dialled, event.caller, now)
        if reason in (Reason.REPLAYED, Reason.CONFLICTING):
            found = Reason(reason)
        if isinstance(found, Route):
            return f"The list has changed since: line {found.line} would connect this call now."
        changed = "" if found == reason else f"The list has changed since, and now says {found}: "
        full = self._shown.full
        cause = nearest_cause(event.dialled, event.caller, found, allow_list, full=full)
        return self._shown.sentence(f"{changed}{cause}")

    def _list(self) -> AllowList:
        """Return the list as it is now, read again only when the file has changed."""
        return self._read_list(stamp_of(Path(self._settings.allow_list)))

    def routes(self, query: Mapping[str, str]) -> str:
        """Return the page of the list, and how a call that was asked about would be answered."""
        now, begin = self._clock(), _count(query.get("begin", ""))
        rows, faults, count = [], [], 0
        if query.keys() & {"from", "to"}:
            self.explain(query)
        try:
            allow_list = self._list()
            count = len(allow_list)
            for route in islice(allow_list, begin, begin + _ROUTES):
                row = PersonRow(route, refusal_of(route, allow_list, now.utc))
                says = in_words(texts_of(route, full=self._shown.full))
                rows.append((route, state(row, now.utc), says))
        except AllowListError as error:
            faults = [fault.at(self._settings.allow_list) for fault in error.faults]
        return self.page(
            "routes",
            rows=rows,
            begin=begin,
            back=max(begin - _ROUTES, 0),
            count=count,
            faults=faults,
            answer=self._answers.find(query.get("answer", "")),
        )

    def explain(self, form: Mapping[str, str]) -> str:
        """Lead to how a call would be answered: by a key, as the address is to hold no number."""
        try:
            allow_list = self._list()
        except AllowListError:
            raise redirect("routes", {}) from None
        caller, dialled = (form.get(name, "") for name in ("from", "to"))
        now, full = self._clock(), self._shown.full
        found = explain(caller, dialled, self._settings, allow_list, now, full=full)
        raise redirect("routes", {"answer": self._answers.keep(found)})

    def report(self, query: Mapping[str, str]) -> str:
        """Return the page of the figures that `report` prints."""
        now, simulated = self._clock().utc, "simulated" in query
        span = query["since"] if query.get("since") in ("7d", "30d") else "today"
        since = times.instant(span, now)
        with reading(self._settings) as log:
            summaries = log.summaries(since, now, now)
            found = report(summaries, until=now, with_simulated=simulated)
        return self.page("report", report=found, span=span, simulated=simulated)


def _count(text: str) -> int:
    """Return a whole number of an address; 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
