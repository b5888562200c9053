"""Views from a topic into PostgreSQL (`deploy/connect`) and into Kafka Streams (`deploy/streams`), while all that takes part is killed.

    tests/engines/check run [--optview BINARY] [--rounds 2] [--seed N] [--mutate NAME]

Random histories of views go to a compacted topic, and meanwhile a worker of Kafka Connect, the broker, PostgreSQL, an instance of the
Streams application and the publisher are killed, one after another, and another worker stands still for so long that its partitions are
taken over. Then it compares with the publisher's last state:

- every row in PostgreSQL, byte for byte, and each field of the table's view, at the moment when the progress marks say that all is there;
- what was set aside because PostgreSQL cannot have it (ids with U+0000), on the topic of refused records;
- every `GET` at both instances of the Streams application, byte for byte;
- the same again after the connector's offsets were set back to the beginning, and, in a new database and in new stores, after the
  topic was compacted, so that it has no older states and no tombstones any more.

All the while it looks whether a row in PostgreSQL goes back to an older version. `--mutate` breaks one thing, and has to fail:
`trigger` (an older row overwrites a newer one), `tombstones` (deletes are not followed), `isolation` (records of transactions that were
not committed are read), `nul` (ids with U+0000 are not set aside). The exit code is 1 where anything differs.
"""

import argparse
import concurrent.futures
import datetime
import json
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from rig import DEPLOY, Connect, Kafka, Postgres, Streams, request, wait_until
from histories import Histories
from stand_in import MARK, StandIn

TOPIC, PARTITIONS = "optimization-views", 4
REFUSED = "optimization-views-refused"
COMPARED_WITHIN = 120
# Seconds. Whoever reads the topic must not be away for longer.
TOMBSTONES_STAY = 60
STANDS_STILL = 13
FIELDS_OF_TEXT = ["id", "name", "description", "project_id", "organization_id", "status", "kind", "created_by_email", "cell_spec_id",
                  "parameterized_model_id", "parameterized_model_name", "cell_name", "optimization_template_id", "error", "error_code"]


class Monotony:
    """Looks several times a second whether a row has an older version than it had, or has gone."""

    def __init__(self, postgres: Postgres, database: str):
        self.postgres, self.database = postgres, database
        self.seen: dict[str, int] = {}
        self.looks, self.back = 0, []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopped.wait(0.2):
            try:
                rows = dict(self.postgres.rows(self.database, "SELECT json_build_array(id, version) FROM optimization_rows"))
            except Exception:
                continue  # PostgreSQL has just been killed.
            self.back += [f"{id}: version {version}, then {rows.get(id)}" for id, version in self.seen.items() if rows.get(id, 0) < version]
            self.seen, self.looks = rows, self.looks + 1

    def stop(self):
        self.stopped.set()
        self.thread.join()


class Trial:
    """Everything that takes part, and what was found."""

    def __init__(self, folder: pathlib.Path, jars: pathlib.Path, seed: int, mutation: str | None, optview: pathlib.Path | None):
        self.folder, self.dice, self.mutation = folder, random.Random(seed), mutation
        self.found: list[str] = []
        self.kafka = Kafka(folder / "kafka")
        self.admin = AdminClient({"bootstrap.servers": self.kafka.address, "log_level": 0})
        self.make_topic()
        self.postgres = Postgres(folder / "postgres")
        self.make_database("views")
        environment = {"VIEWS_DATABASE": self.postgres.jdbc("views"), "VIEWS_DATABASE_AGAIN": self.postgres.jdbc("again"),
                       "VIEWS_DATABASE_USER": "views", "VIEWS_DATABASE_PASSWORD": ""}
        # The first one is asked; the second one stands still at times, so that the first takes its partitions over.
        self.connect, self.second = (Connect(folder / f"connect-{number}", jars, self.kafka.address, environment) for number in (1, 2))
        self.connect.start()
        self.second.start()
        self.connect.configure("views", self.connector())
        isolation = {"consumer.isolation.level": "read_uncommitted"} if mutation == "isolation" else {}
        self.streams = [Streams(folder / f"streams-{number}", self.kafka.address, isolation) for number in (1, 2)]
        for instance in self.streams:
            instance.start()
        if optview:
            self.source = Histories(optview, folder / "optview", self.kafka.address, TOPIC, PARTITIONS, seed, ids=2000, rate=1000)
        else:
            self.source = StandIn(self.kafka.address, TOPIC, PARTITIONS, seed, ids=2000, rate=1000)
        self.reasons: list[str] = []

    def make_topic(self):
        settings = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.ms": "2000", "max.compaction.lag.ms": "3000",
                    "delete.retention.ms": str(TOMBSTONES_STAY * 1000)}
        for future in self.admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1, config=settings)]).values():
            future.result(30)

    def make_database(self, name: str):
        schema = (DEPLOY / "connect/schema.sql").read_text()
        if self.mutation == "trigger":
            schema = self.changed(schema, "NEW.version <= OLD.version", "false")
        self.postgres.psql("postgres", "-c", f"CREATE DATABASE {name}")
        self.postgres.psql(name, text=schema)

    def connector(self, **changes: str) -> dict[str, str]:
        settings = json.loads((DEPLOY / "connect/views.json").read_text()) | {
            "tasks.max": "2", "errors.deadletterqueue.topic.replication.factor": "1"}
        if self.mutation == "nul":
            settings["predicates.nul.name"] = "no-such-header"
        if self.mutation == "isolation":
            settings["consumer.override.isolation.level"] = "read_uncommitted"
        if self.mutation == "tombstones":
            settings["transforms"] = "deleted," + settings["transforms"]
            settings |= {"transforms.deleted.type": "org.apache.kafka.connect.transforms.Filter", "transforms.deleted.predicate": "deleted",
                         "predicates": settings["predicates"] + ",deleted",
                         "predicates.deleted.type": "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone"}
        return settings | changes

    @staticmethod
    def changed(text: str, old: str, new: str) -> str:
        assert text.count(old) == 1, f"{old!r} is not once in it"
        return text.replace(old, new)

    def kill_at_random(self, rounds: int) -> str:
        """Kills each participant once in each round, in any order, and starts it again."""
        victims = ["a worker of Kafka Connect", "the broker", "PostgreSQL", "the publisher", "a Streams instance", "a worker that stands still"]
        for victim in [victim for _ in range(rounds) for victim in self.dice.sample(victims, len(victims))]:
            self.kill(victim)
            time.sleep(self.dice.uniform(1, 4))
            self.reasons += self.connect.restart_failed("views")
        return f"{', '.join(victims)}: each {rounds} times"

    def kill(self, victim: str):
        pause = self.dice.uniform(0, 2)
        if victim == "the publisher":
            self.source.kill()
        elif victim == "the broker":
            self.kafka.kill()
            time.sleep(pause)
            self.kafka.start()
        elif victim == "PostgreSQL":
            self.postgres.kill()
            time.sleep(pause)
            self.postgres.start()
        elif victim == "a worker that stands still":
            # For longer than a consumer's session, so that others have its partitions when it goes on with what it has in its hands.
            self.second.stand_still(STANDS_STILL)
        else:
            process = self.dice.choice(self.streams if victim == "a Streams instance" else [self.connect, self.second])
            process.kill()
            time.sleep(pause)
            process.start()

    def ends(self) -> dict[int, int]:
        """The end of each partition of the topic."""
        consumer = Consumer({"bootstrap.servers": self.kafka.address, "group.id": "ends", "log_level": 0})
        ends = {partition: consumer.get_watermark_offsets(TopicPartition(TOPIC, partition))[1] for partition in range(PARTITIONS)}
        consumer.close()
        return ends

    def marked(self, database: str) -> bool:
        """Returns true if each partition's last mark is there."""
        self.reasons += self.connect.restart_failed("views")
        return self.source.is_marked(self.postgres.rows(database, "SELECT row_to_json(optimization_progress) FROM optimization_progress"))

    def committed(self) -> bool:
        """Returns true if the connector has noted the last record of each partition, after which there is only a transaction's end."""
        offsets = json.loads(self.connect.call("GET", "/connectors/views/offsets")[1])["offsets"]
        noted = {each["partition"]["kafka_partition"]: each["offset"]["kafka_offset"] for each in offsets}
        return all(noted.get(partition, 0) >= end - 1 for partition, end in self.ends().items())

    def compare_rows(self, database: str) -> str:
        """Compares PostgreSQL's rows with the publisher's views."""
        rows = {id: (version, view) for id, version, view in
                self.postgres.rows(database, "SELECT json_build_array(id, version, view) FROM optimization_rows")}
        # A deletion that was compacted away before it was read needs no row, and its version is not known.
        versions = {id: version for id, (version, _) in rows.items()} | self.source.versions
        views = {id: view for id, view in self.source.views.items() if "\0" not in id}
        expected = {id: (versions[id], None if view is None else view.decode()) for id, view in views.items()
                    if view is not None or id in rows}
        found = self.differences("row", expected, rows)
        fields = {row["id"]: row for row in self.postgres.rows(database, "SELECT row_to_json(optimizations) FROM optimizations")}
        wanted = {id: as_fields(view) for id, view in views.items() if view is not None}
        found += self.differences("fields", wanted, {id: as_columns(row) for id, row in fields.items()})
        self.found += [f"{database}: {each}" for each in found]
        return f"{len(expected)} rows of {database} byte for byte ({sum(view is None for _, view in expected.values())} of them deleted), " \
            f"19 fields of {len(wanted)}: {len(found)} differ"

    def compare_refused(self) -> str:
        """Compares what was set aside with those views that PostgreSQL cannot have."""
        refused: dict[str, tuple[int, bytes | None]] = {}
        consumer = Consumer({"bootstrap.servers": self.kafka.address, "group.id": "refused", "log_level": 0, "enable.partition.eof": True})
        consumer.assign([TopicPartition(REFUSED, 0, 0)])
        for message in iter(lambda: consumer.poll(30), None):
            if message.error():
                break
            id, version = message.key().decode(), int(dict(message.headers())["optview-version"])
            if version >= refused.get(id, (0, None))[0]:
                refused[id] = version, message.value()
        consumer.close()
        expected = {id: view for id, view in self.source.views.items() if "\0" in id}
        found = self.differences("refused record", expected, {id: view for id, (_, view) in refused.items()})
        self.found += found
        return f"{len(expected)} views that PostgreSQL cannot have, byte for byte on the topic of refused records: {len(found)} differ"

    @staticmethod
    def differences(what: str, expected: dict, seen: dict) -> list[str]:
        assert expected, "nothing to compare"
        return [f"{what} of {id!r}: {str(expected.get(id, 'nothing'))[:160]} expected, {str(seen.get(id, 'nothing'))[:160]} seen"
                for id in sorted(expected.keys() | seen.keys()) if expected.get(id, 0) != seen.get(id, 0)]

    def compare_streams(self) -> str:
        """Compares each `GET` at each instance with the publisher's views, for as long as the instances are still reading."""
        expected = {(instance.url, id): view for instance in self.streams for id, view in self.source.views.items()}
        expected |= {(instance.url, id): None for instance in self.streams for id in ("never", "optview-progress", "optview-progress\ufffd")}
        until, left = time.monotonic() + COMPARED_WITHIN, set(expected)
        while left and time.monotonic() < until:
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                seen = dict(pool.map(lambda key: (key, get(*key)), left))
            left = {key for key in left if seen[key] != ((404, b"") if expected[key] is None else (200, expected[key]))}
        self.found += [f"{id!r} at {url}: {expected[url, id]} expected, {seen[url, id]} seen" for url, id in sorted(left)]
        there = sum(view is not None for view in expected.values())
        marks = [progress(url, id) for url, id in self.dice.sample(sorted(expected), 50)]
        self.found += ["an answer of the Streams application without the last mark" for mark in marks if not self.source.is_marked([mark] * PARTITIONS)]
        return f"{there} answers of 200 byte for byte and {len(expected) - there} of 404 at both Streams instances: {len(left)} differ"

    def write_late(self, number: int) -> str:
        """Writes older records as the sink does, as a worker would that stood still before it wrote them."""
        there = self.postgres.rows("views", "SELECT json_build_array(id, version) FROM optimization_rows ORDER BY id")
        late = self.dice.sample(there, number)
        view = lambda id: quoted(json.dumps({"id": id, "name": "older"}))
        rows = ", ".join(f"({quoted(id)}, {version - 1}, 'jobs:0:0', {view(id)})" for id, version in late)
        self.postgres.psql("views", text=f"""INSERT INTO optimization_rows (id, version, position, view) VALUES {rows}
            ON CONFLICT (id) DO UPDATE SET version = excluded.version, position = excluded.position, view = excluded.view;""")
        return f"older records of {number} written late, {sum(self.source.views[id] is None for id, _ in late)} of them of deleted ones"

    def records(self) -> tuple[int, int]:
        """How many records of views, and how many of them tombstones, the topic has."""
        consumer = Consumer({"bootstrap.servers": self.kafka.address, "group.id": "records", "log_level": 0, "isolation.level": "read_committed",
                             "enable.partition.eof": True})
        consumer.assign([TopicPartition(TOPIC, partition, 0) for partition in range(PARTITIONS)])
        records = tombstones = 0
        # A partition has another end after each mark that comes meanwhile.
        ended = set()
        while len(ended) < PARTITIONS:
            for message in consumer.consume(5000, 1):
                if message.error():
                    ended.add(message.partition())
                elif message.key() != MARK:
                    records, tombstones = records + 1, tombstones + (message.value() is None)
        consumer.close()
        return records, tombstones

    def compact(self) -> str:
        """Has the topic compacted until it has a record of each view that there is, and no other."""
        before = self.records()
        there = sum(view is not None for view in self.source.views.values())

        def compacted():
            # The last segment is never compacted, and a mark that comes after some time makes a new one.
            self.source.nudge()
            time.sleep(2.5)
            return self.records() == (there, 0)
        wait_until("compaction", compacted, 180)
        return f"{before[0]} records, {before[1]} of them tombstones, before; {there} and 0 after"

    def start_anew(self):
        """Has a new database and new stores made of the topic as it is now."""
        self.make_database("again")
        self.connect.configure("again", self.connector(**{"connection.url": "${env:VIEWS_DATABASE_AGAIN}"}))
        for instance in self.streams:
            instance.end()
        for instance in self.streams:
            shutil.rmtree(instance.folder / "state", ignore_errors=True)
            instance.start()

    def end(self):
        names = ("source", "connect", "second", "postgres", "kafka")
        for participant in (*getattr(self, "streams", []), *(getattr(self, name, None) for name in names)):
            if participant:
                participant.end()


def get(url: str, id: str) -> tuple[int, bytes]:
    return request("GET", f"{url}/optimizations/{urllib.parse.quote(id, safe='')}")


def progress(url: str, id: str) -> dict:
    """The mark that comes with an answer, which is also one of 404."""
    try:
        with urllib.request.urlopen(f"{url}/optimizations/{urllib.parse.quote(id, safe='')}", timeout=10) as answer:
            return json.loads(answer.headers["x-optview-progress"])
    except urllib.error.HTTPError as error:
        return json.loads(error.headers["x-optview-progress"])


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def as_time(text: str | None):
    return text and datetime.datetime.fromisoformat(text)


def as_fields(view: bytes) -> dict:
    """A view as PostgreSQL can have it: without U+0000, which its text cannot have."""
    fields = json.loads(json.dumps(json.loads(view), ensure_ascii=False).replace("\\\\u0000", "\0").replace("\\u0000", "\ufffd").replace("\0", "\\\\u0000"))
    return fields | {"created_at": as_time(fields["created_at"])}


def as_columns(row: dict) -> dict:
    return row | {"created_at": as_time(row["created_at"])}


def stages(trial: Trial, rounds: int):
    """Goes through the trial, and yields what was done and compared."""
    monotony = Monotony(trial.postgres, "views")
    trial.source.start()
    wait_until("the first changes", lambda: trial.source.written > 500)
    kills = trial.kill_at_random(rounds)
    trial.source.stop()
    yield f"wrote {trial.source.written} changes of {len(trial.source.views)} optimizations. Killed, or made to stand still: {kills}"
    wait_until("the last mark in PostgreSQL", lambda: trial.marked("views"), COMPARED_WITHIN)
    yield trial.compare_rows("views")
    yield trial.compare_refused()
    yield trial.compare_streams()
    late = trial.write_late(200)
    yield f"{late}: {trial.compare_rows('views')}"
    trial.connect.read_again("views")
    wait_until("the topic's end after its offsets were set back", trial.committed, COMPARED_WITHIN)
    yield f"offsets set back to the beginning: {trial.compare_rows('views')}"
    monotony.stop()
    trial.found += monotony.back
    yield f"looked {monotony.looks} times at every row while that went on: {len(monotony.back)} went back"
    yield f"the connector's tasks failed {len(trial.reasons)} times and were started again"
    yield f"compacted: {trial.compact()}"
    trial.start_anew()
    wait_until("the last mark in the new database", lambda: trial.marked("again"), COMPARED_WITHIN)
    yield f"from the compacted topic: {trial.compare_rows('again')}"
    yield f"from the compacted topic: {trial.compare_streams()}"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--jars", type=pathlib.Path, required=True, help="of the worker and its plugins; `check` fetches them")
    arguments.add_argument("--optview", type=pathlib.Path, help="the program that publishes; without it, a stand-in with histories of its own")
    arguments.add_argument("--rounds", type=int, default=2, help="in each of which each participant is killed")
    arguments.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments.add_argument("--mutate", choices=["trigger", "tombstones", "isolation", "nul"])
    arguments.add_argument("--keep", action="store_true", help="keep the folder")
    given = arguments.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="optview-engines-"))
    folder.chmod(0o755)
    print(f"seed {given.seed}, in {folder}", flush=True)
    trial = None
    try:
        trial = Trial(folder, given.jars, given.seed, given.mutate, given.optview)
        for stage in stages(trial, given.rounds):
            print(f"[{time.strftime('%H:%M:%S')}] {stage}", flush=True)
            if trial.found:
                break
    finally:
        if trial:
            trial.end()
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
    for each in trial.found[:20]:
        print(each)
    print(f"{len(trial.found)} differences")
    return 1 if trial.found else 0


if __name__ == "__main__":
    sys.exit(main())
