//! Records for people and for programs. The digest is for neither.

use serde_json::{Value, json};
use tower_api_key::{Clock, KeyRecord, KeyState, SystemClock, Timestamp};

use crate::table::{Cell, Style, aligned};

/// What a key is worth now.
pub(crate) fn state(record: &KeyRecord) -> &'static str {
    name_of(record.state_at(SystemClock.now()))
}

fn name_of(state: KeyState) -> &'static str {
    match state {
        KeyState::Live => "live",
        KeyState::NotYetValid => "not_yet_valid",
        KeyState::Expired => "expired",
        KeyState::Retired => "retired",
        KeyState::Revoked => "revoked",
        _ => "unknown",
    }
}

fn style_of(record: &KeyRecord) -> Style {
    match record.state_at(SystemClock.now()) {
        KeyState::Live if record.retire_at().is_none() => Style::Good,
        KeyState::Live | KeyState::NotYetValid => Style::Waning,
        _ => Style::Bad,
    }
}

/// The state, with what people want to know beside it.
fn state_in_words(record: &KeyRecord) -> String {
    let state = state(record).replace('_', " ");
    match record.retire_at() {
        Some(_) if state == "live" => "live, in grace".to_owned(),
        _ => state,
    }
}

fn moment(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| at.to_rfc3339().into())
}

pub(crate) fn json_of(record: &KeyRecord) -> Value {
    json!({
        "id": record.id().as_str(),
        "realm": record.realm().as_str(),
        "subject": record.subject(),
        "scopes": record.scopes().iter().collect::<Vec<_>>(),
        "state": state(record),
        "issued_at": moment(Some(record.issued_at())),
        "not_before": moment(Some(record.not_before())),
        "expires_at": moment(record.expires_at()),
        "retire_at": moment(record.retire_at()),
        "revoked_at": moment(record.revocation().map(|revocation| revocation.at)),
        "revocation_reason": record.revocation().map(|revocation| revocation.reason.as_str()),
        "lineage": record.lineage().as_str(),
        "generation": record.generation(),
        "version": record.version(),
        "pepper_version": record.pepper_version(),
        "label": record.label(),
        "metadata": record.metadata(),
    })
}

/// One line each, under a heading.
pub(crate) fn list<'a>(records: impl Iterator<Item = &'a KeyRecord>, colours: bool) -> String {
    let heading = ["ID", "SUBJECT", "STATE", "ENDS", "SCOPES", "LABEL"];
    let heading = heading.map(|name| Cell::new(name, Style::Strong));
    let rows = records.map(|record| {
        let ends = record.ended_at().map(Timestamp::to_rfc3339);
        vec![
            Cell::plain(record.id().as_str()),
            Cell::plain(record.subject()),
            Cell::new(&state_in_words(record), style_of(record)),
            Cell::plain(ends.as_deref().unwrap_or("never")),
            Cell::plain(if record.scopes().is_empty() {
                "-"
            } else {
                record.scopes().as_str()
            }),
            Cell::plain(record.label().unwrap_or_default()),
        ]
    });
    let rows: Vec<Vec<Cell>> = std::iter::once(heading.into()).chain(rows).collect();
    aligned(&rows, colours)
}

/// A line for each field.
pub(crate) fn details(record: &KeyRecord, last_used: Option<Timestamp>, colours: bool) -> String {
    let mut rows = Vec::new();
    let mut row = |name: &str, text: &str, style| {
        rows.push(vec![Cell::new(name, Style::Strong), Cell::new(text, style)]);
    };
    let plain = Style::Plain;
    row("id", record.id().as_str(), plain);
    row("realm", record.realm().as_str(), plain);
    row("subject", record.subject(), plain);
    row(
        "scopes",
        if record.scopes().is_empty() {
            "none"
        } else {
            record.scopes().as_str()
        },
        plain,
    );
    row("state", &state_in_words(record), style_of(record));
    row("issued", &record.issued_at().to_rfc3339(), plain);
    row("valid from", &record.not_before().to_rfc3339(), plain);
    let expires = record.expires_at().map(Timestamp::to_rfc3339);
    row("expires", expires.as_deref().unwrap_or("never"), plain);
    if let Some(at) = record.retire_at() {
        row("retires", &at.to_rfc3339(), plain);
    }
    if let Some(revocation) = record.revocation() {
        let reason = revocation.reason.as_str().replace('_', " ");
        row(
            "revoked",
            &format!("{} ({reason})", revocation.at.to_rfc3339()),
            plain,
        );
    }
    let (lineage, generation) = (record.lineage(), record.generation());
    row(
        "lineage",
        &format!("{lineage}, generation {generation}"),
        plain,
    );
    if let Some(version) = record.pepper_version() {
        row("pepper", &format!("version {version}"), plain);
    }
    if let Some(label) = record.label() {
        row("label", label, plain);
    }
    for (name, value) in record.metadata() {
        row("metadata", &format!("{name}={value}"), plain);
    }
    if let Some(at) = last_used {
        row("last used", &at.to_rfc3339(), plain);
    }
    aligned(&rows, colours)
}
