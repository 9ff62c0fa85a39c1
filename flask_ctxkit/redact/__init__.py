"""The only way out for a user's value: a bounded, JSON-safe copy that holds no secret.

A captured value is ``None``, a bool, an int below 2**63, a finite float, or a str of up to
200 characters as itself; a list; a dict; or, for everything else, a dict whose keys begin
with ``"$"``:

* ``{"$type": "str", "$size": 5000, "$text": "its first 200 characters"}``, and so for bytes,
  numbers that JSON can't hold, dates and paths;
* ``{"$type": "tuple", "$size": 2, "$items": [...]}``, and so for sets, deques, subclasses of
  the builtin containers, and a list or dict that was cut;
* ``{"$type": "shop.Cart", "$size": 3, "$attributes": {...}}`` for an object, and
  ``{"$type": "function", "$name": "shop.total"}`` for a function, class or module;
* ``{"$hidden": 'name contains "csrf"', "$type": "str", "$size": 91, "$mark": "3f2a"}`` for a
  secret; equal secrets of one process have equal marks;
* ``{"$type": "dict", "$cycle": true}`` for a value inside itself, and a bare type and size for
  what lies deeper than the limit.

A user's own key that begins with ``"$"`` gets one more ``"$"``.
"""

from .capture import Captured, mark
from .levels import without_values
from .redactor import Redactor

__all__ = ["Captured", "Redactor", "mark", "without_values"]
