//! The keys that a matrix presents.

use std::time::Duration;

use super::error::MatrixError;
use crate::access::scope_set::ScopeSet;
use crate::error::Error;
use crate::key::secret::SecretKey;
use crate::lifecycle::grant::Grant;
use crate::record::RevocationReason;
use crate::ring::{Issued, KeyRing};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The keys of the rings of a stack, which are revoked at the end.
pub(super) struct Keys<'a> {
    rings: &'a [KeyRing],
    /// The subjects of the keys, each with its ring.
    subjects: Vec<(&'a KeyRing, String)>,
    /// A text that distinguishes these subjects from those of another matrix.
    run: String,
    valid: Vec<(usize, ScopeSet, SecretKey)>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(rings: &'a [KeyRing]) -> Result<Self, MatrixError> {
        let mut keys = Self {
            rings,
            subjects: Vec::new(),
            run: String::new(),
            valid: Vec::new(),
        };
        let unknown = keys.unknown(0)?;
        if let Some(id) = rings[0].format().id_of(unknown.as_bytes()) {
            keys.run = id.to_string();
        }
        Ok(keys)
    }

    pub(super) fn rings(&self) -> &'a [KeyRing] {
        self.rings
    }

    /// A valid key with these scopes, for requests that are to be refused.
    pub(super) async fn valid(
        &mut self,
        ring: usize,
        scopes: &ScopeSet,
    ) -> Result<String, MatrixError> {
        let mut known = self.valid.iter();
        if let Some((_, _, secret)) = known.find(|(of, held, _)| (*of, held) == (ring, scopes)) {
            return Ok(secret.expose().to_owned());
        }
        let issued = self.issue(ring, scopes).await?;
        let text = issued.secret().expose().to_owned();
        self.valid
            .push((ring, scopes.clone(), issued.into_secret()));
        Ok(text)
    }

    /// A valid key that no other request presents, because its handler may end it.
    pub(super) async fn fresh(
        &mut self,
        ring: usize,
        scopes: &ScopeSet,
    ) -> Result<String, MatrixError> {
        let issued = self.issue(ring, scopes).await?;
        Ok(issued.secret().expose().to_owned())
    }

    pub(super) async fn expired(
        &mut self,
        ring: usize,
        scopes: &ScopeSet,
    ) -> Result<String, MatrixError> {
        let (of, grant) = self.grant(ring, scopes);
        let issued = named(of, scopes, of.issue_expired(grant).await)?;
        Ok(issued.secret().expose().to_owned())
    }

    pub(super) async fn revoked(
        &mut self,
        ring: usize,
        scopes: &ScopeSet,
    ) -> Result<String, MatrixError> {
        let issued = self.issue(ring, scopes).await?;
        revoke(&self.rings[ring], issued.record().subject().as_str()).await?;
        Ok(issued.secret().expose().to_owned())
    }

    pub(super) fn unknown(&self, ring: usize) -> Result<String, MatrixError> {
        let secret = self.rings[ring].unknown_key().map_err(|error| {
            MatrixError::of_ring("a key for the matrix could not be made".to_owned(), error)
        })?;
        Ok(secret.expose().to_owned())
    }

    /// Ends every key that was issued, and those that took its place. A failure keeps no other from being revoked.
    pub(super) async fn revoke_all(self) -> Result<(), MatrixError> {
        let mut ended = Ok(());
        for (ring, subject) in self.subjects {
            ended = ended.and(revoke(ring, &subject).await);
        }
        ended
    }

    async fn issue(&mut self, ring: usize, scopes: &ScopeSet) -> Result<Issued, MatrixError> {
        let (of, grant) = self.grant(ring, scopes);
        named(of, scopes, of.issue(grant).await)
    }

    /// A grant to a subject of its own, because a ring may limit the keys of one.
    fn grant(&mut self, ring: usize, scopes: &ScopeSet) -> (&'a KeyRing, Grant) {
        let of = &self.rings[ring];
        let subject = format!("matrix-{}-{}", self.run, self.subjects.len());
        // If the check is dropped, nothing revokes its keys.
        let grant = Grant::new(&subject).scopes(scopes);
        let grant = grant.expires_in(of.longest_lifetime().map_or(HOUR, |it| it.min(HOUR)));
        // Before the key is issued: a store that fails may have it all the same.
        self.subjects.push((of, subject));
        (of, grant)
    }
}

/// Says what the ring was asked for, if it refused.
fn named(
    ring: &KeyRing,
    scopes: &ScopeSet,
    issued: Result<Issued, Error>,
) -> Result<Issued, MatrixError> {
    issued.map_err(|error| {
        let realm = ring.realm();
        let scopes = match scopes.as_str() {
            "" => "no scope",
            scopes => scopes,
        };
        let problem = format!("the ring {realm} issues no key with {scopes} for the matrix");
        MatrixError::of_ring(problem, error)
    })
}

async fn revoke(ring: &KeyRing, subject: &str) -> Result<(), MatrixError> {
    let reason = RevocationReason::CessationOfOperation;
    let revoked = ring.revoke_subject(subject, reason).await;
    let revoked = revoked.map_err(|error| {
        let problem = format!("the keys of {subject} could not be revoked");
        MatrixError::of_ring(problem, error)
    });
    revoked.map(drop)
}
