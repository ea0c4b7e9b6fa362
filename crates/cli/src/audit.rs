//! The keys that need attention, each with the command that mends it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use tower_api_key::report::{Finding, FindingKind, ReportPage, ReportQuery, ReportedKey};
use tower_api_key::{Escaped, KeyRecord, ScopeSet, Timestamp};

use crate::arguments::{AuditArguments, Common, Ignored};
use crate::describe;
use crate::durations::duration;
use crate::failure::{Exit, Failure};
use crate::lineage::warn_of_prefix;
use crate::output::{Output, print, print_json};

/// The totals of all pages.
#[derive(Default)]
struct Totals {
    judged: usize,
    used: usize,
    keys: usize,
    findings: usize,
    unreadable: usize,
    knows_no_uses: bool,
}

pub(crate) async fn audit(
    common: &Common,
    output: Output,
    arguments: &AuditArguments,
) -> Result<(), Failure> {
    let (builder, mut query) = (common.managing()?, arguments.query()?);
    let reading = common.open_to_read().await?;
    let ring = builder.build(Arc::clone(&reading.store))?;
    warn_of_prefix(common, &ring, output).await;
    let mut totals = Totals::default();
    // Each page is written at once, so that any number of keys takes the same memory.
    loop {
        let page = ring.report(&query).await?;
        write_page(output, &page, totals.keys == 0)?;
        totals.add(&page);
        for record in page.unreadable() {
            output.warn(&Failure::from(record.error().clone()).message());
        }
        match page.next() {
            Some(next) => query = query.after(next),
            None => break,
        }
    }
    if output.json {
        print_json(if totals.keys == 0 { "[]\n" } else { "\n]\n" })?;
    }
    if totals.knows_no_uses {
        output.warn("the store keeps no last uses, so no finding is about uses");
    } else if totals.used == 0 && totals.judged > 0 {
        output.warn(
            "no key was ever used, as far as the store knows: the service may not track last uses",
        );
    }
    totals.outcome(output)
}

impl Totals {
    fn add(&mut self, page: &ReportPage) {
        let findings = page.keys().iter().map(|key| key.findings().len());
        self.findings += findings.sum::<usize>();
        self.judged += page.judged();
        self.used += page.used();
        self.keys += page.keys().len();
        self.unreadable += page.unreadable().len();
        self.knows_no_uses = !page.knows_uses();
    }

    fn outcome(&self, output: Output) -> Result<(), Failure> {
        if self.unreadable > 0 {
            return Err(Failure::new(
                Exit::Store,
                format!(
                    "{} cannot be read, and could not be judged",
                    counted(self.unreadable, "record")
                ),
            ));
        }
        if self.findings > 0 {
            return Err(Failure::new(
                Exit::Findings,
                format!(
                    "{} on {}, of {} judged",
                    counted(self.findings, "finding"),
                    counted(self.keys, "key"),
                    self.judged
                ),
            ));
        }
        output.note(&format!(
            "no findings; {} judged",
            counted(self.judged, "key")
        ));
        Ok(())
    }
}

fn counted(count: usize, name: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {name}{plural}")
}

fn write_page(output: Output, page: &ReportPage, is_first: bool) -> Result<(), Failure> {
    if page.keys().is_empty() {
        return Ok(());
    }
    let mut text = String::new();
    if output.json {
        for (place, key) in page.keys().iter().enumerate() {
            text.push_str(if is_first && place == 0 { "[\n" } else { ",\n" });
            text.push_str(&json_of(key).to_string());
        }
        return print_json(&text);
    }
    if is_first {
        text.push_str(&line("ID", "FINDING", "SINCE OR AT", "SUBJECT"));
    }
    for key in page.keys() {
        let record = key.view().record();
        for finding in key.findings() {
            let at = Shown::of(finding, record);
            let when = at.when.map_or("-".to_owned(), Timestamp::to_rfc3339);
            let subject = Escaped(record.subject().as_str()).to_string();
            let (id, kind) = (record.id(), finding.kind().as_str());
            text.push_str(&line(id.as_str(), kind, &when, &subject));
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "  {}", at.command);
        }
    }
    print(&text)
}

/// The columns have the same widths on each page. The last is as it is.
fn line(id: &str, kind: &str, when: &str, subject: &str) -> String {
    format!("{id:<12}  {kind:<22}  {when:<20}  {subject}\n")
}

fn json_of(key: &ReportedKey) -> Value {
    let record = key.view().record();
    let findings: Vec<Value> = key
        .findings()
        .iter()
        .map(|finding| {
            let shown = Shown::of(finding, record);
            let mut value = json!({
                "kind": finding.kind().as_str(),
                "at": shown.when.map(Timestamp::to_rfc3339),
                "command": shown.command,
            });
            match finding {
                Finding::UsedAfterReplacement { replaced_by, .. } => {
                    value["replaced_by"] = json!(replaced_by.map(|id| id.to_string()));
                }
                Finding::ScopesNeverExercised { scopes, .. } => {
                    value["scopes"] = json!(scopes.iter().collect::<Vec<_>>());
                }
                Finding::NewNetwork { network, .. } => {
                    value["network"] = json!(network.to_string());
                }
                _ => {}
            }
            value
        })
        .collect();
    let mut value = describe::json_of_view(key.view());
    value["findings"] = Value::Array(findings);
    value
}

/// A finding as it is shown.
struct Shown {
    when: Option<Timestamp>,
    command: String,
}

impl Shown {
    fn of(finding: &Finding, record: &KeyRecord) -> Self {
        let id = record.id();
        let revoke = |reason| format!("tower-api-key revoke {id} --reason {reason}");
        let rotate = || format!("tower-api-key rotate {id}");
        let show = || format!("tower-api-key show {id}");
        let (when, command) = match finding {
            Finding::NeverUsed { since } => (Some(*since), revoke("cessation_of_operation")),
            Finding::Unused { last_used } => (Some(*last_used), revoke("cessation_of_operation")),
            Finding::NoExpiry => (None, rotate()),
            Finding::Expiring { at } => (Some(*at), rotate()),
            Finding::UsedAfterReplacement { last_used, .. } => {
                (Some(*last_used), revoke("superseded"))
            }
            Finding::ScopesNeverExercised { scopes, since } => {
                (Some(*since), narrowing(record, scopes))
            }
            // Whether its holder is there, only people know.
            Finding::NewNetwork { first_used, .. } => (Some(*first_used), show()),
            // A kind that a later version of the library adds.
            _ => (None, show()),
        };
        Self { when, command }
    }
}

/// The command that leaves the exercised scopes to a key. If it has exercised none, the code of the service may look at
/// the scopes by itself, which is for people to find out.
fn narrowing(record: &KeyRecord, never_exercised: &ScopeSet) -> String {
    let kept = record.scopes().difference(never_exercised);
    if kept.is_empty() {
        return format!("tower-api-key show {}", record.id());
    }
    let mut command = format!("tower-api-key narrow {}", record.id());
    for scope in kept.iter() {
        // `=`, because a scope can begin with a hyphen.
        command.push_str(" --scope=");
        command.push_str(&in_shell(scope));
    }
    command
}

/// A text as one word of a shell, whatever is in it: a scope can have `$(…)` in it.
fn in_shell(text: &str) -> Cow<'_, str> {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "-_.:/@+,%".contains(it);
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

impl AuditArguments {
    fn query(&self) -> Result<ReportQuery, Failure> {
        let mut query = ReportQuery::new()
            .unused_for(duration(&self.unused_for)?)
            .never_used_for(duration(&self.never_used_for)?)
            .expiring_within(duration(&self.expiring_within)?)
            .never_exercised_for(duration(&self.never_exercised_for)?)
            .new_network_within(duration(&self.new_network_within)?);
        for ignored in &self.ignored {
            query = query.without(match ignored {
                Ignored::NeverUsed => FindingKind::NeverUsed,
                Ignored::Unused => FindingKind::Unused,
                Ignored::NoExpiry => FindingKind::NoExpiry,
                Ignored::Expiring => FindingKind::Expiring,
                Ignored::UsedAfterReplacement => FindingKind::UsedAfterReplacement,
                Ignored::ScopesNeverExercised => FindingKind::ScopesNeverExercised,
                Ignored::NewNetwork => FindingKind::NewNetwork,
            });
        }
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::in_shell;

    #[test]
    fn r36_a_scope_is_one_word_of_a_shell() {
        for (text, word) in [
            ("orders:read", "orders:read"),
            ("$(reboot)", "'$(reboot)'"),
            ("a;b", "'a;b'"),
            ("it's", r"'it'\''s'"),
            ("*", "'*'"),
            ("~", "'~'"),
            ("`id`", "'`id`'"),
            ("a#b", "'a#b'"),
        ] {
            assert_eq!(in_shell(text), word);
        }
    }
}
