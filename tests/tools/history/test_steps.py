"""What passed between the parties of a call, and what became of it in a few words."""

from dataclasses import replace

import facts
import pytest
from stored_calls import event, of_file, record_with

from records import CallRecord, Disposition
from tools.console import CALLED, CALLER, SERVER, TELESIGN, Arrow
from tools.history.fields import View
from tools.history.steps import arrows, describe_end

MOVED = "moved to 12025550142"


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (record_with(), "connected"),
        (record_with(disposition=Disposition.DECLINED), "declined"),
        (record_with(disposition=Disposition.NO_ANSWER, status="no-answer"), "no answer"),
        (record_with(disposition=Disposition.BUSY, status="USER_BUSY"), "busy"),
        (record_with(disposition=Disposition.FAILED, status="rejected"), "failed: rejected"),
        (record_with(disposition=Disposition.FAILED, status="Failed"), "failed"),
        (record_with(disposition=Disposition.FAILED, status=MOVED), "failed: moved to *******0142"),
        (record_with(disposition=Disposition.REFUSED, reason="expired"), "refused: expired"),
        (record_with(disposition=Disposition.REFUSED), "refused"),
        (record_with(disposition=Disposition.UNKNOWN), "end unknown"),
        (record_with(disposition=Disposition.IN_PROGRESS), "in progress"),
        (
            record_with(disposition=Disposition.IN_PROGRESS, reason="expired"),
            "in progress, refused: expired",
        ),
        (
            record_with(disposition=Disposition.UNKNOWN, reason="expired"),
            "end unknown, refused: expired",
        ),
    ],
)
def test_what_became_of_a_call_in_a_few_words(record: CallRecord, text: str) -> None:
    assert describe_end(record, View()) == text


def test_every_message_of_a_call_is_an_arrow_and_so_is_what_the_phones_do() -> None:
    incoming = of_file("incoming_call", 0, facts.DIAL)
    busy = of_file("dial_completed_busy", 5, facts.HANGUP)
    assert [*arrows([incoming, busy, event("call_completed", 9)], View())] == [
        Arrow(CALLER, TELESIGN, "...0123 dials ...0100"),
        Arrow(TELESIGN, SERVER, "12:00:00 incoming_call"),
        Arrow(SERVER, TELESIGN, "dial"),
        Arrow(TELESIGN, CALLED, f"rings ...0111, showing {facts.MASKING_ID}"),
        Arrow(CALLED, TELESIGN, "busy"),
        Arrow(TELESIGN, SERVER, "12:00:05 dial_completed"),
        Arrow(SERVER, TELESIGN, "hangup"),
        Arrow(TELESIGN, SERVER, "12:00:09 call_completed"),
        Arrow(SERVER, TELESIGN, "no action"),
    ]


def test_a_repeat_says_how_often_and_a_refusal_why() -> None:
    refused = replace(event("incoming_call", 0, facts.HANGUP, lasting_s=7), reason="not_listed")
    labels = [arrow.label for arrow in arrows([refused], View(full=True))]
    assert labels == [
        "withheld dials withheld",
        "12:00:00 incoming_call (2 times, last 12:00:07)",
        "hangup (not_listed)",
    ]


def test_what_a_purged_call_was_answered_names_nobody() -> None:
    purged = replace(event("incoming_call", 0, {"method": "dial"}), body="")
    labels = [arrow.label for arrow in arrows([purged], View(full=True))]
    assert labels[-1] == "dial"
