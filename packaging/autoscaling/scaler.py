#!/usr/bin/env python3
"""The smallest receiver of focus.webhook: adds an instance when the bridges have much to do, drains one when they have little.

An example to begin with, for a group whose machines are made with cloud-init.yaml and terminate when they shut down.
GROW is the command that adds one, for example:
  aws autoscaling set-desired-capacity --auto-scaling-group-name bridges --desired-capacity {count}
It runs on the meet node, as the user of the service, and listens on 127.0.0.1:8000.
"""
import http.server, json, os, subprocess, time

GROW = os.environ["GROW"]
LEAST, MOST = int(os.environ.get("LEAST", 2)), int(os.environ.get("MOST", 20))
REST = 300  # seconds in which what was begun takes effect
last = 0.0


def act(news):
    global last
    count = news["bridges_usable"]
    if time.monotonic() - last < REST and last:
        return
    if news["event"] == "load-high" and count < MOST:
        subprocess.run(GROW.format(count=count + 1), shell=True, check=True)
    elif news["event"] == "load-low" and count > LEAST and news["least_loaded"]:
        # It moves its meetings to the others, ends, and its machine with it.
        subprocess.run(["pontoon", "drain", news["least_loaded"]], check=True)
    else:
        return
    last = time.monotonic()


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        if self.headers.get("Authorization") != "Bearer " + os.environ["TOKEN"]:
            return self.send_error(401)
        news = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print(json.dumps(news), flush=True)
        act(news)
        self.send_response(204)
        self.end_headers()


http.server.HTTPServer(("127.0.0.1", 8000), Receiver).serve_forever()
