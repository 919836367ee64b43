"""python httpx-sse.py URL: `httpx-sse` and the loop that its users write around it, until the event `end`."""

import json
import sys
import time

import httpx
from httpx_sse import connect_sse


def main(url):
    # Over HTTP/2 where the URL is https, from whoever has a certificate.
    options = {"timeout": 30, "http2": url.startswith("https:"), "verify": False}
    last_event_id = ""
    while True:
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        try:
            with httpx.Client(**options) as client, connect_sse(client, "GET", url, headers=headers) as source:
                for event in source.iter_sse():
                    print(json.dumps({"id": event.id, "event": event.event, "data": event.data}), flush=True)
                    last_event_id = event.id
                    if event.event == "end":
                        return
        except httpx.TransportError:
            pass
        time.sleep(0.1)


main(sys.argv[1])
