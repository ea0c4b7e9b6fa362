//! Commands on records that exist.

use serde_json::json;
use tower_api_key::{Error, ErrorKind, ScopeSet};

use crate::arguments::{Common, Reason, Target};
use crate::describe;
use crate::durations::duration;
use crate::failure::Failure;
use crate::output::{Output, colours};
use crate::setup::key_id;

pub(crate) async fn narrow(
    common: &Common,
    output: Output,
    id: &str,
    scopes: &[String],
) -> Result<(), Failure> {
    let (builder, id) = (common.managing()?, key_id(id)?);
    let scopes = ScopeSet::new(scopes)?;
    let ring = common.open(builder).await?;
    let record = ring.narrow(id, &scopes).await?;
    let text = format!("{id} has the scopes {}\n", record.scopes());
    output.either(
        &json!({ "record": describe::json_of(&record, None) }),
        &text,
    )
}

pub(crate) async fn revoke(
    common: &Common,
    output: Output,
    target: &Target,
    reason: Reason,
) -> Result<(), Failure> {
    let (builder, reason) = (common.managing()?, reason.into());
    let id = target.id.as_deref().map(key_id).transpose()?;
    let lineage = target.lineage.as_deref().map(key_id).transpose()?;
    let ring = common.open(builder).await?;
    let (count, text) = if let Some(id) = id {
        // A record that cannot be read can be revoked all the same.
        let before = ring.get(id).await.ok().flatten();
        ring.revoke(id, reason).await?;
        let again = before.is_some_and(|record| record.revocation().is_some());
        let text = if again {
            "was revoked before"
        } else {
            "is revoked"
        };
        (usize::from(!again), format!("{id} {text}\n"))
    } else if let Some(lineage) = lineage {
        let count = ring.revoke_lineage(lineage, reason).await?;
        (count, format!("{} of the lineage revoked\n", keys(count)))
    } else {
        let subject = target.subject.as_deref().unwrap_or_default();
        let count = ring.revoke_subject(subject, reason).await?;
        (count, format!("{} of the subject revoked\n", keys(count)))
    };
    output.either(&json!({ "revoked": count }), &text)
}

fn keys(count: usize) -> String {
    match count {
        1 => "1 key".to_owned(),
        _ => format!("{count} keys"),
    }
}

pub(crate) async fn show(common: &Common, output: Output, id: &str) -> Result<(), Failure> {
    let (builder, id) = (common.managing()?, key_id(id)?);
    let ring = common.open(builder).await?;
    let record = ring.get(id).await?;
    let record = record.ok_or_else(|| Error::from(ErrorKind::NotFound))?;
    let last_used = ring.last_used(id).await?;
    let value = describe::json_of(&record, last_used);
    let text = describe::details(&record, last_used, colours(&std::io::stdout()));
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
