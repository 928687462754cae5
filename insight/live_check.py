"""What the first real calls have shown of everything that is not known of TeleSign.

One entry for each row of the table in `docs/unknowns.md`, in its order: what is assumed, and what
looks for an answer in the stored events, or how to find out where no log can tell. Takes real calls
only. No I/O, no clock.
"""

from collections.abc import Callable
from dataclasses import dataclass

from insight import conduct, wording
from insight.evidence import Answer, Evidence, Outcome

MAX_CALLS = 1_000
"""So many of the newest real calls are looked at: half a second's work, and a first day or week."""


@dataclass(frozen=True, slots=True)
class Question:
    """Something that is not known of TeleSign; `unknown` begins its row of `docs/unknowns.md`."""

    unknown: str
    assumed: str
    answer: Callable[[Evidence], Answer]


def no_log(to_do: str) -> Callable[[Evidence], Answer]:
    """Return the answer to a question that no log can answer: how to find out."""
    return lambda _: Answer(Outcome.NOT_IN_A_LOG, to_do=to_do)


def check(found: Evidence) -> list[tuple[Question, Answer]]:
    """Return every question with what the log has shown of it."""
    return [(each, each.answer(found)) for each in QUESTIONS]


QUESTIONS = (
    Question(
        "whether `data.to` is your virtual number",
        "it is, so it is the `to` of a row",
        wording.meaning_of_to,
    ),
    Question(
        "whether TeleSign takes `{}` as an answer",
        "the call goes on",
        conduct.empty_answer,
    ),
    Question(
        "whether TeleSign sends `dial_completed` for the dial that connects the two people",
        "it does; without it nobody hears the greeting",
        conduct.dial_is_reported,
    ),
    Question(
        "which words `dial_completed` uses for a dial that failed",
        "every status but `answered` is a failure",
        wording.statuses,
    ),
    Question(
        "what `data.from` holds when the caller withholds their number",
        "nothing, or a text without digits",
        wording.withheld,
    ),
    Question(
        "whether the caller's leg ends with the called person's hang-up",
        "a `hangup` in answer to `call_leg_completed` ends it",
        conduct.leg_end,
    ),
    Question(
        "which key signs voice events",
        "one of those that are set",
        no_log("watch the server's lines for `rejected`: what is rejected is not kept"),
    ),
    Question(
        "the unit of `timeout` and `inter_digit_timeout`",
        "milliseconds: a digit is waited for during 10 s",
        conduct.digit_timeout,
    ),
    Question(
        "how `call_completed` lays out the two legs of a connected call",
        "every object with a part's times is a part",
        wording.layout,
    ),
    Question(
        "how long TeleSign waits for an answer, what it does with a failed one",
        "the same event again within 120 s is a delivery tried again",
        conduct.repeats,
    ),
    Question(
        "whether calls of a session come to this server",
        "both work",
        no_log("call a session's number, then run `calls --number` with it"),
    ),
    Question(
        "which languages can be spoken",
        "any tag such as en-US",
        no_log("listen"),
    ),
    Question(
        "whether a message is ever read as SSML",
        "messages are plain text",
        no_log("listen to a message with `&` in it"),
    ),
    Question(
        "whether the masking ID is always what the display shows",
        "it is",
        no_log("look at the display of the phone that rings"),
    ),
    Question(
        "which events and members TeleSign has beside those that we know",
        "they do no harm: `{}` is answered, and everything is kept",
        wording.news,
    ),
)
