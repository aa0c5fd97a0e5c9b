//! chinwag: a chat room served by one event loop.

pub mod accounts;
pub mod cli;
pub mod client;
pub mod limits;
pub mod logging;
pub mod protocol;
pub mod room;
pub mod server;
