//! Keys for a keys file, which this program reads and people write.

use std::fmt::Write;

use serde_json::{Map, Value, json};
use tower_api_key::{KeyRecord, Timestamp};

use crate::arguments::Common;
use crate::failure::Failure;
use crate::grant::GrantArguments;
use crate::output::{Output, ensure_printable, print, print_json, tell};
use crate::policy_arguments::PolicyArguments;
use crate::setup::dry;
use crate::text::is_shown;

/// Writes the key to standard output, and what a keys file needs of it to standard error.
pub(crate) async fn mint(
    common: &Common,
    output: Output,
    arguments: &GrantArguments,
    policy: &PolicyArguments,
) -> Result<(), Failure> {
    policy.warn(output);
    let ring = dry(policy.apply(common.builder()?)?)?;
    arguments.details.warn(output);
    let grant = arguments.details.grant(&arguments.subject)?;
    ensure_printable()?;
    let issued = ring.issue(grant).await?;
    let (entry, key) = (entry(issued.record()), issued.secret().expose());
    if output.json {
        let entry = Value::Object(entry);
        return print_json(&format!("{{\"key\":\"{key}\",\"entry\":{entry}}}\n"));
    }
    print(&format!("{key}\n"))?;
    tell(&toml(&entry));
    Ok(())
}

/// The fields of a keys file, in JSON.
fn entry(record: &KeyRecord) -> Map<String, Value> {
    let mut digest = String::with_capacity(64);
    for byte in record.digest().as_bytes() {
        // Writing to a `String` cannot fail.
        let _ = write!(digest, "{byte:02x}");
    }
    let mut entry = Map::new();
    let mut put = |name: &str, value: Value| entry.insert(name.to_owned(), value);
    put("digest", digest.into());
    put("id", record.id().as_str().into());
    put("realm", record.realm().as_str().into());
    put("subject", record.subject().as_str().into());
    put("scopes", record.scopes().iter().collect());
    if !record.caveats().is_empty() {
        put("caveats", record.caveats().iter().collect());
    }
    put("not_before", record.not_before().to_rfc3339().into());
    match record.expires_at().map(Timestamp::to_rfc3339) {
        Some(end) => put("expires_at", end.into()),
        None => put("never_expires", true.into()),
    };
    if let Some(label) = record.label() {
        put("label", label.as_str().into());
    }
    if !record.metadata().is_empty() {
        put("metadata", json!(record.metadata()));
    }
    entry
}

fn toml(entry: &Map<String, Value>) -> String {
    let mut text = "[[keys]]\n".to_owned();
    for (name, value) in entry {
        let value = match value {
            Value::Object(table) => {
                let pairs = table.iter();
                let pairs = pairs.map(|(name, value)| format!("{} = {value}", json!(name)));
                format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
            }
            // A text of JSON is one of TOML, but for DEL, which is escaped with the others that follow.
            value => value.to_string(),
        };
        let _ = write!(text, "{name} = ");
        for character in value.chars() {
            // What is not shown stands in a text, for the rest is ASCII.
            let _ = match u32::from(character) {
                _ if is_shown(character) => write!(text, "{character}"),
                code @ ..=0xffff => write!(text, "\\u{code:04x}"),
                code => write!(text, "\\U{code:08x}"),
            };
        }
        text.push('\n');
    }
    text
}
