"""Outages of a cluster of three real brokers, one after another, under load: is anything that is said meanwhile wrong?

    python3 -m venv /tmp/soak && /tmp/soak/bin/pip install confluent-kafka
    cargo build --release
    /tmp/soak/bin/python tests/soak/outages.py target/release/optview --minutes 60

Each topic has its one partition on a broker of its own. Events are written at a steady rate, views are read, and the status is
looked at twice a second, while a broker freezes, the right to read a topic is revoked, a transaction stays open, and all brokers
freeze; between two outages all is well for a while. Where `prometheus` is installed, one scrapes the instance with the alerts of
`deploy/prometheus/alerts.yaml`, and what fired in which phase is printed.

Held to be wrong, and printed as it is seen:
- an answer marked `live` that lacks what the cluster acknowledged 40 s before; a 404 of such an optimization; any other error than
  a 503 with Retry-After; an answer that does not come;
- a lag of 0 where a record was acknowledged 15 s before and has not been read;
- an outage of 45 s without `last_error`, without `last_error_since`, or called `live`;
- an instance that is not `live`, has an error or does not know its lag though all has been well for 60 s, as the cluster's
  steady acknowledgements and leaders prove, from 60 s before until 30 s after;
- an open transaction whose records are not counted as hidden after 15 s;
- an alert that still fires 100 s after an outage ended, and an outage of 130 s and more in which none fires.

Needs Java 17 and Maven, as the tests against a real Kafka do. The exit code is 1 where anything was wrong.
"""

import argparse
import atexit
import collections
import json
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BROKER = REPOSITORY / "tests/kafka/broker"
TOPICS = ["optimizations", "jobs", "multistart-runs"]
# How many of them each tenth of a second brings; about ten events each over its life.
OPTIMIZATIONS_A_TICK = 1
RUNS = 4
# Seconds: until what was acknowledged must be seen; until an outage must be; until a cluster that is well must be.
SEEN_WITHIN, ERROR_WITHIN, WELL_WITHIN, ALERTS_WITHIN = 40, 45, 60, 100
# Seconds until an alert fires at the latest: 30 until it is stale, 60 of the alert's own, two intervals of Prometheus.
ALERT_AFTER = 130
# Seconds for which the cluster must be undisturbed after a moment that was well.
WELL_AFTERWARDS = 30
# A pause of the cluster's acknowledgements that is an outage of its own: this machine's, mostly.
LATE_AFTER = 5
HIDDEN_RECORDS = 103
OUTAGES = ["a broker frozen", "no right to read", "all brokers frozen"]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Cluster:
    """Three nodes of `tests/kafka/broker`; the first is the controller, too."""

    PROPERTIES = [
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found=true",
        "transaction.max.timeout.ms=900000",
    ]

    def __init__(self, folder):
        self.nodes = [folder / f"node-{number}" for number in (1, 2, 3)]
        atexit.register(self.end)
        addresses = [self.broker("start", self.nodes[0], *self.PROPERTIES)]
        addresses += [self.broker("join", node, self.nodes[0], *self.PROPERTIES) for node in self.nodes[1:]]
        self.address = ",".join(addresses)

    def broker(self, verb, *arguments):
        done = subprocess.run([BROKER, verb, *arguments], stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout.strip()

    def freeze(self, *numbers):
        for number in numbers:
            self.broker("freeze", self.nodes[number - 1])

    def thaw(self, *numbers):
        for number in numbers:
            self.broker("thaw", self.nodes[number - 1])

    def end(self):
        for node in self.nodes:
            if (node / "pid").exists():
                subprocess.run([BROKER, "thaw", node], check=False)
                subprocess.run([BROKER, "kill", node], check=False)


class Wrongs:
    """What was wrong, by kind; the first of each kind are printed."""

    PRINTED = 5

    def __init__(self):
        self.counts = collections.Counter()

    def add(self, kind, what):
        self.counts[kind] += 1
        if self.counts[kind] <= self.PRINTED:
            say(f"WRONG, {kind}: {what}")


def say(line):
    print(time.strftime("%H:%M:%S"), line, flush=True)


class Phase:
    """What is being done to the cluster, and since when."""

    def __init__(self):
        self.name, self.since = "well", time.time()
        self.excused_until = 0.0
        # (When, when the cluster had last been disturbed by then, what was seen.)
        self.suspected = collections.deque()

    def enter(self, name):
        self.name, self.since = name, time.time()

    @property
    def seconds(self):
        return time.time() - self.since

    def __str__(self):
        return f"{self.seconds:.0f} s into '{self.name}'"


LEVELS = {None: 0, "queued": 1, "running": 2, "succeeded": 3}


class Traffic:
    """Writes events, and knows what the cluster has acknowledged of each optimization, and when."""

    def __init__(self, address, wrongs):
        self.lock = threading.Lock()
        # Optimization -> (when acknowledged, at least this status, at least so many runs).
        self.acknowledged = {}
        # Topic -> (when acknowledged, offset).
        self.offsets = {topic: collections.deque(maxlen=200_000) for topic in TOPICS}
        # Topic -> when the cluster last acknowledged a record of it; and when one of them last came late.
        self.last = dict.fromkeys(TOPICS, time.time())
        self.late_at = time.time()
        self.wrongs = wrongs
        self.producer = Producer(
            {
                "bootstrap.servers": address,
                "linger.ms": 5,
                "message.timeout.ms": 1_800_000,
                "queue.buffering.max.messages": 1_000_000,
            }
        )

    def put(self, topic, optimization, level, runs, key, value):
        def acknowledged(error, message):
            if error:
                return self.wrongs.add("a record that was not written", error)
            with self.lock:
                now = time.time()
                if now - self.last[topic] > LATE_AFTER:
                    self.late_at = now
                self.last[topic] = now
                self.acknowledged.setdefault(optimization, []).append((now, level, runs))
                self.offsets[topic].append((now, message.offset()))

        while True:
            try:
                return self.producer.produce(topic, value, key, partition=0, on_delivery=acknowledged)
            except BufferError:
                self.producer.poll(0.1)

    def run(self, stop):
        under_way = collections.deque()
        number, tick = 0, time.time()
        while not stop.is_set():
            for _ in range(OPTIMIZATIONS_A_TICK):
                under_way.append(self.begin(number))
                number += 1
                if len(under_way) > 30:
                    self.finish(*under_way.popleft())
            tick = max(tick + 0.1, time.time() - 5)
            while time.time() < tick:
                self.producer.poll(0.02)

    def begin(self, number):
        optimization, job = f"opt-{number}", f"job-{number}"
        created = {
            "organizationId": "org-1",
            "projectId": f"prj-{number % 7}",
            "name": "Fast charge",
            "kind": "optimize",
            "createdByEmail": "a@b.c",
            "cellSpecId": "c",
            "cellName": "LG",
            "parameterizedModelId": "p",
            "parameterizedModelName": "SPMe",
            "objectives": {"Fast": {"w": 1}},
            "jobId": job,
        }
        ids = {"optimizationId": optimization}
        self.put(TOPICS[0], optimization, 0, 0, optimization, event(ids, "created", created, 1))
        ids = {"jobId": job, "optimizationId": optimization}
        self.put(TOPICS[1], optimization, 1, 0, job, event(ids, "pending", {}, 1))
        return optimization, job

    def finish(self, optimization, job):
        ids = {"jobId": job}
        self.put(TOPICS[1], optimization, 2, 0, job, event(ids, "processing", {}, 2))
        for run in range(RUNS):
            self.put(TOPICS[2], optimization, 0, run + 1, job, event({**ids, "runIndex": run}, "started", {}, 1))
        self.put(TOPICS[1], optimization, 3, 0, job, event(ids, "completed", {"metrics": {"Charge time [s]": 2.5}}, 3))

    def some(self):
        """An optimization, and what was acknowledged of it long enough ago to be seen."""
        with self.lock:
            if len(self.acknowledged) < 50:
                return None
            optimization = f"opt-{random.randrange(len(self.acknowledged))}"
            history = self.acknowledged.get(optimization, [])
            return optimization, [entry for entry in history if time.time() - entry[0] > SEEN_WITHIN]

    def steady_for(self):
        """For how many seconds the cluster has acknowledged records of all topics without a pause."""
        with self.lock:
            now = time.time()
            late = any(now - last > LATE_AFTER for last in self.last.values())
            return 0 if late else now - self.late_at

    def disturbed(self, what):
        """Notes that the cluster is not well, whatever this script does to it."""
        with self.lock:
            if time.time() - self.late_at > LATE_AFTER:
                say(f"  the cluster: {what}")
            self.late_at = time.time()

    def newest(self, topic, seconds_ago):
        """The newest offset that was acknowledged at least so long ago."""
        limit = time.time() - seconds_ago
        with self.lock:
            return next((offset for at, offset in reversed(self.offsets[topic]) if at < limit), -1)


def event(ids, kind, body, sequence):
    now = time.time()
    occurred_at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
    event_id = f"{'/'.join(map(str, ids.values()))}/{kind}/{sequence}"
    metadata = {"eventId": event_id, "occurredAt": occurred_at, "sequence": str(sequence)}
    return json.dumps({"metadata": metadata, **ids, kind: body}).encode()


def fetch(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


class Instance:
    """The program as its user starts it."""

    def __init__(self, binary, cluster, folder):
        self.read_port, self.admin_port = free_port(), free_port()
        command = [binary, "serve", "--brokers", cluster.address, "--data-dir", folder / "data"]
        command += ["--listen", f"127.0.0.1:{self.read_port}", "--admin-listen", f"127.0.0.1:{self.admin_port}"]
        log = open(folder / "optview.log", "w")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        atexit.register(self.process.kill)


def watch_leaders(stop, admin, traffic, phase):
    """Notes each second in which a topic's only partition has no leader, or nobody says which."""
    while not stop.is_set():
        time.sleep(1)
        try:
            topics = admin.list_topics(timeout=5).topics
        except KafkaException as error:
            traffic.disturbed(f"no metadata: {error}, {phase}")
            continue
        lost = [topic for topic in TOPICS if topics[topic].partitions[0].leader < 0]
        if lost:
            traffic.disturbed(f"no leader of {', '.join(lost)}, {phase}")


def check_reads(stop, instance, traffic, phase, looks, wrongs):
    while not stop.is_set():
        time.sleep(0.04)
        chosen = traffic.some()
        if not chosen:
            continue
        optimization, history = chosen
        # Records behind an open transaction are acknowledged, and are not to be read yet.
        if phase.name == "an open transaction" or time.time() < phase.excused_until:
            history = []
        try:
            code, headers, body = fetch(instance.read_port, f"/optimizations/{optimization}")
        except OSError as error:
            wrongs.add("no answer", f"{optimization}: {error!r}, {phase}")
            continue
        state = headers.get("x-optview-state", "not marked")
        looks[f"answers {state}"] += 1
        if code == 200 and state == "live" and history:
            view = json.loads(body)
            status, runs = max(entry[1] for entry in history), max(entry[2] for entry in history)
            if LEVELS[view["status"]] < status or view["run_count"] < runs:
                wrongs.add("stale called live", f"{optimization} {view['status']} {view['run_count']} {history}, {phase}")
        elif code == 404 and state == "live" and history:
            wrongs.add("404 of what is there", f"{optimization}, {phase}")
        elif code not in (200, 404) and (code != 503 or "retry-after" not in headers):
            wrongs.add("an error page", f"{code} {headers}, {phase}")


def check_status(stop, instance, traffic, phase, looks, wrongs):
    suspected = phase.suspected
    while not stop.is_set():
        time.sleep(0.5)
        newest = {topic: traffic.newest(topic, 15) for topic in TOPICS}
        name, seconds = phase.name, phase.seconds
        # Nobody is well whose cluster is not, whatever this script has done to it.
        well_for = min(seconds, traffic.steady_for()) if name == "well" else 0
        try:
            status = json.loads(fetch(instance.admin_port, "/status")[2])
        except OSError as error:
            wrongs.add("no status", f"{error!r}, {phase}")
            continue
        looks["statuses"] += 1
        for partition in status["partitions"]:
            unread = partition["position"] <= newest[partition["topic"]]
            if unread and partition["lag_records"] == 0 and not partition["hidden_records"]:
                wrongs.add("lag 0 with unread records", f"{partition}, {newest[partition['topic']]} acknowledged, {phase}")
        if name in OUTAGES and seconds > ERROR_WITHIN:
            if not status["last_error"] or not status["last_error_since"]:
                wrongs.add("an outage without an error", f"{status['last_error']}, {phase}")
            if status["state"] == "live":
                wrongs.add("an outage called live", f"{phase}")
        if well_for > WELL_WITHIN:
            if status["state"] != "live" or status["last_error"] or status["lag_records"] is None:
                parts = {key: status[key] for key in ("state", "last_error", "lag_records")}
                suspected.append((time.time(), traffic.late_at, f"{parts}, {phase}"))
        while suspected and time.time() - suspected[0][0] > WELL_AFTERWARDS:
            _, late_at, what = suspected.popleft()
            if traffic.late_at == late_at:
                wrongs.add("well called something else", what)
            else:
                looks["words about a cluster that was disturbed soon after"] += 1
        if name == "an open transaction" and seconds > 15:
            jobs = next(partition for partition in status["partitions"] if partition["topic"] == TOPICS[1])
            if (jobs["hidden_records"] or 0) < HIDDEN_RECORDS:
                wrongs.add("a transaction that is not seen", f"{jobs}, {phase}")


class Alerts:
    """A Prometheus with the alerts of the repository, where there is one."""

    def __init__(self, instance, folder):
        self.port = None
        self.fired = collections.defaultdict(set)
        if not shutil.which("prometheus"):
            return say("no `prometheus` is installed: the alerts are not looked at")
        self.port = free_port()
        configuration = {
            "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
            "rule_files": [str(REPOSITORY / "deploy/prometheus/alerts.yaml")],
            "scrape_configs": [
                {"job_name": "optview", "static_configs": [{"targets": [f"127.0.0.1:{instance.admin_port}"]}]}
            ],
        }
        # JSON is YAML.
        (folder / "prometheus.yml").write_text(json.dumps(configuration))
        command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}"]
        log = open(folder / "prometheus.log", "w")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        atexit.register(process.kill)

    def firing(self):
        alerts = json.loads(fetch(self.port, "/api/v1/alerts")[2])["data"]["alerts"]
        return sorted({alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"})

    def watch(self, stop, phase, wrongs):
        while self.port and not stop.is_set():
            time.sleep(5)
            firing = self.firing()
            self.fired[phase.name].update(firing)
            if phase.name == "well" and phase.seconds > ALERTS_WITHIN and firing:
                wrongs.add("an alert though all is well", f"{firing}, {phase}")


class Rights:
    """What anybody may do with the jobs' topic."""

    def __init__(self, admin):
        self.admin = admin
        operations = ["READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS", "DELETE", "ALTER"]
        for operation in operations:
            self.give(AclOperation[operation])

    def give(self, operation=AclOperation.READ):
        pattern = ResourcePatternType.LITERAL
        rule = AclBinding(
            ResourceType.TOPIC, TOPICS[1], pattern, "User:ANONYMOUS", "*", operation, AclPermissionType.ALLOW
        )
        self.until_done(lambda: self.admin.create_acls([rule]))

    def take_read(self):
        pattern = ResourcePatternType.LITERAL
        reading = AclBindingFilter(
            ResourceType.TOPIC, TOPICS[1], pattern, None, None, AclOperation.READ, AclPermissionType.ANY
        )
        self.until_done(lambda: self.admin.delete_acls([reading]))

    def until_done(self, begin):
        for _ in range(60):
            try:
                return [future.result(20) for future in begin().values()]
            except KafkaException as error:
                say(f"rights cannot be changed yet: {error}")
                time.sleep(1)
        sys.exit("the rights of the jobs' topic cannot be changed")


class Soak:
    def __init__(self, binary, folder):
        self.cluster = Cluster(folder / "kafka")
        admin = AdminClient({"bootstrap.servers": self.cluster.address})
        for number, topic in enumerate(TOPICS, 1):
            made = NewTopic(topic, num_partitions=1, replica_assignment=[[number]], config={"retention.ms": "-1"})
            admin.create_topics([made])[topic].result(30)
        self.rights = Rights(admin)
        self.wrongs, self.looks, self.phase = Wrongs(), collections.Counter(), Phase()
        self.traffic = Traffic(self.cluster.address, self.wrongs)
        self.instance = Instance(binary, self.cluster, folder)
        self.alerts = Alerts(self.instance, folder)

    def stay(self, name, seconds):
        self.phase.enter(name)
        say(f"{name}, for {seconds} s")
        end = time.time() + seconds
        # What is suspected is judged before the next outage, which would excuse it.
        while time.time() < end or self.phase.suspected:
            time.sleep(0.5)
            if self.instance.process.poll() is not None:
                sys.exit(f"optview ended with {self.instance.process.returncode}")
        if self.alerts.port:
            firing = self.alerts.firing()
            say(f"  firing at its end: {', '.join(firing) or 'none'}")
            if name in OUTAGES and seconds >= ALERT_AFTER and not firing:
                self.wrongs.add("an outage without an alert", f"{self.phase}")

    def round(self, number):
        frozen = 2 + number % 2
        self.cluster.freeze(frozen)
        self.stay("a broker frozen", 140)
        self.cluster.thaw(frozen)
        self.stay("well", 130)
        self.rights.take_read()
        self.stay("no right to read", 140)
        self.rights.give()
        self.stay("well", 130)
        self.open_transaction(60 if number else 240)
        self.stay("well", 130)
        self.cluster.freeze(1, 2, 3)
        self.stay("all brokers frozen", [240, 150, 150][number % 3])
        self.cluster.thaw(1, 2, 3)
        self.stay("well", 130)

    def open_transaction(self, seconds):
        settings = {"transactional.id": f"soak-{time.time()}", "transaction.timeout.ms": 900_000}
        producer = Producer({"bootstrap.servers": self.cluster.address, **settings})
        producer.init_transactions(60)
        producer.begin_transaction()
        for number in range(HIDDEN_RECORDS):
            value = event({"jobId": f"hidden-{number}"}, "pending", {}, 1)
            producer.produce(TOPICS[1], value, f"hidden-{number}", partition=0)
        producer.flush(30)
        self.stay("an open transaction", seconds)
        self.phase.excused_until = time.time() + SEEN_WITHIN
        producer.abort_transaction(60)

    def run(self, minutes):
        stop = threading.Event()
        checking = (self.instance, self.traffic, self.phase, self.looks, self.wrongs)
        begin = [
            (self.traffic.run, (stop,)),
            (check_reads, (stop, *checking)),
            (check_reads, (stop, *checking)),
            (check_status, (stop, *checking)),
            (self.alerts.watch, (stop, self.phase, self.wrongs)),
            (watch_leaders, (stop, self.rights.admin, self.traffic, self.phase)),
        ]
        threads = [threading.Thread(target=target, args=arguments, daemon=True) for target, arguments in begin]
        for thread in threads:
            thread.start()
        started, rounds = time.time(), 0
        self.stay("well", 130)
        while time.time() - started < minutes * 60:
            self.round(rounds)
            rounds += 1
        for thread in threads:
            if not thread.is_alive():
                self.wrongs.add("a check that ended early", thread)
        stop.set()
        for thread in threads:
            thread.join(10)
        written = {topic: len(offsets) for topic, offsets in self.traffic.offsets.items()}
        say(f"{(time.time() - started) / 60:.1f} minutes, {rounds} rounds, {dict(self.looks)}, written {written}")
        say(f"alerts that fired, by phase: { {phase: sorted(names) for phase, names in self.alerts.fired.items()} }")
        say(f"wrong: {dict(self.wrongs.counts) or 'nothing'}")
        return 1 if self.wrongs.counts else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--minutes", type=float, default=60)
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="optview-soak-"))
    say(f"logs are in {folder}")
    sys.exit(Soak(options.binary, folder).run(options.minutes))


if __name__ == "__main__":
    main()
