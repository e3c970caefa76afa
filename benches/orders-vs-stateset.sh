#!/usr/bin/env bash
# Orders a second in process on SQLite (WAL, synchronous=FULL), two lines, 8 callers: ours beside stateset-embedded, in
# alternating rounds of one run.   usage: benches/orders-vs-stateset.sh [SECONDS] [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-5} rounds=${2:-3}
target=${CARGO_TARGET_DIR:-target}
peer_target=${PEER_TARGET_DIR:-$target/peer}
cargo build --quiet --release --package shop-benches --bin orders_rate
CARGO_TARGET_DIR=$peer_target cargo build --quiet --release --manifest-path benches/stateset/Cargo.toml
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
export STATESET_SQLITE_SYNCHRONOUS=FULL
for skus in 1000 5; do
    for round in $(seq "$rounds"); do
        "$peer_target/release/peer-stateset" "$folder/$skus-$round.db" "$skus" 8 "$seconds"
        "$target/release/orders_rate" "$skus" 8 "$seconds"
    done
done
echo "after open orders on two products:"
"$peer_target/release/peer-stateset" "$folder/open.db" 2 8 "$seconds" 12000
for open in 0 100000; do "$target/release/orders_rate" 2 8 "$seconds" "$open"; done
