//! Arguments, logging, exit status. Everything else is in the library.

use std::io::Write as _;
use std::process::ExitCode;

use chinwag::accounts;
use chinwag::cli::{Cli, Command};
use clap::Parser;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome: Result<ExitCode, Box<dyn std::error::Error>> = match cli.command {
        Command::Serve(_) | Command::Connect(_) => Ok(ExitCode::SUCCESS),
        Command::Accounts(options) => {
            accounts::command::run(&options).map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
    };
    outcome.unwrap_or_else(|error| {
        // Standard error may be closed; the status still tells.
        let _ = writeln!(std::io::stderr(), "chinwag: {error}");
        ExitCode::FAILURE
    })
}
