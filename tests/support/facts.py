"""The facts that the tests speak of, by name."""

from datetime import UTC, datetime

CALLER = "12025550123"
DIALLED = "12025550100"
DESTINATION = "12025550111"
MASKING_ID = "12025550199"
PAIR_EXPIRES = datetime(2099, 1, 31, 18, tzinfo=UTC)  # a test may run on any day before
RIDER, DRIVER, PAIR_NUMBER = "12025550123", "12025550145", "12025550101"
STRANGER = "12025550188"
NOT_LISTED = "12025550177"
OUTBOUND, ENDED_AT = "outbound", "2026-03-15T06:48:28.151"  # of the call that has ended
BUSY = "busy"
REFERENCE_ID = "534e1848-235f-482d-983d-e3e11a04f58a"

CUSTOMER_ID = "FFFFFFFF-EEEE-DDDD-1234-AB1234567890"
API_KEY = "ABC12345yusumoN6BYsBVkh+yRJ5czgsnCehZaOYldPJdmFh6NeX8kunZ2zU1YWaUw/0wV6xfw=="
OTHER_API_KEY = "b3RoZXIta2V5LW90aGVyLWtleS1vdGhlci1rZXk="
KEYS = {"TELESIGN_CUSTOMER_ID": CUSTOMER_ID, "TELESIGN_API_KEY": API_KEY}

HANGUP = {"method": "hangup", "params": {}}
NO_ACTION: dict[str, object] = {}
DIAL = {
    "method": "dial",
    "params": {
        "to": DESTINATION,
        "caller_id_number": MASKING_ID,
        "max_call_duration": "3600",
    },
}

ALLOW_LIST = f"""\
to,from,destination,caller_id_number,max_call_duration,expires,note
{DIALLED},,{DESTINATION},{MASKING_ID},3600,,front desk
{PAIR_NUMBER},{RIDER},{DRIVER},,,{PAIR_EXPIRES:%Y-%m-%dT%H:%M:%SZ},rider to driver
{PAIR_NUMBER},{DRIVER},{RIDER},,,,driver to rider
12025550102,,12025550112,,,2026-01-31T18:00:00Z,expired
"""
