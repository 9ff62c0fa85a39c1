"""Serve the app with the standard library's server: one request at a time."""

from __future__ import annotations

import sys
from wsgiref.simple_server import WSGIServer, make_server

from tests.servers.app import create_app


class PatientServer(WSGIServer):
    request_queue_size = 64


if __name__ == "__main__":
    make_server("127.0.0.1", int(sys.argv[1]), create_app(), PatientServer).serve_forever()
