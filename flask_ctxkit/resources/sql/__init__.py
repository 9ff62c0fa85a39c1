"""SQL by hand: :class:`SqlHelper` over anybody's pool."""

from .connections import Connection
from .cursors import Cursor
from .helper import SqlHelper, Status
from .ledger import Holder
from .pool import Gauge

__all__ = ["Connection", "Cursor", "Gauge", "Holder", "SqlHelper", "Status"]
