//! The history of keys, a page at a time.

use std::sync::Arc;

use serde_json::json;
use tower_api_key::store::{HistoryEntry, HistoryKind, HistoryQuery};
use tower_api_key::{Actor, KeyRing};

use crate::arguments::Common;
use crate::durations::duration;
use crate::failure::Failure;
use crate::history_arguments::HistoryArguments;
use crate::lineage::warn_of_prefix;
use crate::output::{Output, colours, columns, print, print_json, tell};
use crate::paste::Named;
use crate::table::{Cell, Style, fitted};

/// How many entries the store is asked for at a time.
const PAGE: usize = 1_000;

pub(crate) async fn history(
    common: &Common,
    output: Output,
    arguments: &HistoryArguments,
) -> Result<(), Failure> {
    let builder = common.managing()?;
    if let Some(age) = &arguments.forget_older_than {
        let age = duration(age)?;
        let ring = common.open(builder).await?;
        let count = ring.forget_history(age).await?;
        let entries = if count == 1 { "entry" } else { "entries" };
        let text = format!("{count} {entries} removed from the history\n");
        return output.either(&json!({ "forgotten": count }), &text);
    }
    let mut query = arguments.query()?;
    let named = arguments.id.as_deref().map(|id| Named::new(id, common));
    let named = named.transpose()?;
    let reading = common.open_to_read().await?;
    if let Some(named) = named {
        query = query.key(named.id(common, &reading.store).await?);
    }
    let ring = builder.build(Arc::clone(&reading.store))?;
    warn_of_prefix(common, &ring, output).await;
    show(&ring, output, query).await
}

async fn show(ring: &KeyRing, output: Output, query: HistoryQuery) -> Result<(), Failure> {
    let mut query = query;
    let mut missing = query.limit.unwrap_or(usize::MAX);
    let mut rows = Vec::new();
    let next = loop {
        query = query.limit(missing.min(PAGE));
        let page = ring.history(&query).await?;
        missing = missing.saturating_sub(page.len());
        let next = page.next();
        for entry in page {
            if output.json {
                // Texts, numbers and maps with keys of text: nothing in it can fail.
                let value = serde_json::to_value(&entry).unwrap_or_default();
                print_json(&format!("{value}\n"))?;
            } else {
                rows.push(row(&entry));
            }
        }
        match next {
            Some(next) if missing > 0 => query = query.after(next),
            next => break next,
        }
    };
    if !output.json {
        if rows.is_empty() {
            tell("no entries\n");
        } else {
            let heading = ["WHEN", "KEY", "SUBJECT", "WHAT", "BY", "CHANGE"];
            rows.insert(0, heading.map(|name| Cell::new(name, Style::Strong)).into());
            print(&fitted(
                rows,
                &ELASTIC,
                columns(),
                colours(&std::io::stdout()),
            ))?;
        }
    }
    if let Some(next) = next {
        tell(&format!("more entries: continue with --after {next}\n"));
    }
    Ok(())
}

/// The columns that are cut on a narrow terminal: whose key it is, who changed it, and how.
const ELASTIC: [usize; 3] = [2, 4, 5];

fn row(entry: &HistoryEntry) -> Vec<Cell> {
    let id = entry.key_id().map(|id| id.to_string());
    vec![
        Cell::plain(&entry.at().to_rfc3339()),
        Cell::plain(id.as_deref().unwrap_or("-")),
        Cell::plain(entry.subject().unwrap_or("-")),
        Cell::new(entry.kind().as_str(), style_of(entry.kind())),
        Cell::plain(&author(entry)),
        Cell::plain(&change(entry)),
    ]
}

fn style_of(kind: HistoryKind) -> Style {
    match kind {
        HistoryKind::Added => Style::Good,
        HistoryKind::Revoked | HistoryKind::Removed | HistoryKind::Emptied => Style::Bad,
        _ => Style::Plain,
    }
}

/// Who made a change: the actor, and in a database with roles the role. `-` if nothing is known.
pub(crate) fn author(entry: &HistoryEntry) -> String {
    let actor = entry.actor().map_or("-", Actor::as_str);
    let mut author = match entry.role() {
        Some(role) => format!("{actor} (role {role})"),
        None => actor.to_owned(),
    };
    if entry.is_by_hand() {
        author.push_str(", by hand");
    }
    author
}

/// The fields that changed, except the version, which changes always.
fn change(entry: &HistoryEntry) -> String {
    let shown = |value: Option<&String>| match value.map(String::as_str) {
        None | Some("") => "none".to_owned(),
        Some(value) => value.to_owned(),
    };
    // What a key was issued with is in its first entry, and what it had at the end in its last.
    let names = match entry.kind() {
        HistoryKind::Added | HistoryKind::Removed => vec!["scopes", "caveats", "expires_at"],
        _ => {
            let both = entry.before().keys().chain(entry.after().keys());
            let mut names: Vec<&str> = both.map(String::as_str).collect();
            names.sort_unstable();
            names.dedup();
            names
        }
    };
    let fields = names.into_iter().filter_map(|name| {
        let (before, after) = (entry.before().get(name), entry.after().get(name));
        match (before, after) {
            _ if name == "version" => None,
            (None, None) => None,
            (None, Some(_)) => Some(format!("{name}: {}", shown(after))),
            (Some(_), None) => Some(format!("{name}: {}", shown(before))),
            (Some(_), Some(_)) => Some(format!("{name}: {} -> {}", shown(before), shown(after))),
        }
    });
    fields.collect::<Vec<_>>().join("; ")
}
