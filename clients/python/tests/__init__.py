"""The verifier, tried without dualauth."""

import logging

# What it logs is no failure here; `assertLogs` sees it all the same.
logging.getLogger("dualauth").propagate = False
logging.getLogger("dualauth").addHandler(logging.NullHandler())
