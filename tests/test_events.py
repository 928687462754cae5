"""What each event means, and what is not an event."""

import json
import time
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime

import facts
import pytest
from helpers import payload
from hypothesis import given
from hypothesis import strategies as st

import events
from events import (
    CallCompleted,
    CallLeg,
    CallLegCompleted,
    DialCompleted,
    EventError,
    IncomingCall,
    PlayCompleted,
    SpeakCompleted,
    UnknownEvent,
)
from phone import NoNumber, PhoneNumber

ID = facts.REFERENCE_ID
CALLER, DIALLED = PhoneNumber(facts.CALLER), PhoneNumber(facts.DIALLED)
LEG = CallLeg(
    direction="outbound",
    from_number=PhoneNumber(facts.MASKING_ID),
    to_number=PhoneNumber(facts.DESTINATION),
    created=datetime(2026, 3, 15, 6, 48, 22, 151_000, UTC),
    answered=datetime(2026, 3, 15, 6, 48, 24, 151_000, UTC),
    ended=datetime(2026, 3, 15, 6, 48, 28, 151_000, UTC),
)


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("incoming_call", IncomingCall(ID, DIALLED, CALLER)),
        ("incoming_call_withheld", IncomingCall(ID, DIALLED, NoNumber.WITHHELD)),
        ("dial_completed_answered", DialCompleted(ID, "answered")),
        ("dial_completed_busy", DialCompleted(ID, "busy")),
        ("dial_completed_without_status", DialCompleted(ID, None)),
        ("speak_completed", SpeakCompleted(ID, "")),
        ("speak_completed_digit_1", SpeakCompleted(ID, "1")),
        ("play_completed", PlayCompleted(ID, "")),
        ("play_completed_digit_1", PlayCompleted(ID, "1")),
        ("call_leg_completed", CallLegCompleted(ID)),
        ("call_completed", CallCompleted(ID, (LEG,))),
        ("unknown_event", UnknownEvent(ID, "call_transferred")),
    ],
)
def test_each_event_of_telesign_is_read(name: str, event: events.Event) -> None:
    assert events.parse(payload(name)) == event


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (IncomingCall(ID, DIALLED, CALLER), "incoming_call"),
        (DialCompleted(ID, None), "dial_completed"),
        (SpeakCompleted(ID, ""), "speak_completed"),
        (PlayCompleted(ID, ""), "play_completed"),
        (CallLegCompleted(ID), "call_leg_completed"),
        (CallCompleted(ID), "call_completed"),
        (UnknownEvent(ID, "x"), "x"),
    ],
)
def test_an_event_knows_its_name(event: events.Event, name: str) -> None:
    assert event.name == name


@pytest.mark.parametrize(
    "event",
    [
        IncomingCall(ID, DIALLED, CALLER),
        DialCompleted(ID, None),
        SpeakCompleted(ID, ""),
        PlayCompleted(ID, ""),
        CallLegCompleted(ID),
        CallCompleted(ID),
        UnknownEvent(ID, "x"),
        LEG,
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_cannot_be_changed(event: events.Event | CallLeg) -> None:
    for member in fields(event):
        with pytest.raises(FrozenInstanceError):
            setattr(event, member.name, "another")


def completed(data: object) -> tuple[CallLeg, ...]:
    event = events.parse(message(event="call_completed", data=data), home_country_code="1")
    assert isinstance(event, CallCompleted)
    return event.legs


INBOUND = {"created_on_utc": "2026-03-15T06:48:20", "direction": "inbound", "from": facts.CALLER}
OUTBOUND = {"answered_on_utc": "2026-03-15T06:48:24Z", "direction": "outbound", "to": "2025550111"}


@pytest.mark.parametrize(
    "data",
    [
        {"inbound": INBOUND, "outbound": OUTBOUND},
        {"legs": [INBOUND, OUTBOUND]},
        {"call": {"legs": [[INBOUND], [{"leg": OUTBOUND}]]}, "status": "hangup"},
        INBOUND | {"outbound": OUTBOUND},
    ],
)
def test_both_legs_of_a_bridged_call_are_found_however_they_are_laid_out(data: object) -> None:
    """TeleSign says that both are reported, and shows nowhere how."""
    inbound, outbound = completed(data)
    assert (inbound.direction, inbound.from_number) == ("inbound", facts.CALLER)
    assert inbound.created == datetime(2026, 3, 15, 6, 48, 20, tzinfo=UTC)
    assert (outbound.direction, outbound.to_number) == ("outbound", facts.DESTINATION)
    assert outbound.answered == datetime(2026, 3, 15, 6, 48, 24, tzinfo=UTC)


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server's own clock shows the time of another zone."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XYZ-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    "time", [7, None, "yesterday", "", "0001-01-01T00:00:00+14:00", ["2026-03-15T06:48:20"]]
)
def test_a_time_that_cannot_be_read_is_none(time: object) -> None:
    (leg,) = completed({"ended_on_utc": time})
    assert leg.ended is None


def test_a_leg_is_read() -> None:
    leg = {
        "direction": "inbound",
        "from": "2025550123",
        "to": "2025550100",
        "created_on_utc": "2026-03-15T06:48:20",
        "answered_on_utc": "2026-03-15T06:48:24Z",
        "ended_on_utc": "2026-03-15T07:48:28+01:00",
        "duration": 8,
        "audio_recording_file_name": "call.wav",
    }
    assert completed({"legs": [leg]}) == (
        CallLeg(
            direction="inbound",
            from_number=CALLER,
            to_number=DIALLED,
            created=datetime(2026, 3, 15, 6, 48, 20, tzinfo=UTC),
            answered=datetime(2026, 3, 15, 6, 48, 24, tzinfo=UTC),
            ended=datetime(2026, 3, 15, 6, 48, 28, tzinfo=UTC),
        ),
    )


@pytest.mark.usefixtures("far_east")
@pytest.mark.parametrize("text", ["2026-03-15T06:48:20", "2026-03-15T08:48:20+02:00"])
def test_a_time_is_utc_wherever_the_server_runs(text: str) -> None:
    (leg,) = completed({"ended_on_utc": text})
    assert leg.ended is not None
    assert leg.ended.isoformat() == "2026-03-15T06:48:20+00:00"


def test_a_completed_call_without_times_has_no_legs() -> None:
    assert completed({"duration": 6, "legs": [1, "x", None, {}]}) == ()
    assert events.parse(message(event="call_completed")) == CallCompleted(ID)


def message(**members: object) -> bytes:
    whole = {"event": "incoming_call", "reference_id": ID, "data": {}} | members
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    ("data", "dialled", "caller"),
    [
        ({}, NoNumber.WITHHELD, NoNumber.WITHHELD),
        ({"to": None, "from": None}, NoNumber.WITHHELD, NoNumber.WITHHELD),
        ({"to": "x", "from": "anonymous"}, NoNumber.WITHHELD, NoNumber.WITHHELD),
        (
            {"to": 12025550100, "from": "12"},
            NoNumber("bad", "112025550100"),
            NoNumber("bad", "112"),
        ),
        ({"to": "+1 202-555-0100", "from": "2025550123"}, DIALLED, CALLER),
    ],
)
def test_an_incoming_call_has_numbers_or_says_why_not(
    data: object, dialled: object, caller: object
) -> None:
    assert events.parse(message(data=data), home_country_code="1") == IncomingCall(
        ID,
        dialled,  # type: ignore[arg-type]
        caller,  # type: ignore[arg-type]
    )


def test_the_home_country_code_goes_before_both_numbers() -> None:
    body = message(data={"to": "2025550100", "from": "2025550123"})
    assert events.parse(body, home_country_code="1") == IncomingCall(ID, DIALLED, CALLER)
    assert events.parse(body) == IncomingCall(
        ID, PhoneNumber("2025550100"), PhoneNumber("2025550123")
    )


@pytest.mark.parametrize("digits", [None, 1, [], {"a": 1}, True])
def test_collected_digits_that_are_no_text_are_none(digits: object) -> None:
    data = {"collected_digits": digits}
    assert events.parse(message(event="speak_completed", data=data)) == SpeakCompleted(ID, "")
    assert events.parse(message(event="play_completed", data=data)) == PlayCompleted(ID, "")


@pytest.mark.parametrize("status", [None, 1, [], {}, True])
def test_a_status_that_is_no_text_is_none(status: object) -> None:
    body = message(event="dial_completed", data={"status": status})
    assert events.parse(body) == DialCompleted(ID, None)


def test_unknown_members_are_passed_over() -> None:
    body = message(jsonrpc="2.0", data={"to": facts.DIALLED, "extra": [{}]})
    assert events.parse(body) == IncomingCall(ID, DIALLED, NoNumber.WITHHELD)


@pytest.mark.parametrize(
    "members",
    [
        {"event": "x" * 64, "reference_id": "y" * 128},
        {"event": " ", "reference_id": "~"},
    ],
)
def test_the_longest_and_shortest_names_are_accepted(members: dict[str, str]) -> None:
    event = events.parse(message(**members))
    assert event == UnknownEvent(members["reference_id"], members["event"])


@pytest.mark.parametrize(
    "name", ["incoming_call", "dial_completed", "speak_completed", "call_completed", "new_event"]
)
def test_the_external_id_that_telesign_echoes_is_read_and_makes_no_other_event(name: str) -> None:
    event = events.parse(message(event=name, external_id="order 1234"))
    assert event.external_id == "order 1234"
    assert event == events.parse(message(event=name))


@pytest.mark.parametrize("value", [None, 7, "", {}, "a\0", "\ud800", "é", "x" * 129, ["order"]])
def test_an_external_id_that_is_none_of_ours_is_passed_over(value: object) -> None:
    assert events.parse(message(external_id=value)).external_id is None


NAME = "event: wanted 1 to 64 printable ASCII characters"
CLEAN = "wanted text without NUL and lone surrogates"
REFERENCE = "reference_id: wanted 1 to 128 printable ASCII characters"


@pytest.mark.parametrize(
    ("body", "word", "cause"),
    [
        (b"", "bad_json", "wanted strict JSON in UTF-8"),
        (b"{", "bad_json", "wanted strict JSON in UTF-8"),
        (b"{} {}", "bad_json", "wanted strict JSON in UTF-8"),
        (b"{'event': 1}", "bad_json", "wanted strict JSON in UTF-8"),
        (b'{"a": 1, "a": 1}', "bad_json", "wanted strict JSON in UTF-8"),
        (b'{"a": {"b": 1, "b": 2}}', "bad_json", "wanted strict JSON in UTF-8"),
        (b'{"a": 1, "\\u0061": 1}', "bad_json", "wanted strict JSON in UTF-8"),
        (b'{"a": NaN}', "bad_json", "wanted strict JSON in UTF-8"),
        (b'{"a": Infinity}', "bad_json", "wanted strict JSON in UTF-8"),
        (b'{"a": -Infinity}', "bad_json", "wanted strict JSON in UTF-8"),
        (b'{"a": 1e999}', "bad_json", "wanted strict JSON in UTF-8"),
        (b'{"a": -1e999}', "bad_json", "wanted strict JSON in UTF-8"),
        (b'{"a": 1' + b"0" * 100 + b"}", "bad_json", "wanted strict JSON in UTF-8"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "bad_json", "wanted strict JSON in UTF-8"),
        (b'{"a": 0.' + b"0" * 5000 + b"}", "bad_json", "wanted strict JSON in UTF-8"),
        (b"[" * 30000, "bad_json", "wanted strict JSON in UTF-8"),
        (b"[" * 30000 + b"]" * 30000, "bad_json", "wanted strict JSON in UTF-8"),
        (b'{"a":' * 10000 + b"1" + b"}" * 10000, "bad_json", "wanted strict JSON in UTF-8"),
        (b'{"a": "\n"}', "bad_json", "wanted strict JSON in UTF-8"),
        (b"\0", "bad_json", "wanted strict JSON in UTF-8"),
        (
            "\ufec0".encode(),
            "bad_json",
            "wanted strict JSON in UTF-8",
        ),  # begins as a byte order mark does
        (b"\xef\xbb\xbf{}", "bad_json", "wanted strict JSON in UTF-8"),
        (b"\xff\xfe{\0}\0", "bad_json", "wanted strict JSON in UTF-8"),
        (b'{"a": "\xe9"}', "bad_json", "wanted strict JSON in UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "bad_json", "wanted strict JSON in UTF-8"),
        (message(event="\0"), "bad_text", f"event: {CLEAN}"),
        (message(reference_id="\ud800"), "bad_text", f"reference_id: {CLEAN}"),
        (message(data={"to": "\0"}), "bad_text", f"to: {CLEAN}"),
        (message(data={"from": "1202555\udfff"}), "bad_text", f"from: {CLEAN}"),
        (message(event="dial_completed", data={"status": "\0"}), "bad_text", f"status: {CLEAN}"),
        (
            message(event="play_completed", data={"collected_digits": "\ud83d"}),
            "bad_text",
            f"collected_digits: {CLEAN}",
        ),
        (
            message(event="call_completed", data={"legs": [INBOUND | {"direction": "\0"}]}),
            "bad_text",
            f"direction: {CLEAN}",
        ),
        (b"[]", "bad_event", "wanted a JSON object"),
        (b"null", "bad_event", "wanted a JSON object"),
        (b'"incoming_call"', "bad_event", "wanted a JSON object"),
        (b"{}", "bad_event", NAME),
        (payload("sms_session_callback"), "bad_event", NAME),
        (message(event=None), "bad_event", NAME),
        (message(event=7), "bad_event", NAME),
        (message(event=""), "bad_event", NAME),
        (message(event="x" * 65), "bad_event", NAME),
        (message(event="incoming_call\n"), "bad_event", NAME),
        (message(event="incoming\u00e9"), "bad_event", NAME),
        (message(event="\x7f"), "bad_event", NAME),
        (message(reference_id=None), "bad_event", REFERENCE),
        (message(reference_id=12), "bad_event", REFERENCE),
        (message(reference_id=""), "bad_event", REFERENCE),
        (message(reference_id="x" * 129), "bad_event", REFERENCE),
        (message(reference_id="a\tb"), "bad_event", REFERENCE),
    ],
)
def test_a_body_that_is_not_an_event_is_refused_with_its_cause(
    body: bytes, word: str, cause: str
) -> None:
    with pytest.raises(EventError) as caught:
        events.parse(body)
    assert (caught.value.word, caught.value.cause) == (word, cause)
    assert str(caught.value) == cause


NO_OBJECTS = [None, [], "{}", '{"to": "12025550111"}', 7, 1.5, True, [[{"status": "answered"}]]]


@pytest.mark.parametrize("beside", [{}, *({"data": data} for data in NO_OBJECTS)])
@pytest.mark.parametrize(
    ("name", "members", "event"),
    [
        ("incoming_call", {}, IncomingCall(ID, NoNumber.WITHHELD, NoNumber.WITHHELD)),
        (
            "incoming_call",
            {"to": facts.DIALLED, "from": facts.CALLER},
            IncomingCall(ID, DIALLED, CALLER),
        ),
        ("dial_completed", {}, DialCompleted(ID, None)),
        ("dial_completed", {"status": "answered"}, DialCompleted(ID, "answered")),
        ("speak_completed", {}, SpeakCompleted(ID, "")),
        ("speak_completed", {"collected_digits": "1"}, SpeakCompleted(ID, "1")),
        ("play_completed", {"collected_digits": "1"}, PlayCompleted(ID, "1")),
        ("call_leg_completed", {"to": facts.DESTINATION}, CallLegCompleted(ID)),
        ("call_completed", {}, CallCompleted(ID)),
        ("call_transcribed", {}, UnknownEvent(ID, "call_transcribed")),
    ],
)
def test_without_an_object_as_data_the_members_are_those_beside_it(
    name: str, members: dict[str, str], event: events.Event, beside: dict[str, object]
) -> None:
    body = json.dumps({"event": name, "reference_id": ID, **members, **beside}).encode()
    assert events.parse(body) == event


def test_beside_an_object_as_data_nothing_is_read() -> None:
    """A `status` there might speak of something else."""
    beside = {"to": facts.DIALLED, "from": facts.CALLER, "status": "answered"}
    beside["collected_digits"] = "1"
    nobody = IncomingCall(ID, NoNumber.WITHHELD, NoNumber.WITHHELD)
    assert events.parse(message(**beside)) == nobody
    assert events.parse(message(event="dial_completed", **beside)) == DialCompleted(ID, None)
    assert events.parse(message(event="speak_completed", **beside)) == SpeakCompleted(ID, "")


def test_legs_are_found_in_the_whole_message() -> None:
    flat = {"event": "call_completed", "reference_id": ID, **INBOUND}
    for layout in (
        {"data": [INBOUND, OUTBOUND]},
        {"data": [[{"leg": INBOUND}], [[OUTBOUND]]]},
        {"data": None, "legs": [INBOUND, OUTBOUND]},
        {"data": {}, "inbound": INBOUND, "outbound": OUTBOUND},
        {**flat, "data": [OUTBOUND]},
    ):
        event = events.parse(message(**{"event": "call_completed", "data": None} | layout))
        assert isinstance(event, CallCompleted)
        assert [leg.direction for leg in event.legs] == ["inbound", "outbound"], layout


def shape_of(body: bytes) -> str:
    with pytest.raises(EventError) as caught:
        events.parse(body)
    return caught.value.shape


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ({}, "{}"),
        ([], "[]"),
        (None, "null"),
        ("incoming_call", "text"),
        (
            {"name": "x", "id": 7, "data": {"to": facts.DIALLED, "ok": True, "x": None}},
            "{name: text, id: number, data: {to: text, ok: boolean, x: null}}",
        ),
        ([{"event": "x", "data": [{"a": [1]}, 1.5]}], "[{event: text, data: [object, number]}]"),
        ({"a": {"b": {"c": {"d": 1}}}}, "{a: {b: {c: object}}}"),
        ({facts.CALLER: 1, "+1 202-555-0123": 2}, "{*******0123: number, +* ***-***-0123: number}"),
        ({"\u0661" * 8: 1}, r"{****\u0661\u0661\u0661\u0661: number}"),
        ({"a\nb\x1b[31m\x7f\u202e\"": 1}, r'{a\nb\u001b[31m\u007f\u202e\": number}'),
        ({"n" * 1000: 1}, f"{{{'n' * 399}"),
    ],
)  # fmt: skip
def test_what_is_no_event_is_described_by_names_and_types_alone(value: object, shape: str) -> None:
    assert shape_of(json.dumps(value).encode()) == shape


def test_every_refusal_of_json_has_its_shape_and_no_other() -> None:
    assert shape_of(message(reference_id=12)) == "{event: text, reference_id: number, data: {}}"
    assert (
        shape_of(message(data={"to": "\0"}))
        == "{event: text, reference_id: text, data: {to: text}}"
    )
    assert (shape_of(b"{"), shape_of(b"\xff")) == ("", "")


@pytest.mark.parametrize("odd", ["\0", "\ud800", "\udfff a", "\ud83d\\"])
def test_text_that_cannot_be_kept_does_no_harm_in_a_member_that_is_not_used(odd: str) -> None:
    """A caller's name may hold anything, and the caller still waits for an answer."""
    data = {"to": facts.DIALLED, "from": facts.CALLER, "caller_name": odd, odd: [{odd: odd}]}
    event = events.parse(message(data=data, more=odd))
    assert event == IncomingCall(ID, PhoneNumber(facts.DIALLED), PhoneNumber(facts.CALLER))


@pytest.mark.parametrize("text", ["\\u00e9", "\\ud83d\\ude00", "\\\\u0000", "\\u0001"])
def test_other_escapes_are_text(text: str) -> None:
    body = message(note="@").replace(b"@", text.encode())
    assert events.parse(body) == IncomingCall(ID, NoNumber.WITHHELD, NoNumber.WITHHELD)


def test_a_number_of_a_hundred_digits_is_still_one() -> None:
    body = message(note="@").replace(b'"@"', b"[" + b"9" * 100 + b", 0." + b"1" * 98 + b"]")
    assert isinstance(events.parse(body), IncomingCall)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "event": json_values | st.sampled_from(["incoming_call", "dial_completed"]),
        "reference_id": json_values | st.just(ID),
        "data": json_values
        | st.fixed_dictionaries(
            {}, optional={"to": json_values, "from": json_values, "status": json_values}
        ),
    },
)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just(facts.CALLER), inner),
        max_leaves=60,
    )
)
def test_a_shape_is_short_and_printable_and_holds_no_number(value: object) -> None:
    shape = shape_of(json.dumps([value]).encode())
    assert 0 < len(shape) <= 400
    assert shape.isascii()
    assert shape.isprintable()
    assert facts.CALLER not in shape


@given(
    st.binary()
    | st.text().map(str.encode)
    | json_values.map(json.dumps).map(str.encode)
    | envelopes.map(json.dumps).map(str.encode)
)
def test_any_bytes_give_an_event_or_an_event_error(body: bytes) -> None:
    try:
        event = events.parse(body)
    except EventError:
        return
    assert event.name.isascii()
    assert event.reference_id
