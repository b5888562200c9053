"""What users of the platform's own client do, against the address given; the test beside it puts the events there.

Says on stdout, one line at a time, how far it is.
"""

import sys

from ionworks import Ionworks
from ionworks.errors import IonworksError


def main(api_url: str) -> None:
    client = Ionworks(api_key="k", api_url=api_url)

    whole = client.optimization.get("python-a")
    assert isinstance(whole, dict), whole
    assert len(whole) == 19, sorted(whole)
    assert whole["id"] == "python-a" and whole["status"] == "queued", whole
    assert whole["objectives"] is None and whole["run_count"] == 1, whole
    assert whole["created_at"] == "2026-03-01T09:00:00Z", whole

    page = client.optimization.list(project_id="prj-1", limit=1, offset=1)
    assert page["total"] == 2, page
    assert [item["id"] for item in page["optimizations"]] == ["python-b"], page
    assert page["optimizations"][0]["objectives"] == {"Fast charge": {"weight": 1}}, page
    assert client.optimization.list(project_id="prj-none") == {"optimizations": [], "total": 0}
    assert client.optimization.list()["total"] == 2

    try:
        client.optimization.get("python-none")
    except IonworksError as error:
        assert error.status_code == 404, error.status_code
        assert error.error_code == "NOT_FOUND", error.error_code
        assert error.message == error.data["message"] and "no such optimization" in error.message, error.message
    else:
        raise AssertionError("an optimization that is not there was found")

    try:
        client.optimization.list(limit=0)
    except IonworksError as error:
        assert (error.status_code, error.error_code) == (422, "VALIDATION_ERROR"), error
        assert error.data["detail"][0]["loc"] == ["query", "limit"], error.data
    else:
        raise AssertionError("a limit of 0 was taken")

    print("waiting", flush=True)
    done = client.optimization.wait_for_completion("python-a", timeout=60, poll_interval=1)
    assert done["status"] == "succeeded" and done["metrics"] == {"Charge time [s]": 2874.918273}, done

    print("waiting for a failure", flush=True)
    try:
        client.optimization.wait_for_completion("python-b", timeout=60, poll_interval=1)
    except IonworksError as error:
        assert error.error_code == "JOB_FAILED", error.error_code
        assert "solver did not converge" in error.message, error.message
    else:
        raise AssertionError("a failure was taken for a success")

    print("done", flush=True)


main(sys.argv[1])
