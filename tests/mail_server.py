"""A server of e-mail, which Python's aiosmtpd is (Debian's python3-aiosmtpd, for Debian's python): takes messages on a port of
127.0.0.1 and tells of each. `MailServer` starts it for a test; what it takes is read with Python's own parser of e-mail."""
import base64
import email
import email.policy
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

PYTHON = "/usr/bin/python3"
REFUSED = "nobody@example.org"
USER, PASSWORD = "mailer", "of-the-mailer-4711"


def missing():
    """Why there is no such server here, or None."""
    run = subprocess.run([PYTHON, "-c", "import aiosmtpd"], capture_output=True, check=False)
    return "python3-aiosmtpd is not installed" if run.returncode else None


class MailServer:
    """Modes: "plain"; "starttls": encryption is offered, and USER signs in once it is there; "tls": from the first byte on."""

    def __init__(self, mode="plain"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-mail-"))
        self.process = None
        if mode != "plain":
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=mail.example.org", "-keyout",
                            self.folder / "key", "-out", self.folder / "certificate"], check=True, capture_output=True)
        try:
            self.process = subprocess.Popen([PYTHON, __file__, mode, self.folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            self.port = json.loads(self.process.stdout.readline())["port"]
        except Exception:
            self.stop()
            raise

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
        shutil.rmtree(self.folder)

    def taken(self):
        """What was taken, in order: {"from", "to", "tls", "user", "message"}. It is written before the sender is told."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            each = json.loads(path.read_text())
            each["message"] = email.message_from_bytes(base64.b64decode(each["message"]), policy=email.policy.default)
            found.append(each)
        return found


def serve(mode, folder):
    import asyncio
    import ssl

    from aiosmtpd.smtp import SMTP, AuthResult

    class Handler:
        n = 0

        async def handle_RCPT(self, server, session, envelope, address, options):
            if address == REFUSED:
                return "550 5.1.1 there is nobody of this name"
            envelope.rcpt_tos.append(address)
            return "250 OK"

        async def handle_DATA(self, server, session, envelope):
            told = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": session.ssl is not None or mode == "tls",
                    "user": session.auth_data, "name": session.host_name, "message": base64.b64encode(envelope.original_content).decode()}
            self.n += 1
            written = folder / f"{self.n:04}.new"
            written.write_text(json.dumps(told))
            written.rename(folder / f"{self.n:04}.json")
            return "250 taken"

    def judge(server, session, envelope, mechanism, data):
        ok = data.login == USER.encode() and data.password == PASSWORD.encode()
        return AuthResult(success=ok, handled=ok, auth_data=USER if ok else None,
                          message=None if ok else "535 5.7.8 these are no credentials")

    async def run():
        context = None
        if mode != "plain":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(folder / "certificate", folder / "key")
        more = {"tls_context": context, "authenticator": judge, "auth_required": True} if mode == "starttls" else {}
        handler = Handler()
        server = await asyncio.get_running_loop().create_server(lambda: SMTP(handler, hostname="mail.example.org", **more), "127.0.0.1", 0,
                                                                ssl=context if mode == "tls" else None)
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await server.serve_forever()

    asyncio.run(run())


if __name__ == "__main__":
    serve(sys.argv[1], pathlib.Path(sys.argv[2]))
