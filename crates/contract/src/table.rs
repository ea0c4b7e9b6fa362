//! The suite for tables of keys that another system mints and ends.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use tower_api_key::store::{BoxFuture, KeyTable, TableAnswer};
use tower_api_key::{Facts, KeyDigest, VerifiedKey, Verifier, VerifyErrorKind};

use crate::assert_threads;
use crate::clause::Clause;
use crate::violation::Violation;

/// How many keys are looked up at once, and how often each.
const AT_ONCE: usize = 32;
const TIMES: usize = 8;
/// How often a look-up is dropped, and at the most how often it is polled before.
const DROPPED: usize = 16;
const POLLS: usize = 8;

/// Checks a [`KeyTable`] against its contract, and stops at the first clause that it breaks.
///
/// `mint` makes a key for an owner, as the system that owns the table does, and returns what its client presents.
/// `end` ends that key, by whatever the system does for it. Run it over each way in which a key can end.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::{Arc, Mutex};
/// use tower_api_key::store::TableKey;
/// use tower_api_key::{KeyDigest, KeyId};
/// use tower_api_key_contract::{Violation, table_contract};
///
/// # #[tokio::main(flavor = "multi_thread", worker_threads = 4)]
/// # async fn main() -> Result<(), Violation> {
/// // In place of a database: the owner of each token.
/// let rows = Arc::new(Mutex::new(BTreeMap::<String, String>::new()));
/// let table = Arc::clone(&rows);
/// let table = move |digest: KeyDigest| {
///     let rows = table.lock().unwrap();
///     let row = rows.iter().find(|(token, _)| KeyDigest::sha256(token.as_bytes()) == digest);
///     let key = row.map(|(_, owner)| {
///         TableKey::new(KeyId::from_digest(&digest), digest, owner.as_str())
///     });
///     async move { Ok(key) }
/// };
/// table_contract(
///     table,
///     async |owner| {
///         let mut rows = rows.lock().unwrap();
///         let token = format!("tok{:029}", rows.len());
///         rows.insert(token.clone(), owner.to_owned());
///         token
///     },
///     async |token| {
///         rows.lock().unwrap().remove(token);
///     },
/// )
/// .await
/// # }
/// ```
///
/// # Errors
///
/// [`Violation`], with the clause and the observation.
///
/// # Panics
///
/// Outside a tokio runtime of the multi-thread flavour, and if the table itself or a closure panics.
pub async fn table_contract<T: KeyTable>(
    table: T,
    mint: impl AsyncFn(&str) -> String,
    end: impl AsyncFn(&str),
) -> Result<(), Violation> {
    assert_threads();
    let table = Arc::new(table);
    let asked = Arc::clone(&table);
    let verifier = Verifier::builder("contract")
        .build(move |digest: KeyDigest| asked.find(digest))
        .map_err(|error| Violation::new(Clause::Honesty, error.to_string()))?;
    let trial = Trial { table, verifier };

    let (alices, bobs) = (mint("alice").await, mint("bob").await);
    let alice = trial
        .accepts(&alices, "alice", "after it was minted")
        .await?;
    let bob = trial.accepts(&bobs, "bob", "after it was minted").await?;
    require(Clause::Uniqueness, alice.id() != bob.id(), || {
        format!("two keys had the id {}", alice.id())
    })?;
    trial.answers_no_other(&alices).await?;
    trial.survives_drops(&alices, &bobs).await?;
    trial.answers_at_once(&mint).await?;

    // What was found before is found no more.
    end(&bobs).await;
    trial.refuses(&bobs, "after it ended").await?;
    let again = trial
        .accepts(&alices, "alice", "after another key ended")
        .await?;
    require(Clause::Fidelity, again.id() == alice.id(), || {
        format!("one key had the ids {} and {}", alice.id(), again.id())
    })?;
    trial.still_refuses(&bob).await
}

struct Trial<T> {
    table: Arc<T>,
    verifier: Verifier,
}

impl<T: KeyTable> Trial<T> {
    /// The key of a plaintext, which must be valid and of this owner.
    async fn accepts(&self, key: &str, owner: &str, when: &str) -> Result<VerifiedKey, Violation> {
        match self.verifier.verify(key.as_bytes()).await {
            Ok(key) => {
                require(Clause::Fidelity, key.subject() == owner, || {
                    format!("a key of {owner} was found as one of {}", key.subject())
                })?;
                Ok(key)
            }
            Err(error) => match error.kind() {
                VerifyErrorKind::StoreUnavailable => Err(Violation::new(
                    Clause::Honesty,
                    format!("{when}, a key was not looked up: {}", chain(&error)),
                )),
                kind => Err(Violation::new(
                    Clause::Visibility,
                    format!("{when}, a key was refused: {kind:?}"),
                )),
            },
        }
    }

    async fn refuses(&self, key: &str, when: &str) -> Result<(), Violation> {
        refused(self.verifier.verify(key.as_bytes()).await, when)
    }

    async fn still_refuses(&self, key: &VerifiedKey) -> Result<(), Violation> {
        let again = self.verifier.verify_again(key, Facts::none()).await;
        refused(again, "after it ended, to a connection that asks again")
    }

    /// A digest that differs in one bit is that of no key.
    async fn answers_no_other(&self, key: &str) -> Result<(), Violation> {
        let digest = *KeyDigest::sha256(key.as_bytes()).as_bytes();
        for bit in 0..8 * digest.len() {
            let mut other = digest;
            other[bit / 8] ^= 1 << (bit % 8);
            match self.table.find(KeyDigest::from_bytes(other)).await {
                Ok(None) => {}
                Ok(Some(_)) => {
                    return Err(Violation::new(
                        Clause::Fidelity,
                        format!("a digest that differs in bit {bit} was found"),
                    ));
                }
                Err(error) => {
                    return Err(Violation::new(
                        Clause::Honesty,
                        format!("a digest that no row has was an error: {}", chain(&*error)),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Many look-ups at the same time, each with its own answer.
    async fn answers_at_once(&self, mint: &impl AsyncFn(&str) -> String) -> Result<(), Violation> {
        let mut keys = Vec::new();
        for number in 0..AT_ONCE {
            let owner = format!("owner {number}");
            keys.push((mint(&owner).await, owner));
        }
        let mut pending = Vec::new();
        for _ in 0..TIMES {
            for (key, owner) in &keys {
                let (verifier, key) = (self.verifier.clone(), key.clone());
                let verdict = tokio::spawn(async move { verifier.verify(key.as_bytes()).await });
                pending.push((verdict, owner));
            }
        }
        for (verdict, owner) in pending {
            let subject = match verdict.await {
                Ok(Ok(key)) => key.subject().to_string(),
                Ok(Err(error)) => chain(&error),
                Err(error) => error.to_string(),
            };
            require(Clause::Fidelity, subject == *owner, || {
                format!("while others were looked up, a key of {owner} was found as: {subject}")
            })?;
        }
        Ok(())
    }

    /// A look-up that is dropped leaves nothing behind for the next.
    async fn survives_drops(&self, dropped: &str, asked: &str) -> Result<(), Violation> {
        for round in 0..DROPPED {
            let digest = KeyDigest::sha256(dropped.as_bytes());
            drop_after(round % POLLS + 1, self.table.find(digest)).await;
            let verdict = self.verifier.verify(asked.as_bytes()).await;
            let found = verdict.map(|key| key.subject().to_string());
            require(Clause::DroppedCalls, found.as_deref() == Ok("bob"), || {
                format!("after a look-up was dropped, another key was found as {found:?}")
            })?;
        }
        Ok(())
    }
}

fn require(clause: Clause, holds: bool, seen: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds {
        return Ok(());
    }
    Err(Violation::new(clause, seen()))
}

fn refused(
    verdict: Result<VerifiedKey, tower_api_key::VerifyError>,
    when: &str,
) -> Result<(), Violation> {
    match verdict.map_err(|error| error.kind()) {
        Err(VerifyErrorKind::Invalid(_)) => Ok(()),
        Ok(_) => Err(Violation::new(
            Clause::Revocation,
            format!("{when}, a key was accepted"),
        )),
        Err(kind) => Err(Violation::new(
            Clause::Honesty,
            format!("{when}, a key was neither found nor unknown: {kind:?}"),
        )),
    }
}

/// Polls a look-up this often, lets others run in between, and drops it.
async fn drop_after(polls: usize, mut call: BoxFuture<'_, TableAnswer>) {
    for _ in 0..polls {
        let is_done = poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_ready())).await;
        if is_done {
            return;
        }
        tokio::task::yield_now().await;
    }
}

fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
