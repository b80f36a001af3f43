"""What no schema knows of the image and the compose files: settings are the service's, and containers have no rights that they don't need."""

import re
import sys
from pathlib import Path

from ruamel.yaml import YAML

SERVICE = "dualauth:"
problems = []


def known_settings():
    lines = Path(".env.example").read_text().splitlines()
    return {found[1] for line in lines if (found := re.match(r"# ([A-Z][A-Z0-9_]*)=", line))}


def check_settings(where, names, known):
    for name in names:
        if name not in known and name.removesuffix("_FILE") not in known:
            problems.append(f"{where}: {name} is no setting of .env.example")


def check_dockerfile(known):
    final = Path("Dockerfile").read_text().split("\nFROM ")[-1]
    check_settings("Dockerfile", re.findall(r"^ENV (\w+)=", final, re.MULTILINE), known)
    if "\nUSER 65532:65532\n" not in final or "\nRUN " in final:
        problems.append("Dockerfile: the last stage runs nothing, and its user is 65532:65532")


def check_compose(path, known):
    services = YAML(typ="safe").load(Path(path))["services"]
    for name, service in services.items():
        where = f"{path}, {name}"
        if "extends" in service:
            continue
        if service.get("image", "").startswith(SERVICE):
            check_settings(where, service["environment"], known)
            if service["healthcheck"]["test"] != ["CMD", "/usr/local/bin/dualauth", "health"]:
                problems.append(f"{where}: its health is what `dualauth health` says")
        if service.get("read_only") is not True or service.get("cap_drop") != ["ALL"]:
            problems.append(f"{where}: read_only and cap_drop: [ALL] are missing")
        if "no-new-privileges:true" not in service.get("security_opt", []):
            problems.append(f"{where}: no-new-privileges is missing")
        for secret in service.get("environment", {}):
            if re.search("SECRET|PASSWORD|DATABASE.*URL", secret) and not secret.endswith("_FILE"):
                problems.append(f"{where}: {secret} belongs in a file")
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                problems.append(f"{where}: port {port} is published to other machines")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./") and not Path(source).is_file():
                problems.append(f"{where}: there is no {source}")


def main():
    known = known_settings()
    check_dockerfile(known)
    for path in ("compose.yaml", "compose.cluster.yaml"):
        check_compose(path, known)
    sys.exit("\n".join(problems) or None)


main()
