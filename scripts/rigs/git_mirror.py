#!/usr/bin/env python3
"""Serves a folder of bare git repositories over HTTPS on loopback, read-only, through git's own http-backend.

`git_mirror.py FOLDER CERTIFICATE KEY PORT_FILE`; the port is written to PORT_FILE as soon as it listens.
"""
import http.server
import os
import ssl
import subprocess
import sys

ROOT, CERTIFICATE, KEY, PORT_FILE = sys.argv[1:5]
BODY_BYTES = 16 << 20


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def answer(self):
        path, _, query = self.path.partition("?")
        length = min(int(self.headers.get("Content-Length") or 0), BODY_BYTES)
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": ROOT,
            "GIT_HTTP_EXPORT_ALL": "1",
            # Whoever started this owns the repositories, also where $HOME is another's.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type") or "",
            "CONTENT_LENGTH": str(length),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
            "REMOTE_ADDR": self.client_address[0],
        }
        git = subprocess.run(
            ["git", "http-backend"], input=self.rfile.read(length), env=environment, capture_output=True, check=False
        )
        head, _, body = git.stdout.partition(b"\r\n\r\n")
        headers = [line.decode("latin-1").split(": ", 1) for line in head.split(b"\r\n") if b": " in line]
        status = next((value for name, value in headers if name.lower() == "status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            if name.lower() != "status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE, KEY)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
with open(PORT_FILE + ".part", "w", encoding="ascii") as file:
    file.write(str(server.server_port))
os.rename(PORT_FILE + ".part", PORT_FILE)
server.serve_forever()
