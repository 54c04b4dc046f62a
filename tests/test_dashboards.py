# SPDX-License-Identifier: MIT
"""The dashboards: made from one description, of Grafana's form, and every query has data."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import servers
from harness import ROOT, Skip, command, plain_build_only, same, time_limit, until
from test_backends import (PLUGINS, SLOW, TYPES, Csv, Graphite, InfluxdbNetwork, InfluxdbUdp,
                           Prometheus, Rrdtool, config)

DASHBOARDS = ROOT / "conf/dashboards"


@plain_build_only
def test_dashboards_are_what_the_description_makes(t):
    made = t.directory("made")
    command(sys.executable, DASHBOARDS / "generate", made)
    for path in sorted({p.name for d in (made, DASHBOARDS) for p in d.glob("*.json")}):
        assert (made / path).exists(), f"conf/dashboards/{path} is made by nothing: remove it"
        kept = DASHBOARDS / path
        assert kept.exists() and kept.read_text() == (made / path).read_text(), \
            f"conf/dashboards/{path} is not what netmon.toml makes: `make dashboards`"


# ---- the form -----------------------------------------------------------------------------------

JSON_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
              "number": (int, float), "null": type(None)}


def violations(value, schema, root, where="dashboard"):
    """What of a JSON schema is not kept; as much of the language as ours uses."""
    if "$ref" in schema:
        schema = root["definitions"][schema["$ref"]]
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {schema['enum']}"
    kind = schema.get("type")
    if kind and (not isinstance(value, JSON_TYPES[kind])
                 or (isinstance(value, bool) and kind != "boolean")):
        yield f"{where}: {value!r} is no {kind}"
        return
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{where}: {value!r} is not like {schema['pattern']}"
    if kind == "object":
        known = schema.get("properties", {})
        yield from (f"{where}: no {key}" for key in schema.get("required", []) if key not in value)
        for key, inner in value.items():
            if key in known:
                yield from violations(inner, known[key], root, f"{where}.{key}")
            elif schema.get("additionalProperties") is False:
                yield f"{where}: unknown field {key}"
    if kind == "array":
        for i, inner in enumerate(value):
            yield from violations(inner, schema.get("items", {}), root, f"{where}[{i}]")


@plain_build_only
def test_dashboards_have_grafanas_form(t):
    schema = json.loads((ROOT / "tests/dashboard.schema.json").read_text())
    uids = set()
    for path in sorted(DASHBOARDS.glob("*.json")):
        d = read(path.name)
        wrong = list(violations(d, schema, schema))
        assert not wrong, f"{path.name}: " + "; ".join(wrong[:5])
        assert d["uid"] not in uids, f"{path.name}: another dashboard has its uid"
        uids.add(d["uid"])
        same(len({p["id"] for p in d["panels"]}), len(d["panels"]), f"{path.name}: ids of panels")
        taken = set()
        for p in d["panels"]:
            g = p["gridPos"]
            cells = {(x, y) for x in range(g["x"], g["x"] + g["w"])
                     for y in range(g["y"], g["y"] + g["h"])}
            assert not cells & taken and g["x"] + g["w"] <= 24, \
                f"{path.name}: {p['title']} overlaps"
            taken |= cells
        names = {v["name"] for v in d["templating"]["list"]}
        used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps([p["targets"] for p in d["panels"]])))
        used -= {"timeFilter", "__interval", "__rate_interval", "tag_instance",
                 "tag_type_instance"}
        assert used <= names, f"{path.name}: variables {used - names} are not defined"
    assert len(uids) == 8, f"{len(uids)} dashboards"


# ---- the data -----------------------------------------------------------------------------------


class GraphiteSource:
    """Asks as Grafana does; series() -> {legend: [numbers]}."""

    def __init__(self, t, ns, backend):
        self.web = servers.Graphite(t, ns, backend.carbon)

    def variable(self, query):
        return [x["text"] for x in self.web.json("/metrics/find", {"query": query})]

    def several(self, values):
        return "{" + ",".join(values) + "}"

    one = staticmethod(str)

    def series(self, target, resolve):
        answer = self.web.json("/render", {"target": resolve(target["target"]), "from": "-5min",
                                           "format": "json"})
        return {s["target"]: [v for v, _ in s["datapoints"] if v is not None] for s in answer}


class InfluxdbSource:
    def __init__(self, t, ns, backend):
        self.influxdb, self.database = backend.influxdb, backend.database

    def variable(self, query):
        return [row[1] for _, _, rows in self.influxdb.query(query, self.database) for row in rows]

    def several(self, values):
        return "(" + "|".join(map(re.escape, values)) + ")"

    one = staticmethod(re.escape)

    def series(self, target, resolve):
        query = target["query"].replace("$timeFilter", "time > now() - 5m")
        query = resolve(query.replace("$__interval", "2s"))
        found = {}
        for tags, _, rows in self.influxdb.query(query, self.database):
            legend = re.sub(r"\$tag_(\w+)", lambda m: tags[m[1]], target["alias"])
            found[legend] = [row[1] for row in rows if row[1] is not None]
        return found


class PrometheusSource:
    def __init__(self, t, ns, backend):
        self.prometheus = backend.prometheus

    def variable(self, query):
        selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()
        return self.prometheus.get(f"label/{label}/values", **{"match[]": selector})

    def several(self, values):
        return "(" + "|".join(re.escape(v).replace("\\", "\\\\") for v in values) + ")"

    one = staticmethod(str)

    def series(self, target, resolve):
        expr = resolve(target["expr"].replace("$__rate_interval", "10s"))
        answer = self.prometheus.get("query", query=f"({expr})[20s:1s]")["result"]
        return {re.sub(r"\{\{(\w+)\}\}", lambda m: s["metric"][m[1]], target["legendFormat"]):
                [float(v) for _, v in s["values"]] for s in answer}


def variables(dashboard, source):
    """A function that puts the values of the dashboard's variables into a text."""
    values = {}

    def resolve(text):
        for name, value in values.items():
            text = text.replace("$" + name, value)
        assert "$" not in text.replace("/^", "").replace("$/", "").replace("'$'", ""), text
        return text

    for v in dashboard["templating"]["list"]:
        if v["type"] != "query":
            continue
        found = source.variable(resolve(v["query"]))
        regex = re.compile(v.get("regex", "/./")[1:-1])
        assert not regex.groups, f"{v['name']}: Grafana would take a group for the value"
        found = [x for x in found if regex.search(x)]
        assert found, f"the variable {v['name']} has no values: {v['query']}"
        values[v["name"]] = source.several(found) if v["multi"] else source.one(found[0])
    return resolve


def read(name):
    return json.loads((DASHBOARDS / name).read_text())


def picture(dashboard, source):
    """{panel: {legend: [numbers]}}; a query without data is an error."""
    resolve = variables(dashboard, source)
    found = {}
    for p in dashboard["panels"]:
        for target in p["targets"]:
            series = source.series(target, resolve)
            series = {k: v for k, v in series.items() if v}
            assert series, f"{dashboard['title']}: {p['title']}: no data for {target}"
            found.setdefault(p["title"], {}).update(series)
    return found


BACKENDS = {"graphite": (Graphite, GraphiteSource), "influxdb": (InfluxdbNetwork, InfluxdbSource),
            "influxdb-udp": (InfluxdbUdp, InfluxdbSource),
            "prometheus": (Prometheus, PrometheusSource)}


@plain_build_only
@time_limit(240)
def test_every_query_has_data_in_every_back_end(t):
    ns = t.namespace()
    ns.veth("eth0", "swp0")
    ns.veth("eth0.100", "b0")
    ns.batch(["link add br0 type bridge", "link set br0 up", "link set swp0 master br0",
              "address add 192.0.2.1/24 dev eth0", "route add default via 192.0.2.2 dev eth0",
              "neighbor add 192.0.2.2 lladdr 02:00:00:00:00:02 dev eth0"])
    ns.ipv6("eth0")
    backends = {key: kind(t, ns) for key, (kind, _) in BACKENDS.items()}
    sources = {key: source(t, ns, backends[key]) for key, (_, source) in BACKENDS.items()}
    daemon = t.collectd("SlowInterval 2", ns=ns, interval=1,
                        more=config(t, backends.values(), PLUGINS, SLOW),
                        expect_log=Prometheus.expect_log).ready("eth0")

    speed = daemon.wait_value("eth0/gauge-speed").plain
    for name in ("interfaces", "router"):
        seen = same_everywhere(name, sources, lambda: ns.frames("eth0", count=20, size=1000))
        for key, found in seen.items():
            if name == "interfaces":
                same(set(found["Speed"]["eth0"]), {speed}, f"speed of eth0 in {key}")
                same(found["State"]["lo"][-1] in (1, 2), True, f"state of lo in {key}")
                same(set(found["Traffic"]["b0 out"]), {0}, f"traffic of b0 in {key}")
            else:
                same(set(found["Default routes"]["main default_ipv4"]), {1}, f"routes in {key}")
                same(set(found["Policy rules"]["ipv4"]), {3}, f"rules of IPv4 in {key}")


def same_everywhere(name, sources, make_traffic):
    """Waits until the dashboard shows the same things in all back ends: {back end: picture}."""
    why = []

    def look():
        make_traffic()
        try:
            seen = {key: picture(read(f"{name}-{key}.json"), source)
                    for key, source in sources.items()}
            # Graphite has its own way with dots.
            legends = {key: {title: {k.replace("eth0.100", "eth0_100") for k in found}
                             for title, found in seen[key].items()} for key in sources}
            for key in sources:
                same(legends[key], legends["prometheus"], f"{name}: what {key} shows")
                if name == "interfaces":
                    assert max(seen[key]["Traffic"]["eth0 out"]) > 0, f"no traffic in {key}"
        except AssertionError as e:
            why[:] = [str(e)]
            return None
        return seen

    try:
        return until(look, "data", 40)
    except AssertionError:
        raise AssertionError(why[0]) from None


# ---- collectd's own pages, and Collectd Graph Panel ----------------------------------------------

COLLECTION3 = pathlib.Path("/usr/share/doc/collectd-core/examples/collection3")


class Collection3:
    """The CGI program as Debian ships it, with our types at the end of its configuration."""

    def __init__(self, t, data):
        if not COLLECTION3.exists():
            raise Skip(f"{COLLECTION3} is missing (Debian's package collectd-core)")
        for module, package in {"Config::General": "libconfig-general-perl",
                                "Regexp::Common": "libregexp-common-perl", "RRDs": "librrds-perl",
                                "HTML::Entities": "libhtml-parser-perl",
                                "CGI": "libcgi-pm-perl"}.items():
            if subprocess.run(["perl", f"-M{module}", "-e1"], capture_output=True).returncode:
                raise Skip(f"{module} is missing (Debian's package {package})")
        self.root = t.directory("collection3")
        shutil.copytree(COLLECTION3, self.root, dirs_exist_ok=True)
        conf = self.root / "etc/collection.conf"
        conf.write_text(f'DataDir "{data}"\n{conf.read_text()}\n'
                        f'Include {DASHBOARDS / "collection3.conf"}\n')

    def graph(self, v, **more):
        query = {"hostname": v.host, "plugin": v.plugin, "plugin_instance": v.instance,
                 "type": v.type, "type_instance": v.type_instance, "begin": "-3600", **more}
        program = self.root / "bin/graph.cgi"
        done = subprocess.run(
            ["perl", program], cwd=program.parent, capture_output=True,
            env={**os.environ, "SCRIPT_FILENAME": str(program), "REQUEST_METHOD": "GET",
                 "QUERY_STRING": ";".join(f"{k}={x}" for k, x in query.items() if x)})
        assert done.returncode == 0, f"graph.cgi: {v.plugin} {v.id}: {done.stderr.decode()}"
        return done.stdout


def one_of_each_type(t, backend):
    """What a daemon with every plugin sends: {(plugin, type): value}."""
    ns = backend.ns
    ns.veth("eth0", "swp0")
    ns.batch(["link add br0 type bridge", "link set br0 up", "link set swp0 master br0",
              "address add 192.0.2.1/24 dev eth0", "route add default via 192.0.2.2 dev eth0",
              "neighbor add 192.0.2.2 lladdr 02:00:00:00:00:02 dev eth0"])
    ns.ipv6("eth0")
    daemon = t.collectd("Verbose true", ns=ns, interval=backend.interval,
                        more=config(t, [backend], PLUGINS),
                        expect_log=backend.expect_log).ready("eth0")
    of = {}
    daemon.wait_value("eth0/percent-utilization_rx")  # comes with the second reading
    for plugin in ["netmon_link", *PLUGINS]:
        daemon.reading(plugin=plugin)
        for id in sorted(daemon.ids(plugin=plugin)):
            v = daemon.latest(id, plugin)
            of.setdefault((plugin, v.type), v)
    return of


@plain_build_only
def test_collection3_has_a_graph_for_every_type(t):
    backend = Rrdtool(t, t.namespace())
    of = one_of_each_type(t, backend)
    pages = Collection3(t, backend.data)
    backend.flush()
    ours = (DASHBOARDS / "collection3.conf").read_text()
    titles = dict(re.findall(r'<Type (\w+)>.*?RRDTitle "(.*?)".*?</Type>', ours, re.DOTALL))
    theirs = set(re.findall(r"<Type (\w+)>", (COLLECTION3 / "etc/collection.conf").read_text()))
    shown = {v.type: v for v in of.values()}
    unknown = shown.keys() - titles.keys() - theirs
    assert not unknown, f"types that have no title: {unknown}"
    same(set(titles) & theirs, set(), "types that collection3 has itself")
    for type, v in shown.items():
        until((backend.data / backend.names(v)[0]).exists, f"a file of {v.id}")
        png = pages.graph(v).partition(b"\r\n\r\n")[2]
        assert png.startswith(b"\x89PNG"), f"{v.plugin} {v.id}: no picture: {png[:200]}"
        if type in ("gauge", "if_dropped", "routes"):  # and so for all: it is one file
            assert titles[type] in pages.graph(v, debug="1").decode(), f"{type}: not our title"


@plain_build_only
def test_graph_panel_files_are_of_its_form_and_fit_the_values(t):
    """CGP looks a type up by its name, and in it these fields (its graph.php)."""
    fields = {"title": str, "vertical": str, "type": str, "legend": dict, "legend_format": str,
              "datasize": bool}
    of = one_of_each_type(t, Csv(t, t.namespace()))
    for path in sorted((DASHBOARDS / "cgp").glob("*.json")):
        types = json.loads(path.read_text())
        assert "CGP itself was not run" in types.pop("about")
        for type, graph in types.items():
            assert (path.stem, type) in of, f"{path.name}: {path.stem} sends no {type}"
            for key, value in graph.items():
                assert isinstance(value, fields[key]), f"{path.name}: {type}: {key}: {value!r}"
            assert graph.get("type", "stacked") in ("stacked", "io"), f"{path.name}: {type}"
            if graph.get("type") == "io":
                same(set(graph["legend"]), set(TYPES[type]), f"{path.name}: {type}: legend")
