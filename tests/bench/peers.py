#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the libraries of Python cost: peers.py WHAT [TIMES] prints it as a line of JSON.

The interpreter's start is not counted.
"""

import json
import sys
import time


def psutil_counters():
    import psutil
    return lambda: psutil.net_io_counters(pernic=True)


def pyroute2(question):
    from pyroute2 import IPRoute
    ipr = IPRoute()
    return lambda: list(question(ipr))


WHAT = {
    "psutil": psutil_counters,
    "links": lambda: pyroute2(lambda ipr: ipr.get_links()),
    "neighbours": lambda: pyroute2(lambda ipr: ipr.get_neighbours()),
    "fdb": lambda: pyroute2(lambda ipr: ipr.fdb("dump")),
    "rules": lambda: pyroute2(lambda ipr: ipr.get_rules()),
    "routes": lambda: pyroute2(lambda ipr: ipr.get_routes()),
    "addresses": lambda: pyroute2(lambda ipr: ipr.get_addr()),
}

read = WHAT[sys.argv[1]]()
times = int(sys.argv[2]) if len(sys.argv) > 2 else 1
start = time.process_time()
for _ in range(times):
    found = len(read())
print(json.dumps({"cpu_ms": 1e3 * (time.process_time() - start) / times, "messages": found}))
