"""A gateway that meters wrongly on purpose: ``python broken_gateway.py DEFECT``; without a defect it meters right.

It shares no code with the emulator: what the suite makes of it is not the emulator's opinion of itself.
"""

import datetime
import json
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DEFECT = sys.argv[1] if len(sys.argv) > 1 else ""
plugin, upstream, waiting, lock = {}, "", [], threading.Lock()


class Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Admin(Quiet):
    def do_GET(self):
        self.answer(404 if self.path == "/metering" else 200, b'{"version": "3.16.0.0"}')

    def do_POST(self):
        global plugin, upstream
        state = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        plugin, upstream = state["plugins"][0]["config"], state["upstreams"][0]["targets"][0]["target"]
        self.answer(201, b"{}")


class Proxy(Quiet):
    def do_GET(self):
        time_ = datetime.datetime.now(datetime.UTC).isoformat()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
        own = ("Content-Length", "Connection")
        headers = {name: value for name, value in self.headers.items() if name not in own}
        sent = urllib.request.Request(f"http://{upstream}{self.path}", body, headers, method=self.command)
        with urllib.request.urlopen(sent) as got:
            self.answer(got.status, got.read(), got.headers["Content-Type"])
        subject = (self.headers.get(plugin["subject"]["field"]) or "").strip()
        if not subject and DEFECT != "unknown-for-nobody":
            return
        subject = subject.lower() if DEFECT == "subject-in-lower-case" else subject or "unknown"
        path = self.path if DEFECT == "query-in-the-path" else self.path.partition("?")[0]
        data = {"request_uri": path, "request_method": self.command, "response_http_status": 200}
        for _ in range(2 if DEFECT == "billed-twice" else 1):
            event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "broken", "type": "kong.api_request"}
            with lock:
                waiting.append({**event, "subject": subject, "time": time_, "data": data})
                size = plugin.get("queue", {}).get("max_batch_size", 1)
                batch = [waiting.pop(0) for _ in range(size)] if len(waiting) >= size else None
            if batch:
                threading.Thread(target=deliver, args=(batch,)).start()

    do_POST = do_DELETE = do_GET  # noqa: N815


def deliver(batch):
    delay = plugin.get("queue", {}).get("initial_retry_delay", 0.01)
    for _ in range(5):
        body = json.dumps(batch if len(batch) > 1 else batch[0]).encode()
        kind = "application/cloudevents-batch+json" if len(batch) > 1 else "application/cloudevents+json"
        head = {"Content-Type": kind, "Authorization": f"Bearer {plugin['api_token']}"}
        try:
            urllib.request.urlopen(urllib.request.Request(plugin["ingest_endpoint"], body, head)).close()
            return
        except urllib.error.HTTPError:
            time.sleep(delay)
            delay *= 2
        if DEFECT == "new-ids-on-a-retry":
            batch = [{**event, "id": str(uuid.uuid4())} for event in batch]


servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for handler in (Proxy, Admin)]
for server in servers:
    threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps([f"http://127.0.0.1:{server.server_port}" for server in servers]), flush=True)
sys.stdin.read()
