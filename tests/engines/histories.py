"""optview as the publisher of views: random histories of events, which it folds, and whose views it publishes."""

import json
import pathlib
import random
import threading
import time
import uuid

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from rig import Process, free_port, request, wait_until
from stand_in import MARK, NAMES, some_id

EVENT_TOPICS = {"optimizations": 2, "jobs": 2, "multistart-runs": 1}
STATUSES = ["pending", "processing", "waiting", "completed", "failed", "canceled"]


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Histories:
    """Writes events at random, in a thread, to the topics that an optview reads which publishes its views."""

    def __init__(self, binary: pathlib.Path, folder: pathlib.Path, brokers: str, topic: str, partitions: int, seed: int, ids: int, rate: int):
        self.brokers, self.topic, self.partitions, self.rate = brokers, topic, partitions, rate
        self.dice = random.Random(seed)
        self.ids = [some_id(self.dice, number) for number in range(ids)]
        self.views: dict[str, bytes | None] = {}
        self.versions: dict[str, int] = {}
        self.written = self.sequence = 0
        self.known: set[str] = set()
        admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
        for future in admin.create_topics([NewTopic(name, count, 1) for name, count in EVENT_TOPICS.items()]).values():
            future.result(30)
        port, admin = free_port(), free_port()
        self.url, self.admin = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin}"
        self.process = Process(folder, [
            str(binary.resolve()), "serve", "--brokers", brokers, "--data-dir", str(folder / "data"), "--listen", f"127.0.0.1:{port}",
            "--admin-listen", f"127.0.0.1:{admin}", "--missing-wait", "0s", "--publish-views", topic])
        self.producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "message.timeout.ms": 120000, "log_level": 0})
        self.stopped, self.error = threading.Event(), None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.process.start()
        self.thread.start()

    def kill(self):
        self.process.kill()
        time.sleep(self.dice.uniform(0, 2))
        self.process.start()

    def run(self):
        try:
            while not self.stopped.wait(0.1):
                for _ in range(self.rate // 10):
                    self.event()
                self.producer.poll(0)
        except Exception as error:  # Reported by `stop`.
            self.error = error

    def stop(self):
        """Ends the histories, and takes what the views are once optview has read all of them."""
        self.stopped.set()
        self.thread.join()
        if self.error:
            raise self.error
        assert self.producer.flush(120) == 0, "events were not taken"
        wait_until("readers see all events", self.shows_all, 120)
        self.views = dict.fromkeys(self.known) | dict(self.listed())

    def end(self):
        self.process.end()

    def send(self, topic: str, key: str, event: dict):
        self.sequence += 1
        event |= {"metadata": {"eventId": str(uuid.UUID(int=self.dice.getrandbits(128))), "occurredAt": now(), "sequence": self.sequence}}
        while True:
            try:
                self.producer.produce(topic, key=key.encode(), value=json.dumps(event).encode(), headers={"content-type": "application/json"})
                break
            except BufferError:
                self.producer.poll(0.1)
        self.written += 1

    def event(self):
        """One event of one optimization: most of them change a few that are under way."""
        near = self.dice.random() < 0.8
        at = int(time.monotonic() * 20) if near else 0
        id = self.ids[(at + self.dice.randrange(10 if near else len(self.ids))) % len(self.ids)]
        kind = "created" if id not in self.known else self.dice.choice(["status"] * 40 + ["run"] * 20 + ["linked", "details", "moved"] * 5 + ["deleted"])
        job = f"job-{id}"
        if kind == "status":
            status = self.dice.choice(STATUSES)
            outcome = {"completed": {"metrics": {"LLI [mol]": 5.08e-14, "Charge time [s]": self.dice.random() * 1e4, "odd": "\u0000 \ud83d\udd0b"}},
                       "failed": {"error": self.dice.choice(NAMES), "errorCode": "SOLVER_ERROR"}}.get(status, {})
            self.send("jobs", job, {"jobId": job, status: outcome})
        elif kind == "run":
            self.send("multistart-runs", job, {"jobId": job, "runIndex": self.dice.randrange(20), "started": {}})
        elif kind == "linked":
            self.send("optimizations", id, {"optimizationId": id, "jobLinked": {"jobId": job}})
        elif kind == "details":
            self.send("optimizations", id, {"optimizationId": id, "detailsChanged": {"name": self.dice.choice(NAMES)}})
        elif kind == "deleted":
            self.send("optimizations", id, {"optimizationId": id, "deleted": {}})
        else:
            self.known.add(id)
            self.send("optimizations", id, {"optimizationId": id, "created": {
                "organizationId": f"org-{self.dice.randrange(3)}", "projectId": f"prj-{self.dice.randrange(5)}", "kind": "optimize",
                "name": self.dice.choice(NAMES), "description": "x" * self.dice.randrange(4000), "createdAt": now(), "jobId": job,
                "objectives": {self.dice.choice(NAMES): {"weight": 0.5, "constraints": {"Voltage [V]": {"lower": 1e-14, "upper": None}}}}}})

    def ends(self) -> dict[str, int]:
        """The end of each partition of the event topics, named as marks name them."""
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "ends-of-events", "log_level": 0})
        ends = {f"{topic}/{partition}": consumer.get_watermark_offsets(TopicPartition(topic, partition))[1]
                for topic, count in EVENT_TOPICS.items() for partition in range(count)}
        consumer.close()
        return ends

    def shows_all(self) -> bool:
        """Returns true if readers see what all events have made."""
        ends = [(*name.split("/"), end) for name, end in self.ends().items()]
        after = ",".join(f"{topic}:{partition}:{end - 1}" for topic, partition, end in ends if end > 0)
        return request("GET", f"{self.url}/optimizations?limit=1&after={after}&timeout=5s")[0] == 200

    def listed(self):
        """Each view in the list form, as the bytes that lists have."""
        cursor = ""
        while cursor is not None:
            status, page = request("GET", f"{self.url}/optimizations?limit=1000&cursor={cursor}")
            assert status == 200, (status, page)
            cursor = json.loads(page)["next_cursor"]
            text, decoder = page.decode(), json.JSONDecoder()
            at = text.index("[") + 1
            while text[at] != "]":
                view, end = decoder.raw_decode(text, at)
                yield view["id"], text[at:end].encode()
                at = end + (text[end] == ",")

    def is_marked(self, marks: list[dict]) -> bool:
        """Returns true if the marks of all partitions cover all events. The versions of the last records are taken then."""
        ends = self.ends()
        covered = len(marks) == self.partitions and all(
            mark["positions"].get(partition, 0) >= end for mark in marks for partition, end in ends.items())
        if covered and not self.versions:
            self.versions = self.published()
        return covered

    def published(self) -> dict[str, int]:
        """The version of the last record of each id."""
        versions = {}
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "versions", "isolation.level": "read_committed",
                             "enable.partition.eof": True, "log_level": 0})
        consumer.assign([TopicPartition(self.topic, partition, 0) for partition in range(self.partitions)])
        # A partition has another end after each mark that comes meanwhile.
        ended = set()
        while len(ended) < self.partitions:
            for message in consumer.consume(5000, 1):
                if message.error():
                    ended.add(message.partition())
                elif message.key() != MARK:
                    versions[message.key().decode()] = int(dict(message.headers())["optview-version"])
        consumer.close()
        return versions

    def nudge(self):
        """Has a mark written: an event that changes nothing moves the position."""
        self.send("jobs", "nobody", {"jobId": "nobody", "pending": {}})
        self.producer.flush(30)
