"""Compares what dualauth carries and its SBOM say of its dependencies with Cargo.lock: `check.py BINARY SBOM`."""

import json
import os
import subprocess
import sys
import tempfile
import tomllib
import zlib

binary, sbom = sys.argv[1:]


def package_tree(edges):
    """The program's packages as Cargo has them, as (name, version)."""
    tree = ["cargo", "tree", "--locked", "--package", "dualauth", "--edges", edges, "--prefix", "none", "--format", "{p}"]
    lines = subprocess.run(tree, check=True, capture_output=True, text=True).stdout.splitlines()
    return {(name, version.removeprefix("v")) for name, version, *_ in map(str.split, filter(None, lines))}


def embedded():
    """What cargo-auditable wrote into the program."""
    with tempfile.TemporaryDirectory() as folder:
        section = os.path.join(folder, "section")
        subprocess.run(["objcopy", "--dump-section", f".dep-v0={section}", binary, os.devnull], check=True)
        with open(section, "rb") as file:
            packages = json.loads(zlib.decompress(file.read()))["packages"]
    # Build dependencies and macros are listed, too, and are not in the program.
    return {(package["name"], package["version"]) for package in packages if package.get("kind") != "build"}


def difference(told, tree, name):
    for package in sorted(tree - told):
        yield f"{name} lacks {' '.join(package)}"
    for package in sorted(told - locked.keys()):
        yield f"Cargo.lock lacks {' '.join(package)}, which {name} has"


with open("Cargo.lock", "rb") as file:
    locked = {(package["name"], package["version"]): package.get("checksum") for package in tomllib.load(file)["package"]}
with open(sbom, encoding="utf-8") as file:
    bom = json.load(file)
tree = package_tree("normal")
linked = package_tree("normal,no-proc-macro")
carried = embedded()
components = {(part["name"], part["version"]): part for part in [bom["metadata"]["component"], *bom["components"]]}

errors = [*difference(carried, linked, "the program"), *difference(components.keys(), tree, "the SBOM")]
for package, part in components.items():
    hashes = {each["alg"]: each["content"] for each in part.get("hashes", [])}
    if hashes.get("SHA-256") != locked.get(package):
        errors.append(f"the SBOM has another checksum of {' '.join(package)} than Cargo.lock")
if bom["bomFormat"] != "CycloneDX" or not linked:
    errors.append("no CycloneDX, or no packages")
if errors:
    sys.exit("\n".join(errors))
print(f"{len(linked)} packages are compiled in, {len(tree)} with macros; the program lists {len(carried)}, the SBOM {len(components)}, all as in Cargo.lock.")
