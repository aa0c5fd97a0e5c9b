//! `uppercase`: one message in, upper-cased back, closed (`wire.md`, section 5).
//!
//! Knows text. Knows nobody: there is no room to join.

use super::Request;
use super::framing::Framing;

/// The frame in upper case, with its line feed if it had one.
pub(super) fn parse(frame: &str, framing: Framing) -> Request {
    let mut answer = frame.to_uppercase();
    if framing == Framing::Lines {
        answer.push('\n');
    }
    Request::Answer(answer.into_bytes())
}
