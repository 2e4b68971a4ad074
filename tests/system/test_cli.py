"""The command line: xo-cli's forms, profiles, files, completion by a real shell."""
import gzip
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Program, Server, Sim, program  # noqa: E402


class CommandLine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.mkdtemp(prefix="cadenza-cli-")
        cls.sim = Sim("--vms", 3, "--disks", 1, "--running", 1)
        cls.server = Server()
        cls.server.connect(cls.sim)
        cls.machines = [vm["id"] for vm in cls.server.objects(type="VM")]

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.sim.stop()
        shutil.rmtree(cls.home)

    def fresh(self, *words, **more):
        """As somebody else, whose home remembers nothing but what earlier calls with the same home did."""
        env = {key: value for key, value in os.environ.items() if not key.startswith("CADENZA_")}
        return subprocess.run([program("cadenza"), *words], capture_output=True, text=True, timeout=60,
                              env=dict(env, XDG_CONFIG_HOME=self.home, **more))

    def test_forms_of_xo_cli(self):
        listed = json.loads(self.server.command("--list-objects", "--uuid", "--name_label", "type=VM").stdout)
        self.assertEqual(sorted(each["uuid"] for each in listed), sorted(self.machines))
        self.assertEqual({name for each in listed for name in each}, {"uuid", "name_label"})
        whole = json.loads(self.server.command("list-objects", f"id={next(iter(self.machines))}").stdout)
        self.assertEqual(len(whole), 1)
        self.assertEqual(whole[0]["type"], "VM")
        self.assertRegex(self.server.command("--list-commands", "vm.sta").stdout, r"vm\.start .*id=<string>")

    def test_output(self):
        """What could not be written is no success; a reader that has enough is no failure."""
        for words in (["xo.getAllObjects"], ["rest", "get", "vms"], ["system.getVersion"], ["--help"]):
            with open("/dev/full", "w") as full:
                run = subprocess.run([program("cadenza"), *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
                                     env=self.server.env)
            self.assertEqual(run.returncode, 1, (words, run.stderr))
            self.assertIn("No space left on device", run.stderr, words)
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "w") as gone:
            run = subprocess.run([program("cadenza"), "system.getVersion"], stdout=gone, stderr=subprocess.PIPE, text=True,
                                 timeout=60, env=self.server.env)
        self.assertEqual(run.stderr, "")

    def test_profiles(self):
        url, password = self.server.url, self.server.password
        done = self.fresh("--register", "--allowUnauthorized", url, self.server.user, password)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(json.loads(self.fresh("list-objects", "type=VM").stdout)), 3)
        done = self.fresh("--profile", "lab", "--expiresIn", "1 hour", "login", url + "/", self.server.user, CADENZA_PASSWORD=password)
        self.assertEqual(done.returncode, 0, done.stderr)
        kept = json.loads(pathlib.Path(self.home, "cadenza/servers.json").read_text())
        self.assertEqual((kept["default"], kept["profiles"]), (url, {"lab": url + "/"}))
        self.assertNotIn(password, json.dumps(kept))
        token = kept["servers"][url + "/"]["token"]
        self.assertEqual(self.fresh("--profile", "lab", "objects", "type:pool").returncode, 0)
        self.assertEqual(self.fresh("--profile", "lab", "logout").returncode, 0)
        self.assertEqual(self.fresh("--url", url, "--token", token, "objects").returncode, 1)
        nowhere = self.fresh("--profile", "lab", "objects")
        self.assertEqual((nowhere.returncode, "no profile lab" in nowhere.stderr), (2, True), nowhere.stderr)
        self.assertEqual(self.fresh("logout").returncode, 0)
        self.assertEqual(self.fresh("objects").returncode, 2)

    def test_certificate(self):
        """What was said about the certificate at signing in holds from then on, as for xo-cli."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-cli-"))
        self.addCleanup(shutil.rmtree, folder)
        server = Program("cadenzad", "--data", folder / "data", "--listen", "127.0.0.1:0", log=folder / "server.log")
        self.addCleanup(server.stop)
        url, password = server.ready["url"], (folder / "data/initial-password").read_text().split()[-1]
        home = {"XDG_CONFIG_HOME": str(folder)}

        def command(*words):
            return subprocess.run([program("cadenza"), *words], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                                  env={**{key: value for key, value in os.environ.items() if not key.startswith("CADENZA_")}, **home})
        refused = command("--register", url, "admin@admin.net", password)
        self.assertEqual(refused.returncode, 3)
        fingerprint = refused.stderr.split("--fingerprint ")[1].split()[0]
        for trust in (["--allowUnauthorized"], ["--fingerprint", fingerprint]):
            done = command("--register", *trust, url, "admin@admin.net", password)
            self.assertEqual(done.returncode, 0, done.stderr)
            for words in (["system.getVersion"], ["rest", "get", "vms"], ["objects"]):
                done = command(*words)
                self.assertEqual(done.returncode, 0, (trust, words, done.stderr))

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "configuration.json"
            refused = self.server.command("xo.exportConfig")
            self.assertEqual((refused.returncode, "@=FILE" in refused.stderr), (2, True), refused.stderr)
            done = self.server.command("xo.exportConfig", f"@={path}")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
            self.assertIn("users", json.loads(gzip.decompress(path.read_bytes())))
            kept = path.read_bytes()
            again = self.server.command("xo.exportConfig", f"@={path}")
            self.assertNotEqual(again.returncode, 0)
            self.assertEqual(path.read_bytes(), kept, "a file that was there is not written over")
            piped = subprocess.run([program("cadenza"), "xo.exportConfig", "@=-"], capture_output=True, env=self.server.env)
            self.assertEqual(json.loads(gzip.decompress(piped.stdout)).keys(), json.loads(gzip.decompress(kept)).keys())
            taken = self.server.command("xo.importConfig", f"@={path}")
            self.assertEqual(taken.returncode, 0, taken.stderr)
            path.write_text("{")
            bad = self.server.command("xo.importConfig", f"@={path}")
            self.assertEqual(bad.returncode, 1, bad.stdout)
            self.assertTrue(bad.stderr.startswith("cadenza: "), bad.stderr)
            missing = self.server.command("xo.importConfig", f"@={folder}/nothing")
            self.assertIn("nothing", missing.stderr)
            self.assertNotEqual(missing.returncode, 0)

    # --- completion ---

    def complete(self, line):
        """What bash would offer at the end of the line: its own splitting, then our function."""
        script = ('eval "$(cadenza completion bash)"; COMP_LINE=$1 COMP_POINT=${#1}; '
                  'IFS=$" \t\n" read -ra COMP_WORDS <<< "$(sed -E "s/([=:])/ \\1 /g" <<< "$1")"; '
                  '[[ $1 == *[[:space:]=] ]] && [[ $1 != *= ]] && COMP_WORDS+=(""); '
                  'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _cadenza; printf "%s\\n" "${COMPREPLY[@]}"')
        folder = str(pathlib.Path(program("cadenza")).parent)
        run = subprocess.run(["bash", "-c", script, "bash", line], capture_output=True, text=True, timeout=60,
                             env=dict(self.server.env, PATH=f"{folder}:{os.environ['PATH']}"))
        self.assertEqual(run.returncode, 0, run.stderr)
        return [word for word in run.stdout.split("\n") if word]

    def test_completion(self):
        self.assertEqual(self.complete("cadenza vm.star"), ["vm.start"])
        self.assertIn("objects", self.complete("cadenza "))
        self.assertIn("force=", self.complete("cadenza vm.start "))
        self.assertNotIn("id=", self.complete("cadenza vm.start id=x "))
        self.assertEqual(sorted(self.complete("cadenza vm.start force=")), ["false", "true"])
        chosen = next(iter(self.machines))
        self.assertEqual(self.complete(f"cadenza vm.start id={chosen[:13]}"), [chosen])
        self.assertEqual(self.complete("cadenza help vm.star"), ["vm.start"])
        self.assertEqual(self.complete("cadenza config im"), ["import"])
        self.assertEqual(self.complete("cadenza rest pa"), ["patch"])
        self.assertIn("vms", self.complete("cadenza rest get v"))
        self.assertNotIn("pcis", self.complete("cadenza rest post pc"))
        self.assertEqual(self.complete(f"cadenza rest get vms/{chosen[:13]}"), [f"vms/{chosen}"])
        self.assertEqual(self.complete(f"cadenza rest post vms/{chosen}/actions/hard_sh"), [f"vms/{chosen}/actions/hard_shutdown"])
        self.assertEqual(self.complete(f"cadenza rest post vms/{chosen}/actions/start hostI"), ["hostId="])
        self.assertEqual(self.complete("cadenza rest get vms fields=id filt"), ["filter="])
        self.assertEqual(self.complete("cadenza --url http://127.0.0.1:1 obj"), ["objects"])

    def complete_zsh(self, *words):
        """What our function gives zsh's own matching at the last word, of which zsh keeps what begins like it."""
        script = ('compdef() { :; }; compadd() { while [[ $1 != -- ]]; do shift; done; shift; (( $# )) && print -rl -- "$@"; :; }; '
                  'eval "$(cadenza completion zsh)"; words=("$@"); CURRENT=$#; _cadenza')
        folder = str(pathlib.Path(program("cadenza")).parent)
        run = subprocess.run(["zsh", "-fc", script, "zsh", "cadenza", *words], capture_output=True, text=True, timeout=60,
                             env=dict(self.server.env, PATH=f"{folder}:{os.environ['PATH']}"))
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return [word for word in run.stdout.split("\n") if word and word.startswith(words[-1])]

    def test_completion_of_zsh(self):
        self.assertEqual(self.complete_zsh("vm.star"), ["vm.start"])
        self.assertIn("objects", self.complete_zsh(""))
        self.assertIn("force=", self.complete_zsh("vm.start", ""))
        self.assertEqual(sorted(self.complete_zsh("vm.start", "force=")), ["force=false", "force=true"])
        chosen = next(iter(self.machines))
        self.assertEqual(self.complete_zsh("vm.start", f"id={chosen[:13]}"), [f"id={chosen}"])
        self.assertEqual(self.complete_zsh("rest", "get", f"vms/{chosen[:13]}"), [f"vms/{chosen}"])

    def test_wrong_use(self):
        for words, told in [(["nonsense"], "nonsense"), (["--nonsense", "objects"], "--nonsense"), (["completion", "fish"], "bash|zsh"),
                            (["vm.start", "id"], "name=value"), (["login"], "usage"), (["objects", "--type"], "--type")]:
            run = self.server.command(*words)
            self.assertEqual(run.returncode, 2, f"{words}: {run.stderr}")
            self.assertIn(told, run.stderr)


if __name__ == "__main__":
    unittest.main()
