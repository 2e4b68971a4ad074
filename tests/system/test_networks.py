"""Networks, VLANs, bonds and interfaces through the API: each method in its good way and in its refusals, with the pool's own records
looked at afterwards."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from test_api import until  # noqa: E402
from test_machines import Pool  # noqa: E402

NULL = "OpaqueRef:NULL"


class Networks(Pool):
    SIM = ("--hosts", 2, "--vms", 2, "--running", "1", "--boot-delay", "0.2", "--disk-size", "16MiB", "--seed", 61)

    def setUp(self):
        self.pool_id = self.only(type="pool")["id"]
        self.xapi = self.sim.session()
        self.addCleanup(self.xapi.proxy("close"))

    def all(self, cls):
        return self.xapi.call(f"{cls}.get_all_records")

    def state(self):
        """What the refused must not change."""
        return {cls: sorted(self.all(cls)) for cls in ("network", "PIF", "VLAN", "Bond", "tunnel")}

    def host(self, nth=0):
        return sorted(self.objects(type="host"), key=lambda host: host["address"])[nth]["id"]

    def pif(self, device="eth1", host=None, vlan=-1):
        return next(pif for pif in self.objects(type="PIF") if pif["device"] == device and pif["vlan"] == vlan
                    and pif["$host"] == (host or self.host()))

    def refused_cleanly(self, code, method, words="", **params):
        before = self.state()
        error = self.refused(code, method, **params)
        self.assertIn(words, error.message)
        self.assertNotIn("OpaqueRef", error.message)
        self.assertEqual(self.state(), before)
        return error

    def vlan(self, tag, name=None):
        network = self.call("network.create", pool=self.pool_id, name=name or f"vlan {tag}", pif=self.pif()["id"], vlan=tag)
        self.addCleanup(self.call, "network.delete", id=network)
        return network

    # --- network.* ---

    def test_create(self):
        before = self.state()
        internal = self.call("network.create", pool=self.pool_id, name="inside")
        self.assertEqual((self.view(internal)["PIFs"], self.view(internal)["MTU"]), ([], 1500))
        self.assertEqual(self.view(internal)["name_description"], "Created with Xen Orchestra")
        network = self.call("network.create", pool=self.pool_id, name="tagged", description="", pif=self.pif()["id"], vlan=7, mtu=9000)
        view = self.view(network)
        self.assertEqual([(self.view(pif)["vlan"], self.view(pif)["device"]) for pif in view["PIFs"]], [(7, "eth1")] * 2)
        self.assertEqual({self.view(pif)["$host"] for pif in view["PIFs"]}, {self.host(0), self.host(1)})
        self.assertEqual((view["MTU"], view["automatic"], view["isBonded"]), (9000, False, False))
        error = self.refused_cleanly(16, "network.create", pool=self.pool_id, name="again", pif=self.pif()["id"], vlan=7)
        self.assertEqual(error.data, {"objectId": self.pif()["id"], "objectType": "PIF"})
        self.refused_cleanly(10, "network.create", "vlan", pool=self.pool_id, name="x", pif=self.pif()["id"], vlan=4095)
        self.refused_cleanly(10, "network.create", "mtu", pool=self.pool_id, name="x", mtu=67)
        self.refused_cleanly(1, "network.create", pool=self.pool_id, name="x", pif=network, vlan=7)
        self.refused_cleanly(-32000, "network.create", "that purpose", pool=self.pool_id, name="x", nbd=True)
        self.call("network.delete", id=network)
        self.call("network.delete", id=internal)
        self.assertEqual(self.state(), before)

    def test_delete(self):
        management = self.pif("eth0")["$network"]
        self.refused_cleanly(-32000, "network.delete", "interface", id=management)
        vm = self.objects(type="VM")[0]["id"]
        network = self.vlan(8)
        vif = self.call("vm.createInterface", vm=vm, network=network)
        self.assertIn("VIF", self.refused_cleanly(-32000, "network.delete", id=network).message)
        self.call("vif.disconnect", id=vif)
        self.call("vif.delete", id=vif)
        self.refused_cleanly(1, "network.delete", id=vm)

    def test_set(self):
        network = self.vlan(9)
        self.call("network.set", id=network, name_label="named", name_description="", automatic=True, defaultIsLocked=True, mtu=1400)
        view = self.view(network)
        self.assertEqual((view["name_label"], view["name_description"], view["automatic"], view["defaultIsLocked"], view["MTU"]),
                         ("named", "", True, True, 1400))
        self.refused_cleanly(10, "network.set", id=network, mtu=10)
        self.refused_cleanly(10, "network.set", id=network, name_label="")
        insecure = next(each for each in self.objects(type="network") if each["insecureNbd"])
        self.call("network.set", id=insecure["id"], nbd=True)
        self.assertEqual([self.view(insecure["id"])[key] for key in ("nbd", "insecureNbd")], [True, False])
        self.call("network.set", id=insecure["id"], nbd=False)
        self.assertEqual(self.record("network", insecure["id"])["purpose"], [])
        self.xapi.call("network.add_purpose", insecure["_xapiRef"], "insecure_nbd")

    def test_bonded(self):
        self.assertEqual(self.call("network.getBondModes"), ["balance-slb", "active-backup", "lacp"])
        for host in (0, 1):
            ref = self.view(self.host(host))["_xapiRef"]
            self.xapi.call("PIF.scan", ref)
        until(lambda: len([pif for pif in self.objects(type="PIF") if pif["device"] in ("eth2", "eth3")]) == 4, "what the scan found", 30)
        members = [self.pif(device)["id"] for device in ("eth2", "eth3")]
        before = self.state()
        answer = self.call("network.createBonded", pool=self.pool_id, name="pair", pifs=members, bondMode="lacp", mtu=9000)
        view = self.view(answer["uuid"])
        self.assertTrue(view["isBonded"])
        self.assertEqual((view["MTU"], len(view["PIFs"])), (9000, 2))
        for id_ in view["PIFs"]:
            pif = self.view(id_)
            self.assertTrue(pif["isBondMaster"] and pif["attached"] and not pif["physical"])
            self.assertEqual(sorted(self.view(slave)["device"] for slave in pif["bondSlaves"]), ["eth2", "eth3"])
            self.assertTrue(all(self.view(slave)["isBondSlave"] and self.view(slave)["bondMaster"] == id_ for slave in pif["bondSlaves"]))
        self.assertEqual({bond["mode"] for bond in self.all("Bond").values()}, {"lacp"})
        bonded = dict(pool=self.pool_id, name="x", bondMode="lacp")
        self.assertIn("PIF eth2", self.refused_cleanly(-32000, "network.createBonded", "another interface", pifs=members, **bonded).message)
        self.refused_cleanly(-32000, "pif.connect", "member of a bond", id=members[0])
        self.refused_cleanly(-32000, "network.create", "member of a bond", pool=self.pool_id, name="x", pif=members[0], vlan=3)
        on_bond = self.call("network.create", pool=self.pool_id, name="tagged", pif=view["PIFs"][0], vlan=3)
        self.assertEqual([self.view(pif)["device"] for pif in self.view(on_bond)["PIFs"]], ["bond0"] * 2)
        self.call("network.delete", id=on_bond)
        self.call("network.delete", id=answer["uuid"])
        self.assertEqual(self.state(), before)
        self.refused_cleanly(10, "network.createBonded", "2 to 8", pifs=members[:1], **bonded)
        self.refused_cleanly(10, "network.createBonded", "another host", pifs=[members[0], self.pif("eth3", self.host(1))["id"]], **bonded)
        self.refused_cleanly(10, "network.createBonded", pifs=members, pool=self.pool_id, name="x", bondMode="three-in-one")
        self.refused_cleanly(1, "network.createBonded", pifs=[members[0], self.pool_id], **bonded)
        tagged = self.vlan(11)
        self.refused_cleanly(10, "network.createBonded", "of the host itself", pifs=[members[0], self.view(tagged)["PIFs"][0]], **bonded)
        for host in (0, 1):
            for device in ("eth2", "eth3"):
                self.xapi.call("PIF.forget", self.pif(device, self.host(host))["_xapiRef"])

    # --- pif.* ---

    def test_plugging(self):
        pif = self.view(self.view(self.vlan(12))["PIFs"][0])["id"]
        self.call("pif.disconnect", id=pif)
        self.assertFalse(self.view(pif)["attached"])
        self.call("pif.connect", id=pif)
        self.assertTrue(self.view(pif)["attached"])
        management = self.pif("eth0")
        self.assertIn("PIF eth0", self.refused_cleanly(-32000, "pif.disconnect", "management", id=management["id"]).message)
        spare = self.pif()
        self.xapi.call("PIF.set_disallow_unplug", spare["_xapiRef"], True)
        self.refused_cleanly(-32000, "pif.disconnect", "never to be unplugged", id=spare["id"])
        self.xapi.call("PIF.set_disallow_unplug", spare["_xapiRef"], False)
        self.refused_cleanly(1, "pif.connect", id=self.pool_id)

    def test_in_use(self):
        """What a running machine hangs on stays."""
        network, vm = self.vlan(13), next(vm for vm in self.objects(type="VM") if vm["power_state"] == "Running")
        vif = self.call("vm.createInterface", vm=vm["id"], network=network)
        pif = next(each for each in self.view(network)["PIFs"] if self.view(each)["$host"] == vm["$container"])
        self.refused_cleanly(-32000, "pif.disconnect", "running virtual machine", id=pif)
        self.refused_cleanly(-32000, "pif.delete", "running virtual machine", id=pif)
        self.call("vif.disconnect", id=vif)
        self.call("vif.delete", id=vif)

    def test_pif_delete(self):
        network = self.vlan(14)
        pif = self.view(network)["PIFs"][0]
        self.call("pif.delete", id=pif)
        self.assertEqual(len(self.view(network)["PIFs"]), 1)
        self.assertEqual(len(self.all("VLAN")), 1)
        self.refused_cleanly(-32000, "pif.delete", "of the host itself", id=self.pif()["id"])
        self.refused_cleanly(1, "pif.delete", id=pif)

    def test_addresses(self):
        self.assertEqual(self.call("pif.getIpv4ConfigurationModes"), ["DHCP", "None", "Static"])
        self.assertEqual(self.call("pif.getIpv6ConfigurationModes"), ["Autoconf", "DHCP", "None", "Static"])
        pif = self.pif()["id"]
        self.call("pif.reconfigureIp", id=pif, mode="Static", ip="10.9.8.7", netmask="255.255.0.0", gateway="10.9.0.1", dns="10.9.0.2")
        view = self.view(pif)
        self.assertEqual([view[key] for key in ("mode", "ip", "netmask", "gateway", "dns")],
                         ["Static", "10.9.8.7", "255.255.0.0", "10.9.0.1", "10.9.0.2"])
        self.call("pif.reconfigureIp", id=pif, ip="10.9.8.9")
        self.assertEqual([self.view(pif)[key] for key in ("ip", "netmask")], ["10.9.8.9", "255.255.0.0"])
        self.refused(-32000, "pif.reconfigureIp", id=pif, ip="10.9.8.999")
        self.assertEqual(self.view(pif)["ip"], "10.9.8.9")
        self.call("pif.reconfigureIp", id=pif, ipv6Mode="Static", ipv6="fd00::7/64")
        self.assertEqual((self.view(pif)["ipv6Mode"], self.view(pif)["ipv6"]), ("Static", ["fd00::7/64"]))
        self.refused(-32000, "pif.reconfigureIp", id=pif, ipv6="seven")
        self.call("pif.reconfigureIp", id=pif, mode="DHCP")
        self.assertEqual(self.view(pif)["mode"], "DHCP")
        self.call("pif.reconfigureIp", id=pif, mode="None", ipv6Mode="None")
        self.refused(10, "pif.reconfigureIp", id=pif, mode="Magic")
        self.refused_cleanly(-32000, "pif.reconfigureIp", "management", id=self.pif("eth0")["id"], mode="None")

    def test_edit(self):
        network = self.vlan(15)
        down = self.view(network)["PIFs"][1]
        host = self.view(down)["$host"]
        self.call("pif.disconnect", id=down)
        self.call("pif.editPif", id=down, vlan="16")
        pifs = [self.view(pif) for pif in self.view(network)["PIFs"]]
        self.assertEqual({pif["vlan"] for pif in pifs}, {16})
        self.assertEqual({pif["$host"]: pif["attached"] for pif in pifs}[host], False)
        self.vlan(17)
        self.refused(16, "pif.editPif", id=pifs[0]["id"], vlan=17)
        pifs = [self.view(pif) for pif in self.view(network)["PIFs"]]
        self.assertEqual([pif["vlan"] for pif in pifs], [16, 16], "as it was")
        self.assertEqual({pif["$host"]: pif["attached"] for pif in pifs}[host], False)
        self.refused_cleanly(10, "pif.editPif", "4094", id=pifs[0]["id"], vlan="many")
        self.refused_cleanly(10, "pif.editPif", "eth1", id=self.pif()["id"], vlan=5)
    # --- pbd.* ---

    def test_attaching(self):
        sr = self.sr()["id"]
        running = [vm["$container"] for vm in self.objects(type="VM") if vm["power_state"] == "Running"]
        pbds = {self.view(pbd)["host"]: pbd for pbd in self.view(sr)["$PBDs"]}
        idle = next((host for host in pbds if host not in running), None)
        error = self.refused_cleanly(17, "pbd.disconnect", id=pbds[running[0]])
        self.assertEqual(error.data["operation"], "detach")
        if idle is None:
            idle = running[0]
            for vm in self.objects(type="VM", power_state="Running"):
                self.call("vm.stop", id=vm["id"], force=True)
                self.addCleanup(self.call, "vm.start", id=vm["id"])
        self.refused_cleanly(-32000, "pbd.delete", "attached", id=pbds[idle])
        self.call("pbd.disconnect", id=pbds[idle])
        self.assertFalse(self.view(pbds[idle])["attached"])
        self.call("pbd.connect", id=pbds[idle])
        self.assertTrue(self.view(pbds[idle])["attached"])
        self.call("pbd.disconnect", id=pbds[idle])
        self.call("pbd.delete", id=pbds[idle])
        self.assertEqual(len(self.view(sr)["$PBDs"]), 1)
        self.refused_cleanly(1, "pbd.connect", id=pbds[idle])
        self.xapi.call("PBD.plug", self.xapi.call("PBD.create", {"SR": self.view(sr)["_xapiRef"], "host": self.view(idle)["_xapiRef"],
                                                                 "device_config": {"server": "nas", "serverpath": "/x"},
                                                                 "other_config": {}}))


del Pool

if __name__ == "__main__":
    unittest.main()
