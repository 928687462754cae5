"""The bare look-up in Flask; gunicorn takes `application` from here.

One worker process with 16 threads: gunicorn's own default, a process that does one request at a
time, keeps no connection open.
"""

from flask import Flask, request

ROUTES = {"12025550100": ("12025550111", "12025550199")}


def answer() -> dict[str, object]:
    """Look the number up and return the command to dial."""
    message = request.get_json()
    to, masking_id = ROUTES[message["data"]["to"]]
    return {"method": "dial", "params": {"to": to, "caller_id_number": masking_id}}


application = Flask(__name__)
application.add_url_rule("/", view_func=answer, methods=["POST"])
