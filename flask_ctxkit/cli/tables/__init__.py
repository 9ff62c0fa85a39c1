"""One file per kind of answer: each builds a document from a report."""
