"""The shape of the example on TeleSign's guide page: Bottle on its own server, with `debug`.

Written anew: a command is an object that makes its JSON text, the event's name picks it. The server
is wsgiref, one thread and a new connection for each request, as Bottle's `run` starts it.
"""

import json
import sys

from bottle import post, request, run

ROUTES = {"12025550100": ("12025550111", "12025550199")}


class Dial:
    """The command that connects."""

    def __init__(self, to: str, masking_id: str) -> None:
        self.params = {"to": to, "caller_id_number": masking_id}

    def text(self) -> str:
        """Return the command as JSON."""
        return json.dumps({"method": "dial", "params": self.params})


def answer() -> str:
    """Look the number up if a call comes in; end the call at any other event."""
    message = request.json
    if message.get("event") == "incoming_call":
        return Dial(*ROUTES[message["data"]["to"]]).text()
    return json.dumps({"method": "hangup", "params": {}})


if __name__ == "__main__":
    post("/", callback=answer)
    run(host="localhost", port=int(sys.argv[1]), debug=True)
