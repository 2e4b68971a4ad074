"""What stands in for a pool: an export of one disk as a VHD stream, over http and https, and the few XAPI
calls that lead to it. Both sides read from here; its own CPU is nobody's. The disk is a file, sent as it is."""
import http.server
import json
import os
import socketserver
import ssl
import subprocess
import threading

CHUNK_BYTES = 1 << 20


class Pool:
    """disk: the VHD to export. nbd: (port, certificate file or None) of its NBD export."""

    def __init__(self, disk, folder):
        self.disk, self.nbd = disk, None
        self.cert, self.key = folder / "server-cert.pem", folder / "server-key.pem"
        if not self.cert.exists():
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out", self.cert,
                            "-days", "3650", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                           check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        self.https = self.serve(context)
        self.http = self.serve(None)

    def serve(self, context):
        server = Server(("127.0.0.1", 0), Handler)
        server.pool, server.tls = self, context
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}"

    def call(self, method, params):
        if method == "session.login_with_password":
            return "OpaqueRef:session"
        if method == "task.create":
            return "OpaqueRef:task"
        if method == "task.get_record":
            return {"status": "success", "result": "", "progress": 1, "error_info": []}
        if method == "VDI.get_nbd_info":
            port, cert = self.nbd
            return [{"address": "127.0.0.1", "port": port, "exportname": "disk", "subject": "localhost",
                     **({"cert": cert.read_text()} if cert else {})}]
        if method in ("session.logout", "task.cancel", "task.destroy"):
            return ""
        raise LookupError(method)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def finish_request(self, request, client_address):
        if self.tls:
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address):
        pass  # a client that has enough goes away


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            reply["result"] = self.server.pool.call(request["method"], request["params"])
        except LookupError as error:
            reply["error"] = {"code": 1, "message": "MESSAGE_METHOD_UNKNOWN", "data": [str(error)]}
        self.answer(json.dumps(reply).encode())

    def do_GET(self):
        self.close_connection = True
        with open(self.server.pool.disk, "rb") as disk:
            size = os.fstat(disk.fileno()).st_size
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            self.wfile.flush()
            if not self.server.tls:
                self.connection.sendfile(disk)
                return
            buffer = memoryview(bytearray(CHUNK_BYTES))
            while n := disk.readinto(buffer):
                self.connection.sendall(buffer[:n])
