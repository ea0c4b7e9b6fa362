//! A line of a batch as what it asks for. No reason repeats what is in a line: a column that is out of
//! place may hold the key.

use std::collections::BTreeMap;

use serde::Deserialize;
use tower_api_key::{Caveats, Grant, Import, OldKey, ScopeSet, Timestamp};

use super::kind::{Kind, is_quoted};
use crate::durations::{duration, moment};
use crate::failure::Failure;
use crate::grant::Details;

const COLUMNS: [&str; 10] = [
    "kind",
    "key",
    "id",
    "subject",
    "scopes",
    "caveats",
    "expires_at",
    "issued_at",
    "not_before",
    "label",
];

/// What counts for the rows that do not say it themselves.
pub(super) struct Defaults {
    pub(super) kind: Option<Kind>,
    pub(super) ends: Ends,
    pub(super) insecure: bool,
}

/// The end that the command line says.
#[derive(Default)]
pub(super) struct Ends {
    pub(super) after: Option<std::time::Duration>,
    pub(super) at: Option<Timestamp>,
    pub(super) never: bool,
}

impl Ends {
    /// As the arguments say it.
    pub(super) fn of(details: &Details) -> Result<Self, Failure> {
        Ok(Self {
            after: details.expires_in.as_deref().map(duration).transpose()?,
            at: details.expires_at.as_deref().map(moment).transpose()?,
            never: details.never_expires,
        })
    }

    pub(super) fn are_said(&self) -> bool {
        self.after.is_some() || self.at.is_some() || self.never
    }

    /// The grant with the end that was said, if one was.
    fn apply(&self, grant: Grant) -> Option<Grant> {
        match (self.after, self.at, self.never) {
            (Some(lifetime), ..) => Some(grant.expires_in(lifetime)),
            (_, Some(end), _) => Some(grant.expires_at(end)),
            (.., true) => Some(grant.never_expires()),
            _ => None,
        }
    }
}

/// The fields of a row, by their names.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Row {
    kind: Option<String>,
    key: Option<String>,
    id: Option<TextOrNumber>,
    subject: Option<String>,
    scopes: Option<Texts>,
    caveats: Option<Texts>,
    expires_at: Option<TextOrNumber>,
    issued_at: Option<TextOrNumber>,
    not_before: Option<TextOrNumber>,
    label: Option<String>,
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    List(Vec<String>),
    Text(String),
}

impl Texts {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::List(texts) => texts,
            Self::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrNumber {
    Text(String),
    Number(u64),
}

impl TextOrNumber {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

impl Row {
    /// A line of NDJSON.
    pub(super) fn of_json(line: &str) -> Result<Self, String> {
        // serde would take a list of values in the order of the fields.
        if !line.trim_start().starts_with('{') {
            return Err("the line is not one JSON object".to_owned());
        }
        serde_json::from_str(line).map_err(|error| {
            // What serde says repeats the line.
            if error.is_data() {
                format!(
                    "a field is unknown, given twice or of the wrong type; the fields are {} and \
                     metadata",
                    COLUMNS.join(", ")
                )
            } else {
                format!(
                    "the line is not one JSON object: see column {}",
                    error.column()
                )
            }
        })
    }

    /// What the row asks for.
    pub(super) fn import(self, defaults: &Defaults) -> Result<(Import, OldKey), String> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let kind = match given(self.kind) {
            Some(name) => Kind::named(&name)?,
            None => defaults.kind.ok_or(
                "no kind; give it in the line, or with --kind for all lines that have none",
            )?,
        };
        let key = given(self.key).ok_or("no key")?;
        let key = kind.key(key, given(self.id.map(TextOrNumber::into_text)))?;
        let subject = given(self.subject).ok_or("no subject")?;
        let mut grant = Grant::new(subject);
        let scopes = self.scopes.map_or_else(Vec::new, Texts::into_list);
        let caveats = self.caveats.map_or_else(Vec::new, Texts::into_list);
        if kind == Kind::Sanctum && scopes.iter().any(|scope| scope == "*") {
            return Err(
                "the ability * means every ability, but no scope does; list the scopes".to_owned(),
            );
        }
        grant = grant
            .scopes(ScopeSet::new(scopes).map_err(|error| error.to_string())?)
            .caveats(Caveats::new(caveats).map_err(|error| error.to_string())?);
        let time = |field: Option<TextOrNumber>, name: &str| match given(
            field.map(TextOrNumber::into_text),
        ) {
            Some(text) => moment(&text).map(Some).map_err(|_| {
                format!("{name} is not a time; write 2027-01-15T08:00:00Z, or Unix seconds")
            }),
            None => Ok(None),
        };
        grant = match given(self.expires_at.map(TextOrNumber::into_text)) {
            Some(text) if text == "never" => grant.never_expires(),
            Some(text) => {
                let end = moment(&text).map_err(|_| {
                    "expires_at is not a time; write 2027-01-15T08:00:00Z, Unix seconds, or \
                         never"
                })?;
                grant.expires_at(end)
            }
            None => defaults.ends.apply(grant).ok_or(
                "no expires_at; write the old expiry or never, or set the expiry of such lines \
                 with --expires-at, --expires-in or --never-expires",
            )?,
        };
        if let Some(start) = time(self.not_before, "not_before")? {
            grant = grant.not_before(start);
        }
        if let Some(label) = given(self.label) {
            grant = grant.label(label);
        }
        grant = grant.metadata(self.metadata);
        let mut import = Import::new(grant);
        if let Some(at) = time(self.issued_at, "issued_at")? {
            import = import.issued_at(at);
        }
        if defaults.insecure {
            import = import.insecure_accept_weak();
        }
        Ok((import, key))
    }
}

/// The columns of a TSV file, by its first line.
pub(super) struct Columns(Vec<String>);

impl Columns {
    pub(super) fn of(line: &str) -> Result<Self, Failure> {
        let names: Vec<String> = line.split('\t').map(str::to_owned).collect();
        for (at, name) in names.iter().enumerate() {
            let known = COLUMNS.contains(&name.as_str())
                || name
                    .strip_prefix("metadata.")
                    .is_some_and(|name| !name.is_empty());
            let problem = if !known {
                "is not one of these"
            } else if names.iter().take(at).any(|earlier| earlier == name) {
                "is there a second time"
            } else {
                continue;
            };
            return Err(Failure::usage(format!(
                "the first line of TSV must have the names of the columns, separated by tabs: {} \
                 and metadata.NAME; column {} {problem}",
                COLUMNS.join(", "),
                at + 1,
            )));
        }
        Ok(Self(names))
    }

    /// A line of TSV. An empty field is one that is not there.
    pub(super) fn row(&self, line: &str) -> Result<Row, String> {
        let fields: Vec<&str> = line.split('\t').collect();
        if fields.len() != self.0.len() {
            return Err(format!(
                "the line has {} fields, but the first line has {} columns",
                fields.len(),
                self.0.len()
            ));
        }
        let mut row = Row::default();
        for (name, field) in self.0.iter().zip(fields) {
            if field.is_empty() {
                continue;
            }
            if field.contains('\\') {
                return Err(
                    "a \\ in TSV may start an escape or be a plain character; write such lines as \
                     NDJSON"
                        .to_owned(),
                );
            }
            if is_quoted(field) {
                let name = if COLUMNS.contains(&name.as_str()) {
                    name
                } else {
                    "metadata"
                };
                return Err(format!(
                    "{name} is in quotes, which TSV does not use; remove them"
                ));
            }
            let text = || Some(field.to_owned());
            let number = || Some(TextOrNumber::Text(field.to_owned()));
            match name.as_str() {
                "kind" => row.kind = text(),
                "key" => row.key = text(),
                "id" => row.id = number(),
                "subject" => row.subject = text(),
                "scopes" => row.scopes = Some(Texts::Text(field.to_owned())),
                "caveats" => row.caveats = Some(Texts::Text(field.to_owned())),
                "expires_at" => row.expires_at = number(),
                "issued_at" => row.issued_at = number(),
                "not_before" => row.not_before = number(),
                "label" => row.label = text(),
                other => {
                    let name = other.strip_prefix("metadata.").unwrap_or(other);
                    row.metadata.insert(name.to_owned(), field.to_owned());
                }
            }
        }
        Ok(row)
    }
}
