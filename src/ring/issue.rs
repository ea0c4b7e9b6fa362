//! Keys that begin: minted here, or brought from elsewhere.

use super::change::MAX_ATTEMPTS;
use super::{Issued, KeyRing};
use crate::digest::KeyDigest;
use crate::error::{Error, ErrorKind};
use crate::event::{Event, EventKind};
use crate::format::KeyId;
use crate::grant::Grant;
use crate::lifecycle::{self, Minted};
use crate::record::KeyRecord;
use crate::secret::SecretKey;

/// The longest key that may be imported or presented, in bytes.
const MAX_IMPORTED_LEN: usize = 512;

impl KeyRing {
    /// Mints a key.
    ///
    /// # Errors
    ///
    /// A kind that names what the ring does not grant: [`ErrorKind::InvalidSubject`],
    /// [`ErrorKind::InvalidMetadata`], [`ErrorKind::InvalidLifetime`],
    /// [`ErrorKind::LifetimeTooLong`],
    /// [`ErrorKind::ScopeNotGrantable`], [`ErrorKind::TooManyKeys`]; else
    /// [`ErrorKind::Generator`], [`ErrorKind::Duplicate`], [`ErrorKind::Store`], or
    /// [`ErrorKind::Conflict`] when others issued keys to the subject at the same time, over and
    /// over. There is no key then, except that a store that failed
    /// [may have lost its answer](KeyRing#when-a-change-is-in-doubt).
    pub async fn issue(&self, grant: Grant) -> Result<Issued, Error> {
        let (minted, secret) = self.mint()?;
        let record = self.add(minted, grant, EventKind::Issued).await?;
        Ok(Issued { secret, record })
    }

    /// Imports a key that was minted elsewhere, by the SHA-256 of its plaintext.
    ///
    /// Nothing is known of the plaintext: make sure that it has 128 bits of randomness, and that it
    /// is 1 to 512 visible ASCII characters without commas, or no request can present it.
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
    /// It ends when the grant says so, however long it was to live elsewhere: after 90 days if the grant
    /// names no end, or after the ring's longest lifetime if that is shorter.
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
        let minted = Minted {
            id: KeyId::random()?,
            realm: self.0.realm.clone(),
            digest,
            pepper_version,
        };
        self.add(minted, grant, EventKind::Imported).await
    }

    pub(super) fn mint(&self) -> Result<(Minted, SecretKey), Error> {
        let (id, secret) = self.0.format.mint()?;
        let minted = Minted {
            id,
            realm: self.0.realm.clone(),
            digest: self.0.digester.current(secret.expose().as_bytes()),
            pepper_version: self.0.digester.version(),
        };
        Ok((minted, secret))
    }

    async fn add(&self, minted: Minted, grant: Grant, kind: EventKind) -> Result<KeyRecord, Error> {
        for _ in 0..MAX_ATTEMPTS {
            let held = self.keys_towards_limit(grant.subject_name()).await?;
            let (record, change) = lifecycle::issue(
                minted.clone(),
                grant.clone(),
                &self.0.policy,
                &held,
                self.0.reading(),
            )?;
            if self.commit(&change).await? {
                self.0.observer.tell(|| Event::about(kind, &record));
                return Ok(record);
            }
        }
        Err(ErrorKind::Conflict.into())
    }
}

/// What a header value can carry as one credential: visible ASCII without commas.
#[inline]
pub(super) fn is_importable(presented: &[u8]) -> bool {
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
