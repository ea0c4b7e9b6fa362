//! `import --batch`: a key for each line of a file, and a result for each line.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tower_api_key::store::KeyStore;
use tower_api_key::{Clock, ErrorKind, Import, Imported, KeyRing, KeyState, OldKey, SystemClock};

use super::arguments::{BatchArguments, Format, ImportArguments};
use super::lines::{Line, Lines};
use super::rehearsal::Rehearsal;
use super::row::{Columns, Defaults, Ends, Row};
use crate::arguments::Common;
use crate::failure::{Exit, Failure};
use crate::output::{Output, print, print_json, tell};
use crate::setup::dry;

/// How many lines are read, imported in one commit and answered at a time.
const AT_A_TIME: usize = 100;

pub(super) async fn import(
    common: &Common,
    output: Output,
    arguments: &ImportArguments,
    file: &Path,
) -> Result<(), Failure> {
    let builder = || {
        Ok::<_, Failure>(
            arguments
                .policy
                .apply(common.managing()?)?
                .accept_sanctum_tokens(),
        )
    };
    let defaults = Defaults {
        kind: arguments.batch.kind,
        ends: Ends::of(&arguments.details)?,
        insecure: arguments.insecure,
    };
    dry(builder()?)?;
    let format = format_of(&arguments.batch, file)?;
    let mut lines = Lines::open(file)?;
    let reader = Reader::begin(format, &mut lines)?;
    let store: Arc<dyn KeyStore> = common.store_url()?.open().await?;
    let dry_run = arguments.batch.dry_run;
    let ring = if dry_run {
        builder()?.build(Rehearsal::over(store))?
    } else {
        common.acting(builder()?.build(store)?)?
    };

    let mut report = Report {
        output,
        dry_run,
        summary: Summary::default(),
    };
    let imported = run(&ring, &reader, &defaults, &mut lines, &mut report).await;
    report.end(imported)
}

async fn run(
    ring: &KeyRing,
    reader: &Reader,
    defaults: &Defaults,
    lines: &mut Lines,
    report: &mut Report,
) -> Result<(), Failure> {
    loop {
        let mut rows = Vec::with_capacity(AT_A_TIME);
        let mut keys = Vec::with_capacity(AT_A_TIME);
        while rows.len() < AT_A_TIME
            && let Some(line) = lines.next_line()?
        {
            let number = line.number;
            let read = reader.read(line, defaults).map(|key| keys.push(key));
            rows.push((number, read));
        }
        if rows.is_empty() {
            return Ok(());
        }
        let mut results = ring.import_many(keys).await?.into_iter();
        let outcomes = rows.into_iter().map(|(number, read)| {
            let outcome = match read {
                Ok(()) => results.next().map_or_else(
                    || Outcome::Failed("no result".to_owned()),
                    |result| Outcome::of(result, report.dry_run),
                ),
                Err(reason) => Outcome::Failed(reason),
            };
            (number, outcome)
        });
        let outcomes: Vec<_> = outcomes.collect();
        report.tell(&outcomes)?;
    }
}

fn format_of(arguments: &BatchArguments, file: &Path) -> Result<Format, Failure> {
    if let Some(format) = arguments.format {
        return Ok(format);
    }
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("tsv") => Ok(Format::Tsv),
        Some("ndjson" | "jsonl") => Ok(Format::Ndjson),
        _ => Err(Failure::usage(
            "unknown format; use --format tsv or --format ndjson, or a file name that ends in \
             .tsv, .ndjson or .jsonl",
        )),
    }
}

/// How lines are read.
enum Reader {
    Tsv(Columns),
    Ndjson,
}

impl Reader {
    fn begin(format: Format, lines: &mut Lines) -> Result<Self, Failure> {
        match format {
            Format::Ndjson => Ok(Self::Ndjson),
            Format::Tsv => {
                let first = lines.next_line()?.ok_or_else(|| {
                    Failure::usage(
                        "the file is empty; the first line of TSV must have the names of the \
                         columns",
                    )
                })?;
                Ok(Self::Tsv(Columns::of(
                    &first.text.map_err(Failure::usage)?,
                )?))
            }
        }
    }

    fn read(&self, line: Line, defaults: &Defaults) -> Result<(Import, OldKey), String> {
        let text = line.text?;
        let row = match self {
            Self::Tsv(columns) => columns.row(&text)?,
            Self::Ndjson => Row::of_json(&text)?,
        };
        row.import(defaults)
    }
}

/// What became of a line.
enum Outcome {
    Imported { id: Option<String> },
    Present { id: Option<String>, state: KeyState },
    Ended,
    Failed(String),
}

impl Outcome {
    fn of(result: Result<Imported, tower_api_key::Error>, dry_run: bool) -> Self {
        match result {
            Ok(imported) => {
                let record = imported.record();
                // A dry run brings a key under an id that it never has.
                let id = (!dry_run).then(|| record.id().to_string());
                if imported.was_present() {
                    let state = record.state_at(SystemClock.now());
                    Self::Present { id, state }
                } else {
                    Self::Imported { id }
                }
            }
            Err(error) if error.kind() == ErrorKind::KeyExpired => Self::Ended,
            Err(error) => Self::Failed(Failure::from(error).message()),
        }
    }

    fn status(&self, dry_run: bool) -> &'static str {
        match self {
            Self::Imported { .. } if dry_run => "would_import",
            Self::Imported { .. } => "imported",
            Self::Present { .. } => "present",
            Self::Ended => "ended",
            Self::Failed(_) => "failed",
        }
    }

    fn text(&self) -> String {
        let id = |id: &Option<String>| id.clone().unwrap_or_default();
        match self {
            Self::Imported { id: it } => id(it),
            Self::Present { id: it, state } if *state == KeyState::Live => id(it),
            Self::Present { id: it, state } => {
                format!("{} {state}", id(it)).trim_start().to_owned()
            }
            Self::Ended => "it has already expired, so there is nothing to import".to_owned(),
            Self::Failed(reason) => reason.clone(),
        }
    }

    fn json(&self, line: u64, dry_run: bool) -> Value {
        let mut value = json!({ "line": line, "status": self.status(dry_run) });
        match self {
            Self::Imported { id } => value["id"] = json!(id),
            Self::Present { id, state } => {
                value["id"] = json!(id);
                value["state"] = json!(state.as_str());
            }
            Self::Ended => {}
            Self::Failed(reason) => value["cause"] = json!(reason),
        }
        value
    }
}

#[derive(Default)]
struct Summary {
    imported: u64,
    present: u64,
    ended: u64,
    failed: u64,
}

struct Report {
    output: Output,
    dry_run: bool,
    summary: Summary,
}

impl Report {
    /// A line of standard output for each line of the input.
    fn tell(&mut self, outcomes: &[(u64, Outcome)]) -> Result<(), Failure> {
        let mut text = String::new();
        for (line, outcome) in outcomes {
            let count = match outcome {
                Outcome::Imported { .. } => &mut self.summary.imported,
                Outcome::Present { .. } => &mut self.summary.present,
                Outcome::Ended => &mut self.summary.ended,
                Outcome::Failed(_) => &mut self.summary.failed,
            };
            *count += 1;
            // Writing to a `String` cannot fail.
            let _ = if self.output.json {
                writeln!(text, "{}", outcome.json(*line, self.dry_run))
            } else {
                let status = outcome.status(self.dry_run);
                writeln!(text, "{line}\t{status}\t{}", outcome.text())
            };
        }
        if self.output.json {
            print_json(&text)
        } else {
            print(&text)
        }
    }

    /// The counts, and whether all went well.
    fn end(self, imported: Result<(), Failure>) -> Result<(), Failure> {
        let Summary {
            imported: new,
            present,
            ended,
            failed,
        } = self.summary;
        if self.output.json {
            let name = if self.dry_run {
                "would_import"
            } else {
                "imported"
            };
            let counts = json!({ name: new, "present": present, "ended": ended, "failed": failed });
            let complete = imported.is_ok();
            let summary = json!({ "summary": counts, "complete": complete });
            // Where standard output failed before, that failure counts.
            let printed = print_json(&format!("{summary}\n"));
            if imported.is_ok() {
                printed?;
            }
        } else {
            let done = if self.dry_run {
                "would be imported"
            } else {
                "imported"
            };
            tell(&format!(
                "{new} {done}, {present} already there, {ended} ended, {failed} failed\n"
            ));
        }
        if let Err(failure) = imported {
            return Err(failure.advise(
                "the lines after the last result may not have been imported; run the command \
                 again: it skips keys that the store already has",
            ));
        }
        if failed > 0 {
            let text = match failed {
                1 => "1 line was not imported; its result says why".to_owned(),
                _ => format!("{failed} lines were not imported; their results say why"),
            };
            return Err(Failure::new(Exit::Partial, text));
        }
        Ok(())
    }
}
