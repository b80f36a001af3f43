"""Runs the pods that charts/dualauth renders, as root in a network of its own: scripts/ship-chart starts it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

HELM, DUALAUTH = sys.argv[1:]
ROOT = Path(__file__).parents[2]
# As docs/operations.md has it: one role owns the schema, and one serves and can create nothing.
ROLES = """\
create role dualauth_owner login;
create role dualauth_serve login;
create database auth;
"""
SCHEMA = """\
create schema dualauth authorization dualauth_owner;
grant usage on schema dualauth to dualauth_serve;
alter default privileges for role dualauth_owner in schema dualauth grant select, insert, update, delete on tables to dualauth_serve;
"""
SECRETS = {
    "auth-dualauth": {
        "DATABASE_URL": "postgres://dualauth_serve@127.0.0.1:5432/auth",
        "APP_SECRET": "Y2hhcnQtdGVzdC1jaGFydC10ZXN0LWNoYXJ0LXRlc3Q=",
    },
    "owner": {"url": "postgres://dualauth_owner@127.0.0.1:5432/auth"},
}
# What a container runtime does. $1 is the program, $2 the folder with the secrets' files, then comes the command.
CONTAINER = """
set -e
program=$1 files=$2
shift 2
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/secrets/dualauth
cp -a "$files/." /run/secrets/dualauth
mount -t tmpfs tmpfs /usr/local/bin
touch /usr/local/bin/dualauth
mount --bind "$program" /usr/local/bin/dualauth
# The cluster's DNS, with the only Service.
echo "127.0.0.1 auth-dualauth.default" > /run/hosts
mount --bind /run/hosts /etc/hosts
findmnt --noheadings --raw --output TARGET | while read -r target; do
  case $target in /proc* | /sys* | /dev*) ;; *) mount -o remount,bind,ro "$target" || true ;; esac
done
cd /
for file in /written /tmp/written /run/written; do
  if touch "$file" 2>/dev/null; then echo "$file can be written" >&2; exit 70; fi
done
exec "$@"
"""


def rendered():
    values = ROOT / "tests/chart/values/run.yaml"
    run = subprocess.run(
        [HELM, "template", "auth", ROOT / "charts/dualauth", "--values", values], capture_output=True, text=True, check=True
    )
    return {document["kind"]: document for document in yaml.safe_load_all(run.stdout) if document}


class Postgres:
    """Where crates/postgres looks for it, too; as another user, since it does not run as root."""

    def __init__(self, folder):
        self.folder = folder / "postgres"
        places = [*os.environ["PATH"].split(":"), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]
        places += [str(ROOT / ".data/pgsql/bin"), "/var/lib/dualauth/pgsql/bin"]
        self.programs = next(place for place in places if Path(place, "initdb").exists())
        self.user = "postgres" if subprocess.run(["id", "-u", "postgres"], capture_output=True).returncode == 0 else "nobody"

    def run(self, program, *arguments, **options):
        command = ["setpriv", f"--reuid={self.user}", "--regid=65534", "--clear-groups", f"{self.programs}/{program}", *map(str, arguments)]
        return subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, **options)

    def __enter__(self):
        self.folder.parent.chmod(0o755)
        self.folder.mkdir()
        shutil.chown(self.folder, self.user)
        self.run("initdb", "-D", self.folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        # Not every place that has a server has psql.
        for database, statements in (("postgres", ROLES), ("auth", SCHEMA)):
            self.run("postgres", "--single", "-c", "log_checkpoints=off", "-D", self.folder / "data", database, input=statements, text=True)
        settings = f"-h 127.0.0.1 -k {self.folder} -F"
        self.run("pg_ctl", "-D", self.folder / "data", "-w", "-l", self.folder / "log", "-o", settings, "start")
        return self

    def __exit__(self, *_):
        self.run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")


def mounted(folder, pod):
    """The files of the projected volume, as the kubelet makes them."""
    group = pod["securityContext"]["fsGroup"]
    folder.mkdir()
    for volume in pod.get("volumes", []):
        for part in volume["projected"]["sources"]:
            for item in part["secret"]["items"]:
                file = folder / item["path"]
                file.write_text(SECRETS[part["secret"]["name"]][item["key"]])
                os.chown(file, 0, group)
                file.chmod(volume["projected"]["defaultMode"])
    return folder


def start(folder, pod):
    """The only container of a pod."""
    [container] = pod["containers"]
    user = pod["securityContext"]
    variables = [f"{variable['name']}={variable['value']}" for variable in container.get("env", [])]
    as_user = [
        "setpriv", f"--reuid={user['runAsUser']}", f"--regid={user['runAsGroup']}", f"--groups={user['fsGroup']}",
        "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "env", "--ignore-environment", *variables,
    ]
    mount = ["unshare", "--mount", "sh", "-c", CONTAINER, "sh", DUALAUTH, mounted(folder, pod)]
    return subprocess.Popen([*mount, *as_user, *container["command"]], stdin=subprocess.DEVNULL)


def is_restricted(process, user):
    """What the kernel says of it."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    status = {name: value.split() for name, value in (line.split(":", 1) for line in lines)}
    no_capabilities = all(int(status[kind][0], 16) == 0 for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    return set(status["Uid"] + status["Gid"]) == {str(user)} and no_capabilities and status["NoNewPrivs"] == ["1"]


def answers(url):
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def wait(process, seconds, what):
    """The process is well as long as it takes."""
    end = time.monotonic() + seconds
    while not what():
        if process.poll() is not None or time.monotonic() > end:
            sys.exit(f"The pod is not what it should be: exit code {process.poll()}")
        time.sleep(0.2)


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    documents = rendered()
    with tempfile.TemporaryDirectory() as name, Postgres(Path(name)):
        folder = Path(name)
        migrated = start(folder / "job", documents["Job"]["spec"]["template"]["spec"]).wait(timeout=120)
        if migrated != 0:
            sys.exit(f"The migrations' Job ends with {migrated}")
        print("The Job has migrated.")

        pod = documents["Deployment"]["spec"]["template"]["spec"]
        [container] = pod["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        server = start(folder / "pod", pod)
        try:
            for name in ("startupProbe", "livenessProbe", "readinessProbe"):
                probe = container[name]
                url = f"http://127.0.0.1:{ports[probe['httpGet']['port']]}{probe['httpGet']['path']}"
                wait(server, probe["periodSeconds"] * probe["failureThreshold"], lambda: answers(url))
            for url in (f"http://[::1]:{ports['http']}/health/ready", f"http://127.0.0.1:{ports['metrics']}/metrics"):
                wait(server, 1, lambda: answers(url))
            if not is_restricted(server, pod["securityContext"]["runAsUser"]):
                sys.exit("The pod has rights that it should not have here")
            print("The pod is ready, by IPv4 and IPv6, and tells its metrics.")
            if start(folder / "test", documents["Pod"]["spec"]).wait(timeout=60) != 0:
                sys.exit("helm test's pod fails")
            print("The pod of helm test passes.")
            began = time.monotonic()
            server.terminate()
            code = server.wait(timeout=pod["terminationGracePeriodSeconds"])
            took = time.monotonic() - began
        finally:
            server.kill()
        pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        if code != 0 or took > pod["terminationGracePeriodSeconds"] - pause:
            sys.exit(f"The pod ends with {code} after {took:.1f} s")
        print(f"SIGTERM ends it with 0 after {took:.1f} s.")


main()
