"""The family of errors a user meets.

Every message is written for the person who gave the input: what was found, what was expected, what to do. The command line
prints the message alone and leaves with `exit_status`; the Python API raises the error itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Line breaks, commands to terminals, changes of writing direction, and bytes of file names that are no text."""

_LONGEST = 2000
"""Characters of a sentence; of a longer one the middle is left out."""


OPENMMLAB = "openmmlab"
OPENMMLAB_REQUIREMENTS = Path(__file__).parent / "openmmlab" / "requirements.txt"
"""The extra of MMDETECTION and MMSEGMENTATION, and what it holds."""


class ChipwrightError(Exception):
    """Something failed under way."""

    exit_status = 1

    def __init__(self, message: str = "") -> None:
        message = printable(message)
        if len(message) > _LONGEST:  # what a library said of a damaged file may hold half the file
            message = f"{message[: _LONGEST // 2]} ... {message[-_LONGEST // 2 :]}"
        super().__init__(message)


class UsageError(ChipwrightError):
    """Input or options that cannot be used, known before anything was written."""

    exit_status = 2


class DataError(UsageError):
    """Training data that cannot be used."""


class OptionError(UsageError):
    """An option, argument or keyword that cannot be used."""


class PackageError(UsageError):
    """A model package that cannot be used."""


class MissingExtra(UsageError):  # noqa: N818 - the name says what is missing, as the message does
    """A part of chipwright whose optional dependencies are not installed."""

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(f'{purpose} needs the extra "{extra}": {install_line(extra)}')


def install_line(extra: str) -> str:
    """Return the command that installs an extra.

    OpenMMLab's packages ask for a numpy and an opencv older than chipwright's, so that they are installed without what they
    ask for; what they need stands in a list of our own.
    """
    if extra == OPENMMLAB:
        return f'pip install --no-deps --requirement "{OPENMMLAB_REQUIREMENTS}"'
    return f'pip install "chipwright[{extra}]"'


class Interrupted(ChipwrightError):  # noqa: N818 - not a fault
    """The user stopped the run; what was trained so far is kept."""

    exit_status = 130


def printable(text: str) -> str:
    """Return a text in one line that any screen and file takes; what is none is spelled out, `\\n`."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `" Did you mean X?"` for the nearest known word, or an empty text where none is near."""
    by_lower = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f" Did you mean {by_lower[near[0]]}?" if near else ""


def listed(words: Iterable[object], most: int = 5) -> str:
    """Return `"a, b and c"`, cut after `most` words with the count of the rest."""
    names = [printable(str(word)) for word in words]
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
