"""What is answered to what: each row of the table, with the whole answer."""

import facts
import pytest
from helpers import Clock, MakeApp, PrintedLines, payload, post
from reply_table import CASES, MESSAGES, Case


@pytest.mark.parametrize("row", CASES, ids=lambda row: f"{row.event} after {row.before}")
def test_the_reply_table(row: Case, make_app: MakeApp) -> None:
    app = make_app(**row.settings)
    for name in row.before:
        post(app, payload(name))
    assert post(app, payload(row.event)) == row.answer


def reasons(lines: PrintedLines) -> list[str | None]:
    return [line.get("reason") for line in lines.read()]


def test_a_repeated_call_gets_the_same_answer_for_120_s(
    make_app: MakeApp, clock: Clock, lines: PrintedLines
) -> None:
    app = make_app()
    for sleep_s, answer in (0, facts.DIAL), (120, facts.DIAL), (0.001, facts.HANGUP):
        clock.sleep(sleep_s)
        assert post(app, payload("incoming_call")) == answer
    assert reasons(lines) == [None, None, "replayed"]


@pytest.mark.parametrize("jump_s", [-86_400, 31_536_000])
def test_the_wall_clock_cannot_widen_the_window(
    make_app: MakeApp, clock: Clock, jump_s: int
) -> None:
    app = make_app()
    assert post(app, payload("incoming_call")) == facts.DIAL
    clock.sleep(jump_s)
    clock.monotonic_s = 1121
    assert post(app, payload("incoming_call")) == facts.HANGUP


def test_a_call_repeated_after_its_end_is_replayed(make_app: MakeApp, lines: PrintedLines) -> None:
    app = make_app(**MESSAGES)
    for name in "incoming_call", "call_completed", "incoming_call":
        post(app, payload(name))
    assert reasons(lines) == [None, None, "replayed"]


def test_a_call_whose_end_came_first_is_replayed_and_with_other_numbers_conflicting(
    make_app: MakeApp, lines: PrintedLines
) -> None:
    post(make_app(), payload("call_completed"))
    app = make_app()
    for name in "call_completed", "incoming_call", "incoming_call", "incoming_call_withheld":
        post(app, payload(name))
    assert reasons(lines)[1:] == [None, "replayed", "replayed", "conflicting"]


def test_a_call_repeated_with_other_numbers_is_conflicting(
    make_app: MakeApp, lines: PrintedLines
) -> None:
    app = make_app(**MESSAGES)
    for name in "incoming_call", "incoming_call_not_listed", "incoming_call_withheld":
        post(app, payload(name))
    assert reasons(lines) == [None, "conflicting", "conflicting"]


def test_a_repeated_call_whose_route_expired_meanwhile_is_refused(
    make_app: MakeApp, clock: Clock, lines: PrintedLines
) -> None:
    text = f"to,destination,expires\n{facts.DIALLED},{facts.DESTINATION},2026-11-23T12:01:00Z"
    app = make_app(text, **MESSAGES)
    assert post(app, payload("incoming_call"))["method"] == "dial"
    clock.sleep(60)
    assert post(app, payload("incoming_call")) == facts.HANGUP
    assert reasons(lines) == [None, "expired"]
