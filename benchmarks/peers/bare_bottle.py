"""A bare Bottle handler on waitress: the measure for what the product adds.

It reads the JSON and returns a dict, as the shortest example of Bottle would; waitress has the
product's settings and threads, and says nothing of its queue. Run as a module from the project's
folder, with the port: it never looks at the signature, keeps nothing and checks nothing.
"""

import logging
import sys

import waitress
from bottle import Bottle, request

from serving import server

THREADS = 16
ROUTES = {"12025550100": ("12025550111", "12025550199")}


def answer() -> dict[str, object]:
    """Look the number up and return the command to dial."""
    to, masking_id = ROUTES[request.json["data"]["to"]]
    return {"method": "dial", "params": {"to": to, "caller_id_number": masking_id}}


def make_app() -> Bottle:
    """Return the app."""
    app = Bottle()
    app.route("/", "POST", answer)
    return app


def main() -> None:
    """Serve on this port until ended."""
    logging.getLogger("waitress.queue").setLevel(logging.CRITICAL)
    waitress.serve(
        make_app(),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        threads=THREADS,
        connection_limit=server.MAX_CONNECTIONS,
        _quiet=True,
        **server.LIMITS,
    )


if __name__ == "__main__":
    main()
