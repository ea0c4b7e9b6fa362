//! Read-only API keys in a file that people write: a store for [`tower-api-key`](tower_api_key).
//!
//! It is for a service that is deployed by configuration. The file, TOML or JSON, has digests of keys and
//! never a key. It is read at the start, and again when it changes.
//!
//! ```
//! use std::{env, fs, process};
//! use tower_api_key::KeyRing;
//! use tower_api_key_file::FileStore;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let path = env::temp_dir().join(format!("keys-{}.toml", process::id()));
//! let entry = r#"
//!     [[keys]]
//!     digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
//!     realm = "orders"
//!     subject = "alice"
//!     scopes = ["orders:read"]
//!     never_expires = true
//! "#;
//! fs::write(&path, entry)?;
//! let store = FileStore::options().unwatched().open(&path)?;
//! let ring = KeyRing::builder("acme").realm("orders").accept_imports().build(store.clone())?;
//! // The key with this digest. `tower-api-key mint` makes one with 154 bits of randomness.
//! assert_eq!(ring.verify(b"test").await?.subject(), "alice");
//!
//! // A key that is no longer in the file is revoked.
//! fs::write(&path, "keys = []")?;
//! store.reload()?;
//! assert!(ring.verify(b"test").await.is_err());
//! # fs::remove_file(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! - [`FileStore`] has the fields of the file, and what happens when it changes.
//! - [`FileOptions`] limits the keys of a file, and sets an observer and the interval of the checks.
//!
//! # Limits
//!
//! - Keys are managed by editing the file: issuing, rotating and revoking by a ring fail as
//!   [`ReadOnly`](tower_api_key::store::StoreErrorKind::ReadOnly).
//! - Last uses, what keys were used for, which keys were revoked, and which notices of expiry were sent, are kept in memory. The next
//!   process knows only the file. So each process sends the [notices](tower_api_key::KeyRing::upkeep) of a key, and after a restart the
//!   nearest one again.
//! - A change is noticed within two seconds, by a thread. It does not need notifications of the system.

#![forbid(unsafe_code)]

mod document;
mod entry;
mod failure;
mod limits;
mod merge;
mod observed;
mod open;
mod options;
mod plaintext;
mod salvage;
mod shared;
mod value;
mod watcher;

use std::fmt;
use std::sync::Arc;

#[doc(inline)]
pub use options::FileOptions;

use tower_api_key::store::{
    BoxFuture, Change, ExpiryClaims, ExpiryLadder, Found, Index, KeyStore, KeyUsage, ListQuery,
    Lookup, MemoryStore, Page, Revoked, StoreError, StoreErrorKind, StoreId, Target,
};
use tower_api_key::{Actor, KeyDigest, KeyId, Realm, Revocation, Timestamp};

use self::shared::Shared;
use self::watcher::Watcher;

/// Read-only keys, for deployment by configuration: a TOML or JSON file of digests that is read at the
/// start, and again when it changes.
///
/// ```
/// use tower_api_key::KeyRing;
/// use tower_api_key_file::FileStore;
///
/// # let folder = std::env::temp_dir().join(format!("tower-api-key-file-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("keys.toml");
/// let text = r#"
///     realm = "orders"
///
///     [[keys]]
///     digest = "d62c7baf30c79c6fa7bdb32b0fd4bcf8a3c5de7d7cb5bbba3c3a5a0a8a7f8c5d"
///     subject = "alice"
///     scopes = ["orders:read"]
///     expires_at = 2027-01-15T08:00:00Z
/// "#;
/// std::fs::write(&path, text)?;
/// let ring = KeyRing::builder("acme").realm("orders").build(FileStore::open(&path)?)?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # The file
///
/// It is TOML if its name ends in `.toml`, and JSON if it ends in `.json`. `keys` is a list, and must be
/// there even when it is empty. A `realm` next to it applies to every key that names none. A key has:
///
/// | field | meaning |
/// |---|---|
/// | `digest` | the SHA-256 of the key, 64 hexadecimal digits: `printf %s "$KEY" \| sha256sum` |
/// | `subject` | whose key it is |
/// | `scopes` | a list of scopes; `[]` grants nothing |
/// | `caveats` | a list of [restrictions](tower_api_key::Caveat), such as `["net=10.0.0.0/8"]`; none if left out |
/// | `expires_at` | Unix seconds, or RFC 3339; as text in JSON, with or without quotes in TOML |
/// | `never_expires` | `true`, in the place of `expires_at` |
/// | `realm` | the realm, if it is not that of the file |
/// | `not_before` | when it becomes valid, written like `expires_at`; valid from the start if left out |
/// | `id` | the public id: the 12 characters before the last `_` of a minted key |
/// | `label`, `metadata` | a name for people, and a table of texts for the application |
///
/// The program `tower-api-key`, of the package `tower-api-key-cli`, mints a key and writes its entry with
/// `tower-api-key mint --prefix acme --realm orders --subject alice`.
///
/// Without `id`, the id is made from the digest and is always the same. It then names a key in logs as
/// well as any, but is not the id in the key's own text. If a weak key can be guessed, the id confirms
/// the guess.
///
/// Never write a key itself into the file. If a field or comment contains a text that looks like a key,
/// the file is refused, and the error does not repeat that text.
///
/// A ring's policy on lifetimes, scopes and caveats binds the keys that the ring issues, and not this file: the
/// file's author decides what its keys may do.
///
/// # When it changes
///
/// The additions of a file are applied whole or not at all. A key that is gone from the file is revoked
/// at that moment. A key that is changed may only lose scopes or some of its time, and gain caveats. The file is refused
/// if a key under the same digest would gain authority, lose a caveat, change its subject, realm, id or metadata, or
/// come back after it was gone, because that needs a new secret. All this holds while the process runs.
/// The next process knows only the file.
///
/// A refused file adds nothing, but its removals apply, so that a mistake in one entry does not hold
/// back the revocation of another:
///
/// - A key that is in no entry is revoked.
/// - A key that is in an entry loses the scopes and the time that the entry does not allow, and gains the
///   caveats of the entry. A field that cannot be read takes nothing.
/// - An entry is known by its digest, or else by the `id` of a key that is held. While one entry is
///   known by neither, it may be any of the keys that are missing, so no key is revoked for being
///   missing.
/// - A file that is missing or cannot be read, does not parse as TOML or JSON, or does not have exactly
///   one list `keys`, takes nothing away: the last good one stays in force.
///
/// The [observer](FileOptions::observer) receives
/// [`StoreReloadFailed`](tower_api_key::EventKind::StoreReloadFailed), with an error whose source names the line
/// and the field, and the ids of the keys that were revoked or narrowed anyway. To revoke all keys,
/// write `keys = []`.
///
/// A thread checks once a second whether the file is another one (time of change, size, inode), and
/// reads it when it has stayed the same for one more second, so that a file that is still being written
/// does not revoke keys that have not been written yet. To be sure, write to another name and rename.
/// Polling works in places without notifications: through the symbolic links of a mounted `ConfigMap`,
/// on network file systems and in containers. It needs no dependency.
///
/// Look-ups are those of a [`MemoryStore`]. [`commit`](KeyStore::commit) and [`purge`](KeyStore::purge)
/// fail as [`ReadOnly`](tower_api_key::store::StoreErrorKind::ReadOnly). Last uses are kept in memory. Clones share
/// everything, and the thread ends with the last of them.
#[derive(Clone)]
pub struct FileStore(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    /// Ends its thread when it is dropped.
    _watcher: Option<Watcher>,
}

impl FileStore {
    /// Reads the file now, as it is.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`Conflict`](tower_api_key::store::StoreErrorKind::Conflict) if a key would gain authority
    /// or come back. The removals of a refused file apply: see [above](Self#when-it-changes).
    pub fn reload(&self) -> Result<(), StoreError> {
        self.0.shared.reload()
    }

    fn records(&self) -> &MemoryStore {
        self.0.shared.records()
    }

    fn read_only<T: Send + 'static>(&self) -> BoxFuture<'_, Result<T, StoreError>> {
        let failure = self
            .0
            .shared
            .failure("keys are managed by editing the file; this store only reads it");
        let error = StoreError::new(StoreErrorKind::ReadOnly, failure);
        Box::pin(std::future::ready(Err(error)))
    }
}

impl KeyStore for FileStore {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.records().find(realm, digest)
    }

    fn index(&self, realm: &Realm) -> Option<&Index> {
        self.records().index(realm)
    }

    fn identity(&self) -> Option<StoreId> {
        Some(StoreId::of(&self.0))
    }

    fn commit<'a>(&'a self, _change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        self.read_only()
    }

    fn revoke<'a>(
        &'a self,
        _realm: &'a Realm,
        _target: &'a Target,
        _revocation: Revocation,
        _actor: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        self.read_only()
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        self.records().get(realm, id)
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        self.records().list(realm, query)
    }

    fn realms(&self) -> BoxFuture<'_, Result<Vec<Realm>, StoreError>> {
        self.records().realms()
    }

    fn purge<'a>(
        &'a self,
        _realm: &'a Realm,
        _ended_by: Timestamp,
        _actor: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        self.read_only()
    }

    fn claim_expiry_notices<'a>(
        &'a self,
        realm: &'a Realm,
        ladder: &'a ExpiryLadder,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<ExpiryClaims, StoreError>> {
        self.records()
            .claim_expiry_notices(realm, ladder, now, limit)
    }

    fn record_uses<'a>(
        &'a self,
        realm: &'a Realm,
        uses: &'a [(KeyId, Timestamp)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.records().record_uses(realm, uses)
    }

    fn last_uses<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<Option<Timestamp>>, StoreError>> {
        self.records().last_uses(realm, ids)
    }

    fn record_usage<'a>(
        &'a self,
        realm: &'a Realm,
        usages: &'a [(KeyId, KeyUsage)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.records().record_usage(realm, usages)
    }

    fn usages<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<KeyUsage>, StoreError>> {
        self.records().usages(realm, ids)
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("path", &self.0.shared.path())
            .field("records", self.records())
            .finish_non_exhaustive()
    }
}
