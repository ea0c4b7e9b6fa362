//! A table with a selectable fault: the suite names each.

use std::sync::{Arc, Mutex};

use tower_api_key::store::{BoxFuture, KeyTable, TableAnswer, TableKey};
use tower_api_key::{KeyDigest, KeyId, Timestamp};
use tower_api_key_contract::{Clause, Violation, table_contract};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    FindsByThePrefix,
    FindsAnyRow,
    GivesTheDigestAsked,
    KeepsTheEnded,
    FindsWhatItFoundBefore,
    FailsOnTheUnknown,
    SaysNothingOfOutages,
    OneIdForAll,
    IdsAtRandom,
    SubjectsItCannotParse,
    AnswersTheDropped,
    SharesItsAnswer,
    EndsByExpiry,
    EndsByRevocation,
}

#[derive(Debug, Clone)]
struct Row {
    token: String,
    owner: String,
    has_ended: bool,
}

#[derive(Default)]
struct State {
    rows: Vec<Row>,
    looked_up: u64,
    /// The digest of a look-up that has not ended.
    asked: Option<KeyDigest>,
    /// What was found earlier.
    found: Vec<(KeyDigest, Option<TableKey>)>,
}

#[derive(Clone)]
struct FaultyTable {
    fault: Fault,
    state: Arc<Mutex<State>>,
}

impl Row {
    fn digest(&self) -> KeyDigest {
        KeyDigest::sha256(self.token.as_bytes())
    }

    fn key(&self, number: u64) -> TableKey {
        TableKey::new(
            KeyId::from_number(number),
            self.digest(),
            self.owner.as_str(),
        )
    }
}

impl FaultyTable {
    fn look_up(&self, digest: KeyDigest) -> TableAnswer {
        let fault = self.fault;
        let mut state = self.state.lock().unwrap();
        state.looked_up += 1;
        let matches = |row: &Row| match fault {
            Fault::FindsByThePrefix => row
                .digest()
                .as_bytes()
                .starts_with(&digest.as_bytes()[..16]),
            Fault::FindsAnyRow => true,
            _ => row.digest() == digest,
        };
        let place = state.rows.iter().position(matches);
        let Some(place) = place else {
            return match fault {
                Fault::FailsOnTheUnknown => Err("no rows returned".into()),
                _ => Ok(None),
            };
        };
        let row = state.rows[place].clone();
        let number = match fault {
            Fault::OneIdForAll => 1,
            Fault::IdsAtRandom => state.looked_up,
            _ => u64::try_from(place).unwrap(),
        };
        let key = match fault {
            Fault::SubjectsItCannotParse => row.key(number).scopes("two  spaces"),
            Fault::GivesTheDigestAsked => {
                let owner = state.rows[0].owner.as_str();
                TableKey::new(KeyId::from_number(number), digest, owner)
            }
            _ => row.key(number),
        };
        if !row.has_ended || fault == Fault::KeepsTheEnded {
            return Ok(Some(key));
        }
        let long_ago = Timestamp::from_unix(1_000_000_000);
        match fault {
            Fault::EndsByExpiry => Ok(Some(key.expires_at(long_ago))),
            Fault::EndsByRevocation => Ok(Some(key.revoked_at(long_ago))),
            Fault::SaysNothingOfOutages => Err("the row is locked".into()),
            _ => Ok(None),
        }
    }
}

impl KeyTable for FaultyTable {
    fn find(&self, digest: KeyDigest) -> BoxFuture<'static, TableAnswer> {
        let table = self.clone();
        Box::pin(async move {
            match table.fault {
                Fault::FindsWhatItFoundBefore => {
                    let before = {
                        let state = table.state.lock().unwrap();
                        let mut found = state.found.iter();
                        found.find(|(of, _)| *of == digest).cloned()
                    };
                    if let Some((_, found)) = before {
                        return Ok(found);
                    }
                    let found = table.look_up(digest)?;
                    let mut state = table.state.lock().unwrap();
                    state.found.push((digest, found.clone()));
                    Ok(found)
                }
                Fault::AnswersTheDropped => {
                    let asked = *table.state.lock().unwrap().asked.get_or_insert(digest);
                    tokio::task::yield_now().await;
                    table.state.lock().unwrap().asked = None;
                    table.look_up(asked)
                }
                Fault::SharesItsAnswer => {
                    table.state.lock().unwrap().asked = Some(digest);
                    tokio::task::yield_now().await;
                    let asked = table.state.lock().unwrap().asked.unwrap_or(digest);
                    table.look_up(asked)
                }
                _ => {
                    tokio::task::yield_now().await;
                    table.look_up(digest)
                }
            }
        })
    }
}

async fn verdict(fault: Fault) -> Result<(), Violation> {
    let state = Arc::new(Mutex::new(State::default()));
    let table = FaultyTable {
        fault,
        state: Arc::clone(&state),
    };
    table_contract(
        table,
        async |owner| {
            let mut state = state.lock().unwrap();
            let token = format!("tok{:029}", state.rows.len());
            state.rows.push(Row {
                token: token.clone(),
                owner: owner.to_owned(),
                has_ended: false,
            });
            token
        },
        async |token| {
            let mut state = state.lock().unwrap();
            let ended = state.rows.iter_mut().find(|row| row.token == token);
            ended.unwrap().has_ended = true;
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_table_that_keeps_the_contract_passes_however_its_rows_end() {
    for fault in [Fault::None, Fault::EndsByExpiry, Fault::EndsByRevocation] {
        verdict(fault).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_fault_of_a_table_is_caught() {
    for (fault, clause, seen) in [
        (
            Fault::FindsByThePrefix,
            Clause::Fidelity,
            "a digest that differs in bit 128 was found",
        ),
        (
            Fault::FindsAnyRow,
            Clause::Honesty,
            "a key was not looked up",
        ),
        (
            Fault::GivesTheDigestAsked,
            Clause::Fidelity,
            "a key of bob was found as one of alice",
        ),
        (
            Fault::KeepsTheEnded,
            Clause::Revocation,
            "after it ended, a key was accepted",
        ),
        (
            Fault::FindsWhatItFoundBefore,
            Clause::Revocation,
            "after it ended, a key was accepted",
        ),
        (
            Fault::FailsOnTheUnknown,
            Clause::Honesty,
            "a digest that no row has was an error: no rows returned",
        ),
        (
            Fault::SaysNothingOfOutages,
            Clause::Honesty,
            "a key was neither found nor unknown",
        ),
        (
            Fault::OneIdForAll,
            Clause::Uniqueness,
            "two keys had the id",
        ),
        (Fault::IdsAtRandom, Clause::Fidelity, "one key had the ids"),
        (
            Fault::SubjectsItCannotParse,
            Clause::Honesty,
            "the store is damaged: invalid scope",
        ),
        (
            Fault::AnswersTheDropped,
            Clause::DroppedCalls,
            "after a look-up was dropped",
        ),
        (
            Fault::SharesItsAnswer,
            Clause::Fidelity,
            "while others were looked up",
        ),
    ] {
        let violation = verdict(fault).await.expect_err("the suite passes it");
        assert_eq!(violation.clause(), clause, "{fault:?}: {violation}");
        assert!(violation.seen().contains(seen), "{fault:?}: {violation}");
    }
}
