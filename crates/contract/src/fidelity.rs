//! A record comes back as it was put.

use std::sync::Arc;

use tower_api_key::store::{Change, KeyStore, StoreErrorKind, Write};
use tower_api_key::{
    Caveats, KeyPrefix, KeyRecord, KeyRecordParts, Label, Metadata, Revocation, RevocationReason,
    ScopeSet, Subject, Timestamp,
};

use super::trial::{ISSUED, Trial, after, failed, realm, scopes, valid};
use super::violation::Violation;

/// The last moment that every store holds: that of a signed 64-bit integer.
const LAST: Timestamp = Timestamp::from_unix(i64::MAX as u64);

/// Texts that a store may fold, trim, cut, escape or normalise.
const TEXTS: [&str; 12] = [
    "",
    " ",
    " padded ",
    "Alice",
    "null",
    "O'Brien; DROP TABLE keys; --",
    r#"{"a": "b\"c", "d": [\\]}"#,
    "100 % _ ? $1 :name @p",
    "line\nline\r\n\ttab",
    // One letter and its accent, in one character and in two.
    "\u{e9} e\u{301}",
    "\u{5bc6}\u{94a5} \u{43a}\u{43b}\u{44e}\u{447} \u{5d0}\u{5d1} \u{1f511}\u{200d}\u{1f512}",
    "\u{feff}\u{fffd}\u{10ffff}",
];

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    for (what, parts) in records(trial) {
        let record = trial.put(parts).await?;
        trial
            .shows(&record, &format!("of a key with {what}"))
            .await?;
    }
    every_field_changes(trial).await?;
    reasons(trial).await?;
    beyond_the_range(trial).await
}

fn records<S: KeyStore>(trial: &Trial<S>) -> Vec<(String, KeyRecordParts)> {
    let key = |subject: &str| trial.key(&realm("orders"), subject);
    let mut bare = key("alice");
    bare.scopes = ScopeSet::empty();
    bare.expires_at = None;

    let mut times = key("alice");
    times.issued_at = Timestamp::from_unix(0);
    times.not_before = LAST;
    times.expires_at = Some(LAST);
    times.grace_ends_at = Some(Timestamp::from_unix(0));
    times.revocation = Some(Revocation::new(LAST, RevocationReason::Unspecified));

    let mut numbers = key("alice");
    numbers.generation = u32::MAX;
    numbers.pepper_version = Some(u32::MAX);
    numbers.prefix = prefix("a2345678901234567_90");
    numbers.caveats = caveats("net=10.0.0.0/8 sky=blue#1:~[]");
    let mut zeros = key("alice");
    zeros.pepper_version = Some(0);
    zeros.prefix = prefix("a");

    let mut long = key(&"\u{1f511}".repeat(64));
    long.scopes = many_scopes();
    long.caveats = caveats(&"c".repeat(Caveats::MAX_CAVEAT_LEN));
    long.label = Some(label(&"l".repeat(Label::MAX_LEN)));
    long.metadata =
        metadata((0..100).map(|number| (format!("key {number:02}"), "value ".repeat(12))));

    let mut all = vec![
        ("no option set".to_owned(), bare),
        ("times at both ends".to_owned(), times),
        ("numbers at their ends".to_owned(), numbers),
        ("a pepper of version 0".to_owned(), zeros),
        ("long texts".to_owned(), long),
    ];
    for text in TEXTS {
        // Not every text is a subject and a label.
        let mut parts = key(Subject::new(text).map_or("alice", |_| text));
        parts.label = Label::new(text).ok();
        parts.metadata = metadata([(text, "value"), ("key", text)]);
        all.push((format!("the text {text:?}"), parts));
    }
    all
}

fn label(text: &str) -> Label {
    valid(Label::new(text))
}

fn metadata<N, V>(entries: impl IntoIterator<Item = (N, V)>) -> Metadata
where
    N: Into<String>,
    V: Into<String>,
{
    valid(Metadata::new(entries))
}

fn caveats(text: &str) -> Caveats {
    valid(text.parse())
}

fn prefix(text: &str) -> Option<KeyPrefix> {
    text.parse().ok()
}

fn many_scopes() -> ScopeSet {
    let texts: Vec<String> = (0..100).map(|number| format!("{number:0>128}")).collect();
    scopes(&texts.join(" "))
}

/// A write puts every field of the record that may change: a key only ever shrinks.
async fn every_field_changes<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let mut issued = trial.key(&realm("billing"), "alice");
    issued.expires_at = None;
    let issued = trial.put(issued).await?;
    let narrowed = trial
        .edit(&issued, |parts| {
            parts.scopes = scopes("read");
            parts.caveats = caveats("net=10.0.0.0/8");
            parts.expires_at = Some(after(30));
            parts.grace_ends_at = Some(after(40));
        })
        .await?;
    trial.shows(&narrowed, "after every field was set").await?;
    let ended = trial
        .edit(&narrowed, |parts| {
            parts.scopes = ScopeSet::empty();
            parts.caveats = caveats("moon=full net=10.0.0.0/8");
            parts.expires_at = Some(after(3));
            parts.grace_ends_at = Some(after(4));
            parts.revocation = Some(Revocation::new(after(6), RevocationReason::Superseded));
        })
        .await?;
    trial
        .shows(&ended, "after every field was set again")
        .await?;
    described(trial, &ended).await
}

/// Label and metadata, which are no authority, change by themselves, of a live key and of a revoked one.
async fn described<S: KeyStore>(trial: &Trial<S>, ended: &Arc<KeyRecord>) -> Result<(), Violation> {
    let live = trial.held(&realm("billing"), "bob").await?;
    let mut last = ended.clone();
    for held in [&live, ended] {
        let named = trial
            .edit(held, |parts| {
                parts.label = Some(label("build server"));
                parts.metadata = metadata([("team", "blue"), ("", "\u{5bc6}")]);
            })
            .await?;
        trial.shows(&named, "after it was described").await?;
        last = trial
            .edit(&named, |parts| {
                parts.label = None;
                parts.metadata = Metadata::none();
            })
            .await?;
        trial
            .shows(&last, "after its description was removed")
            .await?;
    }
    widening(trial, &last).await
}

/// A store may refuse a write that no rule of this crate makes. It then keeps nothing of it. Otherwise
/// it keeps all of it.
async fn widening<S: KeyStore>(trial: &Trial<S>, held: &Arc<KeyRecord>) -> Result<(), Violation> {
    let edits: [fn(&mut KeyRecordParts); 11] = [
        |parts| parts.scopes = scopes("read write"),
        |parts| parts.caveats = Caveats::none(),
        |parts| parts.caveats = caveats("moon=full"),
        |parts| parts.expires_at = None,
        |parts| parts.grace_ends_at = Some(after(400)),
        |parts| parts.revocation = None,
        |parts| parts.pepper_version = Some(7),
        |parts| parts.issued_at = after(1),
        |parts| parts.not_before = Timestamp::from_unix(0),
        |parts| parts.generation = 5,
        |parts| parts.prefix = prefix("acme"),
    ];
    let mut held = held.clone();
    for edit in edits {
        let write = Write::next(&held, edit);
        let next = write.record.clone();
        match trial.store.commit(&Change::new(vec![write])).await {
            Ok(()) => held = next,
            Err(error) if is_refusal(error.kind()) => {}
            Err(error) => return Err(failed("commit of a wider key", &error)),
        }
        trial
            .shows(&held, "after a wider one was committed")
            .await?;
    }
    Ok(())
}

/// A field that is fixed at issue makes it another key, and that is a conflict.
fn is_refusal(kind: StoreErrorKind) -> bool {
    matches!(kind, StoreErrorKind::Unavailable | StoreErrorKind::Conflict)
}

async fn reasons<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    for reason in RevocationReason::ALL.iter().copied() {
        let mut parts = trial.key(&realm("reasons"), "alice");
        parts.revocation = Some(Revocation::new(ISSUED, reason));
        let record = trial.put(parts).await?;
        trial
            .shows(&record, &format!("of a key revoked as {reason}"))
            .await?;
    }
    Ok(())
}

/// Beyond the range of every store, it holds the record whole or refuses it.
async fn beyond_the_range<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let realm = realm("late");
    let first_beyond = Timestamp::from_unix(LAST.as_unix() + 1);
    let mut records: Vec<(&str, KeyRecordParts)> = Vec::new();
    for at in [first_beyond, Timestamp::MAX] {
        let mut expiry = trial.key(&realm, "alice");
        expiry.expires_at = Some(at);
        let mut start = trial.key(&realm, "alice");
        (start.not_before, start.expires_at) = (at, None);
        let mut grace = trial.key(&realm, "alice");
        grace.grace_ends_at = Some(at);
        let mut issued = trial.key(&realm, "alice");
        issued.issued_at = at;
        records.extend([
            ("an expiry beyond an i64", expiry),
            ("a not-before beyond an i64", start),
            ("an end of the grace period beyond an i64", grace),
            ("an issue beyond an i64", issued),
        ]);
    }
    for (what, parts) in records {
        let record = KeyRecord::from(parts);
        let change = Change::new(vec![Write::new(record.clone())]);
        match trial.store.commit(&change).await {
            Ok(()) => {
                trial
                    .shows(&record, &format!("of a key with {what}"))
                    .await?;
            }
            Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                trial
                    .hides(&record, &format!("after a key with {what} was refused"))
                    .await?;
            }
            Err(error) => return Err(failed(&format!("commit of a key with {what}"), &error)),
        }
    }
    Ok(())
}
