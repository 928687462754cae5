"""Which calls the simulator has played: they are no evidence of what TeleSign or a person does."""

PREFIX = "SIMULATED"


def is_simulated(reference_id: str) -> bool:
    """Tell whether a call was played by the simulator, which begins each of its ids like this."""
    return reference_id.startswith(PREFIX)
