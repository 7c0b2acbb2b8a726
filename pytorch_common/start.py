"""Import this before torch, and call ``settled`` after the last import: half a second less.

Importing torch makes some hundred thousand objects that stay to the end. Looking through them for
garbage, again and again while they are made and once more when Python shuts down, takes as long as
a third of the import.
"""

from __future__ import annotations

import gc

gc.disable()


def settled() -> None:
    """Look for garbage again from here on, but never among what there is by now."""
    gc.freeze()
    gc.enable()
