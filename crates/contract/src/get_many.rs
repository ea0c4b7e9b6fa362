//! Many records at once: one answer for each id, in the order of the ids.

use std::iter;

use tower_api_key::store::KeyStore;
use tower_api_key::{KeyId, KeyRecord, Revocation, RevocationReason};

use super::trial::{Trial, realm};
use super::violation::Violation;

/// More ids than any database takes as parameters by accident.
const UNKNOWN: usize = 2_000;

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let (orders, billing) = (realm("orders"), realm("billing"));
    let first = trial.held(&orders, "alice").await?;
    let second = trial.held(&orders, "bob").await?;
    let elsewhere = trial.held(&billing, "alice").await?;
    let unknown = trial.id();

    answers(trial, "no id", &[]).await?;
    answers(trial, "one id", &[(&first, true)]).await?;
    answers(
        trial,
        "two ids, the later one first",
        &[(&second, true), (&first, true)],
    )
    .await?;
    answers(
        trial,
        "one id twice",
        &[(&first, true), (&second, true), (&first, true)],
    )
    .await?;
    let absent: KeyRecord = trial.key(&orders, "carol").into();
    answers(
        trial,
        "an unknown id between two others",
        &[(&first, true), (&absent, false), (&second, true)],
    )
    .await?;
    answers(
        trial,
        "an id of another realm",
        &[(&first, true), (&elsewhere, false)],
    )
    .await?;
    let revoked = trial
        .edit(&second, |parts| {
            parts.revocation = Some(Revocation::new(
                parts.issued_at,
                RevocationReason::KeyCompromise,
            ));
        })
        .await?;
    answers(trial, "a revoked key", &[(&revoked, true), (&first, true)]).await?;

    let ids: Vec<KeyId> = iter::repeat_with(|| trial.id())
        .take(UNKNOWN)
        .chain([first.id(), unknown])
        .collect();
    let found = trial.get_many(&orders, &ids).await?;
    trial.require(
        found
            .iter()
            .flatten()
            .map(|record| record.id())
            .eq([first.id()])
            && found[UNKNOWN].is_some(),
        format!("one known id among {UNKNOWN} others was not answered in its place"),
    )
}

/// Requires one answer for each id: the record, or nothing if it is not of the realm `orders`.
async fn answers<S: KeyStore>(
    trial: &Trial<S>,
    asked: &str,
    due: &[(&KeyRecord, bool)],
) -> Result<(), Violation> {
    let ids: Vec<KeyId> = due.iter().map(|(record, _)| record.id()).collect();
    let found = trial.get_many(&realm("orders"), &ids).await?;
    let same = found
        .iter()
        .map(Option::as_deref)
        .eq(due.iter().map(|&(record, known)| known.then_some(record)));
    trial.require(
        same,
        format!("get_many of {asked} gave other records than get for each id"),
    )
}
