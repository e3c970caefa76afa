#!/bin/sh
# CPU time a request of the gateway and of nginx, side by side.
#
# The proxy under test has core 0 to itself; the upstream (an nginx that answers a small JSON) and the load
# generator (wrk) share core 1. Rounds alternate, so that whatever else the machine does meets both. The figure is
# the proxy's CPU time (user and system, from schedstat) over the requests that wrk counted.
#
# Needs: nginx, wrk, taskset, python3, two cores.   Usage: benches/gateway-vs-nginx.sh
# Settings: ROUNDS=5 SECONDS_EACH=6 CONNECTIONS=32 BODY=small|64k PROXY=path-of-another-build
set -eu
cd "$(dirname "$0")/.."
ROUNDS=${ROUNDS:-5} SECONDS_EACH=${SECONDS_EACH:-6} CONNECTIONS=${CONNECTIONS:-32} BODY=${BODY:-small}
if [ -z "${PROXY:-}" ]; then
    cargo build --quiet --release -p shop-benches --bin gateway_proxy
    PROXY=${CARGO_TARGET_DIR:-target}/release/gateway_proxy
fi
export ROUNDS SECONDS_EACH CONNECTIONS BODY PROXY
exec python3 - <<'PY'
import glob, os, re, signal, socket, statistics, subprocess, sys, tempfile, time

rounds, seconds = int(os.environ["ROUNDS"]), int(os.environ["SECONDS_EACH"])
connections, proxy = os.environ["CONNECTIONS"], os.environ["PROXY"]
work = tempfile.mkdtemp(prefix="gateway-bench-")
os.chmod(work, 0o755)

def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]

upstream_port, nginx_port, ours_port = port(), port(), port()
json = '{"id":"01890a5d-ac96-774b-bcce-b302099a8057","sku":"85123A","name":"WHITE HANGING HEART T-LIGHT HOLDER","available":42}'
os.makedirs(f"{work}/html")
with open(f"{work}/html/64k", "wb") as f:
    f.write(b"x" * 65536)

COMMON = """
worker_processes 1; daemon off; pid {work}/{name}.pid; error_log {work}/{name}.err crit;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {work}/{name}-body; proxy_temp_path {work}/{name}-proxy;
  fastcgi_temp_path {work}/{name}-f; uwsgi_temp_path {work}/{name}-u; scgi_temp_path {work}/{name}-s;
{http}
}}
"""
def config(name, http):
    path = f"{work}/{name}.conf"
    with open(path, "w") as f:
        f.write(COMMON.format(work=work, name=name, http=http))
    return path

upstream = config("upstream", f"""
  server {{ listen 127.0.0.1:{upstream_port} backlog=1024;
    location /small {{ default_type application/json; return 200 '{json}'; }}
    location /64k {{ root {work}/html; default_type application/octet-stream; }} }}""")
reverse = config("nginx", f"""
  upstream u {{ server 127.0.0.1:{upstream_port}; keepalive 64; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{nginx_port} backlog=1024;
    location / {{ proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}""")

processes = []
def start(core, *command):
    p = subprocess.Popen(["taskset", "-c", str(core), *command], stdout=subprocess.DEVNULL)
    processes.append(p)
    return p.pid

def worker_of(master):
    for _ in range(100):
        with open(f"/proc/{master}/task/{master}/children") as f:
            children = f.read().split()
        if children:
            return int(children[0])
        time.sleep(0.05)
    sys.exit("nginx has no worker")

def wait(port):
    for _ in range(100):
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing listens on {port}")

def cpu_ns(pid):
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        with open(path) as f:
            total += int(f.read().split()[0])
    return total

def measure(pid, port, duration):
    before = cpu_ns(pid)
    out = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{duration}s",
                          f"http://127.0.0.1:{port}/{os.environ['BODY']}"], capture_output=True, text=True, check=True).stdout
    spent = cpu_ns(pid) - before
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(out)
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    return spent / requests / 1000, requests / duration

try:
    start(1, "nginx", "-c", upstream, "-p", work)
    master = start(0, "nginx", "-c", reverse, "-p", work)
    ours = start(0, proxy, f"127.0.0.1:{ours_port}", f"127.0.0.1:{upstream_port}")
    for p in (upstream_port, nginx_port, ours_port):
        wait(p)
    theirs = worker_of(master)
    targets = {"nginx": (theirs, nginx_port), "gateway": (ours, ours_port)}
    for pid, p in targets.values():
        measure(pid, p, 2)
    results = {name: [] for name in targets}
    print(f"{os.environ['BODY']} body, {connections} connections, {rounds} rounds of {seconds} s")
    print(f"{'round':>5}  {'nginx us/req':>12}  {'gateway us/req':>14}  {'ratio':>6}  {'nginx req/s':>11}  {'gateway req/s':>13}")
    for n in range(1, rounds + 1):
        order = list(targets) if n % 2 else list(targets)[::-1]
        row = {name: measure(*targets[name], seconds) for name in order}
        for name, (us, _) in row.items():
            results[name].append(us)
        (nu, nr), (gu, gr) = row["nginx"], row["gateway"]
        print(f"{n:>5}  {nu:>12.2f}  {gu:>14.2f}  {gu / nu:>6.3f}  {nr:>11.0f}  {gr:>13.0f}", flush=True)
    n, g = (statistics.median(results[k]) for k in ("nginx", "gateway"))
    print(f"{'median':>6} {n:>12.2f}  {g:>14.2f}  {g / n:>6.3f}")
finally:
    for p in processes:
        p.send_signal(signal.SIGTERM)
    for p in processes:
        p.wait()
PY
