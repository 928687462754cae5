"""The shape of TeleSign's published voice demo: a Bottle app that uWSGI serves.

Written anew: a table of event names picks the function that answers, which returns a dict. uWSGI
takes `application` from here.
"""

from collections.abc import Callable
from typing import Any

from bottle import Bottle, request

ROUTES = {"12025550100": ("12025550111", "12025550199")}

Answer = dict[str, object]


def connect(message: dict[str, Any]) -> Answer:
    """Look the number up and return the command to dial."""
    to, masking_id = ROUTES[message["data"]["to"]]
    return {"method": "dial", "params": {"to": to, "caller_id_number": masking_id}}


def end(_message: dict[str, Any]) -> Answer:
    """Return the command that ends the call."""
    return {"method": "hangup", "params": {}}


ANSWERS: dict[str, Callable[[dict[str, Any]], Answer]] = {"incoming_call": connect}


def answer() -> Answer:
    """Let the function of the event answer it."""
    message = request.json
    return ANSWERS.get(message["event"], end)(message)


application = Bottle()
application.route("/", "POST", answer)
