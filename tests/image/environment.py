"""Prints what a compose file gives a service as environment, a line each, with the defaults of what ${NAME:-default} names."""

import re
import sys
from pathlib import Path

from ruamel.yaml import YAML

path, service = sys.argv[1:]
environment = YAML(typ="safe").load(Path(path))["services"][service]["environment"]
for name, value in environment.items():
    print(f"{name}={re.sub(r'[$][{]\w+:-(.*?)[}]', r'\1', value)}")
