"""How a number is shown beside a list: ours whole, a person's by its last four digits."""

from phone import PhoneNumber, redact
from routing import AllowList


def show_number(number: PhoneNumber, allow_list: AllowList, *, full: bool) -> str:
    """Return a number as it is shown: whole if it is a virtual number or masking ID, or in full."""
    return number if full or number in allow_list.own_numbers else redact(number)
