"""Four states of the world in which a program can be wrong without a word, tried on any build of optview.

    python3 -m venv /tmp/soak && /tmp/soak/bin/pip install confluent-kafka
    /tmp/soak/bin/python tests/soak/troubles.py BINARY [BINARY ...]

With each binary and a real broker of its own:
- `freezes`: a broker is frozen for 6 s, ten times; after each an event must be in its view within 90 s;
- `away`: the broker is frozen for 60 s; what the status and the metrics say of it;
- `transaction`: a producer dies with 103 records in an open transaction; what is said of them;
- `log`: nobody reads stderr while 50,000 records come that cannot be understood; whether events are read on, and whether SIGTERM ends it.

Prints what each binary said, and whether it was true. Needs Java 17 and Maven. The exit code is 1 where the last binary was wrong.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from outages import BROKER, TOPICS, event, free_port  # noqa: E402

FREEZES, FROZEN_FOR, SEEN_WITHIN, AWAY_FOR = 10, 6, 90, 60
HIDDEN_RECORDS, BAD_RECORDS = 103, 50_000
# Metrics that grow or jitter whatever happens.
ALWAYS_CHANGING = re.compile(r"^(process_|optview_(store|http|memory|log|uptime|disk)|# )")


class Broker:
    def __init__(self, folder):
        self.folder = folder
        started = subprocess.run([BROKER, "start", folder], stdout=subprocess.PIPE, text=True, check=True)
        self.address = started.stdout.strip()
        admin = AdminClient({"bootstrap.servers": self.address})
        for future in admin.create_topics([NewTopic(topic, 1, 1) for topic in TOPICS]).values():
            future.result()
        self.producer = Producer({"bootstrap.servers": self.address, "message.timeout.ms": 300_000, "log_level": 0})

    def call(self, verb):
        subprocess.run([BROKER, verb, self.folder], check=True, stdout=subprocess.DEVNULL)

    def put(self, topic, key, value):
        self.producer.produce(topic, value, key)
        self.producer.flush()

    def put_optimization(self, name):
        created = {"organizationId": "org-1", "projectId": "p", "name": name}
        self.put("optimizations", name, event({"optimizationId": name}, "created", created, 1))

    def end(self):
        subprocess.run([BROKER, "thaw", self.folder], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.call("kill")


class Server:
    def __init__(self, binary, broker, folder, stderr):
        self.read, self.admin = free_port(), free_port()
        self.process = subprocess.Popen(
            [binary, "serve", "--brokers", broker.address, "--data-dir", folder, "--listen", f"127.0.0.1:{self.read}"]
            + ["--admin-listen", f"127.0.0.1:{self.admin}"],
            stderr=stderr,
        )

    def ask(self, port, path):
        """The code and the body of an answer; (None, why) where there is none within 5 s."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return None, str(error)

    def status(self):
        code, body = self.ask(self.admin, "/status")
        return json.loads(body) if code == 200 else {"no answer": body}

    def has(self, name, within):
        """The seconds after which a view was there, or None."""
        begin = time.time()
        while time.time() < begin + within:
            if self.ask(self.read, f"/optimizations/{name}")[0] == 200:
                return round(time.time() - begin, 1)
            time.sleep(0.2)
        return None

    def summary(self):
        status = self.status()
        ready = self.ask(self.read, "/readyz")[0]
        partitions = [partition for partition in status.get("partitions", []) if partition.get("topic") == "optimizations"]
        known = {key: status.get(key) for key in ("state", "last_error", "last_error_since", "lag_seconds") if key in status}
        lags = [(partition.get("lag_records"), partition.get("high")) for partition in partitions]
        return f"{known}, lag and end of `optimizations`: {lags}, /readyz {ready}"

    def end(self):
        """The seconds until SIGTERM has ended the process; None where it has not within a minute."""
        self.process.send_signal(signal.SIGTERM)
        begin = time.time()
        try:
            self.process.wait(60)
            return round(time.time() - begin, 1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None


def freezes(server, broker, _):
    for number in range(1, FREEZES + 1):
        broker.call("freeze")
        time.sleep(FROZEN_FOR)
        broker.call("thaw")
        broker.put_optimization(f"after-{number}")
        seconds = server.has(f"after-{number}", SEEN_WITHIN)
        if seconds is None:
            return False, f"deaf after freeze {number}: {server.summary()}"
    return True, f"{FREEZES} freezes, and every event was read"


def away(server, broker, _):
    before = server.ask(server.admin, "/metrics")[1]
    broker.call("freeze")
    time.sleep(AWAY_FOR)
    after = server.ask(server.admin, "/metrics")[1]
    changed = sorted(
        {line.split("{")[0].split(" ")[0] for line in set(after.splitlines()) ^ set(before.splitlines())
         if not ALWAYS_CHANGING.match(line)}
    )
    said = server.summary()
    is_true = server.status().get("state") != "live" and len(changed) > 0
    return is_true, f"{said}; metrics that changed: {changed or 'none'}"


def transaction(server, broker, _):
    script = (
        "import os, sys; from confluent_kafka import Producer\n"
        "producer = Producer({'bootstrap.servers': sys.argv[1], 'transactional.id': 'dies', 'transaction.timeout.ms': 900000})\n"
        "producer.init_transactions(); producer.begin_transaction()\n"
        f"[producer.produce('optimizations', b'{{}}', b'x') for _ in range({HIDDEN_RECORDS})]\n"
        "producer.flush(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, broker.address], check=False)
    time.sleep(15)
    metrics = [line for line in server.ask(server.admin, "/metrics")[1].splitlines() if str(HIDDEN_RECORDS) in line]
    counted = [line for line in metrics if line.rsplit(" ", 1)[1] in (str(HIDDEN_RECORDS), f"{HIDDEN_RECORDS + 1}")]
    hidden = [line for line in counted if line.startswith("optview_") and "optimizations" in line]
    return bool(hidden), f"{server.summary()}; metrics with the number of records: {hidden or 'none'}"


def log(server, broker, _):
    for number in range(BAD_RECORDS):
        broker.producer.produce("jobs", b"{nonsense %d" % number, b"bad")
        broker.producer.poll(0)
        if number % 10_000 == 0:
            broker.producer.flush()
    broker.producer.flush()
    broker.put_optimization("after")
    seconds = server.has("after", 30)
    said = server.summary()
    ended = server.end()
    return seconds is not None and ended is not None, (
        f"an event after them was read after {seconds} s (None: not within 30 s), SIGTERM ended it after {ended} s (None: not "
        f"within 60 s); {said}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries", nargs="+", metavar="BINARY")
    parser.add_argument("--only", action="append", help="the name of a trial; several may be given")
    arguments = parser.parse_args()
    trials = [trial for trial in (freezes, away, transaction, log) if not arguments.only or trial.__name__ in arguments.only]
    is_wrong = False
    for trial in trials:
        for binary in arguments.binaries:
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                broker = Broker(folder / "broker")
                unread, stderr = os.pipe() if trial is log else (None, subprocess.DEVNULL)
                server = Server(binary, broker, folder / "data", stderr)
                try:
                    broker.put_optimization("first")
                    if server.has("first", 60) is None:
                        sys.exit(f"{binary} has not read the first event within a minute: {server.summary()}")
                    is_true, said = trial(server, broker, folder)
                    print(f"{trial.__name__}, {binary}: {'right' if is_true else 'WRONG'}: {said}", flush=True)
                    is_wrong |= not is_true and binary == arguments.binaries[-1]
                finally:
                    server.process.kill()
                    server.process.wait()
                    broker.end()
                    if unread is not None:
                        os.close(unread)
                        os.close(stderr)
    sys.exit(1 if is_wrong else 0)


if __name__ == "__main__":
    main()
