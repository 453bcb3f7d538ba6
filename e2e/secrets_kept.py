"""What sekisho has written while all the other checks ran."""

from harness import check
from world import WORLD


@check("secrets: none is printed")
def _():
    words = WORLD.sekisho.words()
    assert words.strip(), "sekisho has written nothing at all"
    printed = [place for place, secret in enumerate(WORLD.secrets) if secret in words]
    assert not printed, f"secrets {printed} stand in what sekisho wrote"
