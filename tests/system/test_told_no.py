"""What methods refuse: every method in the ways that its own parameters tell, and every refusal that the code of the methods can
raise, from the rows of NO; each with its code and words, and with the pool (asked directly) and what the server keeps as they were.
What the code can raise and no row drives is an error of this test, unless ELSEWHERE names who drives it, or why nobody can."""
import functools
import io
import json
import os
import pathlib
import re
import shlex
import shutil
import sys
import tarfile
import tempfile
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import ROOT, Refused, until  # noqa: E402
from ledger import differences  # noqa: E402
from test_refusals import N_PARAMETERS, refusals_in_source as refusals_of_pool  # noqa: E402
from websocket import WebSocket  # noqa: E402
from world import NOWHERE, World  # noqa: E402

SUE = dict(email="sue", password="secret")
GIB = 1 << 30
#: (method, params, code, what the answer says); "$NAME" is what it is in examples, or a function of Refusing.
NO = [
    # --- people ---
    ("user.delete", {"id": "$ME"}, 10, "a user cannot delete itself"),
    ("user.delete", {"id": NOWHERE}, 1, "no such user"),
    ("user.set", {"id": "$ME", "permission": "none"}, 10, "a user cannot change its own permission"),
    ("user.set", {"id": NOWHERE, "email": "x"}, 1, "no such user"),
    ("user.create", {"email": "sue", "password": "x"}, None, "already exists"),
    ("user.create", {"email": "new", "password": "x", "permission": "some"}, 10, "permission: expected"),
    ("user.changePassword", {"oldPassword": "wrong", "newPassword": "x"}, 8, "invalid credentials"),
    ("user.removeAuthProvider", {"id": NOWHERE, "authProvider": "x"}, 1, "no such user"),
    ("token.create", {"expiresIn": "1 second"}, None, "expiresIn"),
    ("token.set", {"id": "none"}, 1, "no such authenticationToken"),
    ("group.set", {"id": NOWHERE, "name": "x"}, 1, "no such group"),
    ("group.delete", {"id": NOWHERE}, 1, "no such group"),
    ("group.setUsers", {"id": NOWHERE, "userIds": []}, 1, "no such group"),
    ("group.addUser", {"id": NOWHERE, "userId": "$USER"}, 1, "no such group"),
    ("group.removeUser", {"id": NOWHERE, "userId": "$USER"}, 1, "no such group"),
    ("acl.add", {"subject": "$USER", "object": "$VM", "action": "owner"}, None, "action: expected viewer, operator or admin"),
    ("acl.explain", {"method": "vm.dance"}, 1, "no such method vm.dance"),
    ("system.methodSignature", {"method": "vm.dance"}, 1, "no such method vm.dance"),
    ("session.signIn", {"email": "sue", "password": "wrong"}, 3, "invalid credentials"),
    ("session.signInWithToken", {"token": "wrong"}, 3, "invalid credentials"),
    ("role.addPrivilege", {"roleId": "$ROLE", "resource": "nothing", "action": "read"}, 10, "resource: nothing is none that privileges are given on"),
    ("user.create", {"email": "x" * 300, "password": "x"}, None, "email: expected 1 to"),
    ("user.create", {"email": "x", "password": "x" * 10000}, None, "password: expected 1 to"),
    ("group.create", {"name": ""}, None, "name"),
    ("token.create", {"expiresIn": "a moment"}, None, "expiresIn: "),
    ("role.set", {"id": NOWHERE, "name": "x"}, 1, "no such"),
    ("role.copy", {"id": NOWHERE}, 1, "no such acl-role"),
    ("role.removePrivilege", {"id": NOWHERE}, 1, "no such"),
    ("ipPool.set", {"id": NOWHERE, "name": "x"}, 1, "no such ipPool"),
    ("vm.dance", {}, -32601, "method not found: vm.dance"),
    ("audit.checkIntegrity", {"newest": "$NO_RECORD"}, 22, "missing record"),
    ("xo.getAllObjects", {"filter": {"__or": 5}}, None, "filter: "),
    ("xo.exportConfig", {"entries": ["nonsense"]}, 10, "entries: there is no part nonsense"),
    ("task.abort", {"id": "$TASK"}, None, "has ended"),
    # --- records ---
    ("resourceSet.create", {"name": ""}, None, "name"),
    ("resourceSet.create", {"name": "x", "subjects": [5]}, None, "subjects"),
    ("cloudConfig.update", {"id": NOWHERE, "name": "x"}, 1, "no such cloud config"),
    ("cloudConfig.delete", {"id": NOWHERE}, 1, "no such cloud config"),
    ("resourceSet.get", {"id": NOWHERE}, 1, "no such resourceSet"),
    ("resourceSet.set", {"id": NOWHERE, "name": "x"}, 1, "no such resourceSet"),
    ("resourceSet.delete", {"id": NOWHERE}, 1, "no such resourceSet"),
    *((f"resourceSet.{verb}Object", {"id": NOWHERE, "object": "$SR"}, 1, "no such resourceSet") for verb in ("add", "remove")),
    *((f"resourceSet.{verb}Subject", {"id": NOWHERE, "subject": "$USER"}, 1, "no such resourceSet") for verb in ("add", "remove")),
    ("resourceSet.addLimit", {"id": NOWHERE, "limitId": "cpus", "quantity": 1}, 1, "no such resourceSet"),
    ("resourceSet.addLimit", {"id": "$RESOURCE_SET", "limitId": "cpus", "quantity": -1}, 10, "quantity: expected a number from 0"),
    ("resourceSet.removeLimit", {"id": NOWHERE, "limitId": "cpus"}, 1, "no such resourceSet"),
    ("resourceSet.create", {"name": "x", "limits": {"cpus": "many"}}, None, "limits.cpus: expected a number from 0"),
    ("remote.get", {"id": NOWHERE}, 1, "no such remote"),
    ("remote.set", {"id": NOWHERE, "name": "x"}, 1, "no such remote"),
    ("remote.delete", {"id": NOWHERE}, 1, "no such remote"),
    ("remote.test", {"id": NOWHERE}, 1, "no such remote"),
    ("remote.create", {"name": "x", "url": "file:///x/xo-vm-backups"}, 10, "remote url should not end with xo-vm-backups"),
    ("remote.create", {"name": "x", "url": "file:///x?encryptionKey=%22k%22"}, 10, "Encryption must be used with VHD directory"),
    ("server.remove", {"id": NOWHERE}, 1, "no such xenServer"),
    ("server.set", {"id": NOWHERE, "label": "x"}, 1, "no such xenServer"),
    ("server.enable", {"id": NOWHERE}, 1, "no such xenServer"),
    ("server.disable", {"id": NOWHERE}, 1, "no such xenServer"),
    ("server.enable", {"id": "$SERVER"}, 25, "incorrect state"),
    ("server.set", {"id": "$SERVER", "username": "x"}, None, "is connected: disconnect it before changing how"),
    ("server.add", {"host": "$SERVER_HOST", "username": "x", "password": "x", "autoConnect": False}, 16, "server already exists"),
    ("server.add", {"host": "other", "username": "x", "password": "x", "autoConnect": False, "httpProxy": "http://x"}, None, "proxies are not supported"),
    # --- jobs, backups ---
    ("job.get", {"id": NOWHERE}, 1, "no such job"),
    ("job.create", {"job": {"type": "backup", "key": "k", "method": "m"}}, 10, "type: expected \"call\""),
    ("job.set", {"job": {"name": "x"}}, 10, "job: expected an id"),
    ("job.set", {"job": {"id": NOWHERE, "name": "x"}}, 1, "no such job"),
    ("job.delete", {"id": NOWHERE}, 1, "no such job"),
    ("job.cancel", {"runId": NOWHERE}, 1, NOWHERE),
    ("job.runSequence", {"idSequence": [NOWHERE]}, 1, "no such job"),
    ("schedule.get", {"id": NOWHERE}, 1, "no such schedule"),
    ("schedule.set", {"id": NOWHERE, "enabled": False}, 1, "no such schedule"),
    ("schedule.delete", {"id": NOWHERE}, 1, "no such schedule"),
    ("schedule.create", {"jobId": "$JOB", "cron": "whenever"}, 10, "cron"),
    ("schedule.runSequence", {"schedules": [NOWHERE]}, 1, "no such schedule"),
    ("backupNg.getJob", {"id": NOWHERE}, 1, "no such job"),
    ("backupNg.editJob", {"id": NOWHERE, "name": "x"}, 1, "no such job"),
    ("backupNg.deleteJob", {"id": NOWHERE}, 1, "no such job"),
    ("backupNg.runJob", {"id": NOWHERE, "schedule": "x"}, 1, "no such job"),
    ("backupNg.createJob", {"mode": "delta", "vms": {}, "schedules": 1}, 10, "schedules"),
    ("backupNg.deleteVmBackup", {"id": "x"}, 10, "is not the id of a backup"),
    ("backupNg.deleteVmBackups", {"ids": ["x"]}, 10, "is not the id of a backup"),
    ("backupNg.importVmBackup", {"id": "x", "sr": "$SR"}, 10, "backup id .*: expected"),
    ("metadataBackup.getJob", {"id": NOWHERE}, 1, "no such job"),
    ("mirrorBackup.getJob", {"id": NOWHERE}, 1, "no such job"),
    *((f"plugin.{verb}", {"id": NOWHERE}, 1, "no such plugin") for verb in "load unload enableAutoload disableAutoload purgeConfiguration".split()),
    ("plugin.configure", {"id": NOWHERE, "configuration": {}}, 1, "no such plugin"),
    ("plugin.test", {"id": NOWHERE, "data": {}}, 1, "no such plugin"),
    ("plugin.load", {"id": "transport-email"}, 10, "plugin not configured: transport-email"),
    ("plugin.unload", {"id": "transport-email"}, 10, "plugin already unloaded: transport-email"),
    ("plugin.test", {"id": "transport-email", "data": {"to": "a@example.org"}}, 10, "plugin not loaded: transport-email"),
    ("plugin.configure", {"id": "transport-email", "configuration": {"from": {"address": "a@example.org"}}}, 10,
     "the configuration of plugin transport-email: must have required property 'transport'"),
    ("plugin.configure", {"id": "transport-email", "configuration": {"from": {"address": "nobody"}, "transport": {"host": "x"}}}, 10,
     "/from/address must match pattern"),
    ("job.create", {"job": {"type": "call", "name": "x", "key": "k", "method": "m", "paramsVector": {"type": "set"}}}, None, "paramsVector: set"),
    ("job.create", {"job": {"type": "call", "name": "x", "key": "k", "method": "m", "paramsVector": {"type": "dance"}}}, None, "Unsupported function 'dance'."),
    ("backupNg.createJob", {"name": "x", "mode": "delta", "vms": {"__or": 5}}, None, "vms: "),
    ("backupNg.createJob", {"name": "x", "mode": "delta", "vms": {}, "settings": {"": 5}}, None, "settings"),
    ("backupNg.createJob", {"name": "x", "mode": "delta", "vms": {}, "schedules": {"a": {"cron": "whenever"}}}, None, "schedules.*cron"),
    ("backupNg.runJob", {"id": "$NOBODYS_JOB", "schedule": "$NOBODYS_SCHEDULE"}, 27, "no VMs match this pattern"),
    ("backupNg.deleteVmBackup", {"id": "$NO_BACKUP"}, None, "is not the path of a backup"),
    ("backupNg.runJob", {"id": "$OFF_JOB", "schedule": "$OFF_SCHEDULE"}, None, "couldn't instantiate any remote: remote off .* is disabled: enable it"),
    ("backupNg.runJob", {"id": "$VAIN_JOB", "schedule": "$VAIN_SCHEDULE"}, None, "exportRetention is 0, so no backup would be kept"),
    ("remote.set", {"id": "$REPOSITORY", "url": "file:///x?encryptionKey=%22obfuscated-q3oi6d9X8uenGvdLnHk2%22&useVhdDirectory=true"}, 10, "contains an obfuscated secret and differs from the stored one"),
    # --- all objects ---
    ("tag.add", {"id": "$PBD", "tag": "x"}, 10, "objects of type PBD have no tags"),
    ("tag.remove", {"id": "$PBD", "tag": "x"}, 10, "objects of type PBD have no tags"),
    *((f"customField.{verb}", {"id": "$PBD", "name": "x", "value": "x"}, 10, "objects of type PBD have no custom fields") for verb in ("add", "set")),
    ("customField.remove", {"id": "$PBD", "name": "x"}, 10, "objects of type PBD have no custom fields"),
    # --- networks ---
    ("network.create", {"pool": "$POOL", "name": "x", "mtu": 20000000}, 10, "mtu: 20000000 is not between"),
    ("network.create", {"pool": "$POOL", "name": "x", "pif": "$PIF", "vlan": 5000}, 10, "vlan: 5000 is not between 0 and"),
    ("network.create", {"pool": "$POOL", "name": "x", "pif": "$FOREIGN_PIF", "vlan": 5}, 10, "is not an interface of pool"),
    ("network.create", {"pool": "$POOL", "name": "x", "pif": "$TAGGED_PIF_BASE", "vlan": "$TAGGED_TAG"}, 16, "PIF already exists"),
    ("network.createBonded", {"pool": "$POOL", "name": "x", "pifs": ["$VLAN_PIF", "$PIF"], "bondMode": "lacp"}, 10, "is no interface of the host itself"),
    ("network.createBonded", {"pool": "$POOL", "name": "x", "pifs": ["$FIRST_PIF", "$FOREIGN_PIF"], "bondMode": "lacp"}, 10, "is not an interface of pool"),
    ("network.createBonded", {"pool": "$POOL", "name": "x", "pifs": ["$FIRST_PIF", "$MEMBERS_PIF"], "bondMode": "lacp"}, 10, "is on another host"),
    ("network.createBonded", {"pool": "$POOL", "name": "x", "pifs": ["$FIRST_PIF"], "bondMode": "lacp"}, 10, "a bond has 2 to"),
    ("network.set", {"id": "$NETWORK", "mtu": 20000000}, 10, "mtu: 20000000 is not between"),
    ("network.delete", {"id": "$NETWORK"}, None, "PIF|VIF"),
    ("pif.editPif", {"id": "$VLAN_PIF", "vlan": "many"}, 10, "vlan: must be a number between 0 and"),
    ("pif.editPif", {"id": "$PIF", "vlan": 5}, 10, "has no VLAN that could be changed"),
    ("pif.disconnect", {"id": "$PIF"}, None, "PIF_IS_MANAGEMENT_INTERFACE"),
    ("pif.delete", {"id": "$PIF"}, None, "PIF_IS_PHYSICAL"),
    ("pif.reconfigureIp", {"id": "$VLAN_PIF", "mode": "Static", "ip": "nonsense", "netmask": "x"}, None, "INVALID_IP_ADDRESS_SPECIFIED"),
    ("pif.reconfigureIp", {"id": "$VLAN_PIF", "mode": "Guess"}, 10, "mode"),
    ("pbd.delete", {"id": "$PBD"}, None, "OPERATION_NOT_ALLOWED|attached"),
    # --- another pool that is odd ---
    ("vm.attachPcis", {"id": "$HALTED_VM", "pcis": ["$FOREIGN_PCI"]}, 10, "pcis: .* is not of the pool of VM"),
    ("vusb.create", {"vmId": "$HALTED_VM", "usbGroupId": "$FOREIGN_USB_GROUP"}, 10, "usbGroupId: .* is not of the pool of VM"),
    ("pool.listMissingPatches", {"host": "$OTHERS_HOST"}, None, "runs XenServer: updates are known of XCP-ng alone"),
    ("vm.migrate", {"vm": "$HALTED_VM", "targetHost": "$HOMELESS_HOST"}, 10, "sr: say where disk .* and the pool has no default one"),
    ("vm.migrate", {"vm": "$HALTED_VM", "targetHost": "$UNMANAGED_HOST", "sr": "$FOREIGN_SR"}, 10, "has no management interface, name one"),
    ("vm.import", {"sr": "$UNMANAGED_SR", "type": "ova"}, None, "the pool has no management network"),
    ("sm.getFromSr", {"sr": "$TAPE_SR"}, None, "the pool has no driver for storages of type tape"),
    # --- hosts, pools ---
    ("host.start", {"id": "$MEMBER"}, None, "HOST_POWER_ON_MODE_DISABLED"),
    ("pool.managementReconfigure", {"pool": "$POOL", "network": "$FOREIGN_NETWORK"}, 10, "is not a network of pool"),
    ("pool.installPatches", {}, 10, "name the pool, or the hosts"),
    ("pool.installPatches", {"pool": "$POOL", "patches": ["x"]}, None, "installs all updates that wait, not single ones"),
    ("pool.enableHa", {"pool": "$HA_POOL", "heartbeatSrs": ["$SR"], "configuration": {}}, None, "HA_IS_ENABLED"),
    ("pool.rollingReboot", {"pool": "$HA_POOL"}, None, "high availability is on"),
    ("pool.rollingReboot", {"pool": "$LAME_POOL"}, None, "is down: all hosts must run"),
    ("host.installCertificate", {"id": "$HOST", "certificate": "none", "privateKey": "none"}, None, "SERVER_CERTIFICATE"),
    ("host.setSchedulerGranularity", {"host": "$HOST", "schedulerGranularity": "thread"}, 10, "schedulerGranularity"),
    ("host.stats", {"host": "$HOST", "granularity": "years"}, 10, "granularity: expected seconds, minutes, hours or days"),
    ("host.detach", {"id": "$MASTER"}, None, "master"),
    ("host.forget", {"id": "$MEMBER"}, None, "is up"),
    # --- storage ---
    ("sr.destroy", {"id": "$SR"}, None, r"has \d+ disks: delete them"),
    ("sr.forget", {"id": "$INDESTRUCTIBLE_SR"}, None, "SR_INDESTRUCTIBLE"),
    ("sr.create", {"host": "$HOST", "SR_type": "nfs", "name_label": "x", "device_config": {"server": 1}}, 10, "device_config: server must be a text"),
    ("sr.createNfs", {"host": "$HOST", "nameLabel": "x", "nameDescription": "", "server": "gone.invalid", "serverPath": "/x"}, None, ""),
    ("sr.createLvm", {"host": "$HOST", "nameLabel": "x", "nameDescription": "", "device": "$TAKEN_DEVICE"}, None, "SR_DEVICE_IN_USE|in use"),
    ("sr.reclaimSpace", {"id": "$DETACHED_SR"}, None, "is attached to no host: attach it first"),
    ("sr.reclaimSpace", {"id": "$SR"}, None, "not supported"),
    ("sr.enableMaintenanceMode", {"id": "$BUSY_SR"}, 25, "has disks on SR .* and runs: name it in vmsToShutdown"),
    ("sr.enableMaintenanceMode", {"id": "$MAINTAINED_SR"}, 25, "is already in maintenance mode"),
    ("sr.disableMaintenanceMode", {"id": "$SPARE_SR"}, 25, "is not in maintenance mode"),
    ("disk.create", {"name": "x", "size": GIB, "sr": "$FOREIGN_SR", "vm": "$VM"}, 10, "is not in the pool of VM"),
    ("disk.create", {"name": "x", "size": "a lot", "sr": "$SR"}, 10, "size: .* is no size: expected bytes"),
    ("disk.import", {"sr": "$SR", "name": "x", "type": "raw", "url": "ftp://nas/disk"}, 10, "begins with neither http:// nor https://"),
    ("vm.import", {"sr": "$SR", "url": "$NO_PAGE"}, None, "the server behind the url answered HTTP 404"),
    ("vm.import", {"sr": "$SR", "url": "ftp://nas/machine"}, 10, "begins with neither http:// nor https://"),
    ("vm.import", {"sr": "$SR", "url": "http://nas/machine", "type": "ova"}, 10, "URL import is only compatible with XVA"),
    ("vm.import", {"sr": "$SR", "type": "ova", "data": {"networks": [5]}}, 10, "data: networks: 0: expected a network of the pool"),
    ("vdi.set", {"id": "$DISK", "size": 512}, 10, r"cannot set new size \(512\) below the current size"),
    ("vdi.delete", {"id": "$PLUGGED_DISK"}, None, "VDI_IN_USE|in use"),
    ("vdi.migrate", {"id": "$DISK", "sr_id": "$FOREIGN_SR"}, 10, "sr_id: storage .* is not in the pool of disk"),
    ("vdi.migrate", {"id": "$DISK", "sr_id": NOWHERE}, 1, "no such SR"),
    # --- devices ---
    ("vbd.create", {"VM": "$VM"}, 10, "VDI: a device that is not empty needs a disk"),
    ("vbd.create", {"VM": "$VM", "VDI": "$FOREIGN_DISK"}, 10, "VDI: .* is not in the pool of VM"),
    ("vbd.set", {"id": "$VBD", "position": 256}, 10, "position: 256 is none, they go from 0 to"),
    ("vbd.set", {"id": "$PLUGGED_VBD", "position": 0}, 10, "is taken by a device that is in use: stop the VM first"),
    ("vbd.connect", {"id": "$PLUGGED_VBD"}, None, "DEVICE_ALREADY_ATTACHED"),
    ("vbd.connect", {"id": "$VBD"}, 13, "VM state is .* but should be"),
    ("vbd.disconnect", {"id": "$UNPLUGGED_VBD"}, None, "DEVICE_ALREADY_DETACHED"),
    ("vif.connect", {"id": "$VIF"}, 13, "VM state is .* but should be"),
    ("vif.set", {"id": "$VIF", "lockingMode": "ajar"}, 10, "lockingMode"),
    ("vif.set", {"id": "$VIF", "network": "$VM"}, 1, "no such network"),
    ("vm.createInterface", {"vm": "$CROWDED_VM", "network": "$NETWORK"}, 10, "can have no more interfaces"),
    ("vm.createInterface", {"vm": "$SPARE_VM", "network": "$NETWORK", "mac": "nonsense"}, None, "MAC_INVALID"),
    ("vm.attachDisk", {"vm": "$VM", "vdi": "$DISK", "position": "999"}, None, "INVALID_DEVICE|position"),
    ("vm.insertCd", {"id": "$LOADED_VM", "cd_id": "$ISO", "force": False}, None, "VBD_NOT_EMPTY"),
    ("vm.setBootOrder", {"vm": "$PV_VM", "order": "c"}, 10, "You can only set the boot order on a HVM guest"),
    # --- power ---
    ("vm.start", {"id": "$RUNNING_VM"}, 13, "VM state is .* but should be"),
    ("vm.start", {"id": "$BLOCKED_VM"}, 5, "forbidden operation: Start"),
    ("vm.recoveryStart", {"id": "$PV_VM"}, 10, "is paravirtualized and boots from no drive"),
    ("vm.recoveryStart", {"id": "$BLOCKED_VM"}, 5, "forbidden operation"),
    ("vm.stop", {"id": "$HALTED_VM"}, 13, "VM state is .* but should be"),
    ("vm.stop", {"id": "$TOOLLESS_VM"}, 10, "clean shutdown requires PV drivers"),
    ("vm.restart", {"id": "$HALTED_VM"}, 13, "VM state is .* but should be"),
    ("vm.pause", {"id": "$HALTED_VM"}, 13, "VM state is .* but should be"),
    ("vm.suspend", {"id": "$HALTED_VM"}, 13, "VM state is .* but should be"),
    ("vm.resume", {"id": "$HALTED_VM"}, 13, "VM state is .* but should be"),
    ("vm.setAndRestart", {"id": "$HALTED_VM", "CPUs": 1}, 13, "VM state is .* but should be"),
    ("vm.stats", {"id": "$HALTED_VM"}, 25, "incorrect state"),
    ("vm.stats", {"id": "$RUNNING_VM", "granularity": "years"}, 10, "granularity: expected"),
    # --- settings ---
    ("vm.set", {"id": "$HALTED_VM", "cpusMax": 0}, 10, "cpusMax: expected a number from 1"),
    ("vm.set", {"id": "$RUNNING_VM", "memoryStaticMax": 8 * GIB}, 10, "Cannot change memory on running VM"),
    ("vm.set", {"id": "$VM", "memory": "a lot"}, 10, "memory: .* is no size"),
    ("vm.set", {"id": "$VM", "vga": "green"}, 10, "vga: expected one of"),
    ("vm.set", {"id": "$VM", "notes": "n" * 2049}, 10, "notes: more than 2048 characters"),
    ("vm.set", {"id": "$VM", "videoram": 3}, 10, "videoram: expected 1, 2, 4, 8 or 16 MiB"),
    ("vm.set", {"id": "$VM", "xenStoreData": {"a": 1}}, 10, "xenStoreData: a: expected text or null"),
    ("vm.set", {"id": "$VM", "share": True}, 10, "is in no resource set: there is nobody to share it with"),
    ("vm.set", {"id": "$VM", "resourceSet": NOWHERE}, 1, "no such resourceSet"),
    # --- making and unmaking ---
    ("vm.create", {"template": "$TEMPLATE", "name_label": "x", "vgpuType": "x"}, 0, "the parameter vgpuType of vm.create"),
    ("vm.create", {"template": "$TEMPLATE", "name_label": "x", "acls": [{}]}, 10, "acls/0: expected a subject and an action"),
    ("vm.create", {"template": "$TEMPLATE", "name_label": "x", "VDIs": [{"type": "user"}]}, 10, "VDIs: a new disk needs an SR and a size"),
    ("vm.create", {"template": "$DISK_TEMPLATE", "name_label": "x", "VDIs": [{"userdevice": "0", "size": 512}]}, 10, "cannot set new size"),
    ("vm.create", {"template": "$TEMPLATE", "name_label": "x", "VIFs": [{}]}, 10, "VIFs/0: expected a network"),
    ("vm.create", {"template": "$TEMPLATE", "name_label": "x", "VIFs": [{"network": "$NETWORK"}] * 8}, 10, "the VM can have no interface number 7"),
    ("vm.create", {"template": "$TEMPLATE", "name_label": "x", "cloudConfig": "#cloud-config"}, 10, "the VM has no disk beside which the drive could be"),
    ("vm.create", {"template": "$TEMPLATE", "name_label": "x", "resourceSet": NOWHERE}, 1, "no such resourceSet"),
    ("vm.delete", {"id": "$UNDYING_VM"}, 5, "forbidden operation: destroy"),
    ("vm.delete", {"id": "$TEMPLATE"}, 25, "incorrect state"),
    ("vm.convertToTemplate", {"id": "$RUNNING_VM"}, 13, "VM state is .* but should be"),
    ("vm.convert", {"id": "$RUNNING_VM"}, 13, "VM state is .* but should be"),
    ("vm.revert", {"snapshot": "$ORPHAN"}, 10, "the VM of snapshot .* is gone"),
    ("vm.createCloudInitConfigDrive", {"vm": "$VM", "sr": "$FOREIGN_SR", "config": "x"}, 10, "is not in the pool of VM"),
    ("vm.migrate", {"vm": "$RUNNING_VM", "targetHost": "$OTHER_HOST", "mapVdisSrs": {"$DISK": 5}}, 10, "must be mapped to the id of a SR"),
    ("vm.migrate", {"vm": "$RUNNING_VM", "targetHost": "$OTHER_HOST", "mapVdisSrs": {"$DISK": "$FOREIGN_SR"}}, 10, "mapVdisSrs: SR .* is not in the pool of host"),
    ("vm.migrate", {"vm": "$RUNNING_VM", "targetHost": "$OTHER_HOST", "sr": "$FOREIGN_SR"}, 10, "sr: .* is not in the pool of host"),
    ("vm.migrate", {"vm": "$RUNNING_VM", "targetHost": "$OTHER_HOST", "migrationNetwork": "$FOREIGN_NETWORK"}, 10, "migrationNetwork: .* is not in the pool of host"),
    ("vm.migrate", {"vm": "$PINNED_VM", "targetHost": "$OTHER_HOST"}, None, "does not move to host|blocked"),
    # --- the last, as from here on the other pool is closed ---
    ("network.set", {"id": "$SEALED_NETWORK", "name_description": "x"}, None, "the server of this pool is set to read only"),
]
#: What the pool answers in place of the truth: its call, the answer, and what is said of it.
POOL_LIES = [
    ("host.call_plugin", "nonsense", "host.getIpmiSensors", {"id": "$HOST"}, "ipmitool.py answered what is no JSON"),
    ("host.call_plugin", "nonsense", "host.getMdadmHealth", {"id": "$HOST"}, "raid.py answered what is no JSON"),
    ("host.call_plugin", "nonsense", "pool.listMissingPatches", {"host": "$HOST"}, "updater.py answered what is no JSON"),
    ("host.call_plugin", "{}", "pool.listMissingPatches", {"host": "$HOST"}, "updater.py answered no list"),
    ("host.call_plugin", "nonsense", "sr.probeZfs", {"host": "$HOST"}, "its list of ZFS pools with what is no JSON"),
    ("host.call_plugin", "it is busy", "vm.coalesceLeaf", {"id": "$VM"}, "were not merged: the host says it is busy"),
    ("SR.probe", "nonsense", "sr.probeNfsExists", {"host": "$HOST", "server": "nas", "serverPath": "/x"}, "the probe with what is no list"),
    ("host.get_servertime", "yesterday", "host.stats", {"host": "$HOST", "granularity": "seconds"}, '"yesterday" is no time'),
    ("host.get_servertime", "20200101T00:00:00Z", "host.stats", {"host": "$HOST", "granularity": "seconds"}, "are the clocks of the pool right"),
]
#: An OVF whose disk is packed.
PACKED = b'''<Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="r">
<References><File ovf:id="f" ovf:href="a.vmdk" ovf:compression="gzip"/></References>
<DiskSection><Disk ovf:diskId="d" ovf:fileRef="f" ovf:capacity="1048576"/></DiskSection>
<VirtualSystem ovf:id="x"><VirtualHardwareSection><Item><rasd:ResourceType>17</rasd:ResourceType><rasd:HostResource>ovf:/disk/d</rasd:HostResource>
</Item></VirtualHardwareSection></VirtualSystem></Envelope>'''
#: What is sent after the call: (method, params, what is sent, what the answer to that says).
SENT_NO = [
    ("xo.importConfig", {}, b"nonsense", "the configuration is not JSON: line 1"),
    ("xo.importConfig", {}, b"[]", "the configuration must be an object of lists"),
    ("xo.importConfig", {}, b"\x1f\x8b nonsense", "the configuration: "),
    ("xo.importConfig", {}, "$SEALED", "this configuration is sealed: give its passphrase"),
    ("xo.importConfig", {"passphrase": "wrong"}, "$SEALED", "the configuration: "),
    ("xo.importConfig", {}, {"users": 5}, "users: expected a list"),
    ("xo.importConfig", {}, {"tags": [{"id": "t"}] * 100001}, "tags: more than 100000 records"),
    ("xo.importConfig", {}, {"users": [5]}, r"users\[0\]: expected an object"),
    ("xo.importConfig", {}, {"users": [{"id": ""}]}, r"users\[0\]: id: expected a text of 1 to"),
    ("xo.importConfig", {}, {"tags": [{"id": "t"}, {"id": "t"}]}, r"tags\[1\]: id: t is there twice"),
    ("xo.importConfig", {}, {"users": [{"id": "u"}]}, r"users\[0\]: email: expected a text of 1 to"),
    ("xo.importConfig", {}, {"users": [{"id": "u", "email": "x"}, {"id": "v", "email": "X"}]}, r"users\[1\]: email: X is there twice"),
    ("xo.importConfig", {}, {"users": [{"id": "u", "email": "x", "preferences": 5}]}, "preferences: expected an object"),
    ("xo.importConfig", {}, {"groups": [{"id": "g", "name": "x", "users": 5}]}, r"groups\[0\]: users: expected a list"),
    ("xo.importConfig", {}, {"users": [{"id": "$ME", "email": "admin@admin.net", "permission": "none"}]}, "no administrator who can sign in would remain"),
    ("xo.importConfig", {}, {"authTokens": [{"id": "t", "user_id": "$ME"}]}, "expiration: expected a time in milliseconds"),
    ("xo.importConfig", {}, {"privileges": [{"id": "p", "roleId": "$ROLE", "resource": "vm", "action": "read", "effect": "perhaps"}]},
     "effect: expected allow or deny"),
    ("vm.import", {"sr": "$SR", "type": "ova"}, {}, "the archive is empty: it is no OVA"),
    ("vm.import", {"sr": "$SR", "type": "ova"}, {"readme.txt": b"x"}, "the archive does not begin with an OVF but with readme.txt"),
    ("vm.import", {"sr": "$SR", "type": "ova"}, {"x.ovf": 9 << 20}, r"the OVF has more than \d+ bytes"),
    ("vm.import", {"sr": "$SR", "type": "ova", "data": {"nameLabel": "x", "disks": [{"path": "a.vmdk", "nameLabel": "a", "capacity": 1 << 20}]}},
     {"x.ovf": b""}, "the archive holds 0 of the 1 disks of the machine"),
    ("vm.import", {"sr": "$SR", "type": "ova"}, {"x.ovf": PACKED, "a.vmdk": b"x"}, "disk a.vmdk is in gzip inside the archive"),
    ("disk.import", {"sr": "$SR", "name": "x", "type": "vhd"}, b"short", "this is no VHD: it has 5 bytes"),
]
#: As somebody without rights.
NO_RIGHTS = [
    ("user.set", {"id": "$SUES", "permission": "admin"}, 10, "this properties can only changed by an administrator"),
    ("user.set", {"id": "$ME", "preferences": {}}, 2, "not enough permissions"),
    ("acl.explain", {"method": "vm.start", "user": "$ME"}, 2, "not enough permissions"),
    ("resourceSet.get", {"id": "$RESOURCE_SET"}, 2, "not enough permissions"),
    ("vm.set", {"id": "$HER_VM", "resourceSet": None}, 2, "not enough permissions"),
    ("vm.set", {"id": "$HER_VM", "CPUs": 6}, 24, "not enough resources"),
    ("vm.clone", {"id": "$HER_VM", "name": "x", "full_copy": False}, 24, "not enough resources"),
    ("vm.copy", {"vm": "$HER_VM", "sr": "$SR", "name": "x"}, 24, "not enough resources"),
    ("disk.create", {"name": "x", "size": 9 * GIB, "sr": "$SR", "vm": "$HER_VM"}, 24, "not enough resources"),
    ("vm.create", {"template": "$TEMPLATE", "name_label": "x"}, 2, "not enough permissions"),
]
#: What the pool refuses: the call of its that fails, with the example's parameters.
POOL_SAYS_NO = {
    "customField.add": "VM.add_to_other_config", "disk.create": "VDI.create", "disk.import": "VDI.create", "host.disable": "host.disable",
    "host.enable": "host.enable", "host.restartAgent": "host.restart_agent", "host.scanPifs": "PIF.scan", "host.set": "host.set_name_description",
    "host.setMaintenanceMode": "host.disable", "host.setRemoteSyslogHost": "host.remove_from_logging", "host.setSchedulerGranularity": "host.set_sched_gran",
    "message.delete": "message.destroy", "network.create": "network.create", "network.createBonded": "Bond.create", "network.delete": "network.destroy",
    "network.set": "network.set_name_description", "pbd.connect": "PBD.plug", "pbd.delete": "PBD.destroy", "pbd.disconnect": "PBD.unplug",
    "pif.connect": "PIF.plug", "pif.delete": "PIF.destroy", "pif.disconnect": "PIF.unplug", "pif.editPif": "VLAN.destroy",
    "pif.reconfigureIp": "PIF.reconfigure_ip", "pool.disableHa": "pool.disable_ha", "pool.enableHa": "pool.enable_ha", "pool.set": "pool.set_name_description",
    "pool.setDefaultSr": "pool.set_default_SR", "sr.connectAllPbds": "PBD.plug", "sr.disconnectAllPbds": "PBD.unplug", "sr.createNfs": "SR.create",
    "sr.createExt": "SR.create", "sr.createIso": "SR.create", "sr.createSmb": "SR.create", "sr.destroy": "SR.destroy", "sr.forget": "SR.forget",
    "sr.scan": "SR.scan", "sr.set": "SR.set_name_description", "tag.add": "VM.add_tags", "task.cancel": "task.cancel", "task.destroy": "task.destroy",
    "vbd.connect": "VBD.plug", "vbd.create": "VBD.create", "vbd.delete": "VBD.destroy", "vbd.disconnect": "VBD.unplug", "vbd.setBootable": "VBD.set_bootable",
    "vdi.create": "VDI.create", "vdi.delete": "VDI.destroy", "vdi.migrate": "VDI.pool_migrate", "vdi.set": "VDI.set_name_label", "vif.connect": "VIF.plug",
    "vif.delete": "VIF.destroy", "vif.disconnect": "VIF.unplug_force", "vm.attachDisk": "VBD.create", "vm.clone": "VM.clone", "vm.copy": "VM.copy",
    "vm.convertToTemplate": "VM.set_is_a_template", "vm.copyToTemplate": "VM.set_is_a_template", "vm.create": "VM.clone", "vm.createInterface": "VIF.create",
    "vm.createCloudInitConfigDrive": "VDI.create", "vm.delete": "VM.destroy", "vm.ejectCd": "VBD.eject", "vm.insertCd": "VBD.insert",
    "vm.migrate": "VM.pool_migrate", "vm.pause": "VM.pause", "vm.restart": "VM.hard_reboot", "vm.resume": "VM.resume", "vm.revert": "VM.revert",
    "vm.set": "VM.set_name_description", "vm.setBootOrder": "VM.set_HVM_boot_params", "vm.snapshot": "VM.snapshot", "vm.start": "VM.start",
    "vm.stop": "VM.clean_shutdown", "vm.suspend": "VM.suspend", "vm.warmMigration": "VM.snapshot",
}
BROKEN = ["INTERNAL_ERROR", "broken by the test"]
#: Refusals of the pool that have a number of XO, and those upon which the server does something else.
NUMBERED = """HOST_OFFLINE NO_HOSTS_AVAILABLE NOT_SUPPORTED_DURING_UPGRADE OPERATION_BLOCKED PIF_VLAN_EXISTS SESSION_AUTHENTICATION_FAILED
    VDI_IN_USE VM_BAD_POWER_STATE VM_IS_TEMPLATE VM_LACKS_FEATURE VM_MISSING_PV_DRIVERS""".split()
DEALT_WITH = {"SESSION_INVALID": "signs in again", "HOST_IS_SLAVE": "asks the master", "TOO_MANY_PENDING_TASKS": "asks again"}
#: The beginning of what the code says → the test that drives it, or why none does.
ELSEWHERE = {
    "the backup job ": "test_hosts.Hosts.test_backup_guard",
    "the master of the pool, host": "test_hosts.Hosts.test_restart_order",
    " machines on host": "test_hosts.Hosts.test_smart_reboot",
    "is still down": "test_hosts.Hosts.test_smart_reboot",
    "shut it down, or move it": "test_hosts.Hosts.test_maintenance_refused",
    "host %s is out of service": "test_pools.Pools.test_rolling_refused",
    "VM %s cannot leave its host": "test_pools.Pools.test_rolling_refused",
    "it ended at host": "test_pools.Pools.test_rolling_ends",
    "the pool has one host": "test_pools.Alone.test_alone",
    "the updates were not installed": "test_pools.Pools.test_patches",
    "has not come back": "test_pools.Impatient.test_waiting",
    "has not become the master": "test_pools.Impatient.test_waiting",
    "lacks the patch": "test_pool_merge.Patched.test_patches",
    "have different patches": "test_pools.Impatient.test_merging",
    "which does not show it yet": "test_pools.Impatient.test_merging",
    "pcis: ": "test_pool_methods.Methods.test_pci_refused",
    "is in service, and this restarts it": "test_pool_methods.Methods.test_memory",
    "memory: expected a number of bytes": "test_pool_methods.Methods.test_memory",
    "no certificate that can be read": "test_pool_methods.Methods.test_key",
    "addresses: %s: expected": "test_pool_methods.Methods.test_ip_pools",
    "sources: ": "test_pool_merge.Merging.test_merging",
    "cannot be merged into": "test_pool_merge.Merging.test_merging",
    "the hosts are not compatible": "test_pool_merge.Merging.test_merging",
    "of %u pools were merged": "test_pool_merge.Merging.test_merging",
    "is attached to no host, so nobody": "test_pool_methods.Methods.test_stats",
    "room for the ISO": "test_pool_methods.Methods.test_packs_refused",
    "say how long the ISO is": "test_pool_methods.Methods.test_packs_refused",
    "the pool made no machine of": "test_disk_files.Files.test_from_addresses",
    "made no machine of the archive of": "test_machine_moves.Moves.test_copy_refusals",
    "too fast authentication": "test_api.Wire.test_too_fast",
    "too many calls: ": "test_pace.Pace.test_loop",
    "is already connected, through": "test_api.Servers.test_twin",
    "no objects match this pattern": "test_calls.Calls.test_smart_selection",
    "%s: no answer within": "test_calls.Calls.test_timeout",
    "run %s was cancelled": "test_jobs.Runs.test_live_and_cancelled",
    "is already running": "test_jobs.Runs.test_live_and_cancelled",
    "its log cannot be deleted": "test_jobs.Runs.test_live_and_cancelled",
    "is being backed up by run": "test_runs.Together.test_same_vm",
    "job %s: no VMs match": "test_logs.Logs.test_no_match",
    "no XAPI associated": "test_logs.Logs.test_unknown_vm",
    "the server is stopping": "test_stop.Stop.test_repository",
}
UNDRIVEN = {
    "the status of a host": "the disk of the temporary folder fills or fails in the middle of a download, or 4 GiB come: the download ends then",
    "is the last administrator": "who calls is an administrator, and cannot demote or delete itself: tests/unit/account",
    "not enough memory (64 MiB)": "a machine without memory",
    "no pipe between two": "a server without file descriptors", "the other end of the transfer": "the other end's own failure is told in its place",
    "name: expected text": "the parameter's own check comes before; an import tells it of what it does not take",
    "expected a list of texts": "the parameter's own check comes before; an import tells it of what it does not take",
    "expected a resource, an action": "the parameters' own checks come before",
    "downloads are waiting": "ten thousand calls", "was disabled meanwhile": "two calls in the same millisecond",
    "the length is known": "ends a first pass over a disk, is never told", "changed while it was exported": "a disk whose size changes between two passes",
    "unknown error from the peer": "the method is open to those who are signed in",
    "no connected pool has": "the pool was connected when the call began, and went away in the same moment",
    "jobs of type": "no method makes a job of another type", "an object of schedules": "the parameter's own check comes before",
    "no such log": "who asks for logs by their ids gets those that are there",
    "pool %s is not connected": "told in the log of a run: tests/unit/run",
    "calls are going on": "as many calls of a remote that hang as there may be processes", "does not respond since": "tests/unit/run",
    "a repository worker gave": "a defect of the worker", "the process that works on it has ended": "tests/unit/run",
    "journals: ": "the server does not start then", "the worker named no VM": "a defect of the worker",
    "statistics: more than": "a host that sends gigabytes", "is no JSON": "the simulator's statistics are whole: tests/unit/stats", "is no time": "rest_host asks for the same in test_rest",
}


#: Where refusals are looked for: all that a method calls in the server's own process …
REACHED = ["api/**/*.c", "account/*.c", "job/*.c", "run/*.c", "pool/*.c", "store/*.c", "stats/*.c"]
#: … but for these, and why.
UNREACHED = {
    "api/rest*.c": "the other surface, which test_rest drives", "api/error.c": "what sets them",
    "run/worker*.c": "of the process that makes a run, told in its log: test_runs, test_logs, test_faults",
    "run/re*_worker.c": "of the process that works on a repository, but for its own mistakes it says what catalog and remote say",
    "run/run.c": "told in the log of a run", "run/pro*.c": "between the server and its processes: tests/unit/run",
    "pool/*.c": "a connection that comes, goes or cannot be: tests/unit/pool, test_faults",
    "store/*.c": "a data folder that cannot be used: tests/unit/store, test_damage",
}


def said_in_source(text):
    """A pattern of what a call that sets an error says, of its format."""
    text = re.sub(r'"\s*(?:G_GINT64_FORMAT|PRI\w+)\s*"', "d%d", text)
    literals = "".join(re.findall(r'"((?:\\.|[^"\\])*)"', text))
    return literals.replace('\\"', '"')


def told_by(error):
    return error["message"] + " " + json.dumps(error.get("data"), ensure_ascii=False)


def is_said(words, answer):
    """The parts of the format, in their order."""
    at = 0
    for part in re.split(r"%[a-z0-9.]*", words):
        at = answer.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def words_of(call, arguments, plain):
    """The format of what a call that sets an error says; "" when it passes on what others say."""
    if call == "api_error_plain":
        return plain[re.search(r"API_(\w+)", arguments)[1]]
    if call == "api_error_unauthorized":
        return plain["UNAUTHORIZED"] + (' {"permission": "%s' if '"' in arguments else ' {"object"')
    if call == "api_error_no_such":
        type_ = re.search(r'"(\w[^"]*)"\)?$', arguments.strip())
        return f"no such {type_[1] if type_ else '%s'}"
    # the data comes before the words
    arguments = re.sub(r"json_pack\((?:[^()]|\([^()]*\))*\)|json_string\([^()]*\)", "", arguments)
    words = re.search(r'"(?:\\.|[^"\\])*"(?:\s*(?:G_GINT64_FORMAT|PRI\w+|"(?:\\.|[^"\\])*"))*', arguments, flags=re.S)
    said = said_in_source(words[0]) if words else ""
    return said if re.sub(r"%l?[a-z]|[^a-z]", "", said) else ""


@functools.cache
def refusals_in_source():
    """(file, line) → the format of each refusal that a method can meet."""
    folder = pathlib.Path(os.environ.get("CADENZA_SOURCE", ROOT)) / "src"
    if not folder.exists():
        raise unittest.SkipTest("the source is not here")
    plain = dict(re.findall(r'A\(-?\d+, (\w+), "(.*)"\)', (folder / "api/errors.def").read_text()))
    found = {}
    for path in sorted({path for pattern in REACHED for path in folder.glob(pattern)} - {path for pattern in UNREACHED for path in folder.glob(pattern)}):
        text = path.read_text()
        for call in re.finditer(r"\b(api_error_\w+|err_set|err_set_detail|g_prefix_error)\((&?\w*error.*?)\);", text, flags=re.S):
            if said := words_of(call[1], call[2], plain):
                found[str(path.relative_to(folder)), text.count("\n", 0, call.start()) + 1] = said
    return found


class Refusing(World):
    """What is there to be refused about."""

    @functools.cache
    def me(self):
        return next(each["id"] for each in self.call("user.getAll") if each["email"] == self.box.user)

    @functools.cache
    def sues(self):
        return self.call("user.create", email="sue", password="secret")

    def server_host(self):
        return self.call("server.getAll")[0]["host"]

    def no_page(self):
        return self.box.url + "/nothing/here"

    # --- another pool ---

    away = None

    def objects(self, **pattern):
        """Of the first pool."""
        return [each for each in self.call("xo.getAllObjects", filter=pattern).values() if not self.away or self.away not in (each.get("$pool"), each["id"])]

    def add_foreign_pool(self):
        here = self.pool()
        self.connected_server()
        self.away = next(id_ for id_ in self.call("xo.getAllObjects", filter={"type": "pool"}) if id_ != here)

    def foreign(self, type_, **more):
        return next(iter(self.call("xo.getAllObjects", filter={"type": type_, "$pool": self.away, **more})))

    def foreign_pif(self):
        return self.foreign("PIF")

    def foreign_network(self):
        return self.foreign("network")

    def foreign_sr(self):
        return self.foreign("SR", content_type="user")

    @functools.cache
    def foreign_disk(self):
        return self.call("disk.create", name="over there", size=1 << 20, sr=self.foreign_sr())

    def members_pif(self):
        device = self.objects(id=self.first_pif())[0]["device"]
        return next(each["id"] for each in self.objects(type="PIF", device=device) if each["$host"] != self.host())

    @functools.cache
    def tagged(self):
        return self.vlan_pif()

    def tagged_pif_base(self):
        return next(each["id"] for each in self.objects(type="PIF", vlan=-1, device="eth1", **{"$host": self.host()}))

    def tagged_tag(self):
        return self.objects(id=self.tagged())[0]["vlan"]

    def lame_pool(self):
        pool = self.calm_pool()
        self.halted_host()
        self.wait(lambda: any(each["power_state"] == "Halted" for each in self.objects(type="host")))
        return pool

    def foreign_pci(self):
        return self.foreign("PCI")

    def foreign_host(self):
        return self.foreign("host")

    def beyond(self, cls, uuid, **fields):
        """What no client of the other pool may write."""
        self.second().control("/sim/objects", {"class": cls, "uuid": uuid, "fields": fields})

    def elsewhere(self, id_):
        return self.call("xo.getAllObjects", filter={"id": id_})[id_]

    @functools.cache
    def foreign_usb_group(self):
        session, host = self.second().session(), self.elsewhere(self.foreign_host())["_xapiRef"]
        session.call("host.add_to_other_config", host, "sim:usb", json.dumps([{"path": "1-1", "vendor_id": "0781", "product_id": "5567"}]))
        session.call("PUSB.scan", host)
        session.call("PUSB.set_passthrough_enabled", session.call("PUSB.get_all")[0], True)
        session.proxy("close")()
        self.wait(lambda: self.call("xo.getAllObjects", filter={"type": "USB_group"}))
        return self.foreign("USB_group")

    @functools.cache
    def others_host(self):
        host, session = self.foreign_host(), self.second().session()
        facts = session.call("host.get_software_version", self.elsewhere(host)["_xapiRef"])
        self.beyond("host", host, software_version={**facts, "product_brand": "XenServer"})
        session.proxy("close")()
        self.wait(lambda: self.elsewhere(host)["productBrand"] == "XenServer")
        return host

    @functools.cache
    def homeless_host(self):
        """Of a pool without a default storage."""
        self.beyond("pool", self.away, default_SR="OpaqueRef:NULL")
        self.wait(lambda: not self.elsewhere(self.away).get("default_SR"))
        return self.foreign_host()

    @functools.cache
    def unmanaged_host(self):
        """Of a pool without a management interface."""
        pifs = self.call("xo.getAllObjects", filter={"type": "PIF", "management": True, "$pool": self.away})
        for pif in pifs:
            self.beyond("PIF", pif, management=False)
        self.wait(lambda: not any(self.elsewhere(pif)["management"] for pif in pifs))
        return self.foreign_host()

    def unmanaged_sr(self):
        self.unmanaged_host()
        return self.foreign_sr()

    def sealed_network(self):
        other = next(each["id"] for each in self.call("server.getAll") if each["id"] != self.server_id)
        self.call("server.set", id=other, readOnly=True)
        return self.foreign_network()

    # --- what the server keeps ---

    def sealed(self):
        """A configuration under a passphrase."""
        with urllib.request.urlopen(self.box.url + self.call("xo.exportConfig", passphrase="right")["$getFrom"], timeout=60) as got:
            return got.read()

    @functools.cache
    def job_of(self, name, remote, vms, retention):
        return self.box.delta_job(name, vms, [remote], retention)

    @functools.cache
    def nobodys(self):
        job = self.call("backupNg.createJob", name="nobody's", mode="delta", vms={"name_label": "nobody"}, remotes={"id": self.repository()},
                        schedules={"tmp": {"cron": "0 0 * * *", "enabled": False}}, settings={"tmp": {"exportRetention": 1}})
        return job, next(each["id"] for each in self.call("schedule.getAll") if each["jobId"] == job)

    def nobodys_job(self):
        return self.nobodys()[0]

    def nobodys_schedule(self):
        return self.nobodys()[1]

    @functools.cache
    def off_remote(self):
        remote = self.call("remote.create", name="off", url=f"file://{tempfile.mkdtemp(dir=self.home)}")["id"]
        self.call("remote.set", id=remote, enabled=False)
        return remote

    def off_job(self, part=0):
        return self.job_of("off", self.off_remote(), (self.vm(),), 1)[part]

    def off_schedule(self):
        return self.off_job(1)

    def vain_job(self, part=0):
        return self.job_of("in vain", self.repository(), (self.vm(),), 0)[part]

    def vain_schedule(self):
        return self.vain_job(1)

    def no_record(self):
        return "$5$$" + "0" * 64

    def no_backup(self):
        return f"{self.repository()}//elsewhere/x.json"

    # --- machines in a state ---

    def directly(self, vm, method, *params):
        session = self.sim.session()
        session.call(method, session.call("VM.get_by_uuid", vm), *params)
        session.proxy("close")()
        return vm

    @functools.cache
    def pv_vm(self):
        vm = self.directly(self.spare_vm(), "VM.set_domain_type", "pv")
        self.wait(lambda: self.objects(id=vm)[0]["virtualizationMode"] == "pv")
        return vm

    @functools.cache
    def blocked_vm(self):
        vm = self.spare_vm()
        self.call("vm.set", id=vm, blockedOperations={"start": "not now"})
        return vm

    @functools.cache
    def undying_vm(self):
        vm = self.spare_vm()
        self.call("vm.set", id=vm, blockedOperations={"destroy": "never"})
        return vm

    @functools.cache
    def toolless_vm(self):
        vm = self.directly(self.spare_vm(), "VM.add_to_other_config", "sim:tools", "none")
        self.call("vm.start", id=vm)
        return vm

    @functools.cache
    def pinned_vm(self):
        vm = self.spare_vm()
        self.call("vm.set", id=vm, blockedOperations={"pool_migrate": "stays", "migrate_send": "stays"})
        self.call("vm.start", id=vm, host=self.objects(id=self.running_vm())[0]["$container"])
        return vm

    @functools.cache
    def crowded_vm(self):
        vm = self.spare_vm()
        for _ in range(7 - len(self.objects(type="VIF", **{"$VM": vm}))):
            self.call("vm.createInterface", vm=vm, network=self.network())
        return vm

    @functools.cache
    def disk_template(self):
        vm = self.spare_vm()
        self.call("vm.convertToTemplate", id=vm)
        return vm

    @functools.cache
    def orphan(self):
        """A snapshot whose machine is gone."""
        vm = self.spare_vm()
        snapshot = self.call("vm.snapshot", id=vm, name="orphan")
        self.directly(vm, "VM.destroy")
        self.wait(lambda: not self.objects(id=vm))
        return snapshot

    def plugged_disk(self):
        return self.objects(id=self.plugged_vbd())[0]["VDI"]

    @functools.cache
    def her_vm(self):
        """In a set that it fills."""
        set_ = self.call("resourceSet.create", name="hers", subjects=[self.sues()], objects=[self.sr(), self.disk_template()],
                         limits={"cpus": 5, "vms": 1, "disk": 8 * GIB, "memory": 64 * GIB})
        vm = self.call("vm.create", template=self.disk_template(), name_label="hers", resourceSet=set_["id"], CPUs=2, share=True)
        self.call("acl.add", subject=self.sues(), object=self.sr(), action="operator")
        return vm

    # --- storage in a state ---

    @functools.cache
    def busy_sr(self):
        """With a disk of a machine that runs."""
        sr = self.spare_sr()
        disk = self.call("disk.create", name="busy", size=1 << 20, sr=sr)
        self.call("vm.attachDisk", vm=self.toolless_vm(), vdi=disk)
        return sr

    @functools.cache
    def indestructible_sr(self):
        sr = self.spare_sr()
        session = self.sim.session()
        session.call("SR.add_to_other_config", session.call("SR.get_by_uuid", sr), "indestructible", "true")
        session.proxy("close")()
        return sr

    @functools.cache
    def tape_sr(self):
        sr = self.spare_sr()
        self.sim.control("/sim/objects", {"class": "SR", "uuid": sr, "fields": {"type": "tape"}})
        self.wait(lambda: self.objects(id=sr)[0]["SR_type"] == "tape")
        return sr

    def taken_device(self):
        self.block_sr()
        return "/dev/sdx"


class Told(unittest.TestCase):
    """One server for all."""
    driven, told = set(), []

    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-told-"))
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.world, cls.sockets = Refusing(folder), {}
        cls.addClassCleanup(cls.world.stop)
        cls.world.call = cls.call  # quicker than the command line
        cls.world.sues(), cls.world.add_foreign_pool()
        cls.infos = cls.ask("system.getMethodsInfo", {})["result"]

    def tearDown(self):
        """Whatever is refused is in the server's log, which the ledger reads each time."""
        self.call("log.delete", namespace="api", id=list(self.call("log.get", namespace="api")))

    @classmethod
    def ask(cls, method, params, **login):
        """By a connection of a moment ago: one that waits answers no pings."""
        socket, used = cls.sockets.pop(login.get("email"), (None, 0))
        if not socket or time.monotonic() - used > 10:
            socket = WebSocket(cls.world.box.url)
            cls.addClassCleanup(socket.close)
            socket.call("session.signIn", login or {"email": cls.world.box.user, "password": cls.world.box.password})
        try:
            return socket.call(method, params)
        finally:
            cls.sockets[login.get("email")] = socket, time.monotonic()

    @classmethod
    def call(cls, method, **params):
        answer = cls.ask(method, params)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def filled(self, value):
        """With what the names stand for."""
        if isinstance(value, dict):
            return {self.filled(key): self.filled(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.filled(each) for each in value]
        return self.world.value(value[1:]) if isinstance(value, str) and value.startswith("$") else value

    def refusal(self, method, params, sent, **login):
        """What the call answers, or (not None) what the answer to what is sent after it says."""
        answer = self.ask(method, params, **login)
        if sent is None or "error" in answer:
            return answer
        try:
            with urllib.request.urlopen(urllib.request.Request(self.world.box.url + answer["result"]["$sendTo"], data=sent), timeout=60) as told:
                return {"result": told.read().decode()}
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            answer = json.loads(text) if text.startswith("{") else {}
            return answer if "error" in answer else {"error": {"code": error.code, "message": text}}

    def no(self, method, params, code, words, why="", sent=None, **login):
        """The call is refused so; everything is as it was, a moment later at the latest. What is wrong, or None."""
        before = self.world.ledger.write()
        answer = self.refusal(method, params, sent, **login)
        error = answer.get("error")
        shown = f"{method} {json.dumps(params)[:300]}{why}"
        if not error:
            return f"{shown}: is not refused: {json.dumps(answer)[:200]}"
        self.driven.add(method)
        self.told.append(told_by(error))
        if (code is not None and error["code"] != code) or not re.search(words, self.told[-1]):
            return f"{shown}: expected {code} {words}, got {json.dumps(error)[:400]}"
        until_ = time.monotonic() + 30
        while changed := differences(before, self.world.ledger.write()):
            if time.monotonic() > until_:
                return f"{shown}: is refused, and yet changes {' '.join(changed)}"
            time.sleep(0.1)
        return None

    def all(self, wrong):
        wrong = [each for each in wrong if each]
        self.assertEqual([], wrong, "\n".join(wrong))

    # --- By the method's own parameters ---

    def sample(self):
        objects = self.world.objects()
        return {type_: next(each["id"] for each in objects if each["type"] == type_) for type_ in {each["type"] for each in objects}}

    def good_looking(self, name, sample):
        """Parameters of the right form; objects that are there."""
        made = {}
        for param, schema in self.infos[name]["params"].items():
            if param == "*" or schema.get("optional") or "default" in schema:
                continue
            if "resolve" in schema:
                made[param] = next((sample[each] for each in schema["resolve"]["types"] if each in sample), NOWHERE)
            elif "enum" in schema:
                made[param] = schema["enum"][0]
            else:
                types = schema.get("type", "string")
                type_ = types if isinstance(types, str) else (types or ["string"])[0]
                made[param] = {"string": "x", "integer": 1, "number": 1, "boolean": False, "object": {}, "array": []}.get(type_)
        return made

    def formal_cases(self, name, sample):
        """(params, code, words)"""
        schemas = {param: schema for param, schema in self.infos[name]["params"].items() if param != "*"}
        good = self.good_looking(name, sample)
        if schemas and "*" not in self.infos[name]["params"]:
            yield dict(good, surplus=1), 10, "surplus"
        for param, schema in schemas.items():
            if param in good:
                yield {key: value for key, value in good.items() if key != param}, 10, param
            if schema.get("type") in ("string", "integer", "number", "boolean"):
                yield dict(good, **{param: {"not": "this"}}), 10, param
            if schema.get("type") in ("object", "array"):
                yield dict(good, **{param: "not this"}), 10, param
            if "enum" in schema:
                yield dict(good, **{param: "none of these"}), 10, param
            if "resolve" in schema:
                yield dict(good, **{param: NOWHERE}), 1, NOWHERE
                other = next(type_ for type_ in ("host", "VM", "SR") if type_ not in schema["resolve"]["types"])
                if "*" not in schema["resolve"]["types"]:
                    yield dict(good, **{param: sample[other]}), 1, sample[other]

    def test_1_forms(self):
        """What is not of the right form, or names what is not there, is refused before anything is done."""
        sample, wrong, n = self.sample(), [], 0
        before = self.world.ledger.write()
        for name in sorted(self.infos):
            for params, code, words in self.formal_cases(name, sample):
                error = self.ask(name, params).get("error") or {"code": "nothing", "message": ""}
                n += 1
                self.driven.add(name)
                self.told.append(told_by(error))
                if error["code"] != code or words not in json.dumps(error):
                    wrong.append(f"{name} {json.dumps(params)[:200]}: expected {code} {words}, got {json.dumps(error)[:300]}")
        print(f"{n} forms of {len(self.driven)} methods", file=sys.stderr)
        self.all(wrong)
        self.assertEqual(differences(before, self.world.ledger.write()), [])

    def test_2_anonymous(self):
        """Whoever is not signed in is refused all but what is open to anyone."""
        socket = WebSocket(self.world.box.url)
        self.addCleanup(socket.close)
        for name, info in self.infos.items():
            if info.get("permission", "user") is not None:
                error = socket.call(name, {})["error"]
                self.assertEqual(error["code"], 2, name)
                self.told.append(told_by(error))
                self.driven.add(name)

    # --- By what it finds ---

    def test_3_rows(self):
        self.all(self.no(method, self.filled(params), code, words) for method, params, code, words in NO)

    def bytes_of(self, method, sent):
        if isinstance(sent, bytes):
            return sent
        if method == "xo.importConfig":
            return json.dumps(sent).encode()
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, content in sent.items():
                member = tarfile.TarInfo(name)
                member.size = content if isinstance(content, int) else len(content)  # a size alone: nothing of it comes
                tar.addfile(member, None if isinstance(content, int) else io.BytesIO(content))
        return archive.getvalue()

    def test_3_sent(self):
        """What comes after the call is refused as well."""
        self.all(self.no(method, self.filled(params), None, words, f" then {str(sent)[:100]}", self.bytes_of(method, self.filled(sent)))
                 for method, params, sent, words in SENT_NO)

    def lied_to(self, call, value, method, params, words):
        params = self.filled(params)
        self.world.sim.fault(kind="answer", method=call, value=value, count=100)
        try:
            return self.no(method, params, None, words, f" ({call} says {value})")
        finally:
            self.world.sim.control("/sim/faults/clear", {})

    def test_3_lies(self):
        """Answers of the pool that make no sense are told as such."""
        self.all(self.lied_to(*row) for row in POOL_LIES)

    def test_4_rights(self):
        self.all(self.no(method, self.filled(params), code, words, **SUE) for method, params, code, words in NO_RIGHTS)

    def example(self, name):
        """The parameters of the method's example."""
        line = re.sub(r"\$([A-Z_]+)", lambda found: self.world.value(found[1]), self.infos[name]["example"])
        params = {}
        for word in shlex.split(line)[2:]:
            key, value = word.split("=", 1)
            schema = self.infos[name]["params"].get(key, {}).get("type")
            if key != "@":
                params[key] = json.loads(value[5:]) if value.startswith("json:") else value == "true" if schema == "boolean" else \
                    json.loads(value) if schema in ("integer", "number") else value
        return params

    def refused_by_pool(self, name, call):
        params = self.example(name)
        if name == "disk.import":
            return None  # the file follows
        for method in (call, f"Async.{call}"):
            self.world.sim.fault(kind="error", method=method, count=100, error=BROKEN)
        try:
            return self.no(name, params, None, "broken by the test|INTERNAL_ERROR", f" ({call} fails)")
        finally:
            self.world.sim.control("/sim/faults/clear", {})

    def test_5_pool(self):
        """What the pool refuses is told with its words, and nothing stays half done."""
        self.all(self.refused_by_pool(name, call) for name, call in POOL_SAYS_NO.items())

    def test_5_words(self):
        """Whatever the pool refuses is told in plain words, and of which object."""
        xapi = pathlib.Path(os.environ.get("CADENZA_SOURCE", ROOT)) / "src/xapi/refusals.def"
        known = dict(re.findall(r'^R\((\w+), "(.*)"\)$', xapi.read_text(), flags=re.M))
        self.assertEqual(sorted(refusals_of_pool() - set(known)), [], "refusals without plain words")
        vm, call, wrong = self.world.objects(id=self.world.vm())[0], "VM.set_name_description", []
        before = self.world.ledger.write()
        for code in sorted(set(known) - set(DEALT_WITH)):
            n = N_PARAMETERS.get(code, max([0, *map(int, re.findall(r"\$(\d)", known[code]))]))
            self.world.sim.fault(kind="error", method=call, error=[code, *[vm["_xapiRef"]] * n])
            error = self.ask("vm.set", {"id": vm["id"], "name_description": "x"}).get("error") or {"code": 0, "message": "is not refused"}
            message = error["message"]
            if error["code"] != -32000:  # one that XO has a number for
                good = code in NUMBERED and (n == 0 or code == "SESSION_AUTHENTICATION_FAILED" or vm["id"] in json.dumps(error["data"]))
            else:
                words = re.split(r"\$\d", known[code])
                good = message.startswith(call + ": ") and f"({code})" in message and is_said("%s".join(words), message) and \
                    (n == 0 or vm["name_label"] in message) and "OpaqueRef" not in message and error["data"]["remedy"]
            if not good:
                wrong.append(f"{code}: {json.dumps(error)[:300]}")
        self.assertEqual(wrong, [], "\n".join(wrong))
        self.assertEqual(differences(before, self.world.ledger.write()), [])

    # --- By how much there is ---

    def keeper(self, method, params):
        """Somebody whose tokens all have a name: none of them makes room for one more."""
        socket = WebSocket(self.world.box.url)
        self.addCleanup(socket.close)
        self.assertIn("result", socket.call("session.signIn", {"email": "keeper of tokens", "password": "of the keeper"}))
        return socket.call(method, params)

    def test_6_limits(self):
        """As many as there may be, and no more: the last test but one, for nobody cleans up."""
        keeper = self.call("user.create", email="keeper of tokens", password="of the keeper", permission="admin")
        role, late = self.call("role.create", name="full"), (int(time.time()) + 86400) * 1000
        many = {"xenServers": [{"id": f"s{i}", "host": f"h{i}", "username": "x", "password": "x", "enabled": False} for i in range(256)],
                "cloudConfigs": [{"id": f"c{i}", "name": "x", "template": "x"} for i in range(10000)],
                "ipPools": [{"id": f"p{i}", "name": "x", "addresses": {}, "networks": []} for i in range(1000)],
                "authTokens": [{"id": f"t{i}" * 10, "user_id": keeper, "created_at": 0, "expiration": late, "description": "of a person"} for i in range(1000)],
                "privileges": [{"id": f"v{i}", "roleId": role, "resource": "vm", "action": "read", "effect": "allow"} for i in range(10000)],
                "roles": [{"id": f"r{i}", "name": f"r{i}"} for i in range(1000)]}
        self.assertNotIn("error", self.refusal("xo.importConfig", {}, json.dumps(many).encode()))
        for method, params, words in (
                ("server.add", {"host": "one too many", "username": "x", "password": "x", "autoConnect": False}, "there are already 256 servers"),
                ("cloudConfig.create", {"name": "x", "template": "x"}, "there are already 10000 cloud configurations"),
                ("ipPool.create", {"name": "x", "addresses": {}, "networks": []}, "there are already 1000 pools of IP addresses"),
                ("ipPool.set", {"id": "p0", "addresses": {f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}": {} for i in range(65537)}}, "addresses: more than 65536"),
                ("role.create", {"name": "x"}, "there are already .* of"),
                ("role.addPrivilege", {"roleId": role, "resource": "vm", "action": "read"}, "there are already .* of"),
                ("token.create", {}, "has 1000 tokens: delete some")):
            ask = self.keeper if method == "token.create" else self.ask
            error = ask(method, params).get("error") or {"message": "nothing"}
            self.told.append(told_by(error))
            self.assertRegex(self.told[-1], words, method)
        self.assertEqual([len(self.call(each)) for each in ("cloudConfig.getAll", "ipPool.getAll")],
                         [10000, 1000])

    def test_6_too_many(self):
        """Calls at once over one connection: those that are let in are answered all the same."""
        socket, vm = WebSocket(self.world.box.url), self.world.vm()
        self.addCleanup(socket.close)
        socket.call("session.signIn", {"email": self.world.box.user, "password": self.world.box.password})
        self.world.sim.fault(kind="latency", method="VM.set_name_description", ms=600000)
        for i in range(257):
            socket.send(json.dumps({"jsonrpc": "2.0", "id": i, "method": "vm.set", "params": {"id": vm, "name_description": f"busy {i}"}}))
        error = json.loads(socket.receive_answer())["error"]
        self.told.append(told_by(error))
        self.assertIn("too many calls in flight on this connection (256)", error["message"])
        self.world.sim.control("/sim/faults/clear", {})
        self.assertEqual([json.loads(socket.receive_answer()).get("result") for _ in range(256)], [True] * 256)

    # --- Is that all ---

    def test_7_all(self):
        self.assertEqual(sorted(set(self.infos) - self.driven - {name for name, info in self.infos.items() if not info["params"]}), [])
        missing = []
        for (file, line), said in refusals_in_source().items():
            if not any(is_said(said, each) for each in self.told) and not any(key in said for key in (*ELSEWHERE, *UNDRIVEN)):
                missing.append(f"{file}:{line}: {said}")
        for where in ELSEWHERE.values():
            file, _, test = where.split(".")
            self.assertIn(f"def {test}(", (pathlib.Path(__file__).parent / f"{file}.py").read_text(), where)
        print(f"{len(refusals_in_source())} refusals in the code of the methods, {len(self.told)} answers", file=sys.stderr)
        self.all(missing)


class Unseen(unittest.TestCase):
    """Good ways that leave nothing behind which could be looked up."""

    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-unseen-"))
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.world = World(folder)
        cls.addClassCleanup(cls.world.stop)

    def socket(self):
        socket = WebSocket(self.world.box.url)
        self.addCleanup(socket.close)
        return socket

    def test_restart(self):
        vm = self.world.running_vm()
        session = self.world.sim.session()
        self.addCleanup(session.proxy("close"))
        ref = session.call("VM.get_by_uuid", vm)
        before = session.call("VM.get_domid", ref)
        self.world.call("vm.restart", id=vm, force=True)
        until(lambda: session.call("VM.get_domid", ref) != before, "another domain", 30)
        self.assertEqual(self.world.state_of(vm), "Running")

    def test_sign_in(self):
        socket, user = self.socket(), {"email": self.world.box.user, "password": self.world.box.password}
        who = socket.call("session.signInWithPassword", user)["result"]
        self.assertEqual(socket.call("session.getUser")["result"], who)
        token = socket.call("token.create")["result"]
        self.assertIs(socket.call("session.signOut")["result"], True)
        self.assertIsNone(socket.call("session.getUser").get("result"))
        self.assertEqual(socket.call("session.signInWithToken", {"token": token})["result"], who)
        self.assertEqual(socket.call("session.getUser")["result"], who)


if __name__ == "__main__":
    unittest.main()
