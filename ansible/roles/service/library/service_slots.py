#!/usr/bin/python
"""Which slot of the proxy serves, which is free, and which release each one's container has. Changes nothing."""

from __future__ import annotations

import csv
import socket

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.docker_engine import inspect

DOCUMENTATION = r"""
module: service_slots
short_description: Which slot of HAProxy's backend serves
options:
  socket: {description: HAProxy's admin socket, type: path, required: true}
  slots: {description: The slots and their ports, type: dict, required: true}
  container_prefix: {description: Also read the label slipway.release of the containers PREFIX-SLOT, type: str}
  engine: {description: The engine's socket, type: path, default: /var/run/docker.sock}
"""
RETURN = r"""
serving: {description: The slot that takes requests; empty when none does, type: str}
free: {description: The slot that a deploy may fill, type: str}
statuses: {description: Slot -> what HAProxy says of it, type: dict}
releases: {description: Slot -> release of its container, type: dict}
"""


def statuses(path):
    """Slot -> status (UP, DOWN, MAINT, DRAIN, ...) from HAProxy's `show stat`, columns 2 and 18 of its CSV."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(path)
        connection.sendall(b"show stat\n")
        text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    rows = csv.DictReader(text.lstrip("# ").splitlines())
    return {row["svname"]: row["status"] for row in rows if row["pxname"] == "service"}


def release_of(engine, container):
    """The container's label; empty when there is no such container."""
    document = inspect(engine, container)
    return document["Config"]["Labels"].get("slipway.release", "") if document else ""


def main():
    module = AnsibleModule(
        argument_spec={
            "socket": {"type": "path", "required": True},
            "slots": {"type": "dict", "required": True},
            "container_prefix": {"type": "str"},
            "engine": {"type": "path", "default": "/var/run/docker.sock"},
        },
        supports_check_mode=True,
    )
    try:
        found = statuses(module.params["socket"])
    except OSError as error:
        module.fail_json(msg="HAProxy does not answer on %s: %s" % (module.params["socket"], error))
    slots = list(module.params["slots"])
    serving = [slot for slot in slots if found.get(slot, "").startswith(("UP", "no check"))]
    free = [slot for slot in slots if slot not in serving[:1]]
    prefix = module.params["container_prefix"]
    releases = {slot: release_of(module.params["engine"], "%s-%s" % (prefix, slot)) for slot in slots} if prefix else {}
    module.exit_json(changed=False, serving="".join(serving[:1]), free=free[0], statuses=found, releases=releases)


if __name__ == "__main__":
    main()
