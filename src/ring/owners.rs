//! What the owners of keys may do now.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::access::scope_set::ScopeSet;
use crate::access::subject::Subject;
use crate::record::Held;
use crate::store::BoxFuture;

/// The result of a question about the owner of a key: the owner, `None` if their keys are refused, or why
/// there is no answer.
pub type OwnerAnswer = Result<Option<Owner>, Box<dyn StdError + Send + Sync>>;

/// Knows what the owner of a key may do now: the application's own table of users, whose rights change there.
/// [`KeyRingBuilder::owners`] takes it. A closure is one:
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use tower_api_key::{Grant, InvalidCause, KeyRing, Owner, Subject, VerifyErrorKind, store::MemoryStore};
///
/// #[derive(Clone)]
/// struct User { name: String, is_locked: bool, is_admin: bool }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let alice = User { name: "Alice".to_owned(), is_locked: false, is_admin: true };
/// // In place of a table.
/// let users = Arc::new(Mutex::new(alice));
/// let table = Arc::clone(&users);
/// let ring = KeyRing::builder("acme")
///     .owners(move |_: Subject| {
///         let table = Arc::clone(&table);
///         async move {
///             let user = table.lock().map_err(|_| "the table is out of order")?.clone();
///             if user.is_locked {
///                 return Ok(None);
///             }
///             let ceiling = if user.is_admin { "read write" } else { "read" };
///             Ok(Some(Owner::within(ceiling.parse()?).principal(user)))
///         }
///     })
///     .build(MemoryStore::new())?;
/// let issued = ring.issue(Grant::new("alice").scopes("read write")).await?;
/// let presented = issued.secret().expose().as_bytes();
///
/// let key = ring.verify(presented).await?;
/// assert_eq!(key.scopes().as_str(), "read write");
/// assert_eq!(key.principal::<User>().unwrap().name, "Alice");
///
/// // The user is demoted in the table alone.
/// users.lock().unwrap().is_admin = false;
/// assert_eq!(ring.verify(presented).await?.scopes().as_str(), "read");
///
/// users.lock().unwrap().is_locked = true;
/// let refused = ring.verify(presented).await.unwrap_err();
/// assert_eq!(refused.kind(), VerifyErrorKind::Invalid(InvalidCause::OwnerRefused));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # What an answer does
///
/// | answer | response |
/// |---|---|
/// | [`Owner::within`] a ceiling | the key has those of its scopes that are in the ceiling. A route that requires another is refused with 403, as for any key that lacks a scope |
/// | [`Owner::unrestricted`] | the key has its scopes |
/// | `None` | 401, equal to the byte to that of every other invalid key: RFC 6750 §3.1 has `invalid_token` for one that is "expired, revoked, malformed, or invalid for other reasons". A 403 would tell that the key is right |
/// | an error, a panic, no answer in time | 503 |
///
/// A ceiling only takes away: a scope that the key does not have is not added by any answer. A key regains what
/// a ceiling took when the ceiling rises again, and never more than it was issued with.
///
/// So that no key waits for its owner's promotion, the ring issues, regrants and imports no scope beyond the ceiling
/// of that moment ([`ErrorKind::ScopeNotGrantable`](crate::ErrorKind::ScopeNotGrantable)), and nothing for an owner
/// who is refused ([`ErrorKind::OwnerRefused`](crate::ErrorKind::OwnerRefused)). A ring without owners over the
/// same store, such as that of the command line, does not know the ceiling: give its keys no scope that their owner
/// does not have. In a [transaction](crate::KeyRing::over) no owner is asked, because the answer would be from before
/// it: the code that changes the user and the key together knows both.
///
/// # When it is asked
///
/// - Once for each verdict on a key that is valid by its record. Never for one that is not.
/// - Once for the owner of each key that is [watched](crate::KeyRing::watch), at the ring's
///   [`watch_interval`](crate::KeyRingBuilder::watch_interval) and when the key changes. The watch ends if the
///   owner is refused or there is no answer.
/// - Before a key is issued, regranted, promoted or imported, except in a transaction.
///
/// The question is part of the look-up: it is within the same
/// [`lookup_timeout`](crate::KeyRingBuilder::lookup_timeout), counts among the
/// [pending look-ups](crate::KeyRingBuilder::max_pending_lookups), and a client that hangs up does not end it if the
/// store runs [tasks](crate::store::KeyStore::spawn).
///
/// The ring keeps no answer. If your code keeps one, a demotion counts only after that time: state it.
///
/// [`KeyRingBuilder::owners`]: crate::KeyRingBuilder::owners
pub trait Owners: Send + Sync + 'static {
    /// The owner whose keys have this subject.
    fn ask(&self, subject: Subject) -> BoxFuture<'static, OwnerAnswer>;
}

impl<F, Fut> Owners for F
where
    F: Fn(Subject) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = OwnerAnswer> + Send + 'static,
{
    fn ask(&self, subject: Subject) -> BoxFuture<'static, OwnerAnswer> {
        Box::pin(self(subject))
    }
}

/// What the owner of a key may do now, as [`Owners`] say, which has an example.
#[derive(Clone)]
pub struct Owner {
    ceiling: Option<ScopeSet>,
    principal: Option<Arc<dyn Any + Send + Sync>>,
}

impl Owner {
    /// An owner whose keys have at most these scopes.
    pub const fn within(ceiling: ScopeSet) -> Self {
        Self {
            ceiling: Some(ceiling),
            principal: None,
        }
    }

    /// An owner whose keys have the scopes that they were issued with.
    pub const fn unrestricted() -> Self {
        Self {
            ceiling: None,
            principal: None,
        }
    }

    /// Adds what the application knows of the owner, such as the row of the user, for
    /// [`VerifiedKey::principal`](crate::VerifiedKey::principal): a handler needs not ask the database again.
    #[must_use]
    pub fn principal<P: Send + Sync + 'static>(mut self, principal: P) -> Self {
        self.principal = Some(Arc::new(principal));
        self
    }

    /// The highest scopes, if there is a limit.
    pub fn ceiling(&self) -> Option<&ScopeSet> {
        self.ceiling.as_ref()
    }

    /// The record with those of its scopes that the owner has too.
    pub(super) fn limit(self, record: Held) -> Held {
        let record = match self.ceiling {
            Some(ceiling) if !record.scopes().is_subset(&ceiling) => {
                Held::from(Arc::new(record.within_scopes(&ceiling)))
            }
            _ => record,
        };
        match self.principal {
            Some(principal) => record.with_principal(principal),
            None => record,
        }
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner")
            .field("ceiling", &self.ceiling)
            .finish_non_exhaustive()
    }
}

/// The owners that a ring asks.
#[derive(Clone)]
pub(crate) struct AskedOwners {
    pub(super) owners: Arc<dyn Owners>,
    /// Whether they are asked before a key is made, too.
    pub(super) limit_grants: bool,
}

impl AskedOwners {
    pub(super) fn new(owners: impl Owners) -> Self {
        Self {
            owners: Arc::new(owners),
            limit_grants: true,
        }
    }

    /// The same, for a ring in a transaction: they would answer from before it.
    pub(super) fn of_verdicts(&self) -> Self {
        Self {
            limit_grants: false,
            ..self.clone()
        }
    }
}

impl fmt::Debug for AskedOwners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("set")
    }
}
