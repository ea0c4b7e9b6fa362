//! A key from standard input, and what a service would make of it.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::json;
use tower_api_key::{Facts, InvalidCause, KeyRecord, KeyRing, Requirement, VerifyErrorKind};

use crate::arguments::Common;
use crate::describe;
use crate::failure::{Exit, Failure};
use crate::lineage::warn_of_prefix;
use crate::output::{Output, colours};
use crate::paste::{keys_in, read, trimmed, unquoted};
use crate::setup::dry;
use crate::table::{Cell, Style, aligned};

const AROUND: &str = "white space or an invisible character around the key was removed; clients \
                      must send the key without it";

/// The key on standard input. The end of its line is not part of it, and neither is what cannot be
/// part of any key.
fn read_key(output: Output) -> Result<String, Failure> {
    let text = read()?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let key = trimmed(line);
    if key.is_empty() {
        return Err(Failure::usage("no key: write it to standard input"));
    }
    if key != line {
        output.warn(AROUND);
    }
    Ok(key.to_owned())
}

/// The same, of a key of which nothing else says what belongs to it.
pub(crate) fn read_key_to_import(output: Output) -> Result<String, Failure> {
    let key = read_key(output)?;
    let is_quote = |it| "\"'`\u{201c}\u{201d}\u{2018}\u{2019}".contains::<char>(it);
    if key.starts_with(is_quote) || key.ends_with(is_quote) {
        return Err(Failure::usage(
            "the key begins or ends with a quote; remove the quotes, or import the key with \
             --digest if they are part of it",
        ));
    }
    Ok(key)
}

/// The key without the quotes around it, if there is a key of the prefix in them.
async fn without_quotes(key: String, shape: &KeyRing, output: Output) -> String {
    match unquoted(&key).map(trimmed) {
        Some(inner) if is_well_formed(shape, inner).await => {
            output
                .warn("quotes around the key were removed; clients must send the key without them");
            inner.to_owned()
        }
        _ => key,
    }
}

/// Whether a ring over nothing knows the shape of a key.
async fn is_well_formed(shape: &KeyRing, key: &str) -> bool {
    let malformed = VerifyErrorKind::Invalid(InvalidCause::Malformed);
    let verdict = shape.verify(key.as_bytes()).await;
    verdict.is_err_and(|error| error.kind() != malformed)
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
    facts: Facts,
) -> Result<(), Failure> {
    let requirement = requirement(all, any)?;
    let shape = dry(common.builder()?)?;
    let mut builder = common.builder()?;
    if accept_imports {
        builder = builder.accept_sanctum_tokens();
    }
    output.warn_of_commas("--require", all);
    output.warn_of_commas("--require-any", any);
    let key = without_quotes(read_key(output)?, &shape, output).await;
    let reading = common.open_to_read().await?;
    let ring = builder.build(Arc::clone(&reading.store))?;
    warn_of_prefix(common, &ring, output).await;

    let well_formed = is_well_formed(&shape, &key).await;
    let (id, cause) = match ring.verify_with(key.as_bytes(), facts).await {
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
    let Some(cause) = finding.cause else {
        return Ok(());
    };
    let text = format!("the key is not accepted: {}", cause.replace('_', " "));
    let failure = Failure::new(Exit::Refused, text);
    if well_formed {
        return Err(failure);
    }
    let imports = common
        .builder()?
        .accept_imports()
        .build(Arc::clone(&reading.store))?;
    let is_imported = match imports.verify(key.as_bytes()).await {
        Ok(_) => true,
        Err(error) => error.key_id().is_some(),
    };
    Err(if is_imported && !accept_imports {
        failure.advise(
            "it is an imported key; use --accept-imports if the ring of the service accepts \
             imported keys",
        )
    } else if !keys_in(&key, &shape).await.is_empty() {
        failure.advise("the text contains a key; write only the key")
    } else if unquoted(&key).is_some() {
        failure.advise("it is in quotes; write it without them")
    } else {
        failure
    })
}

/// What is said of the client.
pub(crate) fn facts(address: Option<IpAddr>, certificate: Option<&str>) -> Result<Facts, Failure> {
    let mut facts = Facts::none();
    if let Some(address) = address {
        facts = facts.client_address(address);
    }
    if let Some(thumbprint) = certificate {
        facts = facts.client_certificate(thumbprint.parse()?);
    }
    Ok(facts)
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
            format!("not well-formed as a key with the prefix {prefix}")
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
            text.push_str(&describe::details(
                record,
                &describe::Known::default(),
                colours,
            ));
        }
        output.either(&value, &text)
    }
}
