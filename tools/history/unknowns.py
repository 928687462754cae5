"""What the first real calls have shown of everything that is not known of TeleSign.

One entry for each row of the table in `docs/unknowns.md`, in its order: what is assumed, how to
find out, and what looks for signs in the stored events. Takes real calls only. No I/O, no clock.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tools.history import signs
from tools.history.signs import Evidence, Sign, Verdict

MAX_CALLS = 1_000
"""So many of the newest real calls are looked at: half a second's work, and a first day or week."""

_MAX_VALUES = 12


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """Something that is not known of TeleSign; `unknown` begins its row of `docs/unknowns.md`.

    `to_see` is how to find out more, `if_not` what to do if it is not as assumed. `look` is `None`
    where no log can tell.
    """

    unknown: str
    assumed: str
    to_see: str
    if_not: str = ""
    look: Callable[[Evidence], Iterable[Sign]] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: in how many events, and the most frequent values, each with its count.

    `to_do` is what an operator does about it, or to find out; empty if there is nothing to do.
    """

    outcome: Verdict
    to_do: str = ""
    events: int = 0
    values: dict[str, int] = field(default_factory=dict)


def check(found: Evidence) -> list[tuple[OpenQuestion, Finding]]:
    """Return every question with what the log has shown of it."""
    return [(question, finding_of(question, found)) for question in QUESTIONS]


def finding_of(question: OpenQuestion, found: Evidence) -> Finding:
    """Return what the log has shown of one question."""
    if question.look is None:
        return Finding(Verdict.NOT_IN_A_LOG, question.to_see)
    seen = list(question.look(found))
    if not seen:
        return Finding(Verdict.NOTHING_YET, question.to_see)
    outcomes = {outcome for outcome, _ in seen}
    values = dict(Counter(text for _, text in seen).most_common(_MAX_VALUES))
    if Verdict.DIFFERS in outcomes:
        return Finding(Verdict.DIFFERS, question.if_not, len(seen), values)
    if outcomes == {Verdict.AS_ASSUMED}:
        return Finding(Verdict.AS_ASSUMED, "", len(seen), values)
    return Finding(Verdict.SEEN, question.to_see, len(seen), values)


QUESTIONS = (
    OpenQuestion(
        "whether `data.to` is your virtual number",
        "it is, so it is the `to` of a row",
        "call a `to` that has another number as destination",
        "TeleSign sends the number that is wanted: add rows with it as `to`, and with an empty"
        " destination",
        signs.meaning_of_to,
    ),
    OpenQuestion(
        "whether TeleSign takes `{}` as an answer",
        "the call goes on",
        "take calls, and listen to the greeting to its end",
        "calls end where they should go on: set `carry_on` to its other form and call again",
        signs.empty_answer,
    ),
    OpenQuestion(
        "whether TeleSign sends `dial_completed` for the dial that connects the two people",
        "it does; without it nobody hears the greeting",
        "make a call that is connected, and answer it",
        "nobody hears the greeting or is asked for a digit: leave `accept_digit` empty",
        signs.dial_is_reported,
    ),
    OpenQuestion(
        "which words `dial_completed` uses for a dial that failed",
        "every status but `answered` is a failure",
        "call a phone that is busy, one that nobody answers, and one that is answered",
        "such an event is answered with {}: no greeting",
        signs.statuses,
    ),
    OpenQuestion(
        "what `data.from` holds when the caller withholds their number",
        "nothing, or a text without digits",
        "call with your number withheld",
        "such a caller passes for a number: a row that is for any caller connects them",
        signs.withheld_numbers,
    ),
    OpenQuestion(
        "whether the caller's leg ends with the called person's hang-up",
        "a `hangup` in answer to `call_leg_completed` ends it",
        "let the called person hang up first, and look whether the caller's line goes dead",
        look=signs.leg_end,
    ),
    OpenQuestion(
        "which key signs voice events",
        "one of those that are set",
        "watch the server's lines for `rejected`: what is rejected is not kept",
    ),
    OpenQuestion(
        "the unit of `timeout` and `inter_digit_timeout`",
        "milliseconds: a digit is waited for during 10 s",
        "set `accept_digit`, take a call and press no key",
        "the wait is far longer than the 10 s meant: leave `accept_digit` empty",
        signs.digit_timeout,
    ),
    OpenQuestion(
        "how `call_completed` lays out the two legs of a connected call",
        "every object with a leg's times is a leg",
        "make a call that is connected, to its end",
        "such a call has no times of TeleSign's: see `calls REFERENCE_ID --json --full`",
        signs.layout,
    ),
    OpenQuestion(
        "how long TeleSign waits for an answer, what it does with a failed one",
        "the same event again within 120 s is a delivery tried again",
        "how long TeleSign waits, and from where it sends, only a proxy's own log can tell",
        "what comes again after more than 120 s is refused as replayed",
        signs.repeats,
    ),
    OpenQuestion(
        "whether calls of a session come to this server",
        "both work",
        "call a session's number, then run `calls --number` with it",
    ),
    OpenQuestion(
        "which languages can be spoken",
        "any tag such as en-US",
        "listen",
    ),
    OpenQuestion(
        "whether a message is ever read as SSML",
        "messages are plain text",
        "listen to a message with `&` in it",
    ),
    OpenQuestion(
        "whether TeleSign presses `send_dtmf` before or while it speaks the greeting",
        "it presses up to 32 keys once the called side has answered",
        "call a number behind a switchboard and listen",
    ),
    OpenQuestion(
        "whether the masking ID is always what the display shows",
        "it is",
        "look at the display of the phone that rings",
    ),
    OpenQuestion(
        "which events and members TeleSign has beside those that we know",
        "they do no harm: `{}` is answered, and everything is kept",
        "read what TeleSign says of them: none has an effect here",
        look=signs.news,
    ),
)
