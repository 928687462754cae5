"""What the pages show: of the log, of a call, of the list; and never a number in full."""

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import facts
import pytest
from command_line import deliver_some_calls, of
from databases import needs_postgresql, postgresql_url
from helpers import Clock, PrintedLines
from inspecting import Deliver, admitted, inspector_of

import events
from call_log import sqlite, writer
from call_log.store import Row, anonymise, microseconds, row_of
from calls import Decision, Delivery
from commands import Dial
from phone import PhoneNumber
from routing import Reason

MASKING_IDS = {facts.MASKING_ID, facts.PAIR_NUMBER, "12025550102"}
DIAL = Dial(PhoneNumber(facts.DESTINATION), PhoneNumber(facts.MASKING_ID))
TOLD = "2026-03-15 06:48:22"  # when TeleSign says that the call was created
ODD_ID = "a/b//../?c=d&e#f<b>\"'%41 +~"

REFUSED = ["...0123", "...0177", "", "", ""]


@pytest.fixture
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if getattr(request, "param", "") == "postgresql":
        with postgresql_url() as url:
            yield url
    else:
        yield f"sqlite:///{tmp_path}/calls.db"


@pytest.fixture
def deliver(log_url: str, clock: Clock, lines: PrintedLines) -> Iterator[Deliver]:
    made = Deliver(log_url, clock, lines)
    yield made
    made.close()


@pytest.fixture
def allow_list(tmp_path: Path) -> Path:
    path = tmp_path / "allowlist.csv"
    path.write_text(facts.ALLOW_LIST)
    return path


@pytest.fixture
def inspector(log_url: str, allow_list: Path, clock: Clock) -> Any:
    return admitted(inspector_of(log_url, allow_list, clock))


def texts(tags: Any) -> list[str]:
    """Return the text of each tag, as it is read."""
    return [" ".join(tag.get_text(" ").split()) for tag in tags]


def table(page: Any, place: int = 0) -> list[list[str]]:
    rows = page.html.find_all("table")[place].find("tbody").find_all("tr")
    return [texts(row.find_all(["td", "th"])) for row in rows]


def main(page: Any) -> str:
    return texts([page.html.find("main")])[0]


def ids(page: Any) -> list[str]:
    """Return the reference ids of the calls that a page lists."""
    links = [a["href"] for a in page.html.select("tbody a")]
    return [parse_qs(urlsplit(link).query)["id"][0] for link in links]


def linked(app: Any) -> dict[str, Any]:
    """Return every page that can be reached by links, by its address."""
    found, new = dict[str, Any](), ["./", "routes", "report", "state"]
    while new:
        address = new.pop()
        if address not in found and not address.startswith("#"):
            found[address] = app.get(address, status="*")
            if found[address].content_type == "text/html":
                new += [tag["href"] for tag in found[address].html.find_all(href=True)]
    return found


def post(deliver: Deliver, event: str, call: str = "odd", **data: Any) -> None:
    """Deliver an event of our own making to the server on the log of this test."""
    deliver.post(json.dumps({"event": event, "reference_id": call, "data": data}).encode())


@pytest.fixture
def odd_call(deliver: Deliver) -> None:
    """A call whose every text holds a number, in another way each."""
    number = facts.CALLER
    post(deliver, "incoming_call", to=facts.DIALLED, **{"from": "+1 (202) 555-0123"})
    post(deliver, "dial_completed", status=f"busy, says {number}")
    post(deliver, "speak_completed", collected_digits="4111111111111111")
    post(deliver, "play_completed", collected_digits=[2468, 2468.5, {"collected_digits": "2468"}])
    post(deliver, f"event-{number}", "odd", **{number: int(number)}, list=[float(number), number])
    post(deliver, "call_completed", created_on_utc="2026-11-23T12:00:00.123456Z", duration=9)


@pytest.mark.parametrize(
    "log_url", ["sqlite", pytest.param("postgresql", marks=needs_postgresql)], indirect=True
)
def test_calls_in_progress_are_listed_first_then_those_that_began_last_and_the_page_says_so(
    inspector: Any, deliver: Deliver, clock: Clock
) -> None:
    deliver_some_calls(deliver, clock)
    deliver("SIMULATED1", "incoming_call", "dial_completed_answered", "call_completed")
    deliver("declined", "incoming_call", "dial_completed_answered")
    page = inspector.get("/")
    assert table(page) == [
        ["2026-11-24 12:00:12", "...0123", "...0100", "...0111", "0:01", "", "in progress"],
        ["2026-11-24 12:00:08", "", "", "", "", "", "in progress"],
        [
            "2026-11-24 12:00:06",
            "...0123",
            "...0177",
            "",
            "",
            "",
            "in progress, refused: not_listed",
        ],
        ["2026-11-23 12:00:04", "...0123", "...0100", "...0111", "", "", "end unknown"],
        [TOLD, "...0123", "...0100", "...0111", "0:01", "0:04", "connected simulated"],
        [TOLD, "", "", "...0111", "0:02", "0:04", "connected"],
        [TOLD, "...0123", "...0100", "...0111", "0:01", "0:04", "connected"],
    ]
    assert texts(page.html.select("#sort")) == ["Live calls first, then those that began last."]


def test_a_refused_call_whose_end_has_not_come_is_not_live(
    inspector: Any, deliver: Deliver, clock: Clock
) -> None:
    post(deliver, "incoming_call", "refused", to=facts.NOT_LISTED, **{"from": facts.CALLER})
    clock.sleep(3600)
    post(deliver, "incoming_call", "later", to=facts.DIALLED, **{"from": facts.CALLER})
    post(deliver, "call_completed", "later")
    assert ids(inspector.get("/")) == ["later", "refused"]


def deliver_ended_calls(deliver: Deliver, clock: Clock) -> None:
    """Deliver some calls, of which only one is in progress."""
    deliver_some_calls(deliver, clock)
    for name in "busy", "refused":
        body = json.dumps({"event": "call_completed", "reference_id": name, "data": {}})
        deliver.post(body.encode())


FILTERS = [
    ("number=0177", ["refused"]),
    ("number=...0177", ["refused"]),
    ("number=50177", ["refused"]),
    ("number=12025550177", ["refused"]),
    ("number=+1 (202) 555-0177", ["refused"]),
    ("number=13025550177", []),
    ("number=9999", []),
    ("disposition=busy", ["busy"]),
    ("disposition=in progress", ["=1+1"]),
    ("disposition=no answer", []),
    ("reason=not_listed", ["refused"]),
    ("reason=not_listed&number=0123", ["refused"]),
    ("reason=expired", []),
    ("since=2026-11-24", ["=1+1", "refused"]),
    ("since=2026-03-15&until=2026-11-24", ["busy", "end-only", "answered"]),
    ("since=2026-11-24&until=2026-11-24T12:00:07", ["refused"]),
    (
        "number=&disposition=&reason=&since=&until=",
        ["=1+1", "refused", "busy", "end-only", "answered"],
    ),
]


def fields(query: str) -> dict[str, str]:
    """Return what a form is sent with."""
    return dict(part.split("=") for part in query.split("&"))


@pytest.mark.parametrize(
    "log_url", ["sqlite", pytest.param("postgresql", marks=needs_postgresql)], indirect=True
)
def test_the_form_finds_calls_and_its_address_finds_them_again(
    inspector: Any, deliver: Deliver, clock: Clock
) -> None:
    deliver_ended_calls(deliver, clock)
    for query, found in FILTERS:
        page = inspector.post("/", fields(query), status=303).follow(status=200)
        assert ids(page) == found, query
        assert ("No call passes the filters." in main(page)) == (not found)
        assert page.html.find(id="calls").has_attr("data-live")
        address = inspector.get("/", fields(query))
        again = address.follow() if address.status_int == 303 else address
        assert ids(again) == found, query


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("number=12", "number: wanted a country code and digits, 7 to 15 in all, such as"
         " 12025550100, or four or more last digits, got '12'"),
        ("number=x12025550123", "number: wanted a country code and digits, 7 to 15 in all, such as"
         " 12025550100, or four or more last digits, got 'x*******0123'"),
        ("disposition=12025550123", "disposition: wanted one of the list, got '*******0123'"),
        ("reason=busy", "reason: wanted one of the list, got 'busy'"),
        ("since=+1 202 555 0123", "since: wanted today, yesterday, a span before now such as 2h, or"
         " a date or time such as 2026-11-23T18:00, got '+* *** *** 0123'"),
        ("until=soon", "until: wanted today, yesterday, a span before now such as 2h, or a date or"
         " time such as 2026-11-23T18:00, got 'soon'"),
        ("since=today&until=yesterday",
         "since: wanted a time before until, got 'today' and 'yesterday'"),
        ("whole=of-before", "number: the one that was typed is no longer known; type it again"),
    ],
)  # fmt: skip
def test_a_filter_that_cannot_be_read_is_said_and_shows_no_call(
    inspector: Any, deliver: Deliver, query: str, fault: str
) -> None:
    deliver("one", "incoming_call")
    answer = inspector.get("/", fields(query))
    page = answer.follow() if answer.status_int == 303 else answer
    assert texts(page.html.select(".fault")) == [fault]
    assert page.html.find("table") is None
    assert facts.CALLER not in page.text


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("number=+1 202 555 0123&disposition=failed", "whole=KEY&disposition=failed"),
        ("number=550123", "whole=KEY"),
        ("number=12025550123&since=soon", "whole=KEY&since=soon"),
        ("number=x12025550123&reason=expired", "number=x%2A%2A%2A%2A%2A%2A%2A0123&reason=expired"),
        ("until=12025550123", "until=%2A%2A%2A%2A%2A%2A%2A0123"),
        ("reason=12025550123", "reason=%2A%2A%2A%2A%2A%2A%2A0123"),
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("full", [False, True])
def test_no_address_holds_more_than_four_digits_of_a_number(
    log_url: str, allow_list: Path, clock: Clock, query: str, left: str, method: str, full: bool
) -> None:
    app = admitted(inspector_of(log_url, allow_list, clock, full=full))
    answer = getattr(app, method)("/", fields(query), status=303)
    assert re.sub(r"whole=[\w-]{8}(?=&|$)", "whole=KEY", answer.headers["Location"]) == f"./?{left}"
    page = answer.follow(status=200)
    assert page.html.find("title").get_text() == "Calls · Masked calls"
    links = [link["href"] for link in page.html.select("[href]")]
    assert not [link for link in links if re.search("[0-9]{7}", re.sub("before=[^&]+", "", link))]


def test_a_number_that_was_typed_stays_while_other_filters_change_until_it_is_cleared(
    inspector: Any, deliver: Deliver
) -> None:
    deliver("one", "incoming_call")
    post(deliver, "incoming_call", "other", to=facts.DIALLED, **{"from": "13025550123"})
    page = inspector.post("/", {"number": facts.CALLER}).follow()
    assert ids(page) == ["one"]
    assert "Only those with the number ...0123, by all the digits that were typed." in main(page)
    form = page.forms[0]
    assert form["number"].value == "...0123"
    form["disposition"] = "in progress"
    narrowed = form.submit()
    assert narrowed.headers["Location"].endswith("&disposition=in+progress")
    page = narrowed.follow()
    assert ids(page) == ["one"]
    page.forms[0]["number"] = "0123"
    assert ids(page.forms[0].submit().follow()) == ["other", "one"]
    page.forms[0]["number"] = ""
    cleared = page.forms[0].submit()
    assert cleared.headers["Location"] == "./?disposition=in+progress"


def test_the_form_keeps_the_filters(inspector: Any) -> None:
    query = {
        "number": "0123",
        "disposition": "failed",
        "reason": "expired",
        "external_id": "ride-17",
        "since": "2026-11-23T18:00:00",
        "until": "2026-11-24",
    }
    page = inspector.get("/", query, status=200)
    fields = {field["name"]: field.get("value") for field in page.html.select(".filters input")}
    chosen = {option.parent["name"]: option["value"] for option in page.html.select("[selected]")}
    assert fields | chosen == query


@pytest.mark.parametrize("are_over", [False, True])
@pytest.mark.parametrize("is_at_once", [False, True])
def test_older_calls_are_on_further_pages_each_call_on_one(
    inspector: Any, deliver: Deliver, clock: Clock, are_over: bool, is_at_once: bool
) -> None:
    names = [f"call-{n:03}" for n in range(120)]
    end = b'{"event":"call_completed","reference_id":"%s"}'
    for name in names:
        deliver(name, "incoming_call")
        if are_over or name in names[3:70:6]:
            deliver.post(end % name.encode())
            clock.sleep(-1)
        if is_at_once:
            clock.sleep(-1)
    clock.sleep(1)
    pages = [inspector.get("/")]
    while older := pages[-1].html.select_one(".more a"):
        deliver(f"later-{len(pages)}", "incoming_call")
        pages.append(inspector.get(older["href"]))
    assert [len(ids(page)) for page in pages] == [50, 50, 20]
    listed = [name for page in pages for name in ids(page)]
    ended = {*(names if are_over else names[3:70:6])}
    if is_at_once and not are_over:
        assert sorted(listed) == names
    else:
        assert listed == [
            *(name for name in names[::-1] if name not in ended),
            *(name for name in names[::-1] if name in ended),
        ]
    live = ["data-live" in page.html.find(id="calls").attrs for page in pages]
    assert live == [True, False, False]
    assert texts(pages[1].html.select("#sort")) == ["Older calls, those that began last first."]


@pytest.mark.parametrize("before", ["", "x", "1", "1_", "9" * 19 + "_1", "live", "²_1", "-1_-1"])
def test_a_place_that_is_none_is_the_first_page(inspector: Any, before: str) -> None:
    inspector.get("/", {"before": before}, status=200)


@pytest.mark.usefixtures("odd_call")
def test_no_page_shows_a_number_in_full(
    inspector: Any, deliver: Deliver, clock: Clock, allow_list: Path
) -> None:
    deliver_some_calls(deliver, clock)
    post(deliver, "incoming_call", "sip", to=facts.DIALLED, **{"from": f"sip:{facts.DIALLED}@x"})
    answer = inspector.post("/routes", {"from": facts.STRANGER, "to": facts.PAIR_NUMBER})
    assert not re.search("[0-9]{7}", answer.headers["Location"].replace("answer=", ""))
    pages = linked(inspector) | {"answer": answer.follow()}
    allow_list.write_text(facts.ALLOW_LIST + f"12025550199,,{facts.MASKING_ID},,,,\n")
    pages["faults"] = inspector.get("/routes")
    assert len(pages) > 15
    for address, page in pages.items():
        digits = {re.sub("[^0-9]", "", text) for text in re.findall("[+0-9 ().-]{7,}", page.text)}
        shown = {run for run in digits for number in NUMBERS if number in run}
        assert shown <= MASKING_IDS, address
        assert "4111111111111111" not in page.text
        assert "2468" not in page.text.replace(str(allow_list.parent), "")


NUMBERS = {
    facts.CALLER, facts.DIALLED, facts.DESTINATION, facts.RIDER, facts.DRIVER, facts.STRANGER,
    facts.NOT_LISTED, facts.CALLER[1:], facts.MASKING_ID, facts.PAIR_NUMBER,
}  # fmt: skip


@pytest.mark.usefixtures("odd_call")
def test_with_full_everything_is_shown_as_it_is(
    log_url: str, allow_list: Path, clock: Clock
) -> None:
    app = admitted(inspector_of(log_url, allow_list, clock, full=True))
    assert table(app.get("/"))[0][1:4] == [facts.CALLER, facts.DIALLED, facts.DESTINATION]
    found = app.post("/", {"number": facts.CALLER}).follow()
    assert len(ids(found)) == 1
    assert found.forms[0]["number"].value == facts.CALLER
    page = app.get("/call?id=odd")
    assert "+1 (202) 555-0123" in page.text
    assert "4111111111111111" in page.text
    assert "Numbers, pressed keys and texts are shown in full." in page.text
    answer = app.post("/routes", {"from": facts.STRANGER, "to": facts.PAIR_NUMBER}).follow()
    assert f"{facts.STRANGER} dials {facts.PAIR_NUMBER}." in main(answer)


@pytest.mark.parametrize("name", [ODD_ID, "..", ".", " ", "/", "?", "#", "%2F", "a" * 128])
def test_a_call_with_any_reference_id_has_its_page(
    inspector: Any, deliver: Deliver, name: str
) -> None:
    post(deliver, "incoming_call", name, to=facts.DIALLED, **{"from": facts.CALLER})
    link = inspector.get("/").html.select_one("tbody a")["href"]
    assert re.fullmatch(r"call\?id=[A-Za-z0-9_.~%+-]+", link)
    page = inspector.get(link)
    assert page.html.select_one(".id").get_text() == name
    assert f'"reference_id": {json.dumps(name)}' in page.html.select_one("pre").get_text()


def test_texts_of_telesigns_are_escaped(inspector: Any, deliver: Deliver) -> None:
    mark = "<script>alert('x')</script><b>&amp;"
    post(deliver, mark[:64], mark, **{mark: [mark]})
    post(deliver, "dial_completed", mark, status=mark)
    post(deliver, "call_completed", mark, ended_on_utc="2026-11-23T12:00:00", direction=mark,
         **{"from": mark})  # fmt: skip
    for address in "/", "/call?id=%3Cscript%3Ealert(%27x%27)%3C/script%3E%3Cb%3E%26amp;":
        page = inspector.get(address)
        assert mark in page.html.get_text() or address == "/"
        assert "<b>" not in page.text
        assert "<script>" not in page.text


@pytest.mark.parametrize("depth", [99, 100, 480, 900, 3_000, 8_000, 30_000])
def test_a_call_has_its_page_however_deep_its_event_is(
    inspector: Any, allow_list: Path, log_url: str, clock: Clock, depth: int
) -> None:
    deep = f'{"[" * depth}"\\u002b1 202 555 0123"{"]" * depth}'
    caller = facts.CALLER
    body = f'{{"event":"incoming_call","reference_id":"deep","data":{deep},"from":"{caller}"}}'
    store = writer.store_of(log_url)
    store.open()
    values = (caller, caller, None, "{}", None, 1, 1, 1, None, None, body.encode())
    store.keep([Row("deep", "incoming_call", b"1", *values)])
    store.close()
    event, _ = inspector.get("/call?id=deep").html.select("pre")
    is_json = depth == 99
    assert (f"{'[' * depth}" in event.text) is not is_json
    assert ("0123" in event.text) is is_json
    assert "555" not in event.text
    assert ids(inspector.get("/?number=0123")) == ["deep"]
    full = admitted(inspector_of(log_url, allow_list, clock, full=True))
    assert "1 202 555 0123" in full.get("/call?id=deep").html.select_one("pre").text


def test_a_call_is_drawn_and_told_event_by_event(inspector: Any, deliver: Deliver) -> None:
    deliver("one", "incoming_call", "dial_completed_answered", "call_completed")
    deliver("one", "call_completed")
    page = inspector.get("/call?id=one")
    assert texts(page.html.select("svg.whole g")) == [
        "...0123 dials ...0100",
        "12:00:00 incoming_call",
        "dial",
        "rings ...0111, showing 12025550199",
        "answered",
        "12:00:01 dial_completed",
        "speak",
        "12:00:02 call_completed (2 times, last 12:00:03)",
        "no action",
    ]
    kinds = [group["class"][0] for group in page.html.select("svg.whole g")]
    assert kinds == ["phone", "event", "answer", "phone", "phone", *["event", "answer"] * 2]
    assert texts(page.html.select(".saw div")) == [
        "The caller ...0123 dialled and sees ...0100",
        "The called person ...0111 sees 12025550199",
        "The row line 2 of the list as it was",
        "Wait 0:01 until the answer",
        "Talk 0:04 from the answer to the end",
    ]
    told = texts(page.html.select(".events li > .heading, .events li > p"))
    assert told == [
        "incoming_call 2026-11-23T12:00:00.000Z", "Answer: dial .",
        "dial_completed 2026-11-23T12:00:01.000Z", "Answer: speak .",
        "call_completed 2026-11-23T12:00:02.000Z",
        "Answer: no action . Delivered 2 times, last at 2026-11-23T12:00:03.000Z.",
    ]  # fmt: skip
    event, answer = page.html.select("pre")[:2]
    assert json.loads(event.get_text()) == {
        "event": "incoming_call",
        "reference_id": "one",
        "data": {"to": "*******0100", "from": "*******0123"},
    }
    params = facts.DIAL["params"] | {"to": "*******0111"}  # type: ignore[operator]
    assert json.loads(answer.get_text()) == {"method": "dial", "params": params}
    legs = table(page)
    assert [leg[:3] for leg in legs] == [["outbound", "...0199", "...0111"]]


@pytest.mark.parametrize(
    "log_url", ["sqlite", pytest.param("postgresql", marks=needs_postgresql)], indirect=True
)
def test_a_call_that_is_not_in_the_log_has_no_page(inspector: Any, deliver: Deliver) -> None:
    deliver("one", "incoming_call")
    text = "404 Not Found The log holds no such call: it may have been purged."
    for address in "/call?id=two", "/call", "/call?id=%00", "/call?id=%ED%A0%80":
        assert main(inspector.get(address, status=404)) == text


def test_what_is_left_of_a_purged_call_has_a_page(
    inspector: Any, log_url: str, clock: Clock
) -> None:
    body = of("one", "incoming_call")
    delivery = Delivery(events.parse(body), body, clock())
    store = writer.store_of(log_url)
    store.open()
    store.keep([anonymise(row_of(delivery, Decision(DIAL)))])
    store.close()
    page = inspector.get("/call?id=one")
    assert texts(page.html.select("svg.whole g")) == [
        "withheld dials withheld",
        "12:00:00 incoming_call",
        "dial",
    ]
    assert texts(page.html.select("pre")) == ["purged", '{ "method": "dial" }']


def cause(inspector: Any) -> list[str]:
    return texts(inspector.get("/call?id=one").html.select(".cause"))


def test_a_refusal_is_shown_with_its_nearest_cause(
    inspector: Any, deliver: Deliver, clock: Clock, allow_list: Path
) -> None:
    deliver("one", "incoming_call_not_listed")
    nearest = '...0177 is not listed, and no row has a similar number as its "to".'
    assert cause(inspector) == [nearest]
    rows = facts.ALLOW_LIST.splitlines(keepends=True)
    allow_list.write_text(f"{rows[0]}{facts.NOT_LISTED},,{facts.DESTINATION},12025550199,,,\n")
    assert cause(inspector) == ["The list has changed since: line 2 would connect this call now."]
    allow_list.write_text(
        f"{rows[0]}{facts.NOT_LISTED},,12025550111,12025550199,,2026-01-01T00:00Z,\n"
    )
    assert cause(inspector) == [
        "The list has changed since, and now says expired: The row in line 2 expired at"
        " 2026-01-01 00:00:00 UTC."
    ]
    allow_list.write_text("to\nx\n")
    assert cause(inspector) == ["The allow-list has faults now, so the cause cannot be told."]
    allow_list.write_text(facts.ALLOW_LIST)
    clock.sleep(121)
    deliver.post(of("one", "incoming_call_not_listed").replace(b'"12025550123"', b' "12025550123"'))
    assert cause(inspector) == [nearest, "This call was seen before."]


def test_the_page_of_a_call_says_which_row_connected_it_as_the_list_was_and_its_order(
    inspector: Any, log_url: str, clock: Clock
) -> None:
    body = of("one", "incoming_call")
    params = facts.DIAL["params"] | {"external_id": "ride-17"}  # type: ignore[operator]
    reply = json.dumps({"method": "dial", "params": params})
    delivery = Delivery(events.parse(body), body, clock())
    store = writer.store_of(log_url)
    store.open()
    store.keep([row_of(delivery, Decision(DIAL))._replace(row_line=7, reply=reply)])
    store.close()
    said = texts(inspector.get("/call?id=one").html.select(".saw div"))
    assert said[2:] == [
        "The row line 7 of the list as it was",
        "The order ride-17 its external_id",
    ]
    assert "ride-17" in main(inspector.get("/?external_id=ride-17"))
    assert ids(inspector.get("/?external_id=ride")) == []


def test_the_page_of_the_list_shows_what_each_row_says(inspector: Any, allow_list: Path) -> None:
    allow_list.write_text(
        "to,destination,greeting,language,external_id,send_dtmf\n"
        f"{facts.DIALLED},{facts.DESTINATION},Your driver,es-ES,trip-1,w1\n"
        f"{facts.PAIR_NUMBER},{facts.DRIVER},,,,\n"
    )
    said = texts(inspector.get("/routes").html.select("small"))
    assert said == ['hears "Your driver" in es-ES, id trip-1, keys **']


def test_only_the_page_of_a_call_in_progress_renews_itself(
    inspector: Any, deliver: Deliver, clock: Clock
) -> None:
    deliver("one", "incoming_call")
    note = "This page renews itself until the call is over."
    page = inspector.get("/call?id=one")
    assert (page.html.find(id="call").has_attr("data-live"), note in main(page)) == (True, True)
    deliver("one", "call_completed")
    deliver("two", "incoming_call")
    clock.sleep(15_001)  # its end will never come
    for name in "one", "two":
        page = inspector.get(f"/call?id={name}")
        is_live = page.html.find(id="call").has_attr("data-live")
        assert (is_live, note in main(page)) == (False, False)


def test_every_page_says_at_its_top_whether_the_server_serves_this_list(
    inspector: Any, deliver: Deliver
) -> None:
    deliver("one", "incoming_call")
    pages = linked(inspector) | {"none": inspector.get("/call?id=none", status=404)}
    said = [
        (part["class"], part.has_attr("data-live"), part.get_text())
        for page in pages.values()
        if page.content_type == "text/html"
        for part in page.html.select("header #served")
    ]
    assert len(said) >= 6
    for told in said:
        sentence = "The server on http://127.0.0.1:8080 serves this list"
        assert told == (["state", "served"], True, sentence)


def test_a_reason_is_the_same_word_on_every_page(
    inspector: Any, deliver: Deliver, allow_list: Path
) -> None:
    with allow_list.open("a") as file:
        file.write(f"12025550103,{facts.STRANGER},{facts.STRANGER},{facts.MASKING_ID},,,\n")
    deliver("one", "incoming_call_not_listed")
    post(deliver, "call_completed", "one")
    page = inspector.get("/")
    options = [option.get_text() for option in page.html.select("[name=reason] option")]
    assert options == ["any", *map(str, Reason)]
    assert table(page)[0][-1] == "refused: not_listed"
    call = main(inspector.get("/call?id=one"))
    assert "refused: not_listed" in call
    assert "hangup (not_listed)" in call
    assert "reason: not_listed" in call
    assert "not_listed 1" in main(inspector.get("/report"))
    assert "never connects: caller_is_destination" in main(inspector.get("/routes"))
    asked = {"from": facts.CALLER, "to": facts.NOT_LISTED}
    assert "refused: not_listed." in main(inspector.post("/routes", asked).follow())


def test_the_rows_of_the_list_and_whether_each_is_open(inspector: Any, allow_list: Path) -> None:
    with allow_list.open("a") as file:
        file.write(f"12025550103,{facts.STRANGER},{facts.STRANGER},{facts.MASKING_ID},,,\n")
    assert table(inspector.get("/routes")) == [
        ["2", "anyone", "...0100", "...0111", "12025550199", "open"],
        ["3", "...0123", "...0101", "...0145", "12025550101", "open, expires in 26,367 d 6 h"],
        ["4", "...0145", "...0101", "...0123", "12025550101", "open"],
        ["5", "anyone", "...0102", "...0112", "12025550102", "expired 295 d 18 h ago"],
        ["6", "...0188", "...0103", "...0188", "12025550199",
         "never connects: caller_is_destination"],
    ]  # fmt: skip


def test_a_long_list_has_pages(inspector: Any, allow_list: Path) -> None:
    lines = [
        f"{number},,{facts.DESTINATION},{facts.MASKING_ID},,,\n"
        for number in range(12035550100, 12035550200)
    ]
    more = [line.replace("1203", "1204", 1) for line in lines]
    allow_list.write_text("".join([facts.ALLOW_LIST.splitlines(keepends=True)[0], *lines, *more]))
    page = inspector.get("/routes")
    assert (len(table(page)), texts(page.html.select(".more"))) == (
        100,
        ["Rows 1 to 100 of 200 More"],
    )
    page = inspector.get(page.html.select_one(".more a")["href"])
    assert texts(page.html.select(".more")) == ["Rows 101 to 200 of 200 Back"]
    assert "There are no more rows." in main(inspector.get("/routes?begin=200"))


def test_faults_of_the_list_are_shown_in_place_of_its_rows(
    inspector: Any, allow_list: Path
) -> None:
    allow_list.write_text(f"to,destination\nx,\n{facts.DIALLED},{facts.CALLER}99999\n")
    page = inspector.get("/routes")
    wanted = "wanted a country code and digits, 7 to 15 in all, such as 12025550100"
    assert texts(page.html.select(".faults li")) == [
        f"{allow_list}:2: to: {wanted}, got 'x'",
        f"{allow_list}:3: destination: {wanted}, got '************9999'",
    ]
    assert "Traceback" not in page.text
    allow_list.unlink()
    (fault,) = texts(inspector.get("/routes").html.select(".faults li"))
    assert fault.endswith(
        "wanted a CSV file, got: No such file or directory;"
        " set allow_list to its path, or run this in its folder"
    )


def test_the_list_is_read_again_only_when_it_has_changed(
    inspector: Any, allow_list: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    read_text = Path.read_text

    def count(path: Path, *words: Any, **named: Any) -> str:
        reads.append(path)
        return read_text(path, *words, **named)

    monkeypatch.setattr(Path, "read_text", count)
    for _ in range(3):
        inspector.get("/routes")
    assert reads.count(allow_list) == 1
    allow_list.write_text(facts.ALLOW_LIST + "12025550103,,12025550113,,,,\n")
    assert len(table(inspector.get("/routes"))) == 5
    assert reads.count(allow_list) == 2


def explained(inspector: Any, caller: str, dialled: str) -> str:
    page = inspector.post("/routes", {"from": caller, "to": dialled}).follow()
    assert caller not in page.text or not caller
    return texts(page.html.select(".answer"))[0]


def test_a_call_that_has_not_happened_is_explained(inspector: Any) -> None:
    assert explained(inspector, facts.CALLER, facts.DIALLED) == (
        "...0123 dials ...0100. Connected by line 2: ...0111 is called and sees 12025550199."
        ' { "method": "dial", "params": { "to": "*******0111", "caller_id_number": "12025550199",'
        ' "max_call_duration": "3600" } }'
    )
    hangup = '{ "method": "hangup", "params": {} }'
    assert explained(inspector, facts.STRANGER, facts.PAIR_NUMBER) == (
        "...0188 dials ...0101. refused: caller_not_listed. ...0101 is listed, but only for ...0123"
        f" (line 3) and ...0145 (line 4). {hangup}"
    )
    assert explained(inspector, "", facts.PAIR_NUMBER).startswith(
        "withheld dials ...0101. refused: caller_withheld."
    )
    assert explained(inspector, facts.CALLER, "<b>").startswith(
        "...0123 dials withheld. refused: bad_number."
    )


def test_in_full_a_refusal_names_the_numbers_asked_for_in_full_and_no_other(
    log_url: str, allow_list: Path, clock: Clock
) -> None:
    inspector = admitted(inspector_of(log_url, allow_list, clock, full=True))
    asked = {"from": facts.STRANGER, "to": facts.PAIR_NUMBER}
    answer = texts(inspector.post("/routes", asked).follow().html.select(".answer"))[0]
    assert (
        f"{facts.PAIR_NUMBER} is listed, but only for ...0123 (line 3) and ...0145 (line 4)."
        in answer
    )


def test_an_answer_that_is_not_known_is_not_shown(inspector: Any) -> None:
    assert inspector.get("/routes?answer=x").html.select(".answer") == []


def test_of_many_answers_the_last_hundred_are_kept(inspector: Any) -> None:
    asked = {"from": facts.CALLER, "to": facts.DIALLED}
    kept = [inspector.post("/routes", asked).headers["Location"] for _ in range(101)]
    shown = [bool(inspector.get(path).html.select(".answer")) for path in kept]
    assert shown == [False, *[True] * 100]


@pytest.mark.parametrize("missing", ["from", "to"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_numbers_leave_the_address_whatever_is_asked(
    inspector: Any, allow_list: Path, missing: str, method: str
) -> None:
    ask = getattr(inspector, method)
    asked = {"from": facts.CALLER, "to": facts.DIALLED}
    del asked[missing]
    assert "?answer=" in ask("/routes", asked, status=303).headers["Location"]
    allow_list.write_text("to\nx\n")
    answer = ask("/routes", asked, status=303)
    assert answer.headers["Location"] == "routes"
    assert len(answer.follow().html.select(".faults li")) == 1


def test_the_report_shows_the_figures_of_the_command_as_a_chart_and_in_tables(
    inspector: Any, deliver: Deliver, clock: Clock
) -> None:
    deliver_ended_calls(deliver, clock)
    post(deliver, "call_completed", "answered-2")
    deliver("SIMULATED1", "incoming_call", "dial_completed_answered", "call_completed")
    page = inspector.get("/report?since=7d")
    assert texts(page.html.select("thead")[0].select("th")) == [
        "Day", "Calls", "Connected", "Declined", "Refused", "No answer", "Busy", "Failed", "Other",
    ]  # fmt: skip
    assert table(page) == [["2026- 11-24", "3", "0", "0", "1", "0", "0", "0", "2"],
                           ["2026- 11-23", "1", "0", "0", "0", "0", "1", "0", "0"]]  # fmt: skip
    assert texts(page.html.select("tfoot tr")) == ["All 4 0 0 1 0 1 0 2"]
    assert "Other: 1 in progress, 1 end unknown." in main(page)
    assert table(page, 1) == [["not_listed", "1"]]
    assert texts(page.html.select("svg title")) == [
        "2026-11-23: 1 busy", "2026-11-24: 1 refused", "2026-11-24: 2 other",
    ]  # fmt: skip
    heights = [rect["height"] for rect in page.html.select("rect")]
    assert heights == ["33.33", "33.33", "66.67"]
    clock.sleep(86_400)
    assert "No call came in this time." in main(inspector.get("/report"))


def test_how_long_people_waited_and_talked_is_shown_with_the_mean(
    inspector: Any, deliver: Deliver, clock: Clock
) -> None:
    for call, seconds in ("one", 10), ("two", 20), ("SIMULATED3", 60):
        deliver(call, "incoming_call", "dial_completed_answered")
        clock.sleep(seconds)
        post(deliver, "call_completed", call)
    page = inspector.get("/report")
    assert texts(page.html.select("thead")[-1].select("th")) == [
        "Minutes and seconds", "Mean", "Median", "95 % within",
    ]  # fmt: skip
    assert table(page, 1) == [
        ["Wait for the answer", "0:01", "0:01", "0:01"],
        ["Talk", "0:16", "0:11", "0:21"],
    ]
    more = inspector.get("/report?simulated=1")
    assert table(more)[0][1:3] == ["3", "3"]
    assert "leave out the 1 simulated" in main(more)


def test_without_a_log_the_pages_say_how_to_make_calls_and_make_none(
    inspector: Any, tmp_path: Path
) -> None:
    said = (
        'There are no calls yet. To make some, start the server with "make run" in one window and'
        ' play two with "make call" in another.'
        f" {tmp_path}/calls.db: there is no call log yet; a server makes it."
    )
    page = inspector.get("/")
    assert texts(page.html.select("#calls")) == [said]
    assert page.html.find(id="calls").has_attr("data-live")
    for address in "/call?id=x", "/report":
        assert main(inspector.get(address)) == f"No calls {said}"
    assert [file.name for file in tmp_path.iterdir() if "calls" in file.name] == []


def test_an_empty_log_says_so(inspector: Any, deliver: Deliver) -> None:
    deliver("nobody")
    assert "There are no calls yet. To make two, run make call while the server runs." in main(
        inspector.get("/")
    )


@pytest.mark.parametrize("address", ["/", "/call?id=x", "/report"])
def test_a_log_that_cannot_be_read_is_said(inspector: Any, tmp_path: Path, address: str) -> None:
    (tmp_path / "calls.db").write_text("no database, but longer than a header of one" * 20)
    page = inspector.get(address, status=503)
    assert main(page).startswith(f"The call log cannot be read {tmp_path}/calls.db: file is not a")


def test_a_log_that_is_locked_is_said(
    inspector: Any, deliver: Deliver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver("one", "incoming_call")
    deliver.close()
    monkeypatch.setattr(sqlite, "_START_BUSY_S", 0.01)
    other = sqlite3.connect(tmp_path / "calls.db", isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    assert "another program has locked it" in main(inspector.get("/", status=503))
    other.close()
    assert ids(inspector.get("/")) == ["one"]


def test_reading_leaves_the_log_as_it_is(
    inspector: Any, deliver: Deliver, clock: Clock, tmp_path: Path
) -> None:
    deliver_some_calls(deliver, clock)
    deliver.close()
    before = (tmp_path / "calls.db").read_bytes()
    linked(inspector)
    assert (tmp_path / "calls.db").read_bytes() == before


A_MILLION = f"""
WITH RECURSIVE number (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < 999999)
INSERT INTO call_event ({", ".join(Row._fields)})
SELECT printf('call-%032d', n / 4), 'event-' || (n % 4), x'', NULL, NULL, NULL, ?, NULL,
    ? + n * 1000000, ? + n * 1000000, 1, NULL, NULL, ? FROM number
"""
THEIR_RECORDS = f"""
WITH RECURSIVE call (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM call WHERE n < 249999)
INSERT INTO call_record (number, reference_id, disposition, began, ended, caller, dialled,
    destination, masking_id, row_line, external_id, reason, status, wait_ms, talk_ms, simulated)
SELECT ? + n, printf('call-%032d', n), iif(n % 10 = 0, 'refused', 'connected'), ? + n * 4000000,
    ? + n * 4000000 + 3000000, '{facts.CALLER}', '{facts.DIALLED}', '{facts.DESTINATION}',
    '{facts.MASKING_ID}', 2, NULL, iif(n % 10 = 0, 'not_listed', NULL), 'answered', 1000,
    60000 + n % 1000, 0 FROM call
"""
RECORDED = """
UPDATE record_counter SET number = ?,
    recorded_to = (SELECT max(id) FROM call_event WHERE first_seen < ?)
"""
TEN_MINUTES_AND_FOUR_HOURS = 15_000 * 1_000_000


@pytest.mark.load
def test_a_page_of_a_million_events_takes_about_a_tenth_of_a_second_of_work(
    inspector: Any, log_url: str, clock: Clock
) -> None:
    store = writer.store_of(log_url)
    store.open()
    reply = json.dumps(facts.DIAL, separators=(",", ":"))
    first = microseconds(clock().utc) - 1_000_100 * 1_000_000  # a second an event, until now
    store.execute("PRAGMA synchronous = OFF")
    store.execute(A_MILLION, [reply, first, first, of("call", "incoming_call")])
    store.execute(THEIR_RECORDS, [first, first, first])
    until = microseconds(clock().utc) - TEN_MINUTES_AND_FOUR_HOURS
    store.execute(RECORDED, [first + 250_000, until])
    for n in range(100):
        body = of(f"live-{n}", "incoming_call")
        store.keep([row_of(Delivery(events.parse(body), body, clock()), Decision(DIAL))])
    store.close()
    numbers = [inspector.post("/", {"number": number}) for number in (facts.CALLER, "13025550123")]
    middle = first + 500_000 * 1_000_000
    for address in (
        "/", f"/?before={middle}_{first}", "/?number=0123", "/?number=9999", "/?reason=expired",
        "/?reason=not_listed", "/?disposition=failed", "/?disposition=connected",
        "/?disposition=in+progress", "/?since=9d&until=8d", "/?number=9999&until=5d",
        *(answer.headers["Location"] for answer in numbers),
        f"/call?id=call-{777:032}", "/call?id=live-7", "/routes", "/report", "/state",
    ):  # fmt: skip
        times = []
        for _ in range(5):
            started = time.process_time()
            inspector.get(address, status=200)
            times.append(time.process_time() - started)
        print(f"{address} {min(times):.3f} s")
        # A tenth on a machine that does nothing else: others slow the processor down too.
        assert min(times) < 0.3, (address, times)
