"""Disks and machines as files, out of a pool and back into it: qemu-img reads what we write, and writes what we read; what is cut, damaged
or of no use is refused, and nothing is left behind."""
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import threading
import unittest
import urllib.error
import urllib.request
import http.server

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from test_api import NOWHERE, until  # noqa: E402
from test_machines import MIB, Pool  # noqa: E402

QEMU = shutil.which("qemu-img")
QEMU_IO = shutil.which("qemu-io")
OPTIONS = {"vmdk": ["-o", "subformat=streamOptimized"], "vhd": ["-o", "subformat=dynamic,force_size=on"]}
QEMU_NAME = {"vhd": "vpc", "raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk"}


class Files(Pool):
    SIM = ("--hosts", 1, "--vms", 4, "--running", "0.5", "--boot-delay", "0.1", "--disk-size", "12MiB", "--allocated", "0.2", "--seed", 41)

    @classmethod
    def setUpClass(cls):
        if not QEMU:
            raise unittest.SkipTest("qemu-img is not here")
        super().setUpClass()

    type = "application/octet-stream"

    # --- going through an address that works once ---

    def get(self, method, **params):
        path = self.call(method, **params)["$getFrom"]
        with urllib.request.urlopen(self.server.url + path, timeout=120) as answer:
            body, said = answer.read(), answer.headers.get("content-length")
        self.assertIn(said, (None, str(len(body))))
        return body

    def send(self, body, method, **params):
        """(the result, the error)"""
        path = self.call(method, **params)["$sendTo"]
        request = urllib.request.Request(self.server.url + path, data=body, headers={"Content-Type": self.type})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["result"], None
        except urllib.error.HTTPError as error:
            self.assertEqual(error.code, 500)
            return None, json.loads(error.read())["error"]

    def give(self, body, method, **params):
        result, error = self.send(body, method, **params)
        self.assertIsNone(error)
        return result

    def convert(self, content, from_, to):
        """What qemu-img makes of an image."""
        source, target = self.folder / "source", self.folder / "target"
        source.write_bytes(content)
        subprocess.run([QEMU, "convert", "-f", QEMU_NAME[from_], "-O", QEMU_NAME[to], *OPTIONS.get(to, []), source, target], check=True,
                       capture_output=True, timeout=120)
        return target.read_bytes()

    def disk(self, vm):
        """The first one."""
        vbds = [vbd for vbd in self.objects(type="VBD", VM=vm) if not vbd["is_cd_drive"]]
        return self.view(min(vbds, key=lambda vbd: int(vbd["position"]))["VDI"])

    def raw(self, vdi):
        return self.get("disk.exportContent", id=vdi, format="raw")

    def everything(self):
        return {each["id"] for type_ in ("VM", "VM-snapshot", "VDI", "VDI-snapshot", "VIF") for each in self.objects(type=type_)}

    # --- disks ---

    def test_formats(self):
        disk, sr = self.disk(self.vm()["id"]), self.sr()["id"]
        plain = self.raw(disk["id"])
        self.assertEqual(hashlib.sha256(plain).hexdigest(), self.sim.digest(disk["id"]))
        for format_ in ("vhd", "vmdk", "qcow2", "raw"):
            with self.subTest(format_):
                image = self.get("disk.exportContent", id=disk["id"], format=format_)
                seen = self.convert(image, format_, "raw")[:len(plain)] # of a VHD it believes the geometry, which is a little less
                self.assertGreaterEqual(len(seen), len(plain) - MIB if format_ == "vhd" else len(plain))
                self.assertTrue(plain.startswith(seen), "as qemu-img reads it")
                theirs = self.convert(plain, "raw", format_)
                for content in (image, theirs):
                    made = self.give(content, "disk.import", name=f"from {format_}", sr=sr, type=format_, description="by a test")
                    view = self.view(made)
                    self.assertEqual((view["name_label"], view["name_description"], view["$SR"]), (f"from {format_}", "by a test", sr))
                    self.assertEqual(self.sim.digest(made), self.sim.digest(disk["id"]))
                    self.call("vdi.delete", id=made)
        made = self.give(plain, "disk.import", name="an image", sr=sr, type="iso")
        self.assertEqual(self.sim.digest(made), self.sim.digest(disk["id"]))
        empty = self.call("disk.create", name="to be filled", size=disk["size"], sr=sr)
        self.assertIs(self.give(self.get("disk.exportContent", id=disk["id"]), "disk.importContent", id=empty), True)
        self.assertEqual(self.sim.digest(empty), self.sim.digest(disk["id"]))
        for vdi in (made, empty):
            self.call("vdi.delete", id=vdi)

    def test_qcow2_in_any_order(self):
        """Compressed by zlib and by zstd, both among plain clusters; written from the end to the beginning; small and large clusters.
        Nothing stays in the data folder."""
        sr, plain = self.sr()["id"], os.urandom(3 * MIB) + bytes(2 * MIB) + b"some words. " * (MIB // 4) + os.urandom(MIB // 2)
        source, target = self.folder / "source", self.folder / "target"
        source.write_bytes(plain)
        for options in (["-c"], ["-c", "-o", "compression_type=zstd"], ["-c", "-o", "compat=0.10"], ["-c", "-o", "cluster_size=512"],
                        ["-c", "-o", "compression_type=zstd,cluster_size=2M"], ["-c", "-W", "-m", "16"], ["-W", "-m", "16"]):
            with self.subTest(" ".join(options)):
                subprocess.run([QEMU, "convert", *options, "-f", "raw", "-O", "qcow2", source, target], check=True, timeout=120)
                self.assert_taken(target, plain, sr)
        size = len(plain)
        for options in ([], ["-o", "compression_type=zstd"]):
            with self.subTest("backwards", options=options):
                subprocess.run([QEMU, "create", "-q", "-f", "qcow2", *options, target, str(size)], check=True, timeout=120)
                for at in range(size - MIB // 2, -1, -MIB // 2):
                    source.write_bytes(plain[at:at + MIB // 2])
                    packed = "-c " if at // (MIB // 2) % 2 else ""
                    subprocess.run([QEMU_IO, "-f", "qcow2", "-c", f"write {packed}-s {source} {at} {MIB // 2}", target], check=True,
                                   capture_output=True, timeout=120)
                self.assert_taken(target, plain, sr)

    def assert_taken(self, file, plain, sr):
        made = self.give(file.read_bytes(), "disk.import", name="in any order", sr=sr, type="qcow2")
        whole = plain.ljust(self.view(made)["size"], b"\0")
        self.assertEqual(self.sim.digest(made), hashlib.sha256(whole).hexdigest())
        self.call("vdi.delete", id=made)
        self.assertEqual([name for name in os.listdir(self.server.data) if name.startswith(".arriving")], [])

    def test_form(self):
        """A form as a browser sends it: the part "file" is the content."""
        disk, sr = self.disk(self.vm()["id"]), self.sr()["id"]
        image = self.get("disk.exportContent", id=disk["id"], format="vmdk")
        other = b'--=_x\r\nContent-Disposition: form-data; name="grainTable"; filename="blob"\r\n\r\n\0\1\r\n'

        def form(name):
            return other + b'--=_x\r\nContent-Disposition: form-data; name="%s"; filename="d.vmdk"\r\n\r\n' % name + image + b"\r\n--=_x--\r\n"
        self.type = 'multipart/form-data; boundary="=_x"'
        self.addCleanup(delattr, self, "type")
        new = dict(name="from a form", sr=sr, type="vmdk")
        made = self.give(form(b"file"), "disk.import", **new)
        self.assertEqual(self.sim.digest(made), self.sim.digest(disk["id"]))
        self.call("vdi.delete", id=made)
        before = self.everything()
        self.assertIn('"file"', self.send(form(b"disk"), "disk.import", **new)[1]["message"])
        self.assertTrue(self.send(form(b"file")[:-100], "disk.import", **new)[1])
        until(lambda: self.everything() == before, "nothing is left behind", 60)

    def test_disk_refusals(self):
        disk, sr = self.disk(self.vm()["id"]), self.sr()["id"]
        plain, before = self.raw(disk["id"])[:8 * MIB], self.everything()
        new = dict(name="never", sr=sr)
        for format_, option, words in (("vmdk", [], "streamOptimized"), ("qcow2", ["-o", "extended_l2=on"], "qemu-img convert")):
            source, target = self.folder / "plain", self.folder / "wrong"
            source.write_bytes(plain)
            subprocess.run([QEMU, "convert", *option, "-f", "raw", "-O", format_, source, target], check=True, capture_output=True)
            self.assertIn(words, self.send(target.read_bytes(), "disk.import", type=format_, **new)[1]["message"])
        for format_ in ("vhd", "vmdk", "qcow2"):
            image = self.convert(plain, "raw", format_)
            self.assertTrue(self.send(image[:len(image) * 2 // 3], "disk.import", type=format_, **new)[1], f"{format_} cut off")
            self.assertTrue(self.send(b"nonsense" * 1000, "disk.import", type=format_, **new)[1], f"no {format_}")
        self.sim.fault(kind="cut", path="/import_raw_vdi", at=1 << 20)
        self.assertTrue(self.send(plain, "disk.import", type="raw", **new)[1])
        until(lambda: self.everything() == before, "nothing is left behind", 60)
        self.refused(10, "disk.import", type="vdi", **new)
        self.refused(1, "disk.import", type="raw", name="x", sr=NOWHERE)
        self.refused(10, "disk.exportContent", id=disk["id"], format="iso")
        self.refused(10, "disk.import", type="raw", url="file:///etc/passwd", **new)
        self.sim.fault(kind="error", method="task.create", error=["INTERNAL_ERROR", "broken"])
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.get("disk.exportContent", id=disk["id"], format="qcow2")
        self.assertEqual(caught.exception.code, 500)
        caught.exception.close()

    def serve(self, files):
        """A web server with these files: its address."""
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                content = files.get(self.path)
                self.send_response(200 if content else 404)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                if self.command == "GET" and content:
                    self.wfile.write(content)

            do_HEAD = do_GET

            def log_message(self, *args):
                pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}"

    def test_from_addresses(self):
        vm, sr = self.vm(), self.sr()["id"]
        disk = self.disk(vm["id"])
        url = self.serve({"/disk.raw": self.raw(disk["id"]), "/machine.xva": self.get("vm.export", vm=vm["id"])})
        made = self.call("disk.import", name="fetched", sr=sr, type="raw", url=url + "/disk.raw")
        self.assertEqual(self.sim.digest(made), self.sim.digest(disk["id"]))
        self.call("vdi.delete", id=made)
        machine = self.call("vm.import", sr=sr, url=url + "/machine.xva")
        self.assertEqual(self.view(machine)["name_label"], vm["name_label"])
        self.call("vm.delete", id=machine)
        before = self.everything()
        self.sim.fault(kind="answer", method="/import", value="<value></value>")
        self.assertIn("made no machine of this archive", self.refused(-32000, "vm.import", sr=sr, url=url + "/machine.xva").message)
        for each in self.objects(type="VM"):
            if each["id"] not in before:  # it did, and nobody knows of it but the pool
                self.call("vm.delete", id=each["id"])
        self.assertIn("404", self.refused(-32000, "vm.import", sr=sr, url=url + "/nothing").message)
        self.refused(-32000, "disk.import", name="x", sr=sr, type="vhd", url=url + "/nothing")
        self.refused(10, "vm.import", sr=sr, type="ova", url=url + "/machine.xva")
        self.refused(10, "vm.import", sr=sr, url="ftp://127.0.0.1/x")
        until(lambda: self.everything() == before, "all as before", 60)

    # --- machines ---

    def test_xva(self):
        sr = self.sr()["id"]
        for state, more in (("Halted", {}), ("Running", {"compress": "zstd"})):
            vm = self.vm(state)
            archive = self.get("vm.export", vm=vm["id"], **more)
            made = self.view(self.give(archive, "vm.import", sr=sr))
            self.assertEqual(made["power_state"], "Halted")
            self.assertEqual(self.sim.digest(self.disk(made["id"])["id"]), self.sim.digest(self.disk(vm["id"])["id"]))
            self.call("vm.delete", id=made["id"])
            self.assertEqual(self.view(vm["id"])["snapshots"], [], "what was made for the export is gone")
        before = self.everything()
        self.assertTrue(self.send(archive[:len(archive) // 2], "vm.import", sr=sr)[1])
        until(lambda: self.everything() == before, "all as before", 60)
        self.call("vm.export", vm=vm["id"]) # nobody ever fetches it
        self.refused(1, "vm.import", sr=NOWHERE)
        self.refused(1, "vm.export", vm=NOWHERE)
        self.refused(10, "vm.export", vm=vm["id"], format="zip")

    def test_ova(self):
        vm, sr = self.vm(), self.sr()["id"]
        self.call("vm.set", id=vm["id"], name_label="wörk <1>", name_description="a & b", hvmBootFirmware="uefi", CPUs=2, memory="768 MiB")
        second = self.call("disk.create", name="second", size=6 * MIB, sr=sr, vm=vm["id"], position="6")
        archive = self.get("vm.export", vm=vm["id"], format="ova")
        request = urllib.request.Request(f"{self.server.url}/rest/v0/vms/{vm['id']}.ova",
                                         headers={"Cookie": "authenticationToken=" + self.server.env["CADENZA_TOKEN"]})
        with urllib.request.urlopen(request, timeout=120) as answer:
            self.assertEqual(answer.headers["content-length"], str(len(archive)))
            self.assertTrue(answer.read() == archive, "the same by REST")
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            names = tar.getnames()
            self.assertEqual([pathlib.Path(name).suffix for name in names], [".ovf", ".vmdk", ".vmdk"])
            first = tar.extractfile(names[1]).read()
        self.assertTrue(self.convert(first, "vmdk", "raw") == self.raw(self.disk(vm["id"])["id"]))
        made = self.view(self.give(archive, "vm.import", sr=sr, type="ova"))
        self.assertEqual((made["name_label"], made["name_description"], made["boot"]["firmware"]), ("wörk <1>", "a & b", "uefi"))
        self.assertEqual((made["CPUs"]["number"], made["memory"]["size"], made["blockedOperations"]), (2, 768 * MIB, {}))
        self.assertEqual(len(made["VIFs"]), len(vm["VIFs"]))
        disks = {vbd["position"]: vbd["VDI"] for vbd in self.objects(type="VBD", VM=made["id"]) if not vbd["is_cd_drive"]}
        self.assertEqual({at: self.sim.digest(vdi) for at, vdi in disks.items()},
                         {"0": self.sim.digest(self.disk(vm["id"])["id"]), "1": self.sim.digest(second)})
        self.call("vm.start", id=made["id"])
        self.call("vm.delete", id=made["id"])
        self.call("vm.set", id=vm["id"], name_label="work", hvmBootFirmware="bios")

    def ova(self, *files):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, content in files:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return out.getvalue()

    def test_ova_of_others(self):
        """As VMware's and VirtualBox's tools write them; then with the words of a client; then what is none."""
        sr, plain = self.sr()["id"], os.urandom(3 * MIB) + bytes(5 * MIB)
        vmdk = self.convert(plain, "raw", "vmdk")
        ovf = (pathlib.Path(__file__).resolve().parent.parent / "fuzz/corpus/ovf/vmware").read_bytes()
        made = self.view(self.give(self.ova(("web.ovf", ovf), ("web.mf", b"SHA256(web.ovf)= 00"), ("web-disk1.vmdk", vmdk)), "vm.import",
                                   sr=sr, type="ova"))
        self.assertEqual((made["name_label"], made["name_description"], made["CPUs"]["number"], made["memory"]["size"]),
                         ("web & more", "made by hand", 2, 2048 * MIB))
        self.assertEqual((made["boot"]["firmware"], len(made["VIFs"])), ("uefi", 1))
        self.assertEqual(self.raw(self.disk(made["id"])["id"]), plain)
        self.assertEqual(self.disk(made["id"])["name_label"], "Hard Disk 1")
        self.call("vm.delete", id=made["id"])
        network = next(each["id"] for each in self.objects(type="network"))
        data = {"nameLabel": "told", "descriptionLabel": "", "memory": 512 * MIB, "nCpus": 1, "networks": [network],
                "disks": {"a": {"capacity": 8 * MIB, "descriptionLabel": "", "nameLabel": "root", "path": "d.vmdk", "position": 0}}}
        made = self.view(self.give(self.ova(("d.vmdk", vmdk)), "vm.import", sr=sr, type="ova", data=data))
        self.assertEqual((made["name_label"], self.view(made["VIFs"][0])["$network"]), ("told", network))
        self.call("vm.delete", id=made["id"])
        before = self.everything()
        for archive, words in ((b"", "no OVA"), (b"nonsense" * 200, "no tar"), (self.ova(("d.vmdk", vmdk)), "begin with an OVF"),
                               (self.ova(("web.ovf", b"<a")), "no XML"), (self.ova(("web.ovf", ovf)), "0 of the 1 disks"),
                               (self.ova(("web.ovf", ovf), ("web-disk1.vmdk", vmdk[:70000])), "ends"),
                               (self.ova(("web.ovf", ovf), ("web-disk1.vmdk", vmdk))[:80000], "ends")):
            self.assertIn(words, self.send(archive, "vm.import", sr=sr, type="ova")[1]["message"])
        for method in ("VIF.create", "VDI.create", "VBD.create", "VM.set_name_label"):
            self.sim.fault(kind="error", method=method, error=["INTERNAL_ERROR", "broken"])
            archive = self.ova(("web.ovf", ovf), ("web-disk1.vmdk", vmdk))
            self.assertIn("broken", self.send(archive, "vm.import", sr=sr, type="ova")[1]["message"])
        self.refused(10, "vm.import", sr=sr, type="ova", data={"networks": [3]})
        until(lambda: self.everything() == before, "nothing is left behind", 60)


if __name__ == "__main__":
    unittest.main()
