//! The command line: the keys of a store, managed from a shell.
//!
//! The plaintext of a new key goes to standard output, once, and nowhere else. Everything that
//! fails says so in one line on standard error, with an exit code that tells what kind it was.

mod arguments;
mod backup;
mod check;
mod describe;
mod durations;
mod failure;
mod keys;
mod list;
mod mint;
mod output;
mod program;
mod records;
mod setup;
mod store_url;
mod table;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use self::arguments::Arguments;
use self::failure::{Exit, Failure};
use self::output::print;

fn main() -> ExitCode {
    let ended = match Arguments::try_parse() {
        Ok(arguments) => program::run(arguments),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            print(&error.render().to_string())
        }
        Err(error) => Err(Failure::usage(first_paragraph(&error))),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Without standard error there is still the exit code.
            let _ = writeln!(std::io::stderr(), "{failure}");
            failure.exit().into()
        }
    }
}

/// What clap says before it shows how the command is used.
fn first_paragraph(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let lines = text
        .lines()
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    if line.is_empty() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no command; see tower-api-key --help".to_owned();
    }
    format!("{line}; see --help")
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
