"""What the pictures say: words and numbers as people write them, and strings of any characters."""

import functools
from importlib import resources

import numpy as np

ALPHABET = "".join(map(chr, range(32, 127)))
"""The 95 printable characters of ASCII."""

LETTERS = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
CONSONANTS = "bcdfghjklmnpqrstvwxz"
VOWELS = "aeiouy"
_BRACKETS = ("()", "[]", "{}", "<>", '""', "''")


@functools.cache
def words(*, held_out: bool) -> tuple[str, ...]:
    """Return the list of English words: those of the training, or with the held out all of them."""
    text = resources.files("bp_lab.ocr.data").joinpath("words.txt").read_text("ascii")
    every = text.split()
    return tuple(word for place, word in enumerate(every) if held_out or place % 10)


_LEVEL = frozenset("acemnorsuvwxzACEMNORSUVWXZ-=~+<>*:.,_ ")
"""Of these alone, nobody could say how large a line is written, and tell c from C."""


def draw(rng: np.random.Generator, longest: int, *, held_out: bool) -> str:
    """Return a line of at most so many characters, with single spaces inside, none at its ends.

    Some character shows the scale, as one with an ascender, where the line is long enough for two.

    Args:
      rng: the random numbers.
      longest: the most characters, at least 1.
      held_out: whether words that no training picture has may occur.
    """
    text = _some_line(rng, longest, held_out=held_out)
    while longest > 1 and _LEVEL.issuperset(text):
        text = _some_line(rng, longest, held_out=held_out)
    return text


def _some_line(rng: np.random.Generator, longest: int, *, held_out: bool) -> str:
    text = ""
    while len(text) < longest:
        token = _token(rng, held_out=held_out)
        grown = f"{text} {token}" if text else token
        if len(grown) > longest:
            break
        text = grown
    return text or token[:longest].strip() or "a"


def digits(rng: np.random.Generator, longest: int) -> str:
    """Return a string of digits alone."""
    return "".join(DIGITS[k] for k in rng.integers(0, 10, rng.integers(1, longest + 1)))


def _token(rng: np.random.Generator, *, held_out: bool) -> str:
    kind = rng.random()
    if kind < 0.5:
        return _punctuated(rng, _cased(rng, str(_one(rng, words(held_out=held_out)))))
    if kind < 0.68:
        return _punctuated(rng, _cased(rng, _syllables(rng)))
    if kind < 0.9:
        return _number(rng)
    return _any(rng)


def _one(rng: np.random.Generator, choices: tuple[str, ...] | str) -> str:
    return choices[rng.integers(len(choices))]


def _some(rng: np.random.Generator, choices: str, count: int) -> str:
    return "".join(choices[k] for k in rng.integers(0, len(choices), count))


def _cased(rng: np.random.Generator, word: str) -> str:
    kind = rng.random()
    if kind < 0.6:
        return word
    return word.capitalize() if kind < 0.85 else word.upper()


def _punctuated(rng: np.random.Generator, word: str) -> str:
    kind = rng.random()
    if kind < 0.75:
        return word
    if kind < 0.92:
        return word + _one(rng, ".,:;!?.,")
    if kind < 0.95:
        return word + _one(rng, "-'_/@&") + _some(rng, LETTERS, int(rng.integers(1, 4)))
    pair = _BRACKETS[rng.integers(len(_BRACKETS))]
    return pair[0] + word + pair[1]


def _syllables(rng: np.random.Generator) -> str:
    return "".join(
        _one(rng, CONSONANTS) + _one(rng, VOWELS) + _one(rng, CONSONANTS + " " * 20).strip()
        for _ in range(rng.integers(1, 4))
    )


def _number(rng: np.random.Generator) -> str:
    whole = _some(rng, DIGITS, int(rng.integers(1, 6)))
    two, other = _some(rng, DIGITS, 2), _some(rng, DIGITS, 2)
    forms = (
        whole,
        whole,
        f"{whole}.{two}",
        f"${whole}.{two}",
        f"{whole}%",
        f"-{whole}",
        f"+{whole}",
        f"{two}/{other}/20{two}",
        f"20{two}-{other}-{two}",
        f"{two}:{other}",
        f"#{whole}",
        f"{whole},{_some(rng, DIGITS, 3)}",
        f"{two}={other}",
        f"{two}*{other}",
    )
    return forms[rng.integers(len(forms))]


def _any(rng: np.random.Generator) -> str:
    return _some(rng, ALPHABET[1:], int(rng.integers(1, 7)))
