#!/usr/bin/env bash
# CPU a request of POST /v1/stock/check (three lines): shop-products beside a bare hyper server that parses and answers the same
# JSON, in alternating rounds of one run; server on core 0, load on core 1. Needs wrk, curl.
# usage: benches/stock-check-vs-bare.sh [SECONDS] [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-5} rounds=${2:-5} target=${CARGO_TARGET_DIR:-target}/release
cargo build --quiet --release --package shop-benches --bin bare_check
cargo build --quiet --release --package shop-products-server
folder=$(mktemp -d); pids=(); trap 'kill "${pids[@]}" 2>/dev/null; rm -rf "$folder"' EXIT
cat > "$folder/check.lua" <<'LUA'
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local n = 0
request = function()
  n = n + 1
  local lines = {}
  for i = 0, 2 do lines[#lines + 1] = string.format('{"sku":"SKU-%07d","quantity":1}', (n * 7 + i) % 1000) end
  return wrk.format(nil, nil, nil, '{"lines":[' .. table.concat(lines, ",") .. ']}')
end
LUA
start() { local port=$1; shift; taskset -c 0 "$@" > "$folder/$port.log" 2>&1 & pids+=($!)
    until curl -s -o /dev/null "http://127.0.0.1:$port/"; do sleep 0.05; done; }
start 19101 "$target/bare_check" 127.0.0.1:19101
bare=${pids[0]}
SHOP__LOG__STDOUT__ENABLED=${LOG_STDOUT:-true} SHOP__LOG__LEVEL=${LOG_LEVEL:-info} \
    start 19102 "$target/shop-products" --store memory: --listen 127.0.0.1:19102 --admin-listen 127.0.0.1:0
ours=${pids[1]}
for n in $(seq 0 999); do printf '{"sku":"SKU-%07d","name":"Product %d","price":{"amount":"19.99","currency":"EUR"},"on_hand":1000000000}\n' "$n" "$n"; done |
    curl -s -o /dev/null --data-binary @- -H 'Content-Type: application/x-ndjson' http://127.0.0.1:19102/v1/products/import
ticks() { awk '{print $14 + $15}' "/proc/$1/stat"; }
hz=$(getconf CLK_TCK)
measure() { # NAME PID PORT
    local before after requests
    before=$(ticks "$2")
    taskset -c 1 wrk -t1 -c32 -d"${seconds}s" -s "$folder/check.lua" "http://127.0.0.1:$3/v1/stock/check" > "$folder/wrk.txt"
    after=$(ticks "$2")
    requests=$(awk '/requests in/ {print $1}' "$folder/wrk.txt")
    grep -q 'Non-2xx' "$folder/wrk.txt" && { echo "$1 refused requests" >&2; exit 1; }
    awk -v n="$1" -v t="$((after - before))" -v hz="$hz" -v r="$requests" -v s="$seconds" \
        'BEGIN {printf "%-14s %8.0f requests/s %7.2f us of CPU a request\n", n, r / s, t / hz / r * 1e6}'
}
for round in $(seq "$rounds"); do
    measure bare "$bare" 19101 | tee -a "$folder/all.txt"
    measure shop-products "$ours" 19102 | tee -a "$folder/all.txt"
done
awk '{sum[$1] += $4; n[$1]++} END {b = sum["bare"] / n["bare"]; o = sum["shop-products"] / n["shop-products"]
    printf "mean: bare %.2f us, shop-products %.2f us, ratio %.2f\n", b, o, o / b}' "$folder/all.txt"
