#!/usr/bin/python
"""Wait until a container's service answers 200, and stop waiting when the container does not run any more."""

from __future__ import annotations

import time
import urllib.error
import urllib.request

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.docker_engine import inspect, log_of

DOCUMENTATION = r"""
module: service_ready
short_description: Wait until a service in a container is ready
options:
  url: {description: Answers 200 when the service is ready, type: str, required: true}
  container: {description: The container that has to keep running meanwhile, type: str, required: true}
  seconds: {description: How long to wait, type: int, required: true}
  engine: {description: The engine's socket, type: path, default: /var/run/docker.sock}
"""
RETURN = r"""
waited: {description: Seconds until the service was ready, type: float}
log: {description: On failure, the last lines that the container wrote, type: list}
"""
LOG_LINES = 200


def answers(url):
    """The status that the URL answers with; 0 when nothing does."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def end_of(engine, container):
    """How a container ended, in words; empty while its first process runs. A restart hides the exit code, and counts as an end."""
    document = inspect(engine, container)
    if document is None:
        return "the container is gone"
    if document["RestartCount"] > 0:
        return "its process ended"
    if document["State"]["Status"] == "running":
        return ""
    return "its process ended with code %s" % document["State"]["ExitCode"]


def main():
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "container": {"type": "str", "required": True},
            "seconds": {"type": "int", "required": True},
            "engine": {"type": "path", "default": "/var/run/docker.sock"},
        }
    )
    url, container, seconds, engine = (module.params[name] for name in ("url", "container", "seconds", "engine"))
    started = time.monotonic()
    reason = "it never became ready"
    while time.monotonic() - started < seconds:
        last = answers(url)
        if last == 200:
            module.exit_json(changed=False, waited=round(time.monotonic() - started, 1))
        reason = end_of(engine, container)
        if reason:
            break
        reason = "it was not ready within %d s (%s)" % (seconds, "status %d" % last if last else "no answer")
        time.sleep(0.25)
    module.fail_json(msg="the new container did not become ready: %s" % reason, log=log_of(engine, container, LOG_LINES))


if __name__ == "__main__":
    main()
