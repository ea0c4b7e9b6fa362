//! Commands on records that exist.

use std::sync::Arc;

use serde_json::{Value, json};
use tower_api_key::store::{ExpiryLadder, HistoryKind, HistoryQuery, ListQuery};
use tower_api_key::{
    Actor, Caveats, Error, ErrorKind, KeyId, KeyRing, Narrowing, RevocationReason, ScopeSet,
};

use crate::arguments::{Common, Reason, Target};
use crate::describe;
use crate::description::DescriptionArguments;
use crate::durations::duration;
use crate::failure::{Exit, Failure};
use crate::lineage::{living_beside, note_living, warn_of_prefix};
use crate::output::{Output, colours};
use crate::paste::Named;
use crate::usage;

pub(crate) async fn narrow(
    common: &Common,
    output: Output,
    id: &str,
    scopes: &[String],
    caveats: &[String],
) -> Result<(), Failure> {
    let builder = common.managing()?;
    output.warn_of_commas("--scope", scopes);
    let mut narrowing = Narrowing::new().with_caveats(Caveats::new(caveats)?);
    if !scopes.is_empty() {
        narrowing = narrowing.to_scopes(ScopeSet::new(scopes)?);
    }
    let named = Named::new(id, common)?;
    let (ring, id) = common.open_key(builder, named).await?;
    let record = ring.narrow(id, narrowing).await?;
    let scopes = match record.scopes().as_str() {
        "" => "none",
        scopes => scopes,
    };
    let mut text = format!("{id} has the scopes {scopes}");
    if !record.caveats().is_empty() {
        text = format!("{text} and the caveats {}", record.caveats());
    }
    text.push('\n');
    output.either(
        &json!({ "record": describe::json_of(&record, None) }),
        &text,
    )
}

pub(crate) async fn describe(
    common: &Common,
    output: Output,
    id: &str,
    arguments: &DescriptionArguments,
) -> Result<(), Failure> {
    let builder = common.managing()?;
    let description = arguments.description()?;
    let named = Named::new(id, common)?;
    let (ring, id) = common.open_key(builder, named).await?;
    let record = ring.describe(id, description).await?;
    output.either(
        &json!({ "record": describe::json_of(&record, None) }),
        &format!("{id} is described; its authority is as before\n"),
    )
}

pub(crate) async fn revoke(
    common: &Common,
    output: Output,
    target: &Target,
    reason: Reason,
) -> Result<(), Failure> {
    let (builder, reason) = (common.managing()?, reason.into());
    if let Some(id) = &target.id {
        let (ring, id) = common.open_key(builder, Named::new(id, common)?).await?;
        return revoke_one(output, &ring, id, reason).await;
    }
    let (count, text) = if let Some(lineage) = &target.lineage {
        let (ring, lineage) = common
            .open_key(builder, Named::new(lineage, common)?)
            .await?;
        let count = ring.revoke_lineage(lineage, reason).await?;
        (count, format!("{} of the lineage revoked\n", keys(count)))
    } else {
        let subject = target.subject.as_deref().unwrap_or_default();
        let ring = common.open(builder).await?;
        let count = ring.revoke_subject(subject, reason).await?;
        let text = if count == 0 {
            require_subject(&ring, subject).await?;
            "every key of the subject was already revoked\n".to_owned()
        } else {
            format!("{} of the subject revoked\n", keys(count))
        };
        (count, text)
    };
    output.either(&json!({ "revoked": count }), &text)
}

/// Revokes a key, and says which others of its lineage work on.
async fn revoke_one(
    output: Output,
    ring: &KeyRing,
    id: KeyId,
    reason: RevocationReason,
) -> Result<(), Failure> {
    // A record that cannot be read can be revoked all the same.
    let before = ring.get(id).await.ok().flatten();
    ring.revoke(id, reason).await?;
    let again = before
        .as_ref()
        .is_some_and(|record| record.revocation().is_some());
    let text = if again {
        "was already revoked"
    } else {
        "is revoked"
    };
    let living = match &before {
        Some(record) => living_beside(ring, id, record.lineage()).await.ok(),
        None => None,
    };
    let others = living.as_deref().map(|living| {
        let ids = living.iter().map(|record| record.id().to_string());
        ids.collect::<Vec<_>>()
    });
    output.either(
        &json!({ "revoked": usize::from(!again), "still_working": others }),
        &format!("{id} {text}\n"),
    )?;
    match living {
        Some(living) => note_living(output, &living),
        None => {
            output.warn("the lineage of the key cannot be read; other keys of it may still work");
        }
    }
    Ok(())
}

/// Refuses a subject without a key: its name may be mistyped.
async fn require_subject(ring: &KeyRing, subject: &str) -> Result<(), Failure> {
    let keys = ring
        .list(&ListQuery::new().subject(subject).limit(1))
        .await?;
    if keys.is_empty() {
        return Err(Failure::new(
            Exit::NotFound,
            "no key of this subject in this realm; use list to see the subjects, or --realm to \
             choose another realm",
        ));
    }
    Ok(())
}

fn keys(count: usize) -> String {
    match count {
        1 => "1 key".to_owned(),
        _ => format!("{count} keys"),
    }
}

/// The notices that a key can have had since its last change, one for each step of a ladder, and that change.
const NEWEST: usize = ExpiryLadder::MOST_STEPS + 1;

pub(crate) async fn show(common: &Common, output: Output, id: &str) -> Result<(), Failure> {
    let (builder, named) = (common.managing()?, Named::new(id, common)?);
    let reading = common.open_to_read().await?;
    let id = named.id(common, &reading.store).await?;
    let ring = builder.build(Arc::clone(&reading.store))?;
    warn_of_prefix(common, &ring, output).await;
    let record = ring.get(id).await?;
    let record = record.ok_or_else(|| Error::from(ErrorKind::NotFound))?;
    let last_used = ring.last_used(id).await?;
    // Not every store keeps what keys were used for, or a history.
    let usage = ring.usages(&[id]).await.unwrap_or_default().pop();
    let usage = usage.unwrap_or_default();
    let newest = HistoryQuery::new().key(id).limit(NEWEST);
    let history = ring.history(&newest).await.ok();
    let mut newest = history.as_deref().unwrap_or_default().iter();
    // A notice of its expiry is no change of the key.
    let last = newest.find(|entry| entry.kind() != HistoryKind::ExpiryNoticed);
    let mut value = describe::json_of(&record, last_used);
    value["last_change"] = last.map_or(Value::Null, |last| {
        json!({
            "at": last.at().to_rfc3339(),
            "kind": last.kind().as_str(),
            "actor": last.actor().map(Actor::as_str),
            "role": last.role(),
            "by_hand": last.is_by_hand(),
        })
    });
    if let Some(usage) = usage::json_of(&usage) {
        value["usage"] = usage;
    }
    let colours = colours(&std::io::stdout());
    let known = describe::Known {
        last_used,
        usage,
        last_change: last,
    };
    let text = describe::details(&record, &known, colours);
    output.either(&value, &text)
}

pub(crate) async fn purge(common: &Common, output: Output, retention: &str) -> Result<(), Failure> {
    let builder = common.managing()?.retention(duration(retention)?);
    let ring = common.open(builder).await?;
    let count = ring.purge().await?;
    let text = format!(
        "{} removed\n",
        keys(usize::try_from(count).unwrap_or(usize::MAX))
    );
    output.either(&json!({ "removed": count }), &text)
}

pub(crate) async fn migrate(common: &Common, output: Output) -> Result<(), Failure> {
    common.store_url()?.migrate().await?;
    output.either(&json!({ "migrated": true }), "the store is ready\n")
}
