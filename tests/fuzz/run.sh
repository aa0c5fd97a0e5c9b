#!/bin/sh
# A bounded run of every fuzz target: `run.sh SECONDS`. Needs a nightly toolchain and
# `cargo install cargo-fuzz`; says so loudly, and ends with status 77, where they lack.
# What it finds goes to artifacts/; the committed corpus stays as it is.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-30}
if ! cargo +nightly fuzz --version > /dev/null 2>&1; then
    echo "FUZZING SKIPPED: no nightly toolchain, or no cargo-fuzz"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
cp -R fuzz/corpus "$work"
for target in decoder session database; do
    cargo +nightly fuzz run --fuzz-dir fuzz -a "$target" "$work/corpus/$target" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=20 -print_final_stats=1 2> "$work/log" ||
        { tail -40 "$work/log"; echo "FAILED: $target"; exit 1; }
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")
    echo "$target: $executions executions in $seconds s"
done
