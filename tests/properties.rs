//! Property tests of what decides nothing but must never be wrong: framing, text, parsing,
//! outbox. A failure is shrunk and printed; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` (with
//! the seed of the message) run more or the same again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail")]

#[path = "properties/framing.rs"]
mod framing;
#[path = "properties/outbox.rs"]
mod outbox;
#[path = "properties/text.rs"]
mod text;

use proptest::test_runner::Config;

/// Failures are reproduced by seed, not by files beside the tests.
fn config(cases: u32) -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    Config { cases, failure_persistence: None, ..Config::default() }
}
