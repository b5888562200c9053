"""The processes of a trial: Kafka, PostgreSQL, Kafka Connect, and the Streams application, each in a folder of its own."""

import json
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
# Seconds that a process has until it is ready.
READY_WITHIN = 90
# So often a connector's tasks are started again. With PostgreSQL killed, they may fail some times.
FAILURES_AT_MOST = 60
# What starts soon counts, not what runs fast for long.
JAVA_OPTIONS = ["-XX:TieredStopAtLevel=1", "-Xshare:auto"]


def free_port() -> int:
    """A port that nobody listens on, below those that the kernel gives to outgoing connections."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def wait_until(what: str, ready, within: float = READY_WITHIN):
    """Waits until `ready` returns a true value, and returns it."""
    until = time.monotonic() + within
    while True:
        value = ready()
        if value:
            return value
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {within} s")
        time.sleep(0.1)


def request(method: str, url: str, body=None) -> tuple[int, bytes]:
    """One HTTP request. The status is 0 where nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    call = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(call, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


class Process:
    """A program whose output goes to a file in its folder."""

    def __init__(self, folder: pathlib.Path, command: list[str], environment: dict[str, str] | None = None):
        self.folder, self.command, self.environment = folder, command, environment or {}
        folder.mkdir(parents=True, exist_ok=True)
        self.child = None

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.child = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, start_new_session=True,
                env=os.environ | self.environment)

    def alive(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def end(self, how=signal.SIGTERM):
        if self.alive():
            self.child.send_signal(how)
            try:
                self.child.wait(30)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()

    def kill(self):
        self.end(signal.SIGKILL)

    def stand_still(self, seconds: float):
        """It does nothing for some time, and then goes on where it was, as on a machine that was suspended."""
        self.child.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.child.send_signal(signal.SIGCONT)


class Kafka:
    """One broker of `tests/kafka/broker`, which compacts as soon as it can."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.address = self.start()

    def call(self, *arguments: str) -> str:
        command = [str(REPOSITORY / "tests/kafka/broker"), *arguments]
        environment = os.environ | {"JDK_JAVA_OPTIONS": " ".join(JAVA_OPTIONS)}
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment).stdout.strip()

    def start(self) -> str:
        return self.call("start", str(self.folder), "log.cleaner.backoff.ms=500", "log.initial.task.delay.ms=500")

    def kill(self):
        self.call("kill", str(self.folder))

    def end(self):
        self.call("stop", str(self.folder))


class Postgres:
    """A PostgreSQL server whose data is in a temporary folder. It does not run as root: then it is the user `postgres` who runs it."""

    def __init__(self, folder: pathlib.Path):
        self.folder, self.port = folder, free_port()
        folder.mkdir(parents=True)
        self.as_user = []
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
            self.as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self.programs = self.find_programs()
        self.run("initdb", "-D", "data", "-U", "views", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8")
        self.start()

    @staticmethod
    def find_programs() -> pathlib.Path:
        """Where `initdb` is. Debian keeps it off the path."""
        found = shutil.which("initdb")
        candidates = [pathlib.Path(found).resolve().parent] if found else []
        candidates += sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
        if not candidates:
            raise FileNotFoundError("initdb: install PostgreSQL (Debian's package postgresql)")
        return candidates[0]

    def run(self, program: str, *arguments: str):
        with open(self.folder.parent / "postgres.log", "ab") as log:
            subprocess.run([*self.as_user, str(self.programs / program), *arguments], cwd=self.folder, check=True,
                           stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self):
        settings = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c shared_buffers=128MB"
        self.run("pg_ctl", "-D", "data", "-w", "-o", settings, "-l", "log", "start")

    def kill(self):
        """As a crash would: it recovers at its next start."""
        self.run("pg_ctl", "-D", "data", "-m", "immediate", "stop")

    def end(self):
        self.run("pg_ctl", "-D", "data", "-m", "fast", "stop")

    def psql(self, database: str, *arguments: str, text: str | None = None) -> str:
        command = [str(self.programs / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port),
                   "-U", "views", "-d", database, *arguments]
        done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=os.environ | {"PGTZ": "UTC", "PGCLIENTENCODING": "UTF8"})
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout

    def rows(self, database: str, query: str) -> list:
        """The rows of a query whose one column is JSON."""
        return [json.loads(line) for line in self.psql(database, "-c", query).split("\n") if line]

    def jdbc(self, database: str) -> str:
        return f"jdbc:postgresql://127.0.0.1:{self.port}/{database}"


class Connect(Process):
    """A worker of `deploy/connect`, of which the brokers, the folder of its plugins, and its ports are others."""

    def __init__(self, folder: pathlib.Path, jars: pathlib.Path, brokers: str, environment: dict[str, str]):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        folder.mkdir(parents=True)
        properties = (DEPLOY / "connect/worker.properties").read_text() + "\n".join([
            "", f"bootstrap.servers={brokers}", f"plugin.path={jars / 'plugins'}", f"listeners={self.url}",
            "config.storage.replication.factor=1", "offset.storage.replication.factor=1", "status.storage.replication.factor=1",
            "offset.storage.partitions=1", "status.storage.partitions=1", "offset.flush.interval.ms=1000", ""])
        (folder / "worker.properties").write_text(properties)
        self.failures = 0
        super().__init__(folder, [
            "java", "-Xmx512m", "-XX:+UseSerialGC", *JAVA_OPTIONS, "-cp", f"{REPOSITORY / 'tests/kafka'}:{jars / 'worker'}/*", "-Doptview.log=info",
            "org.apache.kafka.connect.cli.ConnectDistributed", "worker.properties"], environment)

    def start(self):
        super().start()
        wait_until("Kafka Connect", lambda: request("GET", f"{self.url}/connectors")[0] == 200)

    def call(self, method: str, path: str, body=None):
        """A request to the worker, again while it is settling (409) or not there."""
        def answered():
            status, answer = request(method, self.url + path, body)
            if status in (0, 409, 500):
                return None
            if status >= 400:
                raise RuntimeError(f"{method} {path}: {status} {answer.decode()}")
            return status, answer
        return wait_until(f"{method} {path}", answered)

    def configure(self, name: str, settings: dict[str, str]):
        self.call("PUT", f"/connectors/{name}/config", settings)

    def state(self, name: str) -> tuple[str, list]:
        """What the connector does, and each of its tasks: state and trace."""
        status = json.loads(self.call("GET", f"/connectors/{name}/status")[1])
        return status["connector"]["state"], [(task["id"], task["state"], task.get("trace")) for task in status["tasks"]]

    def restart_failed(self, name: str) -> list[str]:
        """Starts again what failed, as whoever runs it would, and returns why it had."""
        reasons = [trace or "" for _, state, trace in self.state(name)[1] if state == "FAILED"]
        if reasons:
            self.failures += len(reasons)
            if self.failures > FAILURES_AT_MOST:
                raise RuntimeError(f"tasks fail again and again: {reasons[-1]}")
            time.sleep(1)
            self.call("POST", f"/connectors/{name}/restart?includeTasks=true&onlyFailed=true")
        return reasons

    def read_again(self, name: str):
        """Sets a connector's offsets back to the beginning."""
        self.call("PUT", f"/connectors/{name}/stop")
        wait_until("the connector's stop", lambda: self.state(name) == ("STOPPED", []))
        self.call("DELETE", f"/connectors/{name}/offsets")
        self.call("PUT", f"/connectors/{name}/resume")


class Streams(Process):
    """An instance of `deploy/streams`."""

    def __init__(self, folder: pathlib.Path, brokers: str, changes: dict[str, str]):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        application = DEPLOY / "streams"
        settings = {
            "bootstrap.servers": brokers, "application.server": f"127.0.0.1:{port}", "state.dir": str(folder / "state"),
            "session.timeout.ms": "6000", "heartbeat.interval.ms": "1000", "num.standby.replicas": "0"} | changes
        super().__init__(folder, [
            "java", "-Xmx256m", "-XX:+UseSerialGC", *JAVA_OPTIONS, "-cp",
            f"{REPOSITORY / 'tests/kafka'}:{application / 'target/views.jar'}:{application / 'target/lib'}/*", "-Doptview.log=warn",
            "optview.Views", str(application / "views.properties"), *(f"{name}={value}" for name, value in settings.items())])
