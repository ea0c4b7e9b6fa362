//! The keys that a matrix presents.

use std::time::Duration;

use super::error::MatrixError;
use super::matrix_keys::{MatrixKeys, Supply, WantedKey};
use crate::access::scope_set::ScopeSet;
use crate::error::{Error, ErrorKind};
use crate::key::KeyId;
use crate::lifecycle::grant::Grant;
use crate::record::{KeyState, RevocationReason};
use crate::ring::{Issued, KeyRing};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The keys of a stack. Those that a ring issues are revoked at the end.
pub(super) struct Keys<'a> {
    all: &'a [MatrixKeys],
    /// The keys that were issued, each with its ring, in the order of their numbers.
    issued: Vec<(&'a KeyRing, Ended)>,
    /// A text that distinguishes these subjects from those of another matrix.
    run: String,
    valid: Vec<(usize, ScopeSet, String)>,
    /// The keys that the test gave.
    given: Vec<String>,
}

/// How the keys of a matrix end.
enum Ended {
    WithSubject(String),
    /// The subject has other keys.
    WithLineage(KeyId),
}

impl<'a> Keys<'a> {
    pub(super) fn new(all: &'a [MatrixKeys]) -> Result<Self, MatrixError> {
        let ring = all.iter().find_map(|keys| match &keys.0 {
            Supply::Ring(ring, None) => Some(ring),
            Supply::Ring(..) | Supply::Given(..) => None,
        });
        let run = match ring {
            Some(ring) => {
                let unknown = unknown_of(ring)?;
                let id = ring.format().id_of(unknown.as_bytes());
                id.map(|id| id.to_string()).unwrap_or_default()
            }
            None => String::new(),
        };
        Ok(Self {
            all,
            issued: Vec::new(),
            run,
            valid: Vec::new(),
            given: Vec::new(),
        })
    }

    pub(super) fn all(&self) -> &'a [MatrixKeys] {
        self.all
    }

    pub(super) fn given(&self) -> &[String] {
        &self.given
    }

    /// A valid key with these scopes, for requests that are to be refused.
    pub(super) async fn valid(
        &mut self,
        of: usize,
        scopes: &ScopeSet,
    ) -> Result<String, MatrixError> {
        let mut known = self.valid.iter();
        if let Some((_, _, text)) = known.find(|(by, held, _)| (*by, held) == (of, scopes)) {
            return Ok(text.clone());
        }
        let text = self.fresh(of, scopes).await?;
        self.valid.push((of, scopes.clone(), text.clone()));
        Ok(text)
    }

    /// A valid key that no other request presents, because its handler may end it.
    pub(super) async fn fresh(
        &mut self,
        of: usize,
        scopes: &ScopeSet,
    ) -> Result<String, MatrixError> {
        match &self.all[of].0 {
            Supply::Ring(ring, subject) => {
                let issued = self.issue((ring, subject.as_deref()), scopes).await?;
                Ok(issued.secret().expose().to_owned())
            }
            Supply::Given(verifier, _) => {
                let given = self.give(of, scopes, KeyState::Live).await?;
                let wanted = format!(
                    "a valid key of the realm {} with {}",
                    verifier.realm(),
                    in_words(scopes)
                );
                let text = given.ok_or_else(|| {
                    MatrixError::untried(format!("the test gave no key in the place of {wanted}"))
                })?;
                // A mistake of the test would look like one of the stack.
                let problem = match verifier.verify(text.as_bytes()).await {
                    Ok(key) if key.scopes() == scopes => return Ok(text),
                    Ok(key) => format!("its scopes are {}", in_words(key.scopes())),
                    Err(error) => format!("the verifier refuses it: {:?}", error.kind()),
                };
                let problem =
                    format!("the test gave a wrong key in the place of {wanted}: {problem}");
                Err(MatrixError::untried(problem))
            }
        }
    }

    /// `None` if there are no such keys.
    pub(super) async fn expired(
        &mut self,
        of: usize,
        scopes: &ScopeSet,
    ) -> Result<Option<String>, MatrixError> {
        let Supply::Ring(ring, subject) = &self.all[of].0 else {
            return self.give(of, scopes, KeyState::Expired).await;
        };
        let grant = self.grant((ring, subject.as_deref()), scopes);
        let issued = named(ring, scopes, ring.issue_expired(grant).await)?;
        self.note((ring, subject.as_deref()), &issued);
        Ok(Some(issued.secret().expose().to_owned()))
    }

    /// `None` if there are no such keys.
    pub(super) async fn revoked(
        &mut self,
        of: usize,
        scopes: &ScopeSet,
    ) -> Result<Option<String>, MatrixError> {
        let Supply::Ring(ring, subject) = &self.all[of].0 else {
            return self.give(of, scopes, KeyState::Revoked).await;
        };
        let issued = self.issue((ring, subject.as_deref()), scopes).await?;
        revoke(ring, &Ended::WithLineage(issued.record().lineage())).await?;
        Ok(Some(issued.secret().expose().to_owned()))
    }

    /// A key with another last character, which its checksum does not fit.
    pub(super) fn malformed(&self, of: usize, valid: &str) -> String {
        let last = valid.len().saturating_sub(1);
        match &self.all[of].0 {
            Supply::Ring(..) => altered(valid, last),
            Supply::Given(..) => self.not_given(valid, last),
        }
    }

    pub(super) fn unknown(&self, of: usize, valid: &str) -> Result<String, MatrixError> {
        match &self.all[of].0 {
            Supply::Ring(ring, _) => unknown_of(ring),
            Supply::Given(..) => Ok(self.not_given(valid, valid.len() / 2)),
        }
    }

    /// Ends every key that was issued, and those that took its place. A failure keeps no other from being revoked.
    pub(super) async fn revoke_all(self) -> Result<(), MatrixError> {
        let mut ended = Ok(());
        for (ring, keys) in self.issued {
            ended = ended.and(revoke(ring, &keys).await);
        }
        ended
    }

    async fn issue(
        &mut self,
        (ring, subject): (&'a KeyRing, Option<&str>),
        scopes: &ScopeSet,
    ) -> Result<Issued, MatrixError> {
        let grant = self.grant((ring, subject), scopes);
        let issued = named(ring, scopes, ring.issue(grant).await)?;
        self.note((ring, subject), &issued);
        Ok(issued)
    }

    /// Notes a key of a subject that has others. One with a subject of its own was noted before it was issued.
    fn note(&mut self, (ring, subject): (&'a KeyRing, Option<&str>), issued: &Issued) {
        if subject.is_some() {
            let lineage = issued.record().lineage();
            self.issued.push((ring, Ended::WithLineage(lineage)));
        }
    }

    /// A grant to this subject, or to one of its own, because a ring may limit the keys of one.
    fn grant(&mut self, (ring, subject): (&'a KeyRing, Option<&str>), scopes: &ScopeSet) -> Grant {
        let subject = if let Some(subject) = subject {
            subject.to_owned()
        } else {
            let own = format!("matrix-{}-{}", self.run, self.issued.len());
            // Before the key is issued: a store that fails may have it all the same.
            self.issued.push((ring, Ended::WithSubject(own.clone())));
            own
        };
        // If the check is dropped, nothing revokes its keys.
        let lifetime = ring.longest_lifetime().map_or(HOUR, |it| it.min(HOUR));
        Grant::new(subject).scopes(scopes).expires_in(lifetime)
    }

    async fn give(
        &mut self,
        of: usize,
        scopes: &ScopeSet,
        state: KeyState,
    ) -> Result<Option<String>, MatrixError> {
        let Supply::Given(_, give) = &self.all[of].0 else {
            return Ok(None);
        };
        let wanted = WantedKey {
            scopes: scopes.clone(),
            state,
        };
        let given = give(wanted).await.map_err(|error| {
            let realm = self.all[of].realm();
            MatrixError::untried(format!(
                "the test could not give a key of the realm {realm} for the matrix: {error}"
            ))
        })?;
        self.given.extend(given.clone());
        Ok(given)
    }

    /// A key with another character at this place, or at one before it, that was not given.
    fn not_given(&self, key: &str, place: usize) -> String {
        let mut places = (0..=place).rev().map(|place| altered(key, place));
        let is_free = |text: &String| !self.given.contains(text);
        places.find(is_free).unwrap_or_else(|| altered(key, 0))
    }
}

/// A key with another character at this place: a digit for a letter and a letter for a digit, which no table that
/// counts its keys makes of the next one.
fn altered(key: &str, place: usize) -> String {
    let at = |(at, old): (usize, char)| match old {
        _ if at != place => old,
        '0'..='9' => 'x',
        _ => '0',
    };
    key.chars().enumerate().map(at).collect()
}

fn unknown_of(ring: &KeyRing) -> Result<String, MatrixError> {
    let secret = ring.unknown_key().map_err(|error| {
        MatrixError::of_ring("a key for the matrix could not be made".to_owned(), error)
    })?;
    Ok(secret.expose().to_owned())
}

fn in_words(scopes: &ScopeSet) -> &str {
    match scopes.as_str() {
        "" => "no scope",
        scopes => scopes,
    }
}

/// Says what the ring was asked for, if it refused.
fn named(
    ring: &KeyRing,
    scopes: &ScopeSet,
    issued: Result<Issued, Error>,
) -> Result<Issued, MatrixError> {
    issued.map_err(|error| {
        let (realm, scopes) = (ring.realm(), in_words(scopes));
        let problem = format!("the ring {realm} issues no key with {scopes} for the matrix");
        MatrixError::of_ring(problem, error)
    })
}

async fn revoke(ring: &KeyRing, keys: &Ended) -> Result<(), MatrixError> {
    let reason = RevocationReason::CessationOfOperation;
    let (revoked, of) = match keys {
        Ended::WithSubject(subject) => (ring.revoke_subject(subject, reason).await, &**subject),
        Ended::WithLineage(id) => (ring.revoke_lineage(*id, reason).await, id.as_str()),
    };
    match revoked {
        // The handler may have removed it.
        Err(error) if error.kind() != ErrorKind::NotFound => {
            let problem = format!("the keys of {of} could not be revoked");
            Err(MatrixError::of_ring(problem, error))
        }
        _ => Ok(()),
    }
}
