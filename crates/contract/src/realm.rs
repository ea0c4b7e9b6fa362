//! A record is known in its own realm alone.

use tower_api_key::RevocationReason;
use tower_api_key::store::{Change, KeyStore, ListQuery, Write};

use super::trial::{Trial, realm};
use super::violation::Violation;

/// Realms that a careless comparison confuses.
const ALIKE: [&str; 7] = [
    "orders", "Orders", "orders ", " orders", "order_", "order%", "order",
];

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let mut held = Vec::new();
    for text in ALIKE {
        held.push(trial.held(&realm(text), "alice").await?);
    }
    for record in &held {
        trial.shows(record, "in its own realm").await?;
        let listed = trial.list(record.realm(), &ListQuery::new()).await?;
        trial.require(
            listed.len() == 1,
            format!(
                "list of {:?} showed {} records of 1",
                record.realm(),
                listed.len()
            ),
        )?;
        for other in held.iter().filter(|other| other.id() != record.id()) {
            let realm = other.realm();
            let found = trial.find(realm, record.digest()).await?;
            let got = trial.get(realm, record.id()).await?;
            for (way, seen) in [("find", found), ("get", got)] {
                trial.require(
                    seen.is_none(),
                    format!("{way} in {realm:?} showed a record of {:?}", record.realm()),
                )?;
            }
        }
    }
    across(trial).await
}

/// One change may end a key in a realm and begin one in another.
async fn across<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let temporary = trial.held(&realm("visitors"), "visitor").await?;
    let mut real = trial.key(&realm("customers"), "alice");
    real.lineage = temporary.lineage();
    real.generation = 1;
    let begins = Write::new(real);
    let ends = Write::revoked(
        &temporary,
        RevocationReason::Superseded,
        temporary.issued_at(),
    );
    let (begun, ended) = (begins.record.clone(), ends.record.clone());
    trial
        .accepts(&Change::new(vec![begins, ends]), "a change of two realms")
        .await?;
    let when = "after a change of two realms";
    trial.shows(&begun, when).await?;
    trial.shows(&ended, when).await?;
    for record in [&begun, &ended] {
        let lineage = ListQuery::new().lineage(record.lineage());
        let listed = trial.list(record.realm(), &lineage).await?;
        trial.require(
            listed.len() == 1 && listed[0] == *record,
            "list of a lineage that spans two realms showed more than one realm of it",
        )?;
    }
    Ok(())
}
