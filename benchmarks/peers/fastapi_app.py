"""The bare look-up in FastAPI; uvicorn takes `application` from here.

The body is read as JSON without a model: that is the least that FastAPI can do.
"""

from typing import Any

from fastapi import FastAPI, Request

ROUTES = {"12025550100": ("12025550111", "12025550199")}


async def answer(request: Request) -> dict[str, Any]:
    """Look the number up and return the command to dial."""
    message = await request.json()
    to, masking_id = ROUTES[message["data"]["to"]]
    return {"method": "dial", "params": {"to": to, "caller_id_number": masking_id}}


application = FastAPI()
application.add_api_route("/", answer, methods=["POST"])
