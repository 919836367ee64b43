"""The same server as node_server.mjs, on Python's standard library: see there for routes and parameters.

One thread a connection, HTTP/1.1 with chunked bodies.
"""

import json
import math
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

WORDS = Path(__file__).with_name("words.txt").read_text("utf-8").rstrip("\n").split("\n")


def mix(seed, i, k):
    x = (seed * 7919 + i * 104729 + k * 1299709) % 65521
    return x * x % 65521


def content(seed, i):
    """The lines of event i. The other server and the tests make the same ones."""
    for line in range(mix(seed, i, 0) % 3 + 1):
        word = WORDS[mix(seed, i, line + 1) % len(WORDS)]
        times = 60 if mix(seed, i, line + 4) % 8 == 0 else 3
        yield f"{i}.{line}" + f" {word}" * times


stats = {"started": 0, "last_event_ids": [], "open": 0}
feeds = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path in ("/ticks", "/feed"):
            self.stream(url)
        else:
            body = json.dumps(stats).encode()
            self.send_response(200 if url.path == "/stats" else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def stream(self, url):
        last_event_id = self.headers["Last-Event-ID"]
        stats["started"] += 1
        stats["last_event_ids"].append(last_event_id)
        stats["open"] += 1
        try:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.events(url, {k: int(v) for k, v in parse_qsl(url.query)}, last_event_id)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:  # the client is gone
            self.close_connection = True
        finally:
            stats["open"] -= 1

    def events(self, url, parameters, last_event_id):
        newline = "\r\n" if parameters.get("crlf") else "\n"
        n, every = parameters.get("n", 40), parameters.get("every_ms", 20) / 1000
        seed, ids = parameters.get("seed", 1), parameters.get("ids")
        now = time.monotonic()
        first = int(last_event_id or 0) + 1 if ids else 1
        began = now - (first - 1) * every
        if url.path == "/feed":
            began = feeds.setdefault(url.query, now)
            first = math.ceil((now - began) / every) + 1

        self.block([f"retry: {parameters.get('retry', 100)}"], newline)
        for i in range(first, n + 1):
            time.sleep(max(0, began + (i - 1) * every - time.monotonic()))
            if parameters.get("comments") and i % 3 == 0:
                self.block([": keepalive"], newline)
            head = [f"id: {i}"] if ids else []
            head += ["event: tick"] if i % 5 == 0 else []
            self.block(head + [f"data: {line}" for line in content(seed, i)], newline)
        self.block(["event: end", f"data: {n}"], newline)

    def block(self, lines, newline):
        body = newline.join([*lines, "", ""]).encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
server.serve_forever()
