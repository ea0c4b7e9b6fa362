//! Records for people and for programs. The digest is for neither.

use serde_json::Value;
use tower_api_key::store::{HistoryEntry, KeyUsage};
use tower_api_key::{Clock, KeyRecord, KeyState, KeyView, Label, SystemClock, Timestamp};

use crate::history::author;
use crate::output::columns;
use crate::table::{Cell, Style, aligned, fitted};
use crate::usage;

/// The record as it is now.
fn view(record: &KeyRecord) -> KeyView {
    KeyView::new(record.clone(), SystemClock.now())
}

fn style_of(view: &KeyView) -> Style {
    match view.state() {
        KeyState::Live if !view.is_in_grace() => Style::Good,
        KeyState::Live | KeyState::NotYetValid => Style::Waning,
        _ => Style::Bad,
    }
}

/// The state as people read it.
fn state_in_words(view: &KeyView) -> String {
    if view.is_in_grace() {
        return "live, in grace".to_owned();
    }
    view.state_name().replace('_', " ")
}

pub(crate) fn json_of(record: &KeyRecord, last_used: Option<Timestamp>) -> Value {
    json_of_view(&view(record).last_used(last_used))
}

pub(crate) fn json_of_view(view: &KeyView) -> Value {
    // Texts, numbers and a map with keys of text: nothing in it can fail.
    serde_json::to_value(view).unwrap_or_default()
}

/// The columns of a list that are cut on a narrow terminal: whose key it is, its scopes, its label.
const ELASTIC: [usize; 3] = [1, 5, 6];

/// One line each, under a heading.
pub(crate) fn list<'a>(
    records: impl Iterator<Item = (&'a KeyRecord, Option<Timestamp>)>,
    colours: bool,
) -> String {
    let heading = [
        "ID",
        "SUBJECT",
        "STATE",
        "ENDS",
        "LAST USED",
        "SCOPES",
        "LABEL",
    ];
    let heading = heading.map(|name| Cell::new(name, Style::Strong));
    let rows = records.map(|(record, last_used)| {
        let view = view(record);
        let last_used = last_used.map(Timestamp::to_rfc3339);
        let ends = record.ended_at().map(Timestamp::to_rfc3339);
        vec![
            Cell::plain(record.id().as_str()),
            Cell::plain(record.subject().as_str()),
            Cell::new(&state_in_words(&view), style_of(&view)),
            Cell::plain(ends.as_deref().unwrap_or("never")),
            Cell::plain(last_used.as_deref().unwrap_or("-")),
            Cell::plain(if record.scopes().is_empty() {
                "-"
            } else {
                record.scopes().as_str()
            }),
            Cell::plain(record.label().map_or("", Label::as_str)),
        ]
    });
    let rows: Vec<Vec<Cell>> = std::iter::once(heading.into()).chain(rows).collect();
    fitted(rows, &ELASTIC, columns(), colours)
}

/// What is known of a key apart from its record.
#[derive(Default)]
pub(crate) struct Known<'a> {
    pub(crate) last_used: Option<Timestamp>,
    pub(crate) usage: KeyUsage,
    pub(crate) last_change: Option<&'a HistoryEntry>,
}

/// A line for each field.
pub(crate) fn details(record: &KeyRecord, known: &Known<'_>, colours: bool) -> String {
    let mut rows = Vec::new();
    let mut row = |name: &str, text: &str, style| {
        rows.push(vec![Cell::new(name, Style::Strong), Cell::new(text, style)]);
    };
    let plain = Style::Plain;
    row("id", record.id().as_str(), plain);
    if let Some(prefix) = record.prefix() {
        row("prefix", prefix.as_str(), plain);
    }
    row("realm", record.realm().as_str(), plain);
    row("subject", record.subject().as_str(), plain);
    row(
        "scopes",
        if record.scopes().is_empty() {
            "none"
        } else {
            record.scopes().as_str()
        },
        plain,
    );
    if !record.caveats().is_empty() {
        row("caveats", record.caveats().as_str(), plain);
    }
    let view = view(record);
    row("state", &state_in_words(&view), style_of(&view));
    row("issued", &record.issued_at().to_rfc3339(), plain);
    row("valid from", &record.not_before().to_rfc3339(), plain);
    let expires = record.expires_at().map(Timestamp::to_rfc3339);
    row("expires", expires.as_deref().unwrap_or("never"), plain);
    if let Some(at) = record.grace_ends_at() {
        row("grace ends", &at.to_rfc3339(), plain);
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
        row("label", label.as_str(), plain);
    }
    for (name, value) in record.metadata().iter() {
        row("metadata", &format!("{name}={value}"), plain);
    }
    if let Some(at) = known.last_used {
        row("last used", &at.to_rfc3339(), plain);
    }
    for (name, text) in usage::lines(&known.usage) {
        row(name, &text, plain);
    }
    if let Some(change) = known.last_change {
        let (at, kind) = (change.at().to_rfc3339(), change.kind());
        row(
            "changed",
            &format!("{at}, {kind} by {}", author(change)),
            plain,
        );
    }
    aligned(&rows, colours)
}
