//! The server.
pub mod broadcasts;
pub mod connection;
pub mod journal;
pub mod outbox;
pub mod pacing;
mod reading;
pub mod settings;
pub mod timers;
pub mod turn;
mod writing;
