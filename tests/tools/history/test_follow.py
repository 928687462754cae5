"""What a follower tells: each record once, in order, whatever happens to it and to the log."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import facts
import pytest
from call_logs import written_down
from databases import EACH_DATABASE, log_in_sqlite
from helpers import START, payload
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from old_logs import make_old_log

import events
from call_log import writer
from call_log.store import Row, Store, StoreError, row_of, utc
from calls import Decision, Delivery, Timestamp
from commands import NoAction
from records import CallRecord, Disposition
from tools.history import conditions, follow
from tools.history.conditions import Condition
from tools.history.follow import TURN_S, Follower

log_url = log_in_sqlite

LONG_ENOUGH_S = 1.0 + 3 * TURN_S
END = b'{"event":"call_completed","reference_id":"%b","data":{}}'


def row(call: str, body: bytes) -> Row:
    body = body.replace(facts.REFERENCE_ID.encode(), call.encode()).replace(b"%b", call.encode())
    return row_of(Delivery(events.parse(body), body, Timestamp(START, 0.0)), Decision(NoAction()))


def end(store: Store, *calls: str) -> None:
    """Write calls down, of which nothing is known but their end."""
    with store.transaction(calls):
        store.keep([row(call, END) for call in calls])


def correct(store: Store, call: str) -> None:
    """Have a call that is written down turn out to have been connected."""
    with store.transaction([call]):
        store.keep([row(call, payload("call_completed"))])


class Reader:
    """A follower, the time that passes for it, and a log that fails it for as long as is set."""

    def __init__(
        self,
        url: str,
        after: int | None = None,
        wanted: Condition = conditions.ANY,
        now: datetime = START,
    ) -> None:
        self.told: list[CallRecord] = []
        self.said: list[str] = []
        self.fails_by, self._now_s = "", 100.0
        self.store: Any = writer.store_of(url)
        opens, executes = self.store.open, self.store.execute

        def open_or_fail(*, write: bool) -> None:
            self._fail()
            opens(write=write)

        def execute_or_fail(sql: str, values: Sequence[object] = ()) -> list[Any]:
            self._fail()
            found: list[Any] = executes(sql, values)
            return found

        vars(self.store).update(open=open_or_fail, execute=execute_or_fail)
        self._follower = Follower(
            self.store, wanted, self.told.append, self.said.append, after=after, now=now
        )
        self.close = self._follower.close

    def _fail(self) -> None:
        if self.fails_by:
            raise StoreError(self.fails_by)

    def turn(self) -> None:
        self._follower.turn(self._now_s)
        self._now_s += TURN_S

    def let(self, seconds: float = LONG_ENOUGH_S) -> list[str]:
        """Let time pass; return which calls were told in it."""
        before, until_s = len(self.told), self._now_s + seconds
        while self._now_s < until_s:
            self.turn()
        return [record.reference_id for record in self.told[before:]]


@pytest.fixture
def reader(store: Store, log_url: str) -> Iterator[Reader]:
    """A follower that tells what is written down from its first turn on, which has been."""
    end(store, "earlier")
    made = Reader(log_url)
    made.turn()
    yield made
    made.close()


@EACH_DATABASE
def test_a_record_is_told_once_when_it_is_a_second_old_in_the_order_of_numbers(
    store: Store, reader: Reader, log_url: str
) -> None:
    end(store, "b", "a")
    assert reader.let(1.0) == []
    end(store, "c")
    assert reader.let(3 * TURN_S) == ["b", "a"]
    assert reader.let(60) == ["c"]
    assert reader.told == written_down(log_url)[1:]
    assert reader.said == []


@EACH_DATABASE
def test_a_correction_within_the_second_is_told_and_a_later_one_is_not(
    store: Store, reader: Reader
) -> None:
    end(store, "soon", "late")
    reader.let(0.8)
    correct(store, "soon")
    assert reader.let() == ["soon", "late"]
    correct(store, "late")
    assert reader.let(10) == []
    dispositions = [record.disposition for record in reader.told]
    assert dispositions == [Disposition.CONNECTED, Disposition.UNKNOWN]


@EACH_DATABASE
def test_it_begins_after_any_number_with_zero_from_the_first(store: Store, log_url: str) -> None:
    end(store, *"abcde")
    for place, number in enumerate([0, *(record.number for record in written_down(log_url))]):
        reader = Reader(log_url, after=number)
        assert reader.let() == [*"abcde"][place:]
        reader.close()


@EACH_DATABASE
def test_only_what_passes_is_told_and_a_backlog_is_read_in_pages(
    store: Store, log_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_PAGE", 2)
    calls = [f"{'SIMULATED' if number % 4 else 'real'}-{number}" for number in range(22)]
    for call in calls:
        end(store, call)
    every = Reader(log_url, after=0)
    pages: list[int] = []
    execute = every.store.execute

    def counted(sql: str, values: Sequence[object] = ()) -> list[Any]:
        page: list[Any] = execute(sql, values)
        pages.append(len(page))
        return page

    every.store.execute = counted
    assert every.let() == calls
    assert max(pages) == 2
    every.close()
    real = Reader(log_url, after=0, wanted=~conditions.SIMULATED)
    assert real.let() == calls[::4]
    real.close()


@EACH_DATABASE
def test_a_fault_is_said_once_and_again_when_another_comes_or_it_comes_again(
    store: Store, reader: Reader
) -> None:
    said = []
    for cause, seconds in ("locked", 9), ("no disk", 2), ("locked", 2), ("", 9), ("locked", 2):
        reader.fails_by = cause
        reader.let(seconds)
        said += [f"waiting until the call log can be read: {cause}"] if cause else []
        assert reader.said == said
        end(store, f"call {len(said)} {cause}")
    reader.fails_by = ""
    assert len(reader.let()) == 5 - 3  # the others are told by now
    numbers = [record.number or 0 for record in reader.told]
    assert (len(numbers), numbers) == (5, sorted(numbers))


def test_a_log_that_is_not_there_yet_is_waited_for_and_all_of_it_is_told(
    log_url: str, tmp_path: Path
) -> None:
    reader = Reader(log_url)
    assert reader.let(5) == []
    (tmp_path / "calls.db").touch()  # a server is just making it
    assert reader.let(5) == []
    missing = f"{tmp_path}/calls.db: there is no call log yet; a server makes it"
    assert reader.said == [f"waiting until the call log can be read: {missing}"]
    with contextlib.closing(writer.store_of(log_url)) as store:
        store.open()
        end(store, "first")
        assert reader.let() == ["first"]
    reader.close()


@EACH_DATABASE
def test_of_a_log_that_could_not_be_read_at_first_what_came_meanwhile_is_told(
    store: Store, log_url: str
) -> None:
    end(store, "before")
    (before,) = written_down(log_url)
    began = utc(before.number or 0) + timedelta(microseconds=1)
    reader = Reader(log_url, now=began)
    reader.fails_by = "no route"
    reader.let(2)
    end(store, "meanwhile")
    reader.fails_by = ""
    assert reader.let() == ["meanwhile"]
    reader.close()


@EACH_DATABASE
def test_a_log_of_an_older_version_is_followed_once_a_server_has_opened_it(log_url: str) -> None:
    make_old_log(log_url, row("old", END))
    reader = Reader(log_url, after=0)
    assert reader.let() == []
    assert len(reader.said) == 1
    assert "wanted a call log of version 2, got 1; a server that opens it" in reader.said[0]
    with contextlib.closing(writer.store_of(log_url)) as store:
        store.open()
        end(store, "new")
    assert reader.let() == ["new"]
    reader.close()


@pytest.mark.parametrize("is_deleted", [False, True], ids=["moved", "deleted"])
def test_a_file_that_is_taken_away_is_told_to_its_end_and_then_the_next_one(
    store: Store, reader: Reader, tmp_path: Path, is_deleted: bool
) -> None:
    """A server keeps its last events again in the new file, under a new number."""
    end(store, "told", "kept twice")
    reader.let()
    end(store, "kept before", "kept twice as well")
    path = tmp_path / "calls.db"
    if is_deleted:
        path.unlink()
    else:
        path.rename(tmp_path / "away.db")
    reader.turn()
    end(store, "not noticed yet")
    assert store.reconnect()
    end(store, "kept twice", "kept twice as well", "not noticed yet", "new")
    assert reader.let(2.0) == ["kept before", "kept twice as well", "not noticed yet", "new"]
    assert reader.said == []
    assert [record.disposition for record in reader.told] == [Disposition.UNKNOWN] * 6


def test_a_log_whose_numbers_are_lower_than_what_was_told_is_said_once(
    store: Store, reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a clock that was ahead when the last log was written, or of `--after` of another."""
    end(store, "last")
    assert reader.let() == ["last"]
    number = reader.told[-1].number
    (tmp_path / "calls.db").unlink()
    assert store.reconnect()
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000)
    end(store, "new")
    assert reader.let(10) == []
    (said,) = reader.said
    assert said == (
        f"the newest call in the log has the number 1000000, lower than {number}: is it another"
        " log? To be told of its calls use --after 0"
    )


def test_a_file_that_nobody_makes_again_is_waited_for(
    store: Store, reader: Reader, tmp_path: Path
) -> None:
    end(store, "last")
    (tmp_path / "calls.db").rename(tmp_path / "away.db")
    assert reader.let(20) == ["last"]
    assert len(reader.said) == 1
    store.reconnect()
    end(store, "first")
    assert reader.let() == ["first"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["end", "correct"]), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.sampled_from([TURN_S, 0.6, 1.2])),
        st.tuples(st.sampled_from(["kill", "fail", "work"]), st.just(0)),
    ),
    max_size=30,
)


@pytest.mark.faults
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, first=st.integers(0, 5))
def test_however_often_it_is_killed_or_the_log_fails_all_is_told_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any]], first: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    url = f"sqlite:///{folder}/calls.db"
    store = writer.store_of(url)
    store.open()
    calls, told, last = [f"first-{number}" for number in range(first)], list[str](), 0
    end(store, *calls)
    reader = Reader(url, after=last)
    for step, value in steps:
        match step:
            case "end":
                calls.append(f"call-{len(calls)}")
                end(store, calls[-1])
            case "correct" if value < len(calls):
                correct(store, calls[value])
            case "wait":
                told += reader.let(value)
            case "kill":
                reader.close()
                last = max([last, *(record.number or 0 for record in reader.told)])
                reader = Reader(url, after=last)
            case "fail" | "work":
                reader.fails_by = "locked" if step == "fail" else ""
    reader.fails_by = ""
    told += reader.let(3)
    assert told == calls
    reader.close()
    store.close()
