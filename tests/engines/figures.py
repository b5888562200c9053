"""What views cost in PostgreSQL (`deploy/connect`) and in Kafka Streams (`deploy/streams`), on this machine.

    tests/engines/check figures [--optview BINARY] [--views 200000] [--rate 1000]

Everything runs here, so that Kafka, the engines and the client share its cores. What PostgreSQL alone does with the same rows is measured in
the same run, so that the ratio holds where the machine's speed drifts. CPU-seconds are of all processes of each kind.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

import rig
from chaos import PARTITIONS, TOPIC, get
from histories import Histories
from rig import DEPLOY, Connect, Kafka, Postgres, Streams, wait_until

TICKS = os.sysconf("SC_CLK_TCK")


def view(number: int, created_at: str) -> bytes:
    """A view of the size that lists have: some 1.2 kB."""
    objectives = {"Fast charge": {"type": "DesignObjective", "weight": 1, "tolerance": 1e-14, "options": {"solver": "IDAKLU", "rescale": True},
                                  "constraints": {f"Limit {limit} [V]": {"lower": number / 7, "upper": None} for limit in range(8)}}}
    metrics = {"Charge time [s]": 6505.753991 + number, "Minimum anode potential [V]": 0.727216, "Cycles": 1128, "LLI [mol]": 5.08e-14}
    return json.dumps({
        "id": f"752d5b5e-4816-4397-bc66-{number:012}", "name": f"Low temperature {number}", "description": "Made to be measured.",
        "project_id": f"prj-{number % 100}", "organization_id": f"org-{number % 10}", "status": "succeeded", "kind": "optimize",
        "created_at": created_at, "created_by_email": "grace@example.com", "cell_spec_id": "f9613abc-e99d-43d1-a486-cdd793a77943",
        "parameterized_model_id": "4f1f47a5-34d4-4ea8-b538-7b086a75a53a", "parameterized_model_name": "DFN", "cell_name": "LG M50",
        "optimization_template_id": None, "metrics": metrics, "objectives": objectives, "error": None, "error_code": None, "run_count": 4,
    }, separators=(",", ":")).encode()


def now() -> str:
    moment = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment % 1 * 1e6):06}Z"


def cpu_seconds(pid: int) -> float:
    """CPU-seconds of a process and of its children that are there or were waited for."""
    total = 0
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(stat.parent.name) == pid:
            total += sum(map(int, fields[11:15]))
        elif int(fields[1]) == pid:
            total += sum(map(int, fields[11:13]))
    return total / TICKS


def resident_mib(pid: int) -> int:
    return int(next(line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")).split()[1]) // 1024


class Topic:
    """The publisher's part: batches in transactions, as optview writes them."""

    def __init__(self, brokers: str):
        settings = {"cleanup.policy": "compact"}
        admin = AdminClient({"bootstrap.servers": brokers})
        for future in admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1, config=settings)]).values():
            future.result(30)
        self.version = 0
        self.producer = Producer({"bootstrap.servers": brokers, "transactional.id": "figures", "partitioner": "murmur2_random",
                                  "compression.type": "lz4", "queue.buffering.max.messages": 1000000, "linger.ms": 2,
                                  "log_level": 0})
        self.producer.init_transactions(30)

    def put(self, numbers):
        self.producer.begin_transaction()
        for number in numbers:
            value = view(number, now())
            self.version += 1
            self.producer.produce(TOPIC, key=json.loads(value)["id"], value=value, headers={
                "optview-version": str(self.version), "optview-position": "jobs:0:1", "content-type": "application/json"})
        self.producer.commit_transaction(60)

    def put_all(self, number: int):
        for begin in range(0, number, 2000):
            self.put(range(begin, min(begin + 2000, number)))


def count(postgres: Postgres, version: int) -> int:
    return int(postgres.psql("views", "-c", f"SELECT count(*) FROM optimization_rows WHERE version > {version}"))


def alone(postgres: Postgres, views: int) -> str:
    """What PostgreSQL does with the same rows when a statement of a thousand is all that it is given at a time, as the sink's batches are."""
    postgres.psql("postgres", "-c", "CREATE DATABASE alone")
    postgres.psql("alone", text=(DEPLOY / "connect/schema.sql").read_text())
    rows = "".join(f"{number}\t{json.loads(text)['id']}\t{text}\n" for number in range(views) for text in [view(number, now()).decode()])
    postgres.psql("alone", "-c", "CREATE TABLE given (number int PRIMARY KEY, id text, view text)", "-c", "COPY given FROM stdin", text=rows)
    statement = """DO $$ BEGIN FOR begins IN 0..%d BY 1000 LOOP
        INSERT INTO optimization_rows (id, version, position, view) SELECT id, number + %d, 'jobs:0:1', view FROM given
            WHERE number >= begins AND number < begins + 1000
            ON CONFLICT (id) DO UPDATE SET version = excluded.version, position = excluded.position, view = excluded.view; COMMIT;
        END LOOP; END $$;"""
    rates = []
    for version in (0, views):
        begin = time.monotonic()
        postgres.psql("alone", text=statement % (views, version))
        rates.append(views / (time.monotonic() - begin))
    return f"PostgreSQL alone: {rates[0]:,.0f} new rows/s, {rates[1]:,.0f} changed rows/s"


def into_postgres(topic: Topic, postgres: Postgres, connect: Connect, views: int, rate: int):
    postmaster = int((postgres.folder / "data/postmaster.pid").read_text().split()[0])
    settings = json.loads((DEPLOY / "connect/views.json").read_text()) | {"tasks.max": "2"}
    for what in ("new", "changed"):
        before = topic.version
        if what == "changed":
            connect.call("PUT", "/connectors/views/pause")
            wait_until("pause", lambda: connect.state("views")[0] == "PAUSED")
        topic.put_all(views)
        used = cpu_seconds(connect.child.pid), cpu_seconds(postmaster)
        begin = time.monotonic()
        connect.configure("views", settings) if what == "new" else connect.call("PUT", "/connectors/views/resume")
        wait_until("rows", lambda: count(postgres, before) > 0)
        first = time.monotonic() - begin
        wait_until("rows", lambda: count(postgres, before) == views, 600)
        seconds = time.monotonic() - begin
        used = cpu_seconds(connect.child.pid) - used[0], cpu_seconds(postmaster) - used[1]
        print(f"into PostgreSQL: {views / (seconds - first):,.0f} {what} rows/s after {first:.1f} s until the first ({seconds:.1f} s in all; "
              f"CPU-seconds: Connect {used[0]:.1f}, PostgreSQL {used[1]:.1f})", flush=True)
    print(f"Kafka Connect: {resident_mib(connect.child.pid)} MiB at most, with -Xmx512m", flush=True)
    postgres.psql("views", "-c", "VACUUM FULL ANALYZE optimization_rows")
    sizes = postgres.rows("views", """SELECT json_build_array(pg_table_size('optimization_rows'), pg_indexes_size('optimization_rows'),
        avg(octet_length(view))::int) FROM optimization_rows""")[0]
    print(f"a row takes {sizes[0] / views:,.0f} bytes and {sizes[1] / views:,.0f} in indexes, of a view of {sizes[2]} bytes", flush=True)
    fresh(topic, postgres, views, rate)
    reads(postgres, views)


def fresh(topic: Topic, postgres: Postgres, views: int, rate: int):
    """How long after the publisher wrote a change its row was written, at a rate of changes a second, with one transaction after another."""
    before, begin = topic.version, time.monotonic()
    while (passed := time.monotonic() - begin) < 30:
        due = int(passed * rate) - (topic.version - before)
        if due > 0:
            topic.put(random.sample(range(views), due))
        time.sleep(0.005)
    changes = topic.version - before
    newest = lambda: int(postgres.psql("views", "-c", "SELECT max(version) FROM optimization_rows"))
    wait_until("the last change", lambda: newest() == topic.version)
    half, most, number = postgres.rows("views", f"""SELECT json_build_array(percentile_cont(0.5) WITHIN GROUP (ORDER BY age),
        percentile_cont(0.99) WITHIN GROUP (ORDER BY age), count(*)) FROM (SELECT extract(epoch FROM written_at - created_at) AS age
        FROM optimization_rows WHERE version > {before}) AS ages""")[0]
    print(f"a change in PostgreSQL at {changes / 30:,.0f} changes/s: half within {half * 1000:.0f} ms, 99 % within {most * 1000:.0f} ms "
          f"of its being written ({number} rows)", flush=True)


def through_optview(binary: pathlib.Path, kafka: Kafka, postgres: Postgres, connect: Connect, rate: int, running: list):
    """How long after an event was produced the row is written that has its view: of optimizations that are created, at a rate a second."""
    topic = f"{TOPIC}-of-optview"
    source = Histories(binary, postgres.folder.parent / "optview", kafka.address, topic, PARTITIONS, 1, ids=1, rate=1)
    running.append(source.process)
    source.process.start()
    settings = json.loads((DEPLOY / "connect/views.json").read_text())
    postgres.psql("postgres", "-c", "CREATE DATABASE through")
    postgres.psql("through", text=(DEPLOY / "connect/schema.sql").read_text())
    connect.configure("through", settings | {"topics": topic, "tasks.max": "2", "connection.url": postgres.jdbc("through")})
    wait_until("optview", lambda: get(source.url, "none")[0] == 404)
    source.send("optimizations", "first", {"optimizationId": "first", "created": {"organizationId": "org-1", "projectId": "prj-1"}})
    source.producer.flush(30)
    wait_until("the first row", lambda: postgres.rows("through", "SELECT to_json(id) FROM optimization_rows"))
    number, begin = 0, time.monotonic()
    while (passed := time.monotonic() - begin) < 30:
        for _ in range(int(passed * rate) - number):
            number += 1
            id = f"through-{number}"
            source.send("optimizations", id, {"optimizationId": id, "created": {
                "organizationId": "org-1", "projectId": "prj-1", "name": "Fast charge", "kind": "optimize", "createdAt": now()}})
        source.producer.poll(0)
        time.sleep(0.002)
    source.producer.flush(30)
    query = """SELECT json_build_array(percentile_cont(0.5) WITHIN GROUP (ORDER BY age), percentile_cont(0.99) WITHIN GROUP (ORDER BY age), count(*))
        FROM (SELECT extract(epoch FROM written_at - created_at) AS age FROM optimization_rows WHERE id LIKE 'through-%') AS ages"""
    wait_until("the rows", lambda: postgres.rows("through", query)[0][2] == number)
    half, most, _ = postgres.rows("through", query)[0]
    print(f"an event in PostgreSQL, through optview, at {number / 30:,.0f} events/s: half within {half * 1000:.0f} ms, 99 % within "
          f"{most * 1000:.0f} ms of its being produced", flush=True)


def reads(postgres: Postgres, views: int):
    """Reads by id and of pages, by pgbench."""
    scripts = {
        "reads by id": r"\set number random(0, %d)" "\n" "SELECT view FROM optimization_rows WHERE id = '752d5b5e-4816-4397-bc66-' || lpad(:number::text, 12, '0');",
        "pages of 100 of a project": r"\set number random(0, 99)" "\n" "SELECT view FROM optimization_rows WHERE organization_id = 'org-' || :number % 10 AND "
        "project_id = 'prj-' || :number AND view IS NOT NULL ORDER BY created_at DESC, id LIMIT 100;"}
    for what, script in scripts.items():
        file = postgres.folder.parent / "script.sql"
        file.write_text(script % (views - 1) if "%d" in script else script)
        done = subprocess.run([str(postgres.programs / "pgbench"), "-n", "-h", "127.0.0.1", "-p", str(postgres.port), "-U", "views", "-f", str(file), "-c", "8",
                               "-j", "1", "-T", "10", "-M", "prepared", "views"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        tps = next((line for line in done.stdout.splitlines() if line.startswith("tps")), done.stderr)
        print(f"{what} from PostgreSQL, 8 connections of pgbench: {tps}", flush=True)


def into_streams(brokers: str, folder: pathlib.Path, views: int, running: list):
    instances = [Streams(folder / f"streams-{number}", brokers, {}) for number in (1, 2)]
    begin = time.monotonic()
    for instance in instances:
        instance.start()
        running.append(instance)
    last = json.loads(view(views - 1, now()))["id"]
    sample = [json.loads(view(number, now()))["id"] for number in random.Random(1).sample(range(views), 500)] + [last]
    with ThreadPoolExecutor(8) as pool:
        there = lambda: all(status == 200 for status, _ in pool.map(lambda id: get(instances[0].url, id), sample))
        wait_until("the stores", there, 600)
        seconds = time.monotonic() - begin
        used = sum(cpu_seconds(instance.child.pid) for instance in instances)
        print(f"into Kafka Streams: two instances had {views} views {seconds:.1f} s after their start ({used:.1f} CPU-seconds)", flush=True)
    script = folder / "random.lua"
    script.write_text(f"""request = function() return wrk.format("GET", string.format("/optimizations/752d5b5e-4816-4397-bc66-%012d", math.random(0, {views - 1}))) end""")
    done = subprocess.run(["wrk", "-t1", "-c16", "-d10s", "--latency", "-s", str(script), instances[0].url], stdout=subprocess.PIPE, text=True)
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip().startswith(("50%", "99%", "Requests/sec", "Non-2xx"))]
    print(f"reads by id at one of the two instances, 16 connections of wrk: {', '.join(lines)}", flush=True)
    memory = [resident_mib(instance.child.pid) for instance in instances]
    for instance in instances:
        instance.end()
    size = sum(file.stat().st_size for instance in instances for file in (instance.folder / "state").rglob("*") if file.is_file())
    print(f"their stores take {size / views:,.0f} bytes a view; {memory} MiB at most, with -Xmx256m", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--jars", type=pathlib.Path, required=True)
    arguments.add_argument("--optview", type=pathlib.Path, help="the program that publishes, to measure from an event to the row that has it")
    arguments.add_argument("--views", type=int, default=200_000)
    arguments.add_argument("--rate", type=int, default=1000, help="changes a second for the freshness")
    given = arguments.parse_args()
    rig.JAVA_OPTIONS.clear()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="optview-engines-"))
    folder.chmod(0o755)
    running = []
    try:
        running.append(kafka := Kafka(folder / "kafka"))
        running.append(postgres := Postgres(folder / "postgres"))
        print(alone(postgres, given.views), flush=True)
        postgres.psql("postgres", "-c", "CREATE DATABASE views")
        postgres.psql("views", text=(DEPLOY / "connect/schema.sql").read_text())
        running.append(connect := Connect(folder / "connect", given.jars, kafka.address, {
            "VIEWS_DATABASE": postgres.jdbc("views"), "VIEWS_DATABASE_USER": "views", "VIEWS_DATABASE_PASSWORD": ""}))
        connect.start()
        topic = Topic(kafka.address)
        into_postgres(topic, postgres, connect, given.views, given.rate)
        if given.optview:
            through_optview(given.optview, kafka, postgres, connect, given.rate, running)
        connect.end()
        into_streams(kafka.address, folder, given.views, running)
        size = sum(file.stat().st_size for file in (folder / "kafka/data").glob(f"{TOPIC}-*/*.log"))
        print(f"the topic takes {size / topic.version:,.0f} bytes a record (lz4, batches of up to 2,000)", flush=True)
    finally:
        for participant in reversed(running):
            participant.end()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
