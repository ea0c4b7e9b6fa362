//! One realm over one store.

mod builder;
mod verify;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

pub use builder::RingBuilder;
pub(crate) use verify::Verifying;

use crate::clock::Clock;
use crate::digest::{Digester, KeyDigest};
use crate::error::{Error, ErrorKind};
use crate::format::{Format, KeyId};
use crate::grant::Grant;
use crate::lifecycle::{self, Minted, Policy};
use crate::realm::Realm;
use crate::record::{KeyRecord, RevocationReason};
use crate::secret::SecretKey;
use crate::store::{KeyStore, ListQuery, MemoryStore};
use crate::verified::{VerifiedKey, VerifyError};

/// The longest key that may be imported or presented, in bytes.
const MAX_IMPORTED_LEN: usize = 512;
/// How often a change is computed anew when another writer was first.
const MAX_ATTEMPTS: usize = 8;

/// One realm over one store: it issues, imports, verifies, revokes and lists keys.
///
/// It is cheap to clone, and knows nothing of HTTP.
///
/// ```
/// use tower_api_key::{Grant, KeyRing, RevocationReason, store::MemoryStore};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let ring = KeyRing::builder("acme_live").realm("orders").build(MemoryStore::new())?;
/// let issued = ring.issue(Grant::new("alice").scopes(["orders:read"])?).await?;
///
/// let presented = issued.secret().expose().as_bytes();
/// let key = ring.verify(presented).await?;
/// assert_eq!(key.subject(), "alice");
///
/// ring.revoke(key.id(), RevocationReason::KeyCompromise).await?;
/// assert!(ring.verify(presented).await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct KeyRing(Arc<Inner>);

struct Inner {
    store: Arc<dyn KeyStore>,
    /// The store's records, where they are in memory: a look-up then needs no virtual call and
    /// nothing to catch.
    memory: Option<MemoryStore>,
    clock: Arc<dyn Clock>,
    realm: Realm,
    format: Format,
    digester: Digester,
    policy: Policy,
    lookup_timeout: Duration,
    accepts_imports: bool,
    /// The latest end of a key that was denied because of it: no end is judged by an earlier
    /// time. Written only when such a key is denied.
    latest_end: AtomicU64,
}

/// A key that was just minted: its record, and the one sight of its plaintext.
#[derive(Debug)]
pub struct Issued {
    secret: SecretKey,
    record: KeyRecord,
}

impl Issued {
    /// The plaintext key.
    pub fn secret(&self) -> &SecretKey {
        &self.secret
    }

    /// What the store holds.
    pub fn record(&self) -> &KeyRecord {
        &self.record
    }

    /// The plaintext key, for good.
    pub fn into_secret(self) -> SecretKey {
        self.secret
    }
}

impl KeyRing {
    /// Begins a ring whose keys start with `prefix`: `[a-z][a-z0-9_]{0,19}`, not ending in `_`.
    ///
    /// At most 9 characters make keys of at most 55 bytes, which SHA-256 takes in one step.
    pub fn builder(prefix: impl Into<String>) -> RingBuilder {
        RingBuilder::new(prefix.into())
    }

    /// Mints a key.
    ///
    /// # Errors
    ///
    /// A kind that names what the ring does not grant: [`ErrorKind::InvalidSubject`],
    /// [`ErrorKind::InvalidLifetime`], [`ErrorKind::LifetimeTooLong`]; else
    /// [`ErrorKind::Generator`], [`ErrorKind::Duplicate`] or [`ErrorKind::Store`]. There is no
    /// key then.
    pub async fn issue(&self, grant: Grant) -> Result<Issued, Error> {
        let (id, secret) = self.0.format.mint()?;
        let digest = self.0.digester.current(secret.expose().as_bytes());
        let record = self
            .add(id, digest, self.0.digester.version(), grant)
            .await?;
        Ok(Issued { secret, record })
    }

    /// Whether these exact bytes are a key that is valid now.
    ///
    /// Nothing is trimmed, folded or decoded.
    ///
    /// # Errors
    ///
    /// [`VerifyError`], whose kind tells an invalid key from a store that gave no verdict.
    pub async fn verify(&self, presented: &[u8]) -> Result<VerifiedKey, VerifyError> {
        match self.begin(presented) {
            Verifying::Done(verdict) => verdict,
            Verifying::Pending(verdict) => verdict.await,
        }
    }

    /// Imports a key that was minted elsewhere, by the SHA-256 of its plaintext.
    ///
    /// Nothing is known of the plaintext: make sure that it had 128 bits of randomness.
    ///
    /// # Errors
    ///
    /// As [`issue`](Self::issue), and [`ErrorKind::ImportRefused`] on a ring that does not
    /// accept imports or that has a pepper, which a bare digest lacks.
    pub async fn import_digest(&self, grant: Grant, digest: KeyDigest) -> Result<KeyRecord, Error> {
        if self.0.digester.version().is_some() {
            return Err(ErrorKind::ImportRefused.into());
        }
        self.import(grant, digest, None).await
    }

    /// Imports a key that was minted elsewhere, by its plaintext, which is not kept.
    ///
    /// # Errors
    ///
    /// As [`issue`](Self::issue), and [`ErrorKind::ImportRefused`] on a ring that does not
    /// accept imports, [`ErrorKind::InvalidPlaintext`] for what no header can carry, and
    /// [`ErrorKind::WeakPlaintext`] for under 128 bits by length and alphabet.
    pub async fn import_plaintext(
        &self,
        grant: Grant,
        plaintext: &str,
    ) -> Result<KeyRecord, Error> {
        self.check_importable(plaintext)?;
        if strength_bits(plaintext) < 128.0 {
            return Err(ErrorKind::WeakPlaintext.into());
        }
        self.import_insecure_plaintext(grant, plaintext).await
    }

    /// Imports a key however weak it is. Whoever can guess it, or has its digest, has the key.
    ///
    /// # Errors
    ///
    /// As [`import_plaintext`](Self::import_plaintext), but for the weakness.
    pub async fn import_insecure_plaintext(
        &self,
        grant: Grant,
        plaintext: &str,
    ) -> Result<KeyRecord, Error> {
        self.check_importable(plaintext)?;
        let digest = self.0.digester.current(plaintext.as_bytes());
        self.import(grant, digest, self.0.digester.version()).await
    }

    /// Revokes a key for good; a key that is revoked already stays as it is.
    ///
    /// Once this returns, no request that begins is authenticated by the key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an id that this realm does not know, [`ErrorKind::Conflict`]
    /// when other writers were first eight times over, [`ErrorKind::Store`] when the store
    /// failed.
    pub async fn revoke(&self, id: KeyId, reason: RevocationReason) -> Result<(), Error> {
        for _ in 0..MAX_ATTEMPTS {
            let record = self.get(id).await?.ok_or(ErrorKind::NotFound)?;
            let Some(change) = lifecycle::revoke(&record, reason, self.0.clock.now()) else {
                return Ok(());
            };
            match self.0.store.commit(&change).await.map_err(Error::from) {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                outcome => return outcome,
            }
        }
        Err(ErrorKind::Conflict.into())
    }

    /// The record of an id in this realm.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] when the store failed.
    pub async fn get(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Error> {
        Ok(self.0.store.get(&self.0.realm, id).await?)
    }

    /// The records of this realm that the query asks for, in the order of their ids.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] when the store failed.
    pub async fn list(&self, query: &ListQuery) -> Result<Vec<Arc<KeyRecord>>, Error> {
        Ok(self.0.store.list(&self.0.realm, query).await?)
    }

    /// The regular expression that matches this ring's keys, for secret scanners.
    ///
    /// ```
    /// # use tower_api_key::{KeyRing, store::MemoryStore};
    /// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    /// assert_eq!(ring.scanner_pattern(), r"\bacme_[0-9A-Za-z]{12}_[0-9A-Za-z]{32}\b");
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    pub fn scanner_pattern(&self) -> String {
        self.0.format.scanner_pattern()
    }

    /// The realm of this ring's keys.
    pub fn realm(&self) -> &Realm {
        &self.0.realm
    }

    /// What every key that this ring mints starts with.
    pub fn prefix(&self) -> &str {
        self.0.format.prefix()
    }

    pub(crate) fn format(&self) -> &Format {
        &self.0.format
    }

    fn check_importable(&self, plaintext: &str) -> Result<(), Error> {
        if !self.0.accepts_imports {
            return Err(ErrorKind::ImportRefused.into());
        }
        if !is_importable(plaintext.as_bytes()) {
            return Err(ErrorKind::InvalidPlaintext.into());
        }
        Ok(())
    }

    async fn import(
        &self,
        grant: Grant,
        digest: KeyDigest,
        pepper_version: Option<u32>,
    ) -> Result<KeyRecord, Error> {
        if !self.0.accepts_imports {
            return Err(ErrorKind::ImportRefused.into());
        }
        self.add(KeyId::random()?, digest, pepper_version, grant)
            .await
    }

    async fn add(
        &self,
        id: KeyId,
        digest: KeyDigest,
        pepper_version: Option<u32>,
        grant: Grant,
    ) -> Result<KeyRecord, Error> {
        let minted = Minted {
            id,
            realm: self.0.realm.clone(),
            digest,
            pepper_version,
        };
        let (record, change) = lifecycle::issue(minted, grant, self.0.policy, self.0.clock.now())?;
        self.0.store.commit(&change).await?;
        Ok(record)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("realm", &self.0.realm)
            .field("prefix", &self.prefix())
            .finish_non_exhaustive()
    }
}

/// What a header value can carry as one credential: visible ASCII without commas.
#[inline]
fn is_importable(presented: &[u8]) -> bool {
    (1..=MAX_IMPORTED_LEN).contains(&presented.len())
        && presented
            .iter()
            .all(|&byte| byte.is_ascii_graphic() && byte != b',')
}

/// The most that a plaintext of this length and alphabet can hold.
fn strength_bits(plaintext: &str) -> f64 {
    let holds = |class: fn(&u8) -> bool| plaintext.as_bytes().iter().any(class);
    let mut alphabet = 0_u32;
    for (held, size) in [
        (holds(u8::is_ascii_digit), 10),
        (holds(u8::is_ascii_lowercase), 26),
        (holds(u8::is_ascii_uppercase), 26),
        (holds(|byte| !byte.is_ascii_alphanumeric()), 32),
    ] {
        alphabet += if held { size } else { 0 };
    }
    let length = u32::try_from(plaintext.len()).unwrap_or(u32::MAX);
    f64::from(length) * f64::from(alphabet.max(1)).log2()
}
