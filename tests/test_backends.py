# SPDX-License-Identifier: MIT
"""The way to each back end: kernel, plugins, collectd, the writer as conf/ shows it, a real server.

What is read back from the server is compared with what the daemon handed to its writers (the sink)
and with `ip`.  The same lookups say what a value is called there: docs/names.md is their record.
"""

import collections
import difflib
import json
import re
import time

import servers
from harness import ROOT, STOCK_PLUGINS, command, plain_build_only, same, time_limit, until

TYPES = {}
for line in open("/usr/share/collectd/types.db"):
    if line.strip() and not line.startswith("#"):
        name, *sources = line.replace(",", " ").split()
        TYPES[name] = {s.split(":")[0]: s.split(":")[1] for s in sources}


def is_counter(v):
    return "GAUGE" not in TYPES[v.type].values()


def file_of(v):
    """collectd's own way to write an identifier."""
    return f"{v.host}/{v.plugin}-{v.instance}/{v.type}" + dash(v.type_instance)


def dash(text):
    return f"-{text}" if text else ""


class Backend:
    """A writer, the file of conf/ that configures it, and the server behind it."""

    conf = ""
    libraries = {}  # that collectd's plugin needs: Debian's packages
    expect_log = ()
    rates = False  # counters are sent as rates
    interval = 1
    step = 0.001  # s between two times that are kept apart
    title = ""

    def __init__(self, t, ns):
        self.t, self.ns = t, ns
        self.changes = {}
        for library, package in self.libraries.items():
            servers.need_library(library, package)
        self.start()

    def start(self):
        pass

    def config(self):
        return servers.example(self.conf, self.changes)

    def flush(self):
        """Makes the writer write what it holds back."""

    def together(self, a, b):
        """Whether the server takes two times for one."""
        return abs(a - b) < 1.1 * self.step if self.step < 1 else \
            int(a / self.step) == int(b / self.step)

    def has(self, v):
        return bool(self.series(v))

    def names(self, v):
        """What the value is called: a line for each data source, or one for all."""
        raise NotImplementedError

    def series(self, v):
        """{time: {data source: number}} of the value, as the server has it."""
        raise NotImplementedError


class Files(Backend):
    def start(self):
        self.data = self.t.directory("data")
        self.changes = {self.original: self.data}

    def path(self, v):
        return self.data / self.names(v)[0]

    def has(self, v):
        return self.path(v).exists()


class Rrdtool(Files):
    title = "rrdtool, rrdcached"
    conf = "write-rrdtool.conf"
    original = "/var/lib/collectd/rrd"
    interval = 2  # a file takes one value a second, and readings jitter a little
    step = 1
    words = ()

    expect_log = ["set_thread_name.*unixsock"]

    def start(self):
        servers.need("rrdtool", "rrdtool")
        super().start()
        self.socket = self.data / "collectd.sock"

    def config(self):
        return super().config() + f"""
LoadPlugin unixsock
<Plugin unixsock>
  SocketFile "{self.socket}"
  SocketGroup "root"
</Plugin>"""

    def flush(self):
        command("collectdctl", "-s", self.socket, "flush", "plugin=rrdtool")

    def names(self, v):
        return [file_of(v) + ".rrd"]

    def series(self, v):
        path = self.path(v)
        if not path.exists():
            return {}
        lines = command("rrdtool", "lastupdate", path, *self.words).split("\n")
        when, numbers = lines[2].split(":")
        return {float(when): dict(zip(lines[0].split(), map(number, numbers.split())))}


class Rrdcached(Rrdtool):
    conf = "write-rrdcached.conf"

    def start(self):
        self.server = servers.Rrdcached(self.t, self.ns)
        self.data, socket = self.server.data, self.server.socket
        self.words = ["--daemon", f"unix:{socket}"]
        self.changes = {self.original: self.data, "/run/rrdcached.sock": socket}

    config = Backend.config
    flush = Backend.flush


class Csv(Files):
    title = "csv"
    conf = "write-csv.conf"
    original = "/var/lib/collectd/csv"

    def names(self, v):
        return [file_of(v) + time.strftime("-%Y-%m-%d", time.localtime(v.time))]

    def series(self, v):
        path = self.path(v)
        if not path.exists():
            return {}
        head, *rows = [line.split(",") for line in path.read_text().split("\n")[:-1]]
        return {float(row[0]): dict(zip(head[1:], map(number, row[1:]))) for row in rows}


class Graphite(Backend):
    title = "write_graphite"
    conf = "write-graphite.conf"
    rates = True
    step = 10

    def start(self):
        servers.need("whisper-fetch", "python3-whisper")
        self.carbon = servers.Carbon(self.t, self.ns)

    def names(self, v):
        def part(text):
            return re.sub(r"[.\s,\"\\\x00-\x1f]", "_", text)

        words = [part(w) for w in (v.host, v.plugin, v.instance, v.type, v.type_instance) if w]
        ends = [f".{ds}" for ds in v.values] if len(v.values) > 1 else [""]
        return ["netmon." + ".".join(words) + end for end in ends]

    def has(self, v):
        return all(self.path(name).exists() for name in self.names(v))

    def path(self, name):
        return self.carbon.data / (name.replace(".", "/") + ".wsp")

    def series(self, v):
        found = {}
        for ds, name in zip(v.values, self.names(v)):
            path = self.path(name)
            if not path.exists():
                return {}
            text = command("whisper-fetch", f"--from={int(time.time()) - 600}", path)
            for when, value in map(str.split, text.splitlines()):
                if value != "None":
                    found.setdefault(float(when), {})[ds] = number(value)
        return found


class InfluxdbNetwork(Backend):
    title = "network, InfluxDB"
    conf = "write-influxdb-network.conf"
    database = "collectd"

    def start(self):
        self.influxdb = servers.Influxdb(self.t, self.ns)

    def tags(self, v):
        return {"host": v.host, "instance": v.instance, "type": v.type,
                "type_instance": v.type_instance}

    def names(self, v):
        tags = ", ".join(f"{k}={x}" for k, x in self.tags(v).items() if x)
        return [f"{v.plugin}: {tags}: {', '.join(v.values)}"]

    def series(self, v):
        where = [f"{k}='" + re.sub(r"(['\\])", r"\\\1", x) + "'" for k, x in self.tags(v).items()]
        q = ", ".join(f'"{ds}"' for ds in v.values)
        answer = self.influxdb.query(
            f'SELECT {q} FROM "{v.plugin}" WHERE {" AND ".join(where)}', self.database)
        return {row[0] / 1000: dict(zip(columns[1:], row[1:]))
                for _, columns, rows in answer for row in rows}


class InfluxdbEncrypted(InfluxdbNetwork):
    users = {"router1": "secret"}

    def start(self):
        self.influxdb = servers.Influxdb(self.t, self.ns, users=self.users)
        self.changes = {"\n#\t": "\n\t", "192.0.2.1": "127.0.0.1",
                        'Server "127.0.0.1" "25826"\n': "# none\n"}


class InfluxdbUdp(InfluxdbNetwork):
    title = "write_influxdb_udp"
    conf = "write-influxdb-udp.conf"
    database = "collectd_udp"
    rates = True

    def tags(self, v):
        return {k: re.sub(r'(["\\])', r"\\\1", x) for k, x in super().tags(v).items()}


class Prometheus(Backend):
    title = "write_prometheus"
    libraries = {"libmicrohttpd.so.12": "libmicrohttpd12", "libprotobuf-c.so.1": "libprotobuf-c1"}
    expect_log = ["MHD_OPTION_EXTERNAL_LOGGER"]  # with libmicrohttpd 0.9.75
    conf = "write-prometheus.conf"

    def start(self):
        self.prometheus = servers.Prometheus(self.t, self.ns)

    def names(self, v):
        instance = re.sub(r'(["\\])', r"\\\1", v.instance)
        labels = f'{v.plugin}="{instance}"'
        labels += f',type="{v.type_instance}"' if v.type_instance else ""
        end = "_total" if is_counter(v) else ""
        return [f"collectd_{v.plugin}_{v.type}" + (f"_{ds}" if ds != "value" else "") + end
                + f'{{{labels},instance="{v.host}"}}' for ds in v.values]

    def series(self, v):
        found = {}
        for ds, name in zip(v.values, self.names(v)):
            answer = self.prometheus.get("query", query=f"{name}[5m]")["result"]
            for when, value in answer[0]["values"] if answer else []:
                found.setdefault(when, {})[ds] = number(value)
        return found


class Mqtt(Backend):
    title = "mqtt"
    libraries = {"libmosquitto.so.1": "libmosquitto1"}
    conf = "write-mqtt.conf"
    rates = True

    def start(self):
        self.seen = {}
        self.client = servers.Mosquitto(self.t, self.ns).subscribe(self.t, "netmon/#")

    def names(self, v):
        return ["netmon/" + re.sub("[+#]", "_", file_of(v))]

    def series(self, v):
        for line in self.client.take():
            topic, space, message = line.rpartition(" ")
            when, *numbers = message.rstrip("\0").split(":")
            if topic.startswith("netmon/"):
                self.seen.setdefault(topic, {})[float(when)] = [*map(number, numbers)]
        found = self.seen.get(self.names(v)[0], {})
        return {when: dict(zip(v.values, numbers)) for when, numbers in found.items()}

    def has(self, v):
        return self.names(v)[0] in self.seen or super().has(v)


class Messages(Backend):
    """JSON as the amqp and write_kafka plugins write it; messages() -> new ones: [(key, text)]"""

    def start(self):
        self.seen = {}

    def series(self, v):
        for key, text in self.messages():
            for x in json.loads(text):
                self.seen.setdefault((key, *(x[k] for k in IDENTIFIER)), {})[x["time"]] = \
                    dict(zip(x["dsnames"], x["values"]))
        return self.seen.get(self.place(v), {})

    def has(self, v):
        return self.place(v) in self.seen or super().has(v)

    def place(self, v):
        return (self.key(v), *self.words(v).values())

    def words(self, v):
        """The identifier in the message: each byte that is not ASCII is a question mark."""
        return {k: re.sub("[^\x20-\x7e]", "?", getattr(v, a).encode().decode("latin1"))
                for k, a in IDENTIFIER.items()}


IDENTIFIER = {"host": "host", "plugin": "plugin", "plugin_instance": "instance", "type": "type",
              "type_instance": "type_instance"}


class Amqp(Messages):
    title = "amqp"
    libraries = {"librabbitmq.so.4": "librabbitmq4", "libyajl.so.2": "libyajl2"}
    conf = "write-amqp.conf"

    def start(self):
        super().start()
        self.rabbitmq = servers.Rabbitmq(self.t, self.ns)
        self.rabbitmq.bind("links", "amq.topic", "collectd.*.*.#")

    def key(self, v):
        words = [v.host, v.plugin, v.instance, v.type, v.type_instance]
        return "collectd." + ".".join(w.replace(".", "/") for w in words)

    def names(self, v):
        return [self.key(v)]

    def messages(self):
        return self.rabbitmq.get("links")


class Kafka(Messages):
    title = "write_kafka"
    libraries = {"librdkafka.so.1": "librdkafka1", "libyajl.so.2": "libyajl2"}
    expect_log = ["Producer terminating with"]  # it does not wait for what it has just sent
    conf = "write-kafka.conf"

    def start(self):
        super().start()
        self.kafka = servers.Kafka(self.t, self.ns, "netmon")
        self.changes = {"127.0.0.1:9092": self.kafka.broker}

    def key(self, v):
        return "random"

    def names(self, v):
        return ["topic netmon: " + json.dumps(self.words(v))]

    def messages(self):
        messages = self.kafka.messages()
        keys = {key for key, _ in messages}
        assert len(keys) >= len(messages) / 2, f"few keys: {keys}"
        return [("random", text) for _, text in messages]


def number(text):
    return None if text.lower() in ("nan", "-nan", "u", "") else float(text)


# ---- what was sent, and what arrived -------------------------------------------------------------


def sent(backend, daemon, v):
    """[(time, {data source: number})] as the writer had to write it."""
    values = daemon.values(v.id, v.plugin)
    if not (backend.rates and is_counter(v)):
        return [(x.time, x.values) for x in values]
    return [(b.time, {ds: (b.values[ds] - a.values[ds]) / (b.time - a.time) for ds in b.values})
            for a, b in zip(values, values[1:])]


def close(a, b):
    return a.keys() == b.keys() and all(
        a[k] is not None and abs(a[k] - b[k]) <= 1e-6 * max(1, abs(b[k])) for k in a)


def arrived(backend, daemon, v):
    """Waits for this value, or a later one, in the server; all that it has must have been sent."""
    said = ["nothing"]

    def look():
        backend.flush()
        found = backend.series(v)
        said[0] = f"it has {list(found.items())[-3:]}"
        if not found or max(found) < v.time - backend.step:
            return None
        for when, numbers in found.items():
            near = [x for t, x in sent(backend, daemon, v) if backend.together(t, when)]
            # A first rate is none; what was read before the sink's first value is unknown to us.
            if near and None not in numbers.values() and not any(close(numbers, x) for x in near):
                said[0] = f"at {when} it has {numbers}, sent were {near}"
                return None
        return found

    try:
        return until(look, "a value", 20)
    except AssertionError as e:
        raise AssertionError(f"{e}: {backend.names(v)} of {v.time}: {said[0]}") from None


PLUGINS = ["netmon_route", "netmon_forward", "netmon_neighbor", "netmon_mdb", "netmon_rule"]
SLOW = "".join(f"<Plugin {p}>\n  SlowInterval 2\n</Plugin>\n" for p in PLUGINS)


def config(t, backends, plugins=("netmon_route",), more=""):
    load = "\n".join(f"LoadPlugin {p}" for p in plugins)
    files = "\n".join(b.config() for b in backends)
    return f'PluginDir "{t.build.dir}"\n{load}\nPluginDir "{STOCK_PLUGINS}"\n{files}\n{more}'


def story(t, kind):
    ns = t.namespace()
    ns.veth("eth0", "b0")
    ns.batch(["address add 192.0.2.1/24 dev eth0", "route add default via 192.0.2.2 dev eth0"])
    backend = kind(t, ns)
    daemon = t.collectd(ns=ns, interval=backend.interval, more=config(t, [backend]),
                        expect_log=backend.expect_log).ready("eth0")
    ns.settled("eth0", "b0")  # before, what is sent is dropped (net/core/link_watch.c)
    ns.frames("eth0", count=200, size=1000)
    ns.frames("b0", count=10, size=500)
    stopped = daemon.now()
    stats = ns.link("eth0")["stats64"]
    totals = {way: stats[way]["bytes"] for way in ("rx", "tx")}
    same(totals, {"rx": 5000, "tx": 200000}, "the test's own traffic")

    found = arrived(backend, daemon, daemon.wait_value("eth0/if_octets", totals, since=stopped))
    if not backend.rates:
        same(max(found.items())[1], totals, "counters of ip and of the server")
    for _ in range(10):  # the last rate of a step stays
        if not backend.rates or any(x["tx"] for x in found.values() if x["tx"]):
            break
        ns.frames("eth0", count=100, size=1000)
        found = arrived(backend, daemon,
                        daemon.wait_value("eth0/if_octets", since=daemon.now()))
    else:
        raise AssertionError(f"no rate but 0: {found}")
    for id, plugin in (("eth0/gauge-link_state", None), ("eth0/if_multicast", None),
                       ("eth0/gauge-mtu", None), ("main/bool-default_ipv4", "netmon_route"),
                       ("main/routes-ipv4_unicast_boot", "netmon_route")):
        v = daemon.wait_value(id, plugin=plugin)
        found = arrived(backend, daemon, v)
        if id == "eth0/gauge-mtu":
            same(max(found.items())[1], {"value": ns.link("eth0")["mtu"]}, "mtu of ip")
    return backend, daemon


@plain_build_only
def test_rrdtool(t):
    story(t, Rrdtool)


@plain_build_only
def test_rrdcached(t):
    story(t, Rrdcached)


def test_csv(t):
    story(t, Csv)


@plain_build_only
def test_graphite(t):
    backend, daemon = story(t, Graphite)
    name, = backend.names(daemon.latest("eth0/gauge-mtu"))
    information = command("whisper-info", backend.path(name))
    assert re.search(r"^xFilesFactor: 0(\.0)?$", information, re.M), \
        f"slow values would not outlive the first day: {information}"


@plain_build_only
def test_influxdb_by_the_network_plugin(t):
    story(t, InfluxdbNetwork)


@plain_build_only
def test_influxdb_encrypted(t):
    story(t, InfluxdbEncrypted)


@plain_build_only
def test_influxdb_refuses_a_wrong_password(t):
    class Wrong(InfluxdbEncrypted):
        users = {"router1": "another"}

    backend = Wrong(t, t.namespace())
    daemon = t.collectd(ns=backend.ns, more=config(t, [backend])).ready()
    until(lambda: "decryption failure" in backend.influxdb.log(), "a refusal")
    same(backend.series(daemon.latest("lo/if_octets")), {}, "values with a wrong password")


@plain_build_only
def test_influxdb_by_udp(t):
    story(t, InfluxdbUdp)


@plain_build_only
def test_prometheus(t):
    story(t, Prometheus)


@plain_build_only
def test_mqtt(t):
    story(t, Mqtt)


@plain_build_only
@time_limit(120)
def test_amqp(t):
    story(t, Amqp)


@plain_build_only
def test_kafka(t):
    story(t, Kafka)


# ---- what everything is called -------------------------------------------------------------------

EVERY = [Rrdtool, Csv, Graphite, InfluxdbNetwork, InfluxdbUdp, Prometheus, Mqtt, Amqp, Kafka]

# What stands in docs/names.md for a value, and where it is in the test: plugin, identifier.
NAMED = {
    "counters of an interface": ("netmon_link", "eth0/if_octets"),
    "a counter that is one number": ("netmon_link", "eth0/if_multicast"),
    "a level with a type instance": ("netmon_link", "eth0/gauge-mtu"),
    "utilization": ("netmon_link", "eth0/percent-utilization_rx"),
    "the default route": ("netmon_route", "main/bool-default_ipv4"),
    "routes": ("netmon_route", "main/routes-ipv4_unicast_boot"),
    "a counter of IPv4": ("netmon_forward", "Ip/protocol_counter-InReceives"),
    "what reading costs": ("netmon_link", "self/duration-read"),
    "a VLAN": ("netmon_link", "eth0.100/if_octets"),
    "an interface of the network namespace blue": ("netmon_link", "eth0@blue/if_octets"),
    "an alias with a blank": ("netmon_link", "up link/if_octets"),
    "a name with a quote and a backslash": ("netmon_link", 'q"x\\y/if_octets'),
    "a name with + and #": ("netmon_link", "a+b#c/if_octets"),
    "a name that is not ASCII": ("netmon_link", "größe/if_octets"),
}


def cell(text):
    """Code in a table of Markdown, in which | would end the cell and \\ stays."""
    return "`" + text.replace("|", "\\|") + "`"


@plain_build_only
@time_limit(240)
def test_names_are_those_of_the_documentation(t):
    """Every name was looked up in the server, and the values there are those that were sent."""
    ns, blue = t.namespace(), t.namespace()
    for where, name in [(ns, "eth0"), (ns, "eth0.100"), (ns, "eth1"), (ns, 'q"x\\y'),
                        (ns, "a+b#c"), (ns, "größe"), (blue, "eth0")]:
        where.run("ip", "link", "add", name, "type", "veth")
        where.run("ip", "link", "set", name, "up")
    ns.run("ip", "link", "set", "eth1", "alias", "up link")
    ns.batch([*(f"link set veth{i} up" for i in range(2)),
              "link add br0 type bridge", "link set veth2 master br0", "link set br0 up",
              "address add 192.0.2.1/24 dev eth0", "route add default via 192.0.2.2 dev eth0"])
    backends = [kind(t, ns) for kind in EVERY]
    daemon = t.collectd(
        f'Label "alias"\nNamespace "." "{blue.name}"\nSlowInterval 2', ns=ns, interval=2,
        expect_log=[p for b in backends for p in b.expect_log],
        more=config(t, backends, PLUGINS, SLOW + 'Hostname "router.example.org"'))
    lines = []
    for what, (plugin, id) in NAMED.items():
        v = daemon.wait_value(id.replace("@blue", f"@{blue.name}"), plugin=plugin)
        lines += ["", f"## {what[0].upper()}{what[1:]}: {cell(f'{plugin}-{id}')}", "",
                  "| back end | name |", "|---|---|"]
        for backend in backends:
            arrived(backend, daemon, v)
            lines += [f"| {backend.title} | {cell(n.replace(blue.name, 'blue'))} |"
                      for n in backend.names(v)]
    lines = [re.sub(r"\d{4}-\d\d-\d\d", "2026-01-31", line) for line in lines]
    nothing_is_lost(t, daemon, backends)
    documented("names.md", "\n".join(lines[1:]) + "\n", t)


def nothing_is_lost(t, daemon, backends):
    """Every value of every plugin is in every back end: no type unknown, no name twice."""
    everything = [daemon.latest(id, plugin) for plugin in ["netmon_link", *PLUGINS]
                  for id in sorted(daemon.ids(plugin=plugin))]
    t.note(f"{len(everything)} values")
    for backend in backends:
        names = collections.Counter(n for v in everything for n in backend.names(v))
        same([n for n, times in names.items() if times > 1], [],
             f"names of two values in {backend.title}")
        lost = everything

        def all_there():
            nonlocal lost
            lost = [v for v in lost if not backend.has(v)]
            return not lost

        try:
            until(all_there, "all values", 20)
        except AssertionError:
            raise AssertionError(f"{type(backend).__name__} has never had {len(lost)} values: "
                                 f"{[v.id for v in lost[:5]]}") from None


def documented(name, text, t):
    """The produced part of a page, from its first "## " on, must be what was seen now."""
    page = (ROOT / "docs" / name).read_text()
    head, mark, was = page.partition("## ")
    if mark + was != text:
        renewed = t.build.dir / name
        renewed.write_text(head + text)
        differ = difflib.unified_diff((mark + was).splitlines(), text.splitlines(), lineterm="",
                                      n=0)
        raise AssertionError(f"docs/{name} is not what was seen; `cp {renewed} docs/{name}` renews "
                             "it: " + "\n".join([*differ][2:12]))


@plain_build_only
def test_what_is_commented_out_is_understood_too(t):
    """Whether it works is for who has such a broker; a word that collectd ignores is ours."""
    for kind in EVERY:
        for library, package in kind.libraries.items():
            servers.need_library(library, package)
    for path in sorted((ROOT / "conf").glob("write-*.conf")):
        every = re.sub("^#\t", "\t", path.read_text(), flags=re.MULTILINE)
        every = re.sub('"/(var/lib/collectd|run)', f'"{t.dir}', every)
        daemon = t.collectd(more=every, expect_log=["."])
        daemon.wait_log("Initialization complete")
        wrong = [line for line in daemon.log() if re.search(
            "nvalid|nknown|gnor|not allowed|not (a|be)|nexpected|equires|needs", line)]
        assert not wrong, f"{path.name}: {wrong}"
        daemon.kill()
