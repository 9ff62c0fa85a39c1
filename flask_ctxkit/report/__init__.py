"""One function per question, each answering with plain data.

What the browser, the terminal and JSON show is the same answer, so they can't disagree.
Times are in UTC, ISO 8601; ages in seconds; values went through the redactor.
"""

from .findings import findings
from .hooks import BadUrlError, hooks
from .live import contexts
from .overview import index
from .query import Query, QueryError
from .requests import requests
from .session import session
from .session_look import uncounted
from .sources import Sources
from .stacks import stacks
from .startup import startup
from .trace import UnknownTraceError, find_trace, latest, trace

__all__ = [
    "BadUrlError",
    "Query",
    "QueryError",
    "Sources",
    "UnknownTraceError",
    "contexts",
    "find_trace",
    "findings",
    "hooks",
    "index",
    "latest",
    "requests",
    "session",
    "stacks",
    "startup",
    "trace",
    "uncounted",
]
