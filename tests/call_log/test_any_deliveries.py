"""Any events, in any order, with restarts between: what is kept is what was delivered."""

import contextlib
import json
import tempfile
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import facts
import pytest
from call_logs import written_down
from databases import needs_postgresql, postgresql_url
from helpers import Clock, PrintedLines, live, payload, settings_of, web
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app import Handlers
from call_log import writer
from call_log.writer import CallLog
from records import fold

pytestmark = pytest.mark.faults

NAMES = [
    "incoming_call",
    "incoming_call_not_listed",
    "incoming_call_withheld",
    "dial_completed_answered",
    "dial_completed_busy",
    "speak_completed",
    "call_completed",
    "unknown_event",
]
JUNK = [b"", b"{", b"[]", b'{"event": "incoming_call"}', b"\xff\xfe", b'{"event":"x","data":{}}']


class AnyDeliveries(RuleBasedStateMachine):
    """The model: how often each key was delivered, and what was answered to it first."""

    @staticmethod
    def url(folder: Path) -> contextlib.AbstractContextManager[str]:
        return contextlib.nullcontext(f"sqlite:///{folder}/calls.db")

    @initialize()
    def begin(self) -> None:
        self.stack = contextlib.ExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.its_url = self.stack.enter_context(self.url(folder))
        self.lines = self.stack.enter_context(PrintedLines(folder / "lines"))
        self.clock = Clock()
        self.delivered: Counter[tuple[str, str, bytes]] = Counter()
        self.first: dict[tuple[str, str, bytes], Any] = {}
        self.dials: dict[str, set[str]] = {}
        self.logs: list[CallLog] = []
        self.apps: list[Any] = []
        self.restart(0)
        self.restart(1)

    @rule(server=st.integers(0, 1))
    def restart(self, server: int) -> None:
        """Have two servers on the log, and one of them be another one from now on."""
        if server < len(self.logs):
            self.logs[server].close()
        log = CallLog(writer.store_of(self.its_url), print, keep_days=30, clock=self.clock)
        listed = live(facts.ALLOW_LIST)
        app = Handlers(settings_of(), listed, log, self.lines.writer, clock=self.clock).app()
        self.logs[server : server + 1], self.apps[server : server + 1] = [log], [web(app)]

    @rule(
        server=st.integers(0, 1),
        name=st.sampled_from(NAMES),
        call=st.sampled_from("abc"),
        copies=st.integers(1, 3),
        echoed=st.sampled_from(["", "order-1", "order-2"]),
    )
    def deliver(self, server: int, name: str, call: str, copies: int, echoed: str) -> None:
        body = payload(name).replace(facts.REFERENCE_ID.encode(), call.encode())
        if echoed:
            body = body.replace(b"{", b'{"external_id": "%s", ' % echoed.encode(), 1)
        key = (call, json.loads(body)["event"], sha256(body).digest())
        for _ in range(copies):
            self.clock.sleep(0.001)  # no two deliveries come at the very same time
            answer = self.post(server, body, 200)
            self.delivered[key] += 1
            self.first.setdefault(key, answer)
            if answer.get("method") == "dial":
                self.dials.setdefault(call, set()).add(json.dumps(answer))

    @rule(server=st.integers(0, 1), junk=st.sampled_from(JUNK))
    def deliver_junk(self, server: int, junk: bytes) -> None:
        self.post(server, junk, 400)

    @rule(seconds=st.sampled_from([1, 119, 130, 86_400]))
    def wait(self, seconds: int) -> None:
        self.clock.sleep(seconds)

    def post(self, server: int, body: bytes, status: int) -> Any:
        app = self.apps[server]
        return app.post("/", body, content_type="application/json", status=status).json

    @invariant()
    def no_call_has_two_dials(self) -> None:
        assert all(len(dials) == 1 for dials in getattr(self, "dials", {}).values())

    def teardown(self) -> None:
        if not hasattr(self, "stack"):
            return
        for log in self.logs:
            log.close()
        store = writer.store_of(self.its_url)
        store.open(write=False)
        kept = store.rows("abc")
        store.close()
        for record in written_down(self.its_url):
            events = [row.to_stored() for row in kept if row.reference_id == record.reference_id]
            assert record == replace(fold(events, is_old=True), number=record.number)
        ended = {row.reference_id for row in kept if row.event == "call_completed"}
        assert ended <= {record.reference_id for record in written_down(self.its_url)}
        self.stack.close()
        keys = {(row.reference_id, row.event, row.sha256): row for row in kept}
        assert {key: row.deliveries for key, row in keys.items()} == self.delivered
        assert {key: row.wire for key, row in keys.items()} == self.first


class AnyDeliveriesToPostgresql(AnyDeliveries):
    @staticmethod
    def url(_folder: Path) -> contextlib.AbstractContextManager[str]:
        return postgresql_url()


RUNS = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
AnyDeliveries.TestCase.settings = RUNS
AnyDeliveriesToPostgresql.TestCase.settings = settings(RUNS, max_examples=30)
test_what_is_kept_is_what_was_delivered = AnyDeliveries.TestCase
test_the_same_in_postgresql = needs_postgresql(AnyDeliveriesToPostgresql.TestCase)
