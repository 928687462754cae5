"""What a row of the allow-list says, from the file to the wire and into the log."""

import json
from typing import Any

import facts
import pytest
from helpers import Clock, MakeApp, PrintedLines, live, payload, post, settings_of, web
from reply_table import speak

from app import Handlers
from call_log.memory import InMemoryCalls

HEADER = "to,from,destination,caller_id_number,max_call_duration,expires"
HEADER += ",greeting,language,external_id,send_dtmf\n"
DIALLED, CALLER, DESTINATION = facts.DIALLED, facts.CALLER, facts.DESTINATION
DRIVER = "Your driver is calling, order 1234"
ANSWERED = payload("dial_completed_answered")


def row(
    caller: str = "",
    greeting: str = "",
    language: str = "",
    destination: str = DESTINATION,
    **more: str,
) -> str:
    names = "expires", "external_id", "send_dtmf"
    expires, external_id, send_dtmf = (more.get(name, "") for name in names)
    said = f'"{greeting}",{language},{external_id},{send_dtmf}'
    return f"{DIALLED},{caller},{destination},{facts.MASKING_ID},3600,{expires},{said}\n"


def spoken(message: str, language: str = "en-US") -> dict[str, Any]:
    return {"method": "speak", "params": {"tts": {"message": message, "language": language}}}


def test_a_dial_has_the_keys_and_the_id_of_its_row(make_app: MakeApp) -> None:
    app = make_app(HEADER + row(external_id="order 1234", send_dtmf="ww6458#"))
    assert post(app, payload("incoming_call")) == {
        "method": "dial",
        "params": {
            "to": DESTINATION,
            "caller_id_number": facts.MASKING_ID,
            "max_call_duration": "3600",
            "send_dtmf": "ww6458#",
            "external_id": "order 1234",
        },
    }


def test_rows_that_say_nothing_are_answered_as_ever(make_app: MakeApp) -> None:
    app = make_app(HEADER + row())
    assert post(app, payload("incoming_call")) == facts.DIAL
    assert post(app, ANSWERED) == speak("Your call is connected.")


@pytest.mark.parametrize(
    ("said", "settings", "answer"),
    [
        ({"greeting": DRIVER}, {}, spoken(DRIVER)),
        ({"greeting": DRIVER}, {"language": "en-GB"}, spoken(DRIVER, "en-GB")),
        ({"greeting": "Su conductor", "language": "es-ES"}, {}, spoken("Su conductor", "es-ES")),
        ({"language": "es-ES"}, {"greeting": "Hola"}, spoken("Hola", "es-ES")),
        ({"greeting": DRIVER}, {"greeting": ""}, spoken(DRIVER)),
        ({"language": "es-ES"}, {"greeting": ""}, facts.NO_ACTION),
        (
            {"greeting": "Your driver: press 1", "language": "en-GB"},
            {"accept_digit": "1"},
            {
                "method": "speak",
                "params": {
                    "tts": {"message": "Your driver: press 1", "language": "en-GB"},
                    "collect_digits": {"max": 1, "timeout": 10000, "inter_digit_timeout": 3000},
                },
            },
        ),
    ],
)
def test_the_called_person_hears_what_the_row_says(
    make_app: MakeApp, said: dict[str, str], settings: dict[str, str], answer: Any
) -> None:
    app = make_app(HEADER + row(CALLER, **said), **settings)
    post(app, payload("incoming_call"))
    assert post(app, ANSWERED) == answer


USUAL = spoken("Your call is connected.")


@pytest.mark.parametrize(
    ("before", "then", "answer"),
    [
        (row(CALLER), row(CALLER, DRIVER), spoken(DRIVER)),
        (row(CALLER, DRIVER), row(CALLER, DRIVER, expires="2020-01-01T00:00:00Z"), spoken(DRIVER)),
        (row("", DRIVER), row("", DRIVER), spoken(DRIVER)),
        (row(CALLER, DRIVER), row("", "Anybody"), spoken("Anybody")),
        (row("", DRIVER), row("", DRIVER) + row(CALLER, "Only you"), spoken("Only you")),
        (
            row("", DRIVER),
            row("", DRIVER) + row(CALLER, "Another", destination=facts.DRIVER),
            spoken(DRIVER),
        ),
        (row(CALLER, DRIVER), row(CALLER, DRIVER, destination=facts.DRIVER), USUAL),
        (row(CALLER, DRIVER), row(facts.STRANGER, DRIVER), USUAL),
        (row(CALLER, DRIVER), "", USUAL),
        (row(CALLER, DRIVER), row(CALLER), USUAL),
    ],
    ids=[
        "the row says it since",
        "the row has expired",
        "for any caller",
        "a row for any caller in its place",
        "a row for this caller since",
        "a row for this caller to somebody else",
        "the row dials somebody else",
        "the row is for another caller",
        "the row has gone",
        "the row says nothing since",
    ],
)
def test_the_row_of_a_call_is_that_of_today_s_list_if_it_dials_the_same_person(
    clock: Clock, lines: PrintedLines, before: str, then: str, answer: Any
) -> None:
    calls = InMemoryCalls()

    def app(rows: str) -> Any:
        listed = live(HEADER + rows)
        return web(Handlers(settings_of(), listed, calls, lines.writer, clock=clock).app())

    assert post(app(before), payload("incoming_call"))["method"] == "dial"
    assert post(app(then), ANSWERED) == answer


def test_a_withheld_caller_is_introduced_by_the_row_for_any_caller(make_app: MakeApp) -> None:
    app = make_app(HEADER + row("", "A caller") + row(CALLER, DRIVER))
    withheld = payload("incoming_call_withheld").replace(b"12025550101", DIALLED.encode())
    assert post(app, withheld)["method"] == "dial"
    assert post(app, ANSWERED) == spoken("A caller")


def test_an_answer_to_a_call_that_is_not_known_gets_the_usual_greeting(make_app: MakeApp) -> None:
    assert post(make_app(HEADER + row("", DRIVER)), ANSWERED) == USUAL


REASONS = {
    "expired": "12025550102",
    "caller_not_listed": facts.PAIR_NUMBER,
    "not_listed": facts.NOT_LISTED,
}


@pytest.mark.parametrize("reason", [*REASONS, "caller_withheld", "bad_number"])
@pytest.mark.parametrize("own", [None, "Your trip is over."])
def test_a_caller_hears_the_text_of_the_reason_or_else_the_general_one(
    make_app: MakeApp, reason: str, own: str | None
) -> None:
    settings = {"refusal_message": "No."}
    if own and reason != "bad_number":
        settings[f"refusal_message_{reason}"] = own
    data = {"to": REASONS.get(reason, facts.PAIR_NUMBER), "from": facts.STRANGER}
    data |= {"caller_withheld": {"from": ""}, "bad_number": {"to": "x1"}}.get(reason, {})
    message = {"event": "incoming_call", "reference_id": "one", "data": data}
    answer = spoken(own if own and reason != "bad_number" else "No.")
    assert post(make_app(**settings), json.dumps(message).encode()) == answer
