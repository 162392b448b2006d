"""Follows the change feed, with a lost connection made again where it was: `python3 follow.py [URL]`."""

import http.client
import json
import sys
import time
import urllib.request


def events(url):
    """Each event as its name and data. After `sync` with `missed`, read the lists again: events were lost."""
    position = ""
    while True:
        request = urllib.request.Request(f"{url}/api/v2/events", headers={"Last-Event-ID": position})
        try:
            with urllib.request.urlopen(request, timeout=40) as lines:  # the daemon sends something every 15 seconds
                fields = {}
                for line in lines:
                    if line != b"\n":
                        name, _, value = line.decode().rstrip("\n").partition(": ")
                        fields[name] = value
                        continue
                    position = fields.get("id", position)
                    if "event" in fields:
                        yield fields["event"], json.loads(fields["data"])
                    fields = {}
        except (OSError, http.client.HTTPException) as error:
            print(f"disconnected: {error}", file=sys.stderr)
        time.sleep(2)


if __name__ == "__main__":
    for name, data in events(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"):
        print(name, data.get("kind", ""), data.get("generation", data.get("generations")), flush=True)
