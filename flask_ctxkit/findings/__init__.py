"""What is wrong: rules over traces, live contexts, the app's set-up and exceptions."""

from .catalogue import RuleFailure, Rules
from .escape import annotate, note_of
from .model import Evidence, Failure, Finding, Rule
from .tally import Count, Tally
from .yours import rule_of

__all__ = [
    "Count",
    "Evidence",
    "Failure",
    "Finding",
    "Rule",
    "RuleFailure",
    "Rules",
    "Tally",
    "annotate",
    "note_of",
    "rule_of",
]
