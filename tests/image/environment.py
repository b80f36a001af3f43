"""Prints what a compose file gives a service as environment, a line each, with the defaults of what ${NAME:-default} names."""

import re
import sys
from pathlib import Path

from ruamel.yaml import YAML

path, service = sys.argv[1:]
for name, value in YAML(typ="safe").load(Path(path))["services"][service]["environment"].items():
    value = re.sub(r"[$][{]\w+:-(.*?)[}]", r"\1", value)
    print(f"{name}={value}")
