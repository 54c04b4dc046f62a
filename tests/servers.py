# SPDX-License-Identifier: MIT
"""Servers that receive what collectd's writers send, each in a namespace of the test's.

In a namespace of its own every port is free, so that the files of conf/ work as they are.  A
server is a process tree in a PID namespace: it dies with the test, whatever happens.  Its data are
below the test's directory.  Debian's packages are used as they are, without their services.
"""

import base64
import http.client
import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import urllib.parse

from harness import PATIENCE, ROOT, Skip, until

TESTS = pathlib.Path(__file__).resolve().parent
LOCALHOST = "127.0.0.1"


def need(program, package):
    """The path of a program, or a skip that says what to install."""
    found = shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/rabbitmq/bin")
    if not found:
        raise Skip(f"{program} is missing (Debian's package {package})")
    return found


def need_library(name, package):
    """Skips when a library is missing that a plugin of collectd's is linked with."""
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    if f"{name} " not in known:
        raise Skip(f"{name} is missing (Debian's package {package})")


def example(name, changes={}):
    """A file of conf/ with some texts replaced, of which each must be there."""
    text = (ROOT / "conf" / name).read_text()
    for old, new in changes.items():
        assert old in text, f"conf/{name} has no {old}"
        text = text.replace(old, str(new))
    return text


class Server:
    """One program; start() may be called again after stop(), with the same data."""

    program = package = ""
    port = None  # it serves when this one is listened to
    patience = 30

    def __init__(self, case, ns, address=LOCALHOST):
        self.ns, self.address = ns, address
        self.path = need(self.program, self.package)
        self.dir = case.directory(type(self).__name__.lower())
        self.process = None
        self._log = self.dir / "log"
        case.cleanup(self.kill)
        self.configure()
        self.start()

    def configure(self):
        """Writes what the program needs into self.dir."""

    def argv(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def start(self):
        self.run()
        until(self.serves, f"{self.program} to serve", self.patience)

    def run(self):
        """Starts without waiting, for tests that need several."""
        words = ["ip", "netns", "exec", self.ns.name, "setpriv", "--pdeathsig", "KILL",
                 "unshare", "--pid", "--kill-child", *map(str, self.argv())]
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
               "HOME": str(self.dir), **self.environment()}
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(words, cwd=self.dir, env=env, stdout=log,
                                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def serves(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.program} ended with {self.process.returncode}: "
                                 f"{self.log()[-2000:]}")
        return self.listens()

    def listens(self):
        try:
            self.connect(self.port).close()
        except OSError:
            return False
        return True

    def log(self):
        return self._log.read_text(errors="replace")

    def connect(self, port):
        return self.ns.call(socket.create_connection, (self.address, port), 10 * PATIENCE)

    def stop(self, number=signal.SIGTERM):
        """Asks the program to end and waits until it has; unshare itself takes no signal."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in children.read_text().split():
            subprocess.run(["kill", f"-{int(number)}", pid], capture_output=True)
        self.process.wait(10 * PATIENCE)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def http(self, path, query=None, body=None, method=None, port=None, user=None):
        """(status, text) of a request."""
        if query:
            path += "?" + urllib.parse.urlencode(query, doseq=True)
        c = http.client.HTTPConnection(self.address, port or self.port, timeout=20 * PATIENCE)
        c.sock = self.connect(port or self.port)
        headers = {"Content-Type": "application/json"} if body else {}
        if user:
            headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
        try:
            c.request(method or ("POST" if body else "GET"), path, body, headers)
            answer = c.getresponse()
            return answer.status, answer.read().decode()
        finally:
            c.close()

    def json(self, path, query=None, **kw):
        status, text = self.http(path, query, **kw)
        if not 200 <= status < 300:
            raise AssertionError(f"{self.program}: {path} {query}: {status}: {text[:1000]}")
        return json.loads(text or "null")


class Lines(Server):
    """A client that prints a line for each message that it receives."""

    def __init__(self, case, ns, *words):
        self.words = words
        self._taken = 0
        super().__init__(case, ns)

    def argv(self):
        return ["stdbuf", "-oL", self.path, *self.words]

    def listens(self):
        return True

    def take(self):
        """The whole lines that have come since the last time."""
        with open(self._log, "rb") as f:
            f.seek(self._taken)
            *lines, rest = f.read().split(b"\n")
            self._taken = f.tell() - len(rest)
        return [line.decode(errors="replace") for line in lines]


class Rrdcached(Server):
    """Flushes when asked; its files are below .data."""

    program, package = "rrdcached", "rrdcached"
    def configure(self):
        self.data, self.socket = self.dir / "rrd", self.dir / "sock"
        self.data.mkdir()
        (self.dir / "journal").mkdir()

    def argv(self):
        return [self.path, "-g", "-l", f"unix:{self.socket}", "-b", self.data, "-B", "-R",
                "-j", self.dir / "journal", "-w", 300, "-z", 60, "-p", self.dir / "pid"]

    def listens(self):
        with socket.socket(socket.AF_UNIX) as s:
            return not s.connect_ex(str(self.socket))


class Carbon(Server):
    """Graphite's storage, whisper files below .data; keeps values as our example says."""

    program, package = "carbon-cache", "graphite-carbon"
    port = 2003

    def configure(self):
        self.data = self.dir / "whisper"
        self.data.mkdir()
        for name in ("storage-schemas.conf", "storage-aggregation.conf"):
            (self.dir / name).write_text(example(f"carbon-{name}"))
        (self.dir / "carbon.conf").write_text(f"""[cache]
STORAGE_DIR = {self.dir}
LOCAL_DATA_DIR = {self.data}
CONF_DIR = {self.dir}
LOG_DIR = {self.dir}
PID_DIR = {self.dir}
USER =
MAX_CREATES_PER_MINUTE = inf
MAX_UPDATES_PER_SECOND = inf
LINE_RECEIVER_INTERFACE = {self.address}
LINE_RECEIVER_PORT = {self.port}
PICKLE_RECEIVER_INTERFACE = {self.address}
CACHE_QUERY_INTERFACE = {LOCALHOST}
ENABLE_TAGS = False
""")

    def argv(self):
        return [self.path, f"--config={self.dir}/carbon.conf", f"--pidfile={self.dir}/pid",
                "--debug", "start"]


class Graphite(Server):
    """graphite-web over the files of a Carbon: its functions are what dashboards ask for."""

    program, package = "graphite-manage", "graphite-web"
    port = 8080

    def __init__(self, case, ns, carbon):
        self.carbon = carbon
        super().__init__(case, ns)

    def configure(self):
        (self.dir / "netmon_graphite.py").write_text(f"""
SECRET_KEY = "netmon"
ALLOWED_HOSTS = ["*"]
LOG_DIR = STORAGE_DIR = {str(self.dir)!r}
INDEX_FILE = LOG_DIR + "/index"
STANDARD_DIRS = DATA_DIRS = [{str(self.carbon.data)!r}]
WHISPER_DIR = {str(self.carbon.data)!r}
CARBONLINK_HOSTS = ["{LOCALHOST}:7002"]
CONF_DIR = LOG_DIR
DEFAULT_XFILES_FACTOR = 0
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": LOG_DIR + "/db"}}}}
""")
        (self.dir / "serve.py").write_text(f"""
import os, wsgiref.simple_server
os.environ["DJANGO_SETTINGS_MODULE"] = "graphite.settings"
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
call_command("migrate", run_syncdb=True, verbosity=0)
wsgiref.simple_server.make_server("{LOCALHOST}", {self.port}, application).serve_forever()
""")

    def environment(self):
        return {"GRAPHITE_SETTINGS_MODULE": "netmon_graphite", "PYTHONPATH": str(self.dir),
                "PYTHONDONTWRITEBYTECODE": "1"}

    def argv(self):
        return ["/usr/bin/python3", self.dir / "serve.py"]  # Debian's, which has its packages


class Influxdb(Server):
    """InfluxDB 1.x with the two listeners of our example."""

    program, package = "influxd", "influxdb"
    port = 8086

    def __init__(self, case, ns, address=LOCALHOST, users=None):
        self.users = users  # who may send to the collectd listener: name -> password
        super().__init__(case, ns, address)

    def listeners(self):
        changes = {LOCALHOST: self.address}
        if self.users:
            users = self.dir / "users"
            users.write_text("".join(f"{u}: {p}\n" for u, p in self.users.items()))
            changes |= {'security-level = "none"': 'security-level = "encrypt"',
                        "# auth-file": "auth-file", "/etc/influxdb/collectd-users": users}
        return example("influxdb-listeners.conf", changes)

    def configure(self):
        (self.dir / "influxdb.conf").write_text(f"""reporting-disabled = true
bind-address = "{LOCALHOST}:8088"
[meta]
  dir = "{self.dir}/meta"
[data]
  dir = "{self.dir}/data"
  wal-dir = "{self.dir}/wal"
  query-log-enabled = false
[http]
  bind-address = "{self.address}:{self.port}"
  log-enabled = false
[monitor]
  store-enabled = false
{self.listeners()}""")

    def argv(self):
        return [self.path, "-config", self.dir / "influxdb.conf"]

    def query(self, q, db):
        """[(tags, columns, rows)] of an InfluxQL query."""
        answer = self.json("/query", {"db": db, "q": q, "epoch": "ms"})["results"][0]
        if "database not found" in answer.get("error", ""):
            return []  # nothing has come yet
        if "error" in answer:
            raise AssertionError(f"InfluxDB: {q}: {answer['error']}")
        return [(s.get("tags", {}), s["columns"], s["values"]) for s in answer.get("series", [])]


class Prometheus(Server):
    """Scrapes and alarms as our examples say, but every second."""

    program, package = "prometheus", "prometheus"
    port = 9090

    def configure(self):
        (self.dir / "prometheus.yml").write_text(
            example("prometheus.yml", {"scrape_interval: 10s": "scrape_interval: 1s",
                                       "evaluation_interval: 10s": "evaluation_interval: 1s"}))
        rules = re.sub("for: .*", "for: 2s", example("prometheus-rules.yml"))
        (self.dir / "prometheus-rules.yml").write_text(rules)

    def argv(self):
        return [self.path, f"--config.file={self.dir}/prometheus.yml",
                f"--storage.tsdb.path={self.dir}/data",
                f"--web.listen-address={self.address}:{self.port}"]

    def listens(self):
        try:
            return self.http("/-/ready")[0] == 200
        except OSError:
            return False

    def get(self, what, **query):
        """The data of an answer of its HTTP API."""
        return self.json(f"/api/v1/{what}", query)["data"]


class Mosquitto(Server):
    program, package = "mosquitto", "mosquitto"
    port = 1883

    def configure(self):
        (self.dir / "mosquitto.conf").write_text(
            f"user root\nlistener {self.port} {self.address}\nallow_anonymous true\n")

    def argv(self):
        return [self.path, "-c", self.dir / "mosquitto.conf"]

    def subscribe(self, case, topic):
        """A client whose lines are 'topic payload'; returns when it is subscribed."""
        return MosquittoSub(case, self.ns, "-h", self.address, "-p", self.port, "-F", "%t %p",
                            "-t", topic, "-d")


class MosquittoSub(Lines):
    program, package = "mosquitto_sub", "mosquitto-clients"

    def listens(self):
        return "received SUBACK" in self.log()


class Rabbitmq(Server):
    """RabbitMQ, asked by its management plugin.  It starts an epmd of its own."""

    program, package = "rabbitmq-server", "rabbitmq-server"
    port = 5672
    management = 15672
    patience = 60

    def configure(self):
        (self.dir / "plugins").write_text("[rabbitmq_management].\n")
        (self.dir / "rabbitmq.conf").write_text(f"""
listeners.tcp.default = {self.address}:{self.port}
management.tcp.ip = {self.address}
management.tcp.port = {self.management}
loopback_users = none
""")

    def environment(self):
        own = {"NODENAME": "netmon@localhost", "NODE_IP_ADDRESS": self.address,
               "NODE_PORT": self.port, "MNESIA_BASE": self.dir / "mnesia", "LOGS": "-",
               "CONF_ENV_FILE": self.dir / "none", "ENABLED_PLUGINS_FILE": self.dir / "plugins",
               "CONFIG_FILE": self.dir / "rabbitmq", "GENERATED_CONFIG_DIR": self.dir / "generated",
               "PID_FILE": self.dir / "pid", "SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none"}
        return {f"RABBITMQ_{k}": str(v) for k, v in own.items()}

    def argv(self):
        # The one in /usr/sbin changes to a user who may not write here.
        return [need("/usr/lib/rabbitmq/bin/rabbitmq-server", self.package)]

    def listens(self):
        try:
            return self.http("/api/overview", port=self.management, user="guest:guest")[0] == 200 \
                and super().listens()
        except OSError:
            return False

    def api(self, path, body, method="POST"):
        return self.json(f"/api/{path}", body=json.dumps(body), method=method,
                         port=self.management, user="guest:guest")

    def bind(self, queue, exchange, key):
        self.api(f"queues/%2F/{queue}", {"durable": False}, "PUT")
        self.api(f"bindings/%2F/e/{exchange}/q/{queue}", {"routing_key": key})

    def get(self, queue):
        """[(routing key, text)]: the messages that wait in a queue, which are taken from it."""
        found, some = [], 200  # at once; its time grows with the square of the number
        while len(found) % some == 0:
            more = self.api(f"queues/%2F/{queue}/get", {
                "count": some, "ackmode": "ack_requeue_false", "encoding": "auto"})
            found += [(m["routing_key"], m["payload"]) for m in more]
            if not more:
                break
        return found


class Kafka(Lines):
    """The broker that librdkafka has for tests, and a consumer: tests/kafka.py."""

    program, package = "python3", "python3"

    def __init__(self, case, ns, topic):
        super().__init__(case, ns, TESTS / "kafka.py", topic)

    def listens(self):
        return "broker " in self.log()

    @property
    def broker(self):
        return re.search("^broker (.*)$", self.log(), re.M)[1]

    def messages(self):
        """[(key, text)] that have come since the last time."""
        messages = [json.loads(line) for line in self.take() if line.startswith("{")]
        return [(m["key"], m["value"]) for m in messages]
