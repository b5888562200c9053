"""What users of the platform's own client see of an instance that is not well, and of one with keys.

`python_clients.py SCENARIO ADDRESS [KEY]`; a line on stdout tells the test how far it is.
"""

import inspect
import logging
import sys
import threading
import time

from ionworks import Ionworks
from ionworks.errors import IonworksError

scenario, address, *rest = sys.argv[1:]


def client(key="k", **settings):
    return Ionworks(api_key=key, api_url=address, **settings)


def error_of(call):
    try:
        found = call()
    except IonworksError as error:
        return error.status_code, error.error_code
    raise AssertionError(f"it was answered: {found}")


def soon(line):
    """Prints a line after a second, while the main thread waits."""
    timer = threading.Timer(1, print, [line], {"flush": True})
    timer.start()


def catching_up():
    """It has read a part of what there is: nobody is told that something does not exist, and retries come through."""
    impatient = client(max_retries=0)
    assert impatient.health_check()["status"] == "ok"
    assert impatient.optimization.get("opt-1")["status"] == "queued", "the job's events are not read yet"
    unavailable = (503, "SERVICE_UNAVAILABLE")
    assert error_of(lambda: impatient.optimization.get("opt-late")) == unavailable
    assert error_of(impatient.optimization.list) == unavailable
    print("unavailable", flush=True)
    # The client asks again by itself when `Retry-After` says so.
    soon("recover")
    begun = time.monotonic()
    assert client().optimization.get("opt-late")["id"] == "opt-late"
    assert time.monotonic() - begun > 4, "it was asked once only"
    assert client().optimization.list()["total"] == 2
    done = client().optimization.wait_for_completion("opt-1", timeout=60, poll_interval=1)
    assert done["status"] == "succeeded", done
    print("recovered", flush=True)


def lost():
    """Its brokers are away: what was read is there, and what is not is not denied. A wait goes on when they are back."""
    impatient = client(max_retries=0)
    assert impatient.health_check()["status"] == "ok"
    assert impatient.whoami()["authorized_organization"] is None
    view = impatient.optimization.get("opt-1")
    assert len(view) == 19 and view["status"] == "running", view
    assert [item["id"] for item in impatient.optimization.list()["optimizations"]] == ["opt-1"]
    assert error_of(lambda: impatient.optimization.get("opt-late")) == (503, "SERVICE_UNAVAILABLE")
    try:
        client().optimization.wait_for_completion("opt-1", timeout=2, poll_interval=1)
    except TimeoutError:
        print("still running", flush=True)
    soon("recover")
    done = client().optimization.wait_for_completion("opt-1", timeout=90, poll_interval=1)
    assert done["status"] == "succeeded" and done["metrics"] == {"Charge time [s]": 2874.918273}, done
    print("recovered", flush=True)


def keys():
    """It asks for a key: everything is its organization's only."""
    mine = client(rest[0])
    organization = {"id": "org-1", "name": "org-1"}
    me = mine.whoami()
    assert me["authorized_organization"] == organization and me["organizations"] == [organization], me
    assert mine.optimization.get("opt-1")["status"] == "running"
    assert mine.optimization.list()["total"] == 1
    missing = error_of(lambda: mine.optimization.get("opt-none"))
    assert error_of(lambda: mine.optimization.get("theirs")) == missing == (404, "NOT_FOUND"), missing
    wrong = client("wrong")
    for call in (wrong.whoami, wrong.optimization.list, lambda: wrong.optimization.get("opt-1")):
        assert error_of(call) == (401, "UNAUTHORIZED")
    assert wrong.health_check()["status"] == "ok", "health is for everybody"
    if "token" in inspect.signature(Ionworks).parameters:
        newer = Ionworks(token=rest[0], organization_id="org-1", api_url=address)
        assert newer.optimization.list()["total"] == 1
        other = Ionworks(token=rest[0], organization_id="org-2", api_url=address)
        assert other.optimization.list()["total"] == 0
    soon("complete")
    done = mine.optimization.wait_for_completion("opt-1", timeout=60, poll_interval=1)
    assert done["status"] == "succeeded", done
    print("completed", flush=True)


logging.basicConfig(level=logging.WARNING)
{"catching-up": catching_up, "lost": lost, "keys": keys}[scenario]()
