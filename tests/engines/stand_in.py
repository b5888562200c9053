"""A publisher of views that stands in for optview: it has the topic's contract, and histories of its own."""

import json
import random
import threading
import time

from confluent_kafka import KafkaException, Producer

MARK = b"optview-progress\xff"
STATUSES = ["queued", "running", "succeeded", "failed", "canceled", None]
NAMES = ["Fast charge", "Low temperature – β", "a\nb\t\"c\"\\", "nul \u0000 here", "\\u0000 is no nul", "", "🔋" * 5, "'; DROP TABLE x; --"]


def view(dice: random.Random, id: str) -> bytes:
    """A view in the list form: 19 keys."""
    status = dice.choice(STATUSES)
    metrics = {"Charge time [s]": dice.random() * 1e4, "LLI [mol]": 5.08e-14, "Cycles": dice.randrange(2000), "nul": "\u0000"}
    objectives = {dice.choice(NAMES): {"type": "DesignObjective", "constraints": {"Voltage [V]": {"lower": dice.random(), "upper": None}}}}
    created = f"2026-03-{dice.randrange(1, 29):02}T09:00:{dice.randrange(60):02}{dice.choice(['', '.785', '.000001'])}Z"
    fields = {
        "id": id, "name": dice.choice(NAMES), "description": dice.choice([None, "x" * dice.randrange(4000)]),
        "project_id": f"prj-{dice.randrange(5)}", "organization_id": f"org-{dice.randrange(3)}", "status": status,
        "kind": dice.choice(["optimize", "datafit", None]), "created_at": dice.choice([created, None]),
        "created_by_email": dice.choice(["ada@example.com", None]), "cell_spec_id": None, "parameterized_model_id": "m-1",
        "parameterized_model_name": "DFN", "cell_name": "LG M50", "optimization_template_id": None,
        "metrics": metrics if status == "succeeded" else None, "objectives": objectives,
        "error": "solver did not converge" if status == "failed" else None, "error_code": "SOLVER_ERROR" if status == "failed" else None,
        "run_count": dice.randrange(1000)}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def some_id(dice: random.Random, number: int) -> str:
    """An id, which may have any character. PostgreSQL cannot have those with U+0000."""
    nul = "\0" if number % 50 == 7 else ""
    return f"{dice.choice(['opt', 'a/b', 'ü +%', 'é?#&'])}-{nul}{number}"


class StandIn:
    """Changes views at random, in a thread, and publishes each change in a transaction. A kill leaves one open that has
    states which never came to be."""

    def __init__(self, brokers: str, topic: str, partitions: int, seed: int, ids: int, rate: int):
        self.brokers, self.topic, self.partitions, self.rate = brokers, topic, partitions, rate
        self.dice = random.Random(seed)
        self.ids = [some_id(self.dice, number) for number in range(ids)]
        # What views are now, and with which version their last record went out; None is a deleted one.
        self.views: dict[str, bytes | None] = {}
        self.versions: dict[str, int] = {}
        self.version = self.position = self.marked = self.written = 0
        self.unpublished: set[str] = set()
        self.producer, self.killed, self.stopped = None, threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.error = None

    def start(self):
        self.thread.start()

    def kill(self):
        self.killed.set()

    def stop(self):
        """Ends the histories. All that they are is published then, and a mark in each partition."""
        self.stopped.set()
        self.thread.join()
        if self.error:
            raise self.error

    def is_marked(self, marks: list[dict]) -> bool:
        """Returns true if the last mark of each partition is among the marks."""
        return [mark["version"] for mark in marks] == [self.marked] * self.partitions

    def nudge(self):
        """Writes a mark to each partition."""
        self.attempt(mark=True)

    def end(self):
        """Nothing runs after `stop`."""

    def run(self):
        try:
            while not self.stopped.is_set() or self.unpublished:
                if not self.stopped.is_set():
                    self.change(self.rate // 10)
                published = self.attempt(mark=False)
                if published and self.killed.is_set():
                    self.killed.clear()
                    self.crash()
                time.sleep(0.1)
            # What was left in this one's transaction is not made good by any later change.
            self.crash()
            while not self.attempt(mark=True):
                time.sleep(0.2)
        except Exception as error:  # Reported by `stop`.
            self.error = error

    def change(self, number: int):
        """A few changes: most of them of what was changed a short time ago."""
        recent = self.dice.randrange(len(self.ids))
        for _ in range(number):
            near = self.dice.random() < 0.8
            id = self.ids[(recent + self.dice.randrange(10)) % len(self.ids) if near else self.dice.randrange(len(self.ids))]
            gone = self.views.get(id) is not None and self.dice.random() < 0.1
            self.views[id] = None if gone else view(self.dice, id)
            self.unpublished.add(id)
            self.position += 1

    def attempt(self, mark: bool) -> bool:
        """Publishes what has changed. Where that fails, as much of it is published again, with higher versions."""
        try:
            if self.producer is None:
                self.producer = Producer({
                    "bootstrap.servers": self.brokers, "transactional.id": "views", "partitioner": "murmur2_random", "linger.ms": 5,
                    "transaction.timeout.ms": 10000, "socket.timeout.ms": 5000,
                    "log_level": 0})
                self.producer.init_transactions(20)
            self.producer.begin_transaction()
            sent = list(self.unpublished)
            for id in sent:
                self.produce(id, self.views[id])
            if mark or self.dice.random() < 0.1:
                self.mark()
            self.producer.commit_transaction(20)
            self.written += len(sent)
            self.unpublished.difference_update(sent)
            return True
        except (KafkaException, BufferError):
            self.producer = None
            return False

    def produce(self, id: str, value: bytes | None):
        self.version += 1
        self.versions[id] = self.version
        headers = {"optview-version": str(self.version), "optview-position": f"jobs:0:{self.position}", "content-type": "application/json"}
        if "\0" in id:
            headers["optview-nul-id"] = "true"
        if value is not None:
            headers |= {"organization_id": json.loads(value)["organization_id"], "project_id": json.loads(value)["project_id"]}
        self.producer.produce(self.topic, key=id.encode(), value=value, headers=headers)

    def mark(self):
        self.marked = self.version
        value = {"positions": {"jobs/0": self.position}, "version": self.version, "written_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        headers = {"optview-record": "progress", "optview-version": str(self.version), "content-type": "application/json"}
        for partition in range(self.partitions):
            self.producer.produce(self.topic, key=MARK, value=json.dumps(value), partition=partition, headers=headers)

    def crash(self):
        """A process that ends within a transaction, some of whose records are on the broker."""
        try:
            self.producer.begin_transaction()
            for id in self.dice.sample(self.ids, 20):
                self.version += 1
                headers = {"optview-version": str(self.version), "optview-position": "jobs:0:0"}
                self.producer.produce(self.topic, key=id.encode(), value=b'{"id":"never","status":"running"}', headers=headers)
            self.producer.flush(5)
        except KafkaException:
            pass  # The broker has been killed as well.
        self.producer = None
