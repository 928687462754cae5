"""The pages: each is a function of an address's parameters, the log, the list and the time."""

import secrets
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bottle import HTTPError, HTTPResponse, template

from allow_list.stamp import stamp_of
from call_log.store import StoreError
from calls import Timestamp
from config import Settings
from events import IncomingCall
from records import CallRecord
from routing import AllowList, AllowListError, Decision, Reason, Route
from tools.commands.calls import arrows
from tools.commands.report import calls_of
from tools.commands.why import state
from tools.history import times
from tools.history.newest import LAST
from tools.history.reach import PersonRow, refusal_of
from tools.history.stored import reading
from tools.history.totals import report
from tools.inspector import drawing, questions
from tools.inspector.questions import is_missing, place
from tools.inspector.shown import Shown
from tools.list_advice.explained import explained
from tools.list_advice.nearest_cause import nearest_cause

Clock = Callable[[], Timestamp]

NO_CALL = "The log holds no such call: it may have been purged."

_VIEWS = [str(Path(__file__).parent / "views")]
_ROUTES = 100
_ANSWERS = 100


def redirect(path: str, values: Mapping[str, str]) -> HTTPResponse:
    """Return an answer that leads to another page, by a path relative to this one."""
    query = urlencode(values)
    return HTTPResponse("", 303, {"Location": f"{path}?{query}" if query else path})


class Pages:
    """Makes the pages. Raises `StoreError` where the log cannot be read."""

    def __init__(
        self, settings: Settings, read_list: Callable[[], AllowList], clock: Clock, *, full: bool
    ) -> None:
        self._settings, self._clock, self._shown = settings, clock, Shown(full=full)
        self._read_list = lru_cache(maxsize=1)(lambda _: read_list())
        # What the form asked, by a key that stands in the address in place of the numbers.
        self._answers = deque[tuple[str, tuple[IncomingCall, Decision, str]]](maxlen=_ANSWERS)

    def page(self, name: str, **values: Any) -> str:
        """Return a page by the name of its template."""
        return str(template(name, values, shown=self._shown, template_lookup=_VIEWS))

    def message(self, title: str, text: str) -> str:
        """Return a page that only says something."""
        return self.page("message", title=title, text=self._shown.sentence(text))

    def calls(self, query: Mapping[str, str]) -> str:
        """Return the page of the last calls; with `part`, only what changes in it."""
        now, shown = self._clock().utc, self._shown
        asked = questions.question(query, self._settings, now, shown)
        if any(query[name].strip() != text for name, text in asked.values.items()):
            raise redirect("./", asked.values)
        calls, older, no_log = list[CallRecord](), 0, ""
        try:
            with reading(self._settings) as log:
                calls, older = questions.last_calls(log, asked, now)
        except StoreError as error:
            if not is_missing(error):
                raise
            no_log = str(error)
        return self.page(
            "part" if "part" in query else "calls",
            calls=calls,
            older=older,
            no_log=no_log,
            asked=asked,
            is_newest=asked.before == LAST,
        )

    def call(self, query: Mapping[str, str]) -> str:
        """Return the page of one call. Raises a 404 if it is not in the log."""
        now, shown = self._clock().utc, self._shown
        with reading(self._settings) as log:
            call = next(log.calls([query.get("id", "")], now), None)
        if call is None:
            raise HTTPError(404, NO_CALL)
        return self.page(
            "call",
            call=call.record,
            drawn=list(drawing.sequence(arrows(call.events, shown.view))),
            events=[(each, self._cause(each.event, each.reason, now)) for each in call.events],
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
        cause = nearest_cause(event.dialled, event.caller, found, allow_list)
        return self._shown.sentence(f"{changed}{cause}")

    def _list(self) -> AllowList:
        """Return the list as it is now, read again only when the file has changed."""
        return self._read_list(stamp_of(Path(self._settings.allow_list)))

    def routes(self, query: Mapping[str, str]) -> str:
        """Return the page of the list, and how a call that was asked about would be answered."""
        now, begin = self._clock(), place(query.get("begin", ""), 0)
        rows, faults, count = [], [], 0
        if query.keys() & {"from", "to"}:
            raise redirect("routes", self._explain(query, now))
        try:
            allow_list = self._list()
            count = len(allow_list)
            for route in islice(allow_list, begin, begin + _ROUTES):
                row = PersonRow(route, refusal_of(route, allow_list, now.utc))
                rows.append((route, state(row, now.utc)))
        except AllowListError as error:
            faults = [each.at(self._settings.allow_list) for each in error.faults]
        return self.page(
            "routes",
            rows=rows,
            begin=begin,
            back=max(begin - _ROUTES, 0),
            count=count,
            faults=faults,
            answer=dict(self._answers).get(query.get("answer", "")),
        )

    def _explain(self, query: Mapping[str, str], now: Timestamp) -> dict[str, str]:
        """Keep how a call would be answered; return the key to it, none if the list has faults."""
        try:
            allow_list = self._list()
        except AllowListError:
            return {}
        caller, dialled = (query.get(name, "") for name in ("from", "to"))
        key = secrets.token_urlsafe(6)
        self._answers.append((key, explained(caller, dialled, self._settings, allow_list, now)))
        return {"answer": key}

    def report(self, query: Mapping[str, str]) -> str:
        """Return the page of the figures that `report` prints."""
        now, simulated = self._clock().utc, "simulated" in query
        span = query["since"] if query.get("since") in ("7d", "30d") else "today"
        since = times.instant(span, now)
        with reading(self._settings) as log:
            calls = calls_of(log.store, since)
            found = report(calls, since=since, until=now, with_simulated=simulated)
        return self.page("report", report=found, span=span, simulated=simulated)
