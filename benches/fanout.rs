//! The fan-out bench.
fn main() {}
