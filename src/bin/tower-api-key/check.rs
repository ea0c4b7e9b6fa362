//! A key from standard input, and what a service would make of it.

use std::io::{self, Read};
use std::sync::Arc;

use serde_json::json;
use tower_api_key::{InvalidCause, KeyRecord, Requirement, VerifyErrorKind};

use crate::arguments::Common;
use crate::describe;
use crate::failure::{Exit, Failure};
use crate::output::{Output, colours};
use crate::setup::dry;
use crate::table::{Cell, Style, aligned};

/// More than any key has.
const LONGEST: u64 = 4096;

/// The first line of standard input, whose end is not part of the key.
pub(crate) fn read_key() -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(LONGEST)
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(Failure::usage("no key: write it to standard input"));
    }
    Ok(line.to_owned())
}

/// What was found out.
struct Finding {
    well_formed: bool,
    accepted: bool,
    /// Why it is not accepted.
    cause: Option<&'static str>,
    /// The id that the key names, or that its record has.
    id: Option<String>,
    known: bool,
    record: Option<Arc<KeyRecord>>,
    requirement: Option<(String, bool)>,
}

pub(crate) async fn check(
    common: &Common,
    output: Output,
    all: &[String],
    any: &[String],
    accept_imports: bool,
) -> Result<(), Failure> {
    let requirement = requirement(all, any)?;
    let shape = dry(common.builder()?)?;
    let mut builder = common.builder()?;
    if accept_imports {
        builder = builder.accept_sanctum_tokens();
    }
    let key = read_key()?;
    let ring = common.open(builder).await?;

    let malformed = VerifyErrorKind::Invalid(InvalidCause::Malformed);
    let well_formed = shape
        .verify(key.as_bytes())
        .await
        .is_err_and(|error| error.kind() != malformed);
    let (id, cause) = match ring.verify(key.as_bytes()).await {
        Ok(key) => (Some(key.id()), None),
        Err(error) => {
            let VerifyErrorKind::Invalid(cause) = error.kind() else {
                return Err(Failure::from(&error));
            };
            (error.key_id().or(error.claimed_key_id()), Some(cause))
        }
    };
    let known = !matches!(cause, Some(InvalidCause::Malformed | InvalidCause::Unknown));
    let record = match id {
        Some(id) if known => ring.get(id).await?,
        _ => None,
    };
    let requirement = requirement.map(|requirement| {
        let met = record
            .as_ref()
            .is_some_and(|record| requirement.is_met_by(record.scopes()));
        (requirement.to_string(), met)
    });
    let met = requirement.as_ref().is_none_or(|(_, met)| *met);
    let cause = match cause {
        Some(cause) => Some(cause.as_str()),
        None if !met => Some("insufficient_scope"),
        None => None,
    };
    let finding = Finding {
        well_formed,
        accepted: cause.is_none(),
        cause,
        id: id.map(|id| id.to_string()),
        known,
        record,
        requirement,
    };
    finding.report(ring.prefix(), output)?;
    if let Some(cause) = finding.cause {
        let text = format!("the key is not accepted: {}", cause.replace('_', " "));
        return Err(Failure::new(Exit::Refused, text));
    }
    Ok(())
}

/// All of the one kind, and one of the other.
fn requirement(all: &[String], any: &[String]) -> Result<Option<Requirement>, Failure> {
    let every = all.iter().map(|scope| Requirement::scope(scope));
    let mut parts: Vec<Requirement> = every.collect::<Result<_, _>>()?;
    if !any.is_empty() {
        parts.push(Requirement::any(any.iter().map(String::as_str))?);
    }
    Ok(match parts.len() {
        0 => None,
        1 => parts.pop(),
        _ => Some(Requirement::all(parts)?),
    })
}

impl Finding {
    fn report(&self, prefix: &str, output: Output) -> Result<(), Failure> {
        let record = self.record.as_deref();
        let value = json!({
            "accepted": self.accepted,
            "cause": self.cause,
            "well_formed": self.well_formed,
            "prefix": self.well_formed.then_some(prefix),
            "id": self.id,
            "known": self.known,
            "required": self.requirement.as_ref().map(|(text, _)| text),
            "requirement_met": self.requirement.as_ref().map(|(_, met)| met),
            "record": record.map(|record| describe::json_of(record, None)),
        });
        let colours = colours(&io::stdout());
        let mut rows = Vec::new();
        let mut row = |name: &str, text: &str, style| {
            rows.push(vec![Cell::new(name, Style::Strong), Cell::new(text, style)]);
        };
        let shape = if self.well_formed {
            format!("well-formed, prefix {prefix}")
        } else {
            format!("not in the shape of a key with the prefix {prefix}")
        };
        row("shape", &shape, Style::Plain);
        row("known", if self.known { "yes" } else { "no" }, Style::Plain);
        if let (Some(id), None) = (&self.id, record) {
            row("claims id", id, Style::Plain);
        }
        if let Some((text, met)) = &self.requirement {
            row("requires", text, Style::Plain);
            row("met", if *met { "yes" } else { "no" }, Style::Plain);
        }
        let (verdict, style) = match self.cause {
            None => ("accepted".to_owned(), Style::Good),
            Some(cause) => (format!("refused: {}", cause.replace('_', " ")), Style::Bad),
        };
        row("verdict", &verdict, style);
        let mut text = aligned(&rows, colours);
        if let Some(record) = record {
            text.push('\n');
            text.push_str(&describe::details(record, None, colours));
        }
        output.either(&value, &text)
    }
}
