"""A bare Bottle handler on the product's own server: the measure for what the product adds.

It reads the JSON and returns a dict, as the shortest example of Bottle would; threads and limits
are the product's. Run as a module from the project's folder, with the port: it never looks at the
signature, keeps nothing and checks nothing.
"""

import sys

from bottle import Bottle, request

import server

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


if __name__ == "__main__":
    server.serve(
        make_app(),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        threads=16,
        on_listening=lambda _port: None,
        on_trouble=lambda: None,
        tell=lambda _text: None,
    )
