#!/usr/bin/env bash
# Orders and stock checks a second through the gateway: shop-gateway, shop-orders (PostgreSQL) and shop-products (MongoDB)
# beside nginx, Flask and Express over the same two servers, in alternating rounds of one run. Every round starts with a
# pause, so that neither pays for the other's checkpoints; every request of either stack is logged.
#
# usage: benches/shop-vs-reference.sh REFERENCE_STACK [SECONDS] [ROUNDS]
# REFERENCE_STACK is a folder with a run.sh that starts the peer: ORDERS_DSN=… MONGO_URL=… NODE_LOGSTASH=… run.sh DIR PORT.
# Needs wrk, curl, psql, nginx, node, NODE_LOGSTASH (its package's folder), gunicorn with what the peer imports in PATH, and
# the exports of `cargo xtask servers`, on whose MongoDB its databases stay. Settings: CONNECTIONS=32
set -euo pipefail
reference=$(realpath "${1:?the folder of the reference stack}"); seconds=${2:-10} rounds=${3:-3}
: "${SHOP_TEST_POSTGRES_URL:?run cargo xtask servers}" "${SHOP_TEST_MONGODB_URL:?}" "${NODE_LOGSTASH:?}"
cd "$(dirname "$0")/.."
connections=${CONNECTIONS:-32} target=${CARGO_TARGET_DIR:-target}/release
cargo build --quiet --release -p shop-orders-server -p shop-products-server -p shop-gateway-server \
    --features shop-orders-server/full,shop-products-server/full
work=$(mktemp -d) own=() peers=()
base=$((20000 + RANDOM % 5000 * 2))
stop() {
    [ -f "$work/peer/pids" ] && peers=($(cat "$work/peer/pids"))
    kill "${own[@]}" "${peers[@]}" 2>/dev/null || true
    wait
    for name in $database ${database}_peer; do psql "$SHOP_TEST_POSTGRES_URL" -qc "DROP DATABASE IF EXISTS $name WITH (FORCE)" || true; done
    rm -rf "$work"
}
database=bench_$base
trap stop EXIT
for name in $database ${database}_peer; do psql "$SHOP_TEST_POSTGRES_URL" -qc "CREATE DATABASE $name"; done

cat > "$work/load.lua" <<'LUA'
local flavor, kind = os.getenv("FLAVOR"), os.getenv("KIND")
local products, lines = tonumber(os.getenv("PRODUCTS")), tonumber(os.getenv("LINES"))
local prefix = flavor == "ours" and "/v1" or ""
local item = flavor == "ours" and '{"sku":"p%d","quantity":1}' or '{"product_id":"p%d","quantity":1}'
local path = prefix .. (kind == "orders" and "/orders" or "/stock/check")
local list = (kind == "check" and flavor ~= "ours") and "items" or "lines"
local headers = { ["Content-Type"] = "application/json" }
math.randomseed(os.time())
request = function()
  local first, items = math.random(products), {}
  for n = 0, lines - 1 do items[#items + 1] = string.format(item, (first + n - 1) % products + 1) end
  return wrk.format("POST", path, headers, '{"' .. list .. '":[' .. table.concat(items, ",") .. "]}")
end
LUA

# The peer.
ORDERS_DSN=${SHOP_TEST_POSTGRES_URL%/*}/${database}_peer MONGO_URL=$SHOP_TEST_MONGODB_URL MONGO_DB=${database}_peer \
    "$reference/run.sh" "$work/peer" "$base" > "$work/peer.log" 2>&1 || { cat "$work/peer.log" >&2; exit 1; }
peer=http://127.0.0.1:$base
# Ours.
start() { local name=$1; shift; "$target/shop-$name" --admin-listen 127.0.0.1:0 "$@" > "$work/$name.log" 2>&1 & own+=($!)
    until grep -q ready "$work/$name.log"; do kill -0 "${own[-1]}" || { cat "$work/$name.log" >&2; exit 1; }; sleep 0.1; done; }
ours=http://127.0.0.1:$((base + 20)) orders=http://127.0.0.1:$((base + 21)) products=http://127.0.0.1:$((base + 22))
start products --listen "${products#http://}" --store "${SHOP_TEST_MONGODB_URL/\/\?//$database?}"
start orders --listen "${orders#http://}" --store "${SHOP_TEST_POSTGRES_URL%/*}/$database" --products-url "$products"
printf '[upstreams.%s]\nendpoints = ["%s"]\n' orders "${orders#http://}" products "${products#http://}" > "$work/gateway.toml"
start gateway --listen "${ours#http://}" --config "$work/gateway.toml"

for n in $(seq 1000); do printf '{"sku":"p%d","name":"Product %d","price":{"amount":"19.99","currency":"EUR"},"on_hand":1000000000}\n' "$n" "$n"; done |
    curl -sf -o /dev/null --data-binary @- -H 'Content-Type: application/x-ndjson' "$products/v1/products/import"
seq 1000 | xargs -P 4 -I N curl -sf -o /dev/null -H 'Content-Type: application/json' \
    -d '{"id":"pN","name":"Product N","price":19.99,"stock":1000000000}' "$peer/products"

measure() { # FLAVOR URL KIND PRODUCTS LINES
    sleep 2
    FLAVOR=$1 KIND=$3 PRODUCTS=$4 LINES=$5 wrk -t1 -c"$connections" -d"${seconds}s" --latency -s "$work/load.lua" "$2" > "$work/wrk.txt"
    grep -q Non-2xx "$work/wrk.txt" && { cat "$work/wrk.txt" >&2; exit 1; }
    awk -v flavor="$1" -v what="$3 on $4 products, $5 lines" \
        '/^ *50%/ {p50 = $2} /^ *99%/ {p99 = $2} /Requests\/sec/ {rate = $2}
         END {printf "%-10s %-32s %9.1f/s  p50 %-9s p99 %s\n", flavor, what, rate, p50, p99}' "$work/wrk.txt"
}
for shape in "orders 5 2" "check 5 2" "orders 1000 2" "orders 1000 21"; do
    read -r kind many lines <<< "$shape"
    for round in $(seq "$rounds"); do
        measure reference "$peer" "$kind" "$many" "$lines"
        measure ours "$ours" "$kind" "$many" "$lines"
    done
done | tee "$work/all.txt"
echo
awk '{key = $2 " " $3 " " $4 " " $5 " " $6 " " $7; sub("/s", "", $8); sum[key, $1] += $8; if (!(key in seen)) {seen[key]; names[++n] = key}}
     END {for (i = 1; i <= n; i++) printf "%-34s ours / reference %.1f\n", names[i], sum[names[i], "ours"] / sum[names[i], "reference"]}' "$work/all.txt"
