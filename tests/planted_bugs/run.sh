#!/bin/sh
# Plants each bug of this directory, one at a time, in a copy of the tree, and expects the
# test it names to fail. `run.sh NAME...` plants only those. The first line of a patch names
# the test: the file under tests/ and a filter. A patch that no longer applies, a tree that
# no longer builds, and a bug that nobody notices are errors.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
(cd "$root" && tar cf - Cargo.toml Cargo.lock src tests benches) | (cd "$work" && tar xf -)
[ -f "$work/README.md" ] || : > "$work/README.md"
cp -R "$work/src" "$work/unharmed"
cd "$work"
# Older than what may be in a target directory that is used again.
find src tests -name '*.rs' -exec touch {} +
export CARGO_TARGET_DIR="${CHINWAG_PLANTED_TARGET:-$work/target}"
export CHINWAG_SIM_SEEDS="${CHINWAG_SIM_SEEDS:-150}" CHINWAG_SIM_STEPS="${CHINWAG_SIM_STEPS:-3000}"
export RUST_BACKTRACE=0
# Without a bug all is well, or failing would prove nothing.
cargo test --quiet --test simulation --test properties > log 2>&1 || { cat log; echo "fails without a bug"; exit 1; }
[ $# -gt 0 ] || set -- $(cd "$here" && ls ./*.patch)
bad=0 caught=0
for name in "$@"; do
    name=$(basename "$name" .patch)
    rm -rf src && cp -R unharmed src
    find src -name '*.rs' -exec touch {} +
    test=$(sed -n 's/^# test: //p' "$here/$name.patch")
    if ! patch --quiet --fuzz=2 -p1 < "$here/$name.patch"; then
        echo "DOES NOT APPLY  $name"; bad=$((bad + 1)); continue
    fi
    file=${test%% *} filter=${test#* }
    if ! cargo test --quiet --test "$file" --no-run > log 2>&1; then
        echo "DOES NOT BUILD  $name"; cat log; bad=$((bad + 1)); continue
    fi
    if timeout "${CHINWAG_PLANTED_WAIT:-300}" cargo test --quiet --test "$file" "$filter" > log 2>&1; then
        echo "NOT NOTICED     $name ($test)"; bad=$((bad + 1))
    else
        why=$(grep -A1 'panicked at' log | grep -v 'panicked at\|^--' | head -1 | cut -c1-90)
        echo "caught          $name ($test): $why"; caught=$((caught + 1))
    fi
done
echo "$caught caught, $bad not"
[ "$bad" -eq 0 ]
