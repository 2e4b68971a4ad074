"""The drive that tells a new machine who it is, read by others: FAT by mtools, its files by cloud-init's own code, in both of the forms it
knows; and what guests tell of their addresses, which clients wait for."""
import ipaddress
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import test_machines
from box import BUILD
from test_api import until

CLOUD_INIT = BUILD / "cloud-init/usr/lib/python3/dist-packages"
CONFIG = """#cloud-config
hostname: köln
users:
- name: admin
  ssh_authorized_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI]
packages: [qemu-guest-agent]
runcmd:
- [systemctl, enable, --now, qemu-guest-agent]
write_files:
- path: /etc/motd
  content: |
    one
    two
"""
NETWORK = """version: 2
ethernets:
  eth0:
    addresses: [10.0.0.7/24]
    gateway4: 10.0.0.1
"""
#: Runs in Debian's Python, which has what cloud-init needs: what its code makes of a folder.
READER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from cloudinit import util
from cloudinit.config.schema import SchemaValidationError, get_schema, validate_cloudconfig_schema
from cloudinit.sources.helpers import openstack
folder = sys.argv[2]
seed = util.pathprefix2dict(folder, required=["user-data", "meta-data"], optional=["vendor-data", "network-config"])
drive = openstack.ConfigDriveReader(folder).read_v2()
config = util.load_yaml(seed["user-data"])
validate_cloudconfig_schema(config, schema=get_schema(), strict=True)
try:
    validate_cloudconfig_schema(dict(config, packages=7), schema=get_schema(), strict=True)
    refused = False
except SchemaValidationError:
    refused = True
text = lambda value: value.decode() if isinstance(value, bytes) else value
print(json.dumps({"meta": util.load_yaml(seed["meta-data"]), "user": text(seed["user-data"]), "network": util.load_yaml(seed["network-config"]),
                  "uuid": drive["metadata"]["uuid"], "instance": drive["metadata"]["instance-id"], "user2": text(drive["userdata"]), "refused": refused}))
"""


class Drive(test_machines.Pool):
    def setUp(self):
        if not shutil.which("mcopy"):
            self.skipTest("mtools is not installed")
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-drive-"))
        self.addCleanup(shutil.rmtree, self.scratch)

    raw = test_machines.Machines.raw

    def mtools(self, *args):
        run = subprocess.run(args, capture_output=True, text=True, env={"MTOOLS_SKIP_CHECK": "0", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
        self.assertEqual((run.returncode, run.stderr), (0, ""), args)
        return run.stdout

    def make(self, **more):
        """The drive of a new machine, as a file."""
        template = next(each["id"] for each in self.objects(type="VM-template") if each["isDefaultTemplate"])
        id_ = self.call("vm.create", template=template, name_label="cloudy", cloudConfig=CONFIG, networkConfig=NETWORK,
                        VDIs=[dict(SR=self.sr()["id"], size="16 MiB", type="user")], **more)
        self.addCleanup(self.call, "vm.delete", id=id_)
        vdis = [self.view(vbd["VDI"]) for vbd in self.objects(type="VBD", VM=id_) if "VDI" in vbd]
        drive = next(vdi["id"] for vdi in vdis if vdi["name_label"] == "XO CloudConfigDrive")
        image = self.scratch / "drive.img"
        image.write_bytes(self.raw(drive))
        return id_, image

    def unpack(self, image):
        folder = self.scratch / "files"
        folder.mkdir()
        self.mtools("mcopy", "-s", "-i", str(image), "::*", str(folder))
        return folder

    def check(self, id_, folder):
        self.assertEqual((folder / "user-data").read_text(), CONFIG)
        self.assertEqual((folder / "openstack/latest/user_data").read_text(), CONFIG)
        self.assertEqual((folder / "network-config").read_text(), NETWORK)
        self.assertEqual((folder / "meta-data").read_text(), f"instance-id: {id_}\n")
        self.assertEqual(json.loads((folder / "openstack/latest/meta_data.json").read_text()), {"uuid": id_})

    def test_mtools(self):
        id_, image = self.make()
        self.assertIn("cidata", self.mtools("mlabel", "-s", "-i", str(image), "::").lower())
        self.assertEqual(self.mtools("mdir", "-b", "-/", "-i", str(image), "::").split(), [
            "::/meta-data", "::/user-data", "::/openstack/", "::/network-config", "::/openstack/latest/",
            "::/openstack/latest/meta_data.json", "::/openstack/latest/user_data"])
        self.assertIn("sector size: 512 bytes", self.mtools("minfo", "-i", str(image), "::"))
        self.check(id_, self.unpack(image))

    def test_windows(self):
        """What runs Windows gets the same in a partition."""
        id_, image = self.make(viridian=True)
        disk = image.read_bytes()
        self.assertEqual(disk[510:512], b"\x55\xaa")
        start, n = (int.from_bytes(disk[446 + at:450 + at], "little") for at in (8, 12))
        self.assertEqual(((start + n) * 512, disk[450], disk[462:510].strip(b"\0")), (len(disk), 0x0e, b""))
        self.assertIn("cidata", self.mtools("mlabel", "-s", "-i", f"{image}@@{start * 512}", "::").lower())
        part = self.scratch / "part.img"
        part.write_bytes(disk[start * 512:])
        self.check(id_, self.unpack(part))

    def test_cloud_init(self):
        if not CLOUD_INIT.is_dir():
            self.skipTest(f"{CLOUD_INIT} is not there: ./run test fetches it")
        id_, image = self.make()
        run = subprocess.run(["/usr/bin/python3", "-c", READER, str(CLOUD_INIT), str(self.unpack(image))], capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        got = json.loads(run.stdout.splitlines()[-1])
        self.assertEqual(got["meta"], {"instance-id": id_})
        self.assertEqual((got["user"], got["user2"]), (CONFIG, CONFIG))
        self.assertEqual(got["network"]["ethernets"]["eth0"]["addresses"], ["10.0.0.7/24"])
        self.assertEqual((got["uuid"], got["instance"]), (id_, id_))
        self.assertTrue(got["refused"], "its validator takes anything")

    def test_addresses(self):
        """expected_ip_cidr: each interface gets an address once the guest runs, under the name that clients wait for."""
        template = next(each["id"] for each in self.objects(type="VM-template") if each["isDefaultTemplate"])
        networks = [each["id"] for each in self.objects(type="network")[:2]]
        id_ = self.call("vm.create", template=template, name_label="told", VIFs=[dict(network=each) for each in networks], bootAfterCreate=True)
        self.addCleanup(self.call, "vm.delete", id=id_)
        until(lambda: len(self.view(id_)["addresses"]) == 2, "the addresses", 60)
        addresses = self.view(id_)["addresses"]
        self.assertEqual(set(addresses), {"0/ipv4/0", "1/ipv4/0"})
        for address in addresses.values():
            self.assertIn(ipaddress.ip_address(address), ipaddress.ip_network("10.0.0.0/8"))


if __name__ == "__main__":
    sys.exit(unittest.main())
