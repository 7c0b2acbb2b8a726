"""Import this before torch, and call ``settled`` after the last import.

Half a second less: importing torch makes some hundred thousand objects that stay to the end.
Looking through them for garbage, again and again while they are made and once more when Python
shuts down, takes as long as a third of the import.

And the kernels of a portable run: torch and its libraries read once, on import, which they take.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Mapping, Sequence

from pytorch_common import runtime
from pytorch_common.contract import PORTABLE_KERNELS, option_variable


def is_portable(argv: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Tell whether a portable run is asked for, before the command line can be parsed."""
    words = [word for each in argv for word in each.split("=", 1)]
    given = [value for flag, value in zip(words, words[1:]) if flag == "--portable"]
    return (given or [environ.get(option_variable("portable"), "0")])[-1] == "1"


def settled() -> None:
    """Look for garbage again from here on, but never among what there is by now."""
    gc.freeze()
    gc.enable()


gc.disable()
runtime.unpack(os.environ)
if is_portable(sys.argv, os.environ):
    os.environ.update(PORTABLE_KERNELS)
