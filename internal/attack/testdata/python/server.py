"""A WSGI application that reports, in headers of each answer, which handler
served the request and what it believed: see upstream_test.go. It takes paths as
file servers in Python do: decoded, dot segments and doubled slashes removed."""

import posixpath
import sys
from socketserver import TCPServer, ThreadingMixIn
from urllib.parse import quote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

IDENTITY = ("KEY_ID", "KEY_OWNER", "API", "ENDPOINT", "ACCESS")


def handler_of(path):
    segments = path.strip("/").split("/")
    match segments:
        case ["public", *_]:
            return "public"
        case ["open", *_]:
            return "open"
        case ["secret", *_]:
            return "secret"
        case ["v2", endpoint, "status", *_]:
            return f"v2/{quote(endpoint, safe='')}/status"
        case ["v2", endpoint, "purge"]:
            return f"v2/{quote(endpoint, safe='')}/purge"
        case ["v2", endpoint, _, *_]:
            return f"v2/{quote(endpoint, safe='')}/run"
        case ["rest", ("users" | "orders" | "search" | "purge") as name, *_]:
            return f"rest/{name}"
        case ["rest", *_]:
            return "rest"
    return "site"


def application(environ, start_response):
    text = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    who = "|".join(environ.get(f"HTTP_X_AUTH_{name}", "") for name in IDENTITY)
    body = b"served\n"
    start_response("200 OK", [
        ("X-Served", handler_of(posixpath.normpath(text))),
        ("X-Method", environ["REQUEST_METHOD"]),
        ("X-Attack", environ.get("HTTP_X_ATTACK", "")),
        ("X-Who", who),
        ("Content-Length", str(len(body))),
    ])
    return [body]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        TCPServer.server_bind(self)  # HTTPServer's would look up a name
        self.server_name, self.server_port = "localhost", self.server_address[1]
        self.setup_environ()


class Handler(WSGIRequestHandler):
    def log_message(self, *_):
        pass


make_server("127.0.0.1", int(sys.argv[1]), application, Server, Handler).serve_forever()
