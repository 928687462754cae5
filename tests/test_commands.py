"""Each command as a whole: what goes over the wire, and what cannot be built."""

from typing import Any

import facts
import pytest

from commands import Dial, Hangup, NoAction, Prompts, Speak, check_speech
from phone import PhoneNumber

KEYS_WANTED = "send_dtmf: wanted 1 to 32 of the keys 0-9 A-D * #, or w for a pause, got "
NO_KEYS = "", "a", "E", "1,2", "1 2", "w" * 33, "1\n"
ID_WANTED = "external_id: wanted 1 to 64 printable ASCII characters without commas, got "
NO_IDS = "", "a,b", "x" * 65, "\u00e9", "a\n", "a\0", "\x7f"
DESTINATION, MASKING_ID = PhoneNumber(facts.DESTINATION), PhoneNumber(facts.MASKING_ID)


def test_a_basic_dial_has_two_numbers() -> None:
    assert Dial(DESTINATION, MASKING_ID).to_wire() == {
        "method": "dial",
        "params": {"to": "12025550111", "caller_id_number": "12025550199"},
    }


def test_a_full_dial_has_its_duration_as_text() -> None:
    assert Dial(DESTINATION, MASKING_ID, 600).to_wire() == {
        "method": "dial",
        "params": {
            "to": "12025550111",
            "caller_id_number": "12025550199",
            "max_call_duration": "600",
        },
    }


def test_a_dial_may_press_keys_and_bear_an_id() -> None:
    assert Dial(DESTINATION, MASKING_ID, send_dtmf="ww6458#").to_wire() == {
        "method": "dial",
        "params": {
            "to": "12025550111",
            "caller_id_number": "12025550199",
            "send_dtmf": "ww6458#",
        },
    }
    assert Dial(DESTINATION, MASKING_ID, 600, "0", "order 1234").to_wire() == {
        "method": "dial",
        "params": {
            "to": "12025550111",
            "caller_id_number": "12025550199",
            "max_call_duration": "600",
            "send_dtmf": "0",
            "external_id": "order 1234",
        },
    }


def test_a_basic_speak_has_a_message_and_its_language() -> None:
    assert Speak("Hello").to_wire() == {
        "method": "speak",
        "params": {"tts": {"message": "Hello", "language": "en-US"}},
    }


def test_a_full_speak_collects_a_digit() -> None:
    assert Speak("Press 1", "de-DE", collect_digit=True).to_wire() == {
        "method": "speak",
        "params": {
            "tts": {"message": "Press 1", "language": "de-DE"},
            "collect_digits": {"max": 1, "timeout": 10000, "inter_digit_timeout": 3000},
        },
    }


def test_a_hangup_has_empty_parameters() -> None:
    assert Hangup().to_wire() == {"method": "hangup", "params": {}}


def test_no_action_is_empty() -> None:
    assert NoAction().to_wire() == {}


@pytest.mark.parametrize("duration_s", [1, 14400, None])
def test_a_call_lasts_1_to_14400_seconds_or_as_long_as_telesign_lets_it(
    duration_s: int | None,
) -> None:
    assert Dial(DESTINATION, MASKING_ID, duration_s).max_call_duration_s == duration_s


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", MASKING_ID), "destination: wanted 7 to 15 digits, got ''"),
        (("+12025550111", MASKING_ID), "destination: wanted 7 to 15 digits, got '+*******0111'"),
        ((DESTINATION, "anonymous"), "masking ID: wanted 7 to 15 digits, got 'anonymous'"),
        ((DESTINATION, DESTINATION), "masking ID: wanted a number other than the destination"),
        ((DESTINATION, MASKING_ID, 0), "duration: wanted 1 to 14400 s, got 0"),
        ((DESTINATION, MASKING_ID, 14401), "duration: wanted 1 to 14400 s, got 14401"),
        *(((DESTINATION, MASKING_ID, 1, keys), KEYS_WANTED + repr(keys)) for keys in NO_KEYS),
        *(((DESTINATION, MASKING_ID, 1, "1", text), ID_WANTED + repr(text)) for text in NO_IDS),
        ((DESTINATION, MASKING_ID, 1, "x1234567"), f"{KEYS_WANTED}'x***4567'"),
    ],
)
def test_a_dial_that_telesign_would_reject_cannot_be_built(
    arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ValueError, match="wanted") as caught:
        Dial(*arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("",), "wanted a text to speak, without broken characters"),
        ((" \n",), "wanted a text to speak, without broken characters"),
        (("a\0",), "wanted a text to speak, without broken characters"),
        (("a\ud800",), "wanted a text to speak, without broken characters"),
        (("\udfff",), "wanted a text to speak, without broken characters"),
        (("Hello", "english"), "language: wanted a tag such as en-US, got 'english'"),
        (("Hello", "en-US\n"), "language: wanted a tag such as en-US, got 'en-US\\n'"),
        *(
            (("Hello", tag), f"language: wanted a tag such as en-US, got '{tag}'")
            for tag in ("e-US", "eng-US", "En-US", "en-U", "en-USA", "en-us")
        ),
    ],
)
def test_a_speak_that_telesign_would_reject_cannot_be_built(
    arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ValueError, match="wanted") as caught:
        Speak(*arguments)
    assert str(caught.value) == message


def test_text_of_any_script_check_speech() -> None:
    assert check_speech("Grüße, 你好 😀") == "Grüße, 你好 😀"


ALL_KEYS = "0123456789ABCD*#w"


def test_every_key_and_every_printable_character_but_a_comma_is_taken() -> None:
    printable = "".join(map(chr, range(32, 127))).replace(",", "")
    for text in printable[:64], printable[64:]:
        dial = Dial(DESTINATION, MASKING_ID, None, ALL_KEYS, text)
        assert (dial.send_dtmf, dial.external_id) == (ALL_KEYS, text)


@pytest.mark.parametrize(
    ("usual", "message", "language", "spoken"),
    [
        (Speak("Hi"), None, None, Speak("Hi")),
        (Speak("Hi"), "Your driver", None, Speak("Your driver")),
        (Speak("Hi"), None, "de-DE", Speak("Hi", "de-DE")),
        (Speak("Hi", "fr-FR"), "Your driver", None, Speak("Your driver", "fr-FR")),
        (Speak("1", "fr-FR", collect_digit=True), "Press 1", "en-GB",
         Speak("Press 1", "en-GB", collect_digit=True)),
        (NoAction(), None, "de-DE", NoAction()),
        (NoAction(), "Your driver", None, Speak("Your driver", "fr-FR")),
        (NoAction(), "Ihr Fahrer", "de-DE", Speak("Ihr Fahrer", "de-DE")),
    ],
)  # fmt: skip
def test_a_greeting_is_that_of_the_row_and_otherwise_the_usual_one(
    usual: Speak | NoAction, message: str | None, language: str | None, spoken: Speak | NoAction
) -> None:
    assert Prompts(usual, language="fr-FR").greet(message, language) == spoken
