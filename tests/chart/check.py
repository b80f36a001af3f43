"""Whether charts/dualauth renders what a cluster takes and an operator expects. Run by scripts/check-chart."""

import itertools
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kubernetes_validate
import yaml

HELM, KUBERNETES_VALIDATE = sys.argv[1:]
ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/dualauth"
VALUE_SETS = sorted((ROOT / "tests/chart/values").glob("*.yaml"))
SECRETS = "/run/secrets/dualauth"
# What the chart sets by itself.
OWN_SETTINGS = {"LISTEN", "METRICS_LISTEN", "PUBLIC_URL"}
# libpq's, which say what DATABASE_URL leaves out.
LIBPQ = {"PGSSLROOTCERT", "PGSSLMODE"}
# No part of Kubernetes, so kubernetes-validate does not know them.
CUSTOM_KINDS = {"ServiceMonitor", "HTTPRoute"}

failures = []


def check(holds, what):
    if not holds:
        failures.append(what)


def helm(*arguments):
    return subprocess.run([HELM, *map(str, arguments)], capture_output=True, text=True)


def template(*arguments, release="auth"):
    return helm("template", release, CHART, "--namespace", "identity", *arguments)


def rendered(*arguments, release="auth"):
    run = template(*arguments, release=release)
    if run.returncode:
        sys.exit(f"helm template {' '.join(map(str, arguments))}: {run.stderr}")
    return [document for document in yaml.safe_load_all(run.stdout) if document]


def of_kind(documents, kind):
    return [document for document in documents if document["kind"] == kind]


def pod_templates(documents):
    """Name, labels and spec of each pod."""
    for document in documents:
        name = f"{document['kind']} {document['metadata']['name']}"
        if document["kind"] == "Pod":
            yield name, document["metadata"]["labels"], document["spec"]
        elif document["kind"] in ("Deployment", "Job"):
            pod = document["spec"]["template"]
            yield name, pod["metadata"]["labels"], pod["spec"]


def selects(labels, selector):
    """As Kubernetes does it: both kinds of terms have to hold."""
    wanted = selector.get("matchLabels", {}).items()
    terms = selector.get("matchExpressions", [])
    assert all(term["operator"] == "In" for term in terms)
    return wanted <= labels.items() and all(labels.get(term["key"]) in term["values"] for term in terms)


# What there is to be set


def settings_of_env_example():
    """Those that have a line, and those of OpenTelemetry that are only spoken of: `OTEL_BSP_` are all that begin so."""
    text = (ROOT / ".env.example").read_text()
    return set(re.findall(r"^# ([A-Z][A-Z0-9_]*)=", text, re.M)), set(re.findall(r"\bOTEL_[A-Z_]+", text))


KNOWN, OPENTELEMETRY = settings_of_env_example()


def is_setting(name):
    return name in KNOWN | OPENTELEMETRY | LIBPQ or name.startswith(tuple(n for n in OPENTELEMETRY if n.endswith("_")))


def versions_are_the_program_s():
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    check(chart["version"] == version, f"Chart.yaml: version is {chart['version']}, Cargo.toml's {version}")
    check(chart["appVersion"] == version, f"Chart.yaml: appVersion is {chart['appVersion']}, Cargo.toml's {version}")


def schema_knows_each_setting():
    schema = json.loads((CHART / "values.schema.json").read_text())
    settings = schema["properties"]["settings"]
    secret = set(schema["definitions"]["secretFiles"]["propertyNames"]["enum"])
    [pattern] = settings["patternProperties"]
    plain = set(settings["properties"])
    check(not plain & secret, f"secrets among the settings: {plain & secret}")
    in_schema, in_example = (
        {name for name in names if not name.startswith("OTEL_")} for names in (plain | secret | OWN_SETTINGS, KNOWN)
    )
    check(in_schema == in_example, f"values.schema.json and .env.example differ in {in_schema ^ in_example}")
    for name in OPENTELEMETRY:
        example = name + "X" if name.endswith("_") else name
        check(re.search(pattern, example) or name in secret, f"values.schema.json does not know {name}")
    for name in secret:
        check(not re.search(pattern, name), f"values.schema.json takes {name} as a setting")
    return secret


# What is rendered


def pods_are_restricted(source, documents):
    """The Pod Security Standard "restricted", and a root file system that can't be written."""
    for name, _, pod in pod_templates(documents):
        at = f"{source}: {name}"
        context = pod["securityContext"]
        check(context["runAsNonRoot"] is True, f"{at}: runAsNonRoot")
        check(context["seccompProfile"] == {"type": "RuntimeDefault"}, f"{at}: seccompProfile")
        check(source == "bare.yaml" or context["runAsUser"] == context["fsGroup"] == 65532, f"{at}: the user")
        check(name.startswith("Deployment") or pod["restartPolicy"] == "Never", f"{at}: restartPolicy")
        check(not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod.keys(), f"{at}: the host's namespaces")
        for volume in pod.get("volumes", []):
            check(volume.keys() - {"name"} <= {"projected", "secret", "configMap"}, f"{at}: volume {volume['name']}")
        for container in pod["containers"]:
            check(container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, f"{at}: securityContext")
            check("hostPort" not in str(container.get("ports")), f"{at}: hostPort")
            check({"cpu", "memory"} <= container["resources"]["requests"].keys(), f"{at}: requests")
            check("memory" in container["resources"]["limits"], f"{at}: a limit for memory")
            check(container["command"][0] == "/usr/local/bin/dualauth", f"{at}: command")
        check(pod["automountServiceAccountToken"] is False, f"{at}: a token of the cluster")
        check(pod["enableServiceLinks"] is False, f"{at}: variables of other Services")


def settings_are_known_and_secrets_are_files(source, documents, secret):
    check(not of_kind(documents, "ConfigMap") + of_kind(documents, "Secret"), f"{source}: ConfigMap or Secret")
    for name, _, pod in pod_templates(documents):
        for container in pod["containers"]:
            check("envFrom" not in container, f"{source}: {name}: envFrom")
            names = [variable["name"] for variable in container.get("env", [])]
            check(len(names) == len(set(names)), f"{source}: {name}: a variable twice")
            files = {
                f"{SECRETS}/{item['path']}"
                for volume in pod.get("volumes", []) if volume["name"] == "secrets"
                for part in volume["projected"]["sources"] for of in part.values() for item in of["items"]
            }
            read = set()
            for variable in container.get("env", []):
                at = f"{source}: {name}: {variable['name']}"
                setting = variable["name"]
                is_file = setting.endswith("_FILE")
                if is_file and setting != "JWT_KEY_FILE":
                    setting = setting.removesuffix("_FILE")
                check(is_setting(setting), f"{at} is no setting of .env.example")
                check(isinstance(variable.get("value"), str), f"{at} has no value")
                check(is_file == (setting in secret), f"{at}: secrets are read from files, and nothing else")
                if variable["value"].startswith(SECRETS):
                    read.add(variable["value"])
            check(read == files, f"{source}: {name}: files that are mounted and not read, or the other way round: {read ^ files}")
            for mount in container.get("volumeMounts", []):
                check(mount["readOnly"] is True, f"{source}: {name}: {mount['name']} can be written")


def updates_lose_no_request(source, documents):
    [deployment] = of_kind(documents, "Deployment")
    spec = deployment["spec"]
    [container] = spec["template"]["spec"]["containers"]
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    check(spec["strategy"] == rolling, f"{source}: strategy")
    check(("replicas" in spec) != bool(of_kind(documents, "HorizontalPodAutoscaler")), f"{source}: replicas")
    for probe, path in {
        "startupProbe": "/health/live", "livenessProbe": "/health/live", "readinessProbe": "/health/ready",
    }.items():
        check(container[probe]["httpGet"] == {"path": path, "port": "http"}, f"{source}: {probe}")
    check(container["readinessProbe"]["timeoutSeconds"] > 2, f"{source}: it waits 2 s for the database")
    stop = int(re.search(r"All that takes at most (\d+) s", (ROOT / "docs/operations.md").read_text())[1])
    pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    grace = spec["template"]["spec"]["terminationGracePeriodSeconds"]
    check(grace > pause + stop, f"{source}: {grace} s are too few for a pause of {pause} s and a stop of {stop} s")
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    ports = {port["name"]: f":{port['containerPort']}" for port in container["ports"]}
    check(ports.get("http") == variables["LISTEN"], f"{source}: LISTEN")
    check(ports.get("metrics") == variables.get("METRICS_LISTEN"), f"{source}: METRICS_LISTEN")


def selectors_meet_the_right_pods(source, documents):
    [server] = [labels for name, labels, _ in pod_templates(documents) if name.startswith("Deployment")]
    others = [labels for name, labels, _ in pod_templates(documents) if not name.startswith("Deployment")]
    [deployment] = of_kind(documents, "Deployment")
    spread = deployment["spec"]["template"]["spec"].get("topologySpreadConstraints", [])
    selectors = [deployment["spec"]["selector"], *(constraint["labelSelector"] for constraint in spread)]
    selectors += [{"matchLabels": service["spec"]["selector"]} for service in of_kind(documents, "Service")]
    selectors += [budget["spec"]["selector"] for budget in of_kind(documents, "PodDisruptionBudget")]
    for selector in selectors:
        check(selects(server, selector), f"{source}: {selector} does not meet the service's pods")
        check(not any(selects(labels, selector) for labels in others), f"{source}: {selector} meets other pods")
    for policy in of_kind(documents, "NetworkPolicy"):
        for name, labels, _ in pod_templates(documents):
            check(selects(labels, policy["spec"]["podSelector"]) != name.startswith("Pod "), f"{source}: NetworkPolicy and {name}")
        for rule in policy["spec"]["ingress"]:
            metrics = any(port["port"] == 9090 for port in rule["ports"])
            check(not metrics or rule["from"], f"{source}: everybody reaches /metrics")
            [test] = [labels for name, labels, _ in pod_templates(documents) if name.startswith("Pod ")]
            peers = [peer["podSelector"] for peer in rule.get("from", []) if "podSelector" in peer]
            is_let_in = "from" not in rule or any(selects(test, peer) for peer in peers)
            check(metrics or is_let_in, f"{source}: helm test is kept out")
    services = {service["metadata"]["name"]: service for service in of_kind(documents, "Service")}
    ports = {(name, port["name"]) for name, service in services.items() for port in service["spec"]["ports"]}
    for route in of_kind(documents, "HTTPRoute"):
        for backend in [backend for rule in route["spec"]["rules"] for backend in rule["backendRefs"]]:
            met = services.get(backend["name"], {"spec": {"ports": []}})["spec"]["ports"]
            check(backend["port"] in [port["port"] for port in met], f"{source}: HTTPRoute: {backend}")
    for ingress in of_kind(documents, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                check((service["name"], service["port"]["name"]) in ports, f"{source}: Ingress: {service}")
    for monitor in of_kind(documents, "ServiceMonitor"):
        met = [s for s in services.values() if selects(s["metadata"]["labels"], monitor["spec"]["selector"])]
        check(len(met) == 1, f"{source}: ServiceMonitor meets {len(met)} Services")
        for endpoint in monitor["spec"]["endpoints"]:
            check(endpoint["port"] in [port["name"] for port in met[0]["spec"]["ports"]], f"{source}: ServiceMonitor: port")
    for autoscaler in of_kind(documents, "HorizontalPodAutoscaler"):
        check(autoscaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"], f"{source}: HPA")


def migrations_need_nothing_that_is_not_there_yet(source, documents):
    """Before the first install there is nothing but the namespace and what the operator has put there."""
    created = {document["metadata"]["name"] for document in of_kind(documents, "ServiceAccount")}
    for job in of_kind(documents, "Job"):
        pod = job["spec"]["template"]["spec"]
        hook = job["metadata"]["annotations"]["helm.sh/hook"]
        check(hook == "pre-install,pre-upgrade", f"{source}: the hook is {hook}")
        check(pod["serviceAccountName"] not in created, f"{source}: the Job's ServiceAccount is not there yet")
        check(pod["containers"][0]["command"][1:] == ["migrate"], f"{source}: the Job's command")
        check("APP_SECRET" not in json.dumps(pod), f"{source}: the Job has the APP_SECRET, which it does not need")


def kubernetes_takes_it(rendered_sets):
    oldest = re.search(r">=(\d+\.\d+)", yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"])[1]
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for source, documents in rendered_sets.items():
            check({document["kind"] for document in documents} <= CUSTOM_KINDS | BUILT_IN, f"{source}: other kinds")
            known = [document for document in documents if document["kind"] not in CUSTOM_KINDS]
            files.append(Path(folder) / source)
            files[-1].write_text(yaml.safe_dump_all(known))
        for version in (oldest, kubernetes_validate.latest_version()):
            run = subprocess.run(
                [KUBERNETES_VALIDATE, "--strict", "--kubernetes-version", version, *map(str, files)],
                capture_output=True, text=True,
            )
            lines = run.stdout.splitlines()
            passed = [line for line in lines if line.startswith("INFO ")]
            check(run.returncode == 0 and len(passed) == len(lines) > 0,
                  f"kubernetes-validate {version}: {[line for line in lines if line not in passed]} {run.stderr}")
            print(f"kubernetes-validate --strict: {len(passed)} resources pass for Kubernetes {version}")


BUILT_IN = {
    "Deployment", "Job", "Pod", "Service", "ServiceAccount", "NetworkPolicy", "PodDisruptionBudget", "Ingress",
    "HorizontalPodAutoscaler",
}


def values_arrive(rendered_sets):
    """What is lost easily on the way through a template."""
    everything = rendered_sets["everything.yaml"]
    [deployment] = of_kind(everything, "Deployment")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    for name, value in {
        "SESSION_CACHE_SIZE": "2000000", "DATABASE_MAX_CONNECTIONS": "20", "OTEL_SDK_DISABLED": "false",
        "PUBLIC_URL": "https://Auth.example.com:8443/auth/", "JWT_KEY_FILE": f"{SECRETS}/JWT_KEY_FILE", "PGSSLMODE": "verify-full",
    }.items():
        check(variables.get(name) == value, f"everything.yaml: {name} is {variables.get(name)}")
    check("@sha256:" in container["image"], "everything.yaml: the image's digest")
    [ingress] = of_kind(everything, "Ingress")
    [rule] = ingress["spec"]["rules"]
    paths = [path["path"] for path in rule["http"]["paths"]]
    check(rule["host"] == "auth.example.com", f"everything.yaml: Ingress for {rule['host']}")
    check(paths == ["/auth", "/.well-known/oauth-authorization-server/auth"], f"everything.yaml: Ingress for {paths}")
    [route] = of_kind(everything, "HTTPRoute")
    check(route["spec"]["hostnames"] == ["auth.example.com"], "everything.yaml: HTTPRoute's host")

    def sources(kind):
        [document] = of_kind(rendered_sets["own-secrets.yaml"], kind)
        volumes = document["spec"]["template"]["spec"]["volumes"]
        return {
            item["path"]: (of["name"], item["key"])
            for part in volumes[0]["projected"]["sources"] for of in part.values() for item in of["items"]
        }

    authority = {"database-ca.crt": ("postgres-ca", "ca.crt")}
    check(sources("Deployment") == authority | {
        "DATABASE_URL": ("postgres-app", "uri"), "APP_SECRET": ("dualauth-secrets", "app-secret"),
    }, f"own-secrets.yaml: the service reads {sources('Deployment')}")
    check(sources("Job") == authority | {"DATABASE_URL": ("postgres-owner", "uri")},
          f"own-secrets.yaml: the Job reads {sources('Job')}")


def everything_is_everything():
    output = template("--values", ROOT / "tests/chart/values/everything.yaml").stdout
    for file in sorted((CHART / "templates").rglob("*.yaml")):
        name = f"dualauth/{file.relative_to(CHART)}"
        check(f"# Source: {name}\n" in output, f"everything.yaml: nothing comes from {name}")


def names_are_a_release_s_own():
    """Also those that are cut: Helm allows releases of 53 characters, Kubernetes labels and Services of 63."""
    everything = ("--values", ROOT / "tests/chart/values/everything.yaml")
    releases = [rendered(*everything, release=release) for release in ("a", "b", "dualauth", "x" * 53)]
    names = [[(document["kind"], document["metadata"]["name"]) for document in release] for release in releases]
    for of_one in names:
        check(len(of_one) == len(set(of_one)), f"a name twice: {of_one}")
        check(all(len(name) <= 63 for _, name in of_one), f"a name that is too long: {of_one}")
    for one, other in itertools.combinations(names, 2):
        check(not set(one) & set(other), f"two releases, one name: {set(one) & set(other)}")
    check(("Deployment", "dualauth") in names[2], "the release dualauth has a Deployment of this name")
    for one, other in itertools.permutations(releases, 2):
        for service in of_kind(one, "Service"):
            for name, labels, _ in pod_templates(other):
                check(not selects(labels, {"matchLabels": service["spec"]["selector"]}), f"a Service meets another release's {name}")


# What is refused: values, and what the message has to name

REFUSED = [
    ({"publicUrl": ""}, "publicUrl is required"),
    ({"publicUrl": "auth.example.com"}, "/publicUrl"),
    ({"publicUrl": "https://ada:lovelace@auth.example.com"}, "/publicUrl"),
    ({"publicUrl": "https://auth.example.com/?a"}, "/publicUrl"),
    ({"replicas": 3}, "replicas"),
    ({"replicaCount": "3"}, "/replicaCount"),
    ({"image": {"digest": "sha256:1"}}, "/image/digest"),
    ({"settings": {"DATABASE_URL": "postgres://u:p@h/d"}}, "DATABASE_URL"),
    ({"settings": {"APP_SECRET": "0123456789"}}, "APP_SECRET"),
    ({"settings": {"APP_SECRET_FILE": "/a"}}, "APP_SECRET_FILE"),
    ({"settings": {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=x"}}, "OTEL_EXPORTER_OTLP_HEADERS"),
    ({"settings": {"LISTEN": "0.0.0.0:80"}}, "LISTEN"),
    ({"settings": {"SESION_TTL": "1h"}}, "SESION_TTL"),
    ({"settings": {"SESSION_TTL": "1 hour"}}, "/settings/SESSION_TTL"),
    ({"settings": {"SESSION_TTL": 3600}}, "/settings/SESSION_TTL"),
    ({"settings": {"LOGIN_LIMIT": "60"}}, "/settings/LOGIN_LIMIT"),
    ({"settings": {"HASH_CONCURRENCY": 0}}, "/settings/HASH_CONCURRENCY"),
    ({"settings": {"JWT_ALGORITHM": "none"}}, "/settings/JWT_ALGORITHM"),
    ({"settings": {"TRUSTED_PROXIES": "*"}}, "/settings/TRUSTED_PROXIES"),
    ({"secretFiles": {"DATABASE_URL": "postgres://u:p@h/d"}}, "/secretFiles/DATABASE_URL"),
    ({"secretFiles": {"DATABASE_URL": {"value": "postgres://u:p@h/d"}}}, "value"),
    ({"secretFiles": {"DATABASE_URL": None}}, "DATABASE_URL"),
    ({"secretFiles": {"LOG": {}}}, "/secretFiles"),
    ({"migrations": {"secretFiles": {"APP_SECRET": {}}}}, "/migrations/secretFiles"),
    ({"migrations": {"secretFiles": {"DATABASE_DIRECT_URL": {}}}}, "/migrations/secretFiles"),
    ({"databaseCa": {"secret": "a", "configMap": "b"}}, "databaseCa"),
    ({"podDisruptionBudget": {"maxUnavailable": 0}}, "/podDisruptionBudget/maxUnavailable"),
    ({"podDisruptionBudget": {"maxUnavailable": "0%"}}, "/podDisruptionBudget/maxUnavailable"),
    ({"podSecurityContext": {"runAsNonRoot": False}}, "/podSecurityContext/runAsNonRoot"),
    ({"podSecurityContext": {"runAsUser": 0}}, "/podSecurityContext/runAsUser"),
    ({"podSecurityContext": {"seccompProfile": {"type": "Unconfined"}}}, "/podSecurityContext/seccompProfile"),
    ({"securityContext": {"readOnlyRootFilesystem": False}}, "/securityContext/readOnlyRootFilesystem"),
    ({"securityContext": {"privileged": True}}, "/securityContext/privileged"),
    ({"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}, "/securityContext/capabilities"),
    ({"podLabels": {"app.kubernetes.io/name": "other"}}, "/podLabels"),
    ({"networkPolicy": {"from": [{}]}}, "/networkPolicy/from/0"),
    ({"networkPolicy": {"databasePorts": []}}, "/networkPolicy/databasePorts"),
    ({"metrics": {"serviceMonitor": {"enabled": True}}}, "metrics.enabled"),
    ({"metrics": {"enabled": True}}, "networkPolicy.metricsFrom"),
    ({"settings": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}}, "networkPolicy.extraEgress"),
    ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs"),
    ({"autoscaling": {"enabled": True, "maxReplicas": 1}}, "autoscaling.maxReplicas"),
]


def is_refused(case):
    values, named = case
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"publicUrl": "https://auth.example.com"} | values, file)
        file.flush()
        run = template("--values", file.name)
    # Helm writes a path with dots or slashes, as its version has it.
    said = run.stderr.replace("at '/", "/")
    holds = run.returncode != 0 and (named in said or named.strip("/").replace("/", ".") in said)
    return None if holds else f"{values} is not refused for {named}: {run.stderr or 'rendered'}"


def what_is_wrong_is_refused():
    with ThreadPoolExecutor(4) as pool:
        failures.extend(filter(None, pool.map(is_refused, REFUSED)))
    old = template("--values", VALUE_SETS[0], "--kube-version", "1.29.0")
    check(old.returncode != 0 and "kubeVersion" in old.stderr, "Kubernetes 1.29 is not refused")
    print(f"values.schema.json: {len(REFUSED)} wrong values are refused")


def lint():
    for values in [None, *VALUE_SETS]:
        run = helm("lint", "--strict", "--quiet", CHART, *(["--values", values] if values else []))
        check(run.returncode == 0, f"helm lint --strict, {values and values.name}: {run.stdout}{run.stderr}")
    print(f"helm lint --strict: {1 + len(VALUE_SETS)} sets of values")


def notes_warn(warnings):
    """NOTES.txt is rendered by an install alone, which asks a cluster: here another template has it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(CHART, Path(folder) / "dualauth"))
        (copy / "templates/NOTES.txt").rename(copy / "notes")
        (copy / "templates/notes.yaml").write_text('notes: {{ tpl (.Files.Get "notes") . | quote }}')
        for values, warning in warnings.items():
            run = helm("template", "auth", copy, "--values", ROOT / "tests/chart/values" / values, "--show-only", "templates/notes.yaml")
            check(run.returncode == 0, f"NOTES.txt with {values}: {run.stderr}")
            notes = (yaml.safe_load(run.stdout) or {"notes": ""})["notes"]
            check(("WARNING" in notes) == bool(warning) and (warning or "") in notes, f"NOTES.txt with {values}: {notes}")


def main():
    versions_are_the_program_s()
    secret = schema_knows_each_setting()
    lint()
    rendered_sets = {values.name: rendered("--values", values) for values in VALUE_SETS}
    for source, documents in rendered_sets.items():
        pods_are_restricted(source, documents)
        settings_are_known_and_secrets_are_files(source, documents, secret)
        updates_lose_no_request(source, documents)
        selectors_meet_the_right_pods(source, documents)
        migrations_need_nothing_that_is_not_there_yet(source, documents)
    values_arrive(rendered_sets)
    everything_is_everything()
    names_are_a_release_s_own()
    kubernetes_takes_it(rendered_sets)
    what_is_wrong_is_refused()
    notes_warn({"minimal.yaml": "TRUSTED_PROXIES", "bare.yaml": "not Secure", "everything.yaml": None})
    if failures:
        sys.exit("charts/dualauth:\n  " + "\n  ".join(failures))
    print("charts/dualauth is well.")


main()
