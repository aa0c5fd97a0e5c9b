//! Arguments, logging, exit status. Everything else is in the library.

use std::io::Write as _;
use std::process::ExitCode;

use chinwag::cli::{Cli, Command};
use clap::Parser;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome: Result<ExitCode, Box<dyn std::error::Error>> = match cli.command {
        Command::Connect(options) => chinwag::client::run(&options).map_err(Into::into),
        Command::Serve(_) | Command::Accounts(_) => Ok(ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        // Standard error may be closed; the status still tells.
        let _ = writeln!(std::io::stderr(), "chinwag: {error}");
        ExitCode::FAILURE
    })
}
