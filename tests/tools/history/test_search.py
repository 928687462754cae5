"""A number is found however it is written, and what may be another's is told apart."""

import html
import json
import time
from collections.abc import Callable
from urllib.parse import quote

import facts
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phone import PhoneNumber
from tools.history.search import Match, matcher

AMERICAN = PhoneNumber(facts.CALLER)  # 12025550123
GERMAN = PhoneNumber("493023125123")
BRITISH = PhoneNumber("442079460123")

SURELY = [
    # with separators
    "12025550123",
    '"+1 (202) 555-0123"',
    '"1-202-555-01-23"',
    '"1 - . - ( 202 ) - . - / - 555 - . - . - 0123"',
    '"1\u00a0202\u200b555\u00ad0123"',
    '"+1\\u00a0202\\u00a0555\\u00a00123"',
    '"001 (202) 555-0123"',
    '"011 1 2025550123"',
    '["1","202","555","0123"]',
    "12025550123.0",
    "1.2025550123e10",
    '"sip:12025550123@198.51.100.7:5060"',
    '"tel:+1-202-555-0123;ext=45"',
    # in other scripts
    '"\u0661\u0662\u0660\u0662\u0665\u0665\u0665\u0660\u0661\u0662\u0663"',
    '"\uff0b\uff11\uff12\uff10\uff12\uff15\uff15\uff15\uff10\uff11\uff12\uff13"',
    '"\u0967\u0968\u0966\u0968\u096b\u096b\u096b\u0966\u0967\u0968\u0969"',
    '"\U0001d7cf\U0001d7d0025550123"',
    '"\\ud835\\udfcf2025550123"',
    '"\u00b9\u00b2\u24ea\u00b25550123"',
    '"1\ufe0f\u20e32\ufe0f\u20e3025550123"',
    '"\u4e00\u4e8c\u3007\u4e8c\u4e94\u4e94\u4e94\u96f6\u4e00\u4e8c\u4e09"',
    # behind and before something else
    '"2026-11-23T18:05:0912025550123"',
    '"2026-11-23 18:05:09.12312025550123"',
    '"2026-11-23 18:05:09.12345612025550123"',
    '"18:0512025550123"',
    '"2026-11-2312025550123"',
    '"23.11.202612025550123"',
    '"2026-11-23T18:05:09Z12025550123"',
    '"120255501232026-11-23T18:05:09"',
    '"12025550123 2026-11-23"',
    '"1763921109 12025550123"',
    '"2026-11-23 12025550123"',
    '"176392110912025550123"',
    '"176392110912312025550123"',
    '"1763921109.12312025550123"',
    '"1763921109.12345612025550123"',
    '"23.11.2026 12025550123"',
    '"18:05:59 12025550123"',
    "[1763921109, 12025550123, 45]",
    # encoded
    '"%2012025550123"',
    '"?to=%2B1%20202%20555%200123"',
    '"%25252B1%252520202%2525205550123"',
    '"%D9%A12025550123"',
    '"&#49;&#x32;02&nbsp;555&ensp;0123"',
    '"\\u0031202555\\u00301\\u00323"',
    '"1202\\n555\\t0123"',
    '"{\\"phone\\":\\"\\\\u0031202 5550123\\"}"',
    # with the country code in a member of its own
    '{"country_code":"1","phone_number":"2025550123"}',
    '{"phone_number":"202 555 0123", "country_code" : "+1"}',
    '{"phoneNumber":2025550123,"countryCode":1}',
    '{"number":"2025550123","type":"MOBILE","carrier":"x","cc":"001"}',
    '{"from":{"country":"US","dialing_code":"1","number":"2025550123"},"to":{"code":"44"}}',
    '{"country":"US","number":"2025550123"}',
    '{"number":"2025550123","country_iso":"us"}',
    '{"country":"1","area":"202","local":"5550123"}',
    '{"j":"{\\"country_code\\":\\"1\\",\\"n\\":\\"2025550123\\"}"}',
]
PERHAPS = [
    # without its country code, and which is not known
    '"2025550123"',
    '"+2025550123"',
    '"02025550123"',
    '"tel:2025550123;phone-context=+1"',
    '{"leg":1,"number":"2025550123"}',
    '{"number":"2025550123","country_code":"44"}',
    '{"leg":1,"number":"2025550123","country_code":"44"}',
    '{"from_country_code":"44","from":"2025550123","to_country_code":"1","to":"2025550199"}',
    '{"country_code":"1","number":"02025550123"}',
    '{"country":"DE","number":"2025550123"}',
    '{"country":"US","country_code":"49","number":"2025550123"}',
    '{"country_code":"1","number":"+2025550123"}',
    '[{"country_code":"1"},{"number":"2025550123"}]',
    '{"a":"1","area":"202","local":"5550123"}',
    # in what may be another number
    '"+44 12025550123"',
    '"+49 1202 5550123"',
    '"0044 1202 5550123"',
    '"49 12025550123"',
    '"2026112318050912025550123"',
    '"100%12025550123"',
]
NO = [
    '"12025550124"',
    '"120255501234"',
    '"312025550123"',
    '"1 202 555 01234"',
    '"12025550a123"',
    '"1202555"',
    '""',
    "{}",
]


@pytest.mark.parametrize("home", ["", "1", "44", "49"])
@pytest.mark.parametrize("text", SURELY)
def test_a_number_is_surely_held_in_every_way_to_write_it(text: str, home: str) -> None:
    assert matcher(AMERICAN, home)(text) is Match.SURELY


@pytest.mark.parametrize("home", ["", "44", "49"])
@pytest.mark.parametrize("text", PERHAPS)
def test_what_may_be_another_number_is_told_apart(text: str, home: str) -> None:
    assert matcher(AMERICAN, home)(text) is Match.PERHAPS


@pytest.mark.parametrize("home", ["", "1", "49"])
@pytest.mark.parametrize("text", NO)
def test_another_number_is_not_this_one(text: str, home: str) -> None:
    assert matcher(AMERICAN, home)(text) is Match.NO


@pytest.mark.parametrize(
    ("number", "home", "text", "level"),
    [
        (GERMAN, "", "4903023125123", Match.PERHAPS),
        (GERMAN, "", "+49 030 23125-123", Match.PERHAPS),
        (GERMAN, "", "0049 030 23125123", Match.PERHAPS),
        (GERMAN, "", "03023125123", Match.PERHAPS),
        (GERMAN, "", "3023125123", Match.PERHAPS),
        (GERMAN, "", "+49 (0)30 23125-123", Match.SURELY),
        (GERMAN, "", "+49 30 23125123", Match.SURELY),
        (GERMAN, "", "493023125123 18:05", Match.SURELY),
        (GERMAN, "", '{"cc":"49","number":"030 23125-123"}', Match.SURELY),
        (GERMAN, "1", '{"cc":"1","number":"030 23125-123"}', Match.PERHAPS),
        (GERMAN, "49", "3023125123", Match.SURELY),
        (GERMAN, "49", "03023125123", Match.SURELY),
        (GERMAN, "49", '{"leg":49,"from":"030 23125-123"}', Match.SURELY),
        (GERMAN, "49", "4903023125123", Match.PERHAPS),
        (GERMAN, "49", "+49 030 23125123", Match.PERHAPS),
        (PhoneNumber("390612345678"), "39", "0612345678", Match.SURELY),
        (PhoneNumber("39612345678"), "39", "0612345678", Match.PERHAPS),  # whose zero stays
        (GERMAN, "", "49302312512345", Match.NO),
        (GERMAN, "", "+49 30 23125 123 45", Match.PERHAPS),  # a longer number there is possible
        (PhoneNumber("493023125"), "", "+49 30 23125-123", Match.PERHAPS),
        (PhoneNumber("493023125"), "", "+49 30 23125", Match.SURELY),
        (BRITISH, "", "+44 (0) 20 7946 0123", Match.SURELY),
        (BRITISH, "", "020 7946 0123", Match.PERHAPS),
        (BRITISH, "", "4402079460123", Match.PERHAPS),
        (PhoneNumber("2025550123"), "", "2025550123", Match.SURELY),  # an Egyptian
        (PhoneNumber("2025550123"), "", "1-202-555-0123", Match.PERHAPS),
        (PhoneNumber("2025550123"), "", "+1 202 555 0123", Match.PERHAPS),
        (PhoneNumber("2025550123"), "", "12025550123", Match.NO),
        (GERMAN, "", "493023125123.0", Match.SURELY),
        (PhoneNumber("493023125"), "", "0049 30 23125 123", Match.PERHAPS),
        (AMERICAN, "1", "2025550123", Match.SURELY),
        (AMERICAN, "1", "44 2025550123", Match.PERHAPS),
        (AMERICAN, "1", "(202) 555-0123", Match.SURELY),
        (AMERICAN, "1", "0 202 555 0123", Match.PERHAPS),
        (AMERICAN, "1", "+2025550123", Match.PERHAPS),
        (AMERICAN, "1", '{"country_code":"44","number":"2025550123"}', Match.PERHAPS),
        (AMERICAN, "1", '{"country":"DE","number":"2025550123"}', Match.PERHAPS),
        (AMERICAN, "1", '{"code":"xx","number":"2025550123"}', Match.SURELY),
        (AMERICAN, "49", '{"leg":1,"number":"2025550123"}', Match.PERHAPS),
        (PhoneNumber("312025550123"), "", '"\\u00312025550123"', Match.PERHAPS),
        (PhoneNumber("9999999"), "", '"9999999"', Match.SURELY),  # in no numbering plan
        (PhoneNumber("9999999"), "", '"09999999"', Match.PERHAPS),
    ],
)
def test_how_sure_it_is(number: PhoneNumber, home: str, text: str, level: Match) -> None:
    assert matcher(number, home)(text) is level


SEPARATOR = st.text(" -./()\u00a0\u2011\u200b\t\n", max_size=8)
SCRIPTS = st.sampled_from([0x30, 0x660, 0x6F0, 0x966, 0xE50, 0xFF10, 0x1D7CE])
ENCODINGS: st.SearchStrategy[Callable[[str], str]] = st.sampled_from([
    str, quote, html.escape, lambda text: quote(quote(text)),
    lambda text: "".join(f"&#{ord(character)};" for character in text),
])  # fmt: skip
PEOPLE = st.sampled_from([AMERICAN, GERMAN, BRITISH, PhoneNumber("12025550199")])


@st.composite
def written(draw: st.DrawFn, number: str) -> str:
    """Return an event in which a number is written in some way."""
    zero = draw(SCRIPTS)
    digits = [chr(zero + int(digit)) for digit in number]
    text = "".join(digit + draw(SEPARATOR) for digit in digits[:-1]) + digits[-1]
    before, behind = draw(st.sampled_from([("", ""), ("+", ""), ("to ", " or so"), ("<", ">")]))
    text = draw(ENCODINGS)(before + text + behind)
    return json.dumps({"event": "new", "data": {"who": text}}, ensure_ascii=draw(st.booleans()))


@given(data=st.data(), wanted=PEOPLE, other=PEOPLE)
def test_any_writing_of_a_number_is_surely_held_and_by_no_other(
    data: st.DataObject, wanted: PhoneNumber, other: PhoneNumber
) -> None:
    text = data.draw(written(wanted))
    assert matcher(other, "")(text) is (Match.SURELY if wanted == other else Match.NO)


@pytest.mark.parametrize(
    "part",
    ["2", "2 ", "20255501", '"2":', "2025550123,", '{"cc":1,"a":2025550123,', "\\\\", "%25",
     "&amp;", "+1 ", "[", '"', "+49 1202 5550123 ", "2025550123 4 "],
)  # fmt: skip
def test_the_longest_event_takes_no_time_whatever_is_in_it(part: str) -> None:
    text = part * (65_536 // len(part))
    holds = matcher(AMERICAN, "1")
    begin = time.perf_counter()
    holds(text)
    assert time.perf_counter() - begin < 5  # what grows with the square takes minutes
