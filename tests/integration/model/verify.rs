//! Verifications: those that end at once, and those whose look-up is held back.

use std::pin::Pin;
use std::task::Poll;

use proptest::prelude::*;
use tokio::sync::oneshot;
use tower_api_key::{
    Caveats, InvalidCause, KeyDigest, KeyRecordParts, RevocationReason, Timestamp, VerifiedKey,
    VerifyError, VerifyErrorKind,
};

use super::caveats::{Client, invariant_14_an_accept_meets_every_caveat};
use super::ledger::Authority;
use super::operations::At;
use super::predict::Answer;
use super::rings::{LOOKUP_TIMEOUT, RINGS};
use super::run::Run;
use super::store::Read;
use super::{Check, now};
use crate::support::poll_once;

type Verdict = Result<VerifiedKey, VerifyError>;

/// The ring, the plaintext, and the client that presents it.
type Presented<'a> = (usize, &'a str, Client);

/// A verification whose look-up is held.
pub(super) struct Begun {
    future: Pin<Box<dyn Future<Output = Verdict>>>,
    release: oneshot::Sender<()>,
    ring: usize,
    plaintext: String,
    client: Client,
    /// The elapsed time at its start.
    at: u64,
    /// The last commit before it.
    commit: u64,
    read: Read,
    /// The result of the look-up, if it has already read.
    found: Option<KeyRecordParts>,
}

impl Run<'_> {
    pub(super) fn verify(&mut self, at: At, client: Client) -> Check {
        let (key, _, ring) = self.resolve(at);
        let plaintext = self.plaintext(key);
        self.verify_at_once(ring, &plaintext, client)
    }

    pub(super) fn verify_all(&mut self, ring: usize, client: Client) -> Check {
        for key in 0..self.reference.keys.len() {
            let plaintext = self.plaintext(Some(key));
            self.verify_at_once(ring, &plaintext, client)?;
        }
        Ok(())
    }

    fn plaintext(&self, key: Option<usize>) -> String {
        key.map_or_else(
            || "nonsense".to_owned(),
            |key| self.reference.keys[key].plaintext.clone(),
        )
    }

    fn verify_at_once(&mut self, ring: usize, plaintext: &str, client: Client) -> Check {
        let (code, presented) = (&self.world.rings[ring], plaintext.as_bytes());
        let verdict = if client == Client::UNKNOWN {
            now(code.verify(presented))
        } else {
            now(code.verify_with(presented, client.facts()))
        };
        self.verdict_at_once((ring, plaintext, client), &verdict)
    }

    fn verdict_at_once(&mut self, presented: Presented<'_>, verdict: &Verdict) -> Check {
        let (ring, plaintext, _) = presented;
        self.take_down(ring)?;
        if let Ok(key) = verdict {
            prop_assert!(
                !self.reference.ended.contains(&(ring, key.id())),
                "invariant 10: {} was denied as ended, and then accepted",
                key.id()
            );
        }
        let found = self.find(ring, plaintext);
        // The commit after a reuse may be newer than the verdict.
        self.verdict(presented, verdict, found.as_ref(), u64::MAX)
    }

    fn find(&self, ring: usize, plaintext: &str) -> Option<KeyRecordParts> {
        let digest = KeyDigest::sha256(plaintext.as_bytes());
        let key = self.reference.by_digest(ring, digest.as_bytes())?;
        Some(self.reference.keys[key].parts.clone())
    }

    /// Compares a verdict with the model's, for the record that was found at a commit.
    fn verdict(
        &mut self,
        (ring, plaintext, client): Presented<'_>,
        verdict: &Verdict,
        found: Option<&KeyRecordParts>,
        commit: u64,
    ) -> Check {
        match verdict {
            Ok(key) => {
                let authority = self.ledger.lines[&key.id()].at(commit);
                self.invariant_10_accepted_within_its_interval(key, authority)?;
                invariant_14_an_accept_meets_every_caveat(key.id(), client, authority)?;
                self.seen.push(format!("{key:?}"));
            }
            Err(error) => self.seen.push(format!("{error:?} {error}")),
        }
        let spec = &RINGS[ring];
        let well_formed = spec.accepts_imports
            || plaintext.len() == spec.prefix.len() + 46
                && plaintext
                    .strip_prefix(spec.prefix)
                    .is_some_and(|rest| rest.starts_with('_'));
        let answer = match found {
            _ if !well_formed => Answer::Refused(InvalidCause::Malformed),
            None => Answer::Refused(InvalidCause::Unknown),
            Some(parts) => self.reference.judge(ring, parts, client),
        };
        let actual = match verdict {
            Ok(_) => Answer::Accepted,
            Err(error) => match error.kind() {
                VerifyErrorKind::Invalid(cause) => Answer::Refused(cause),
                other => return Err(TestCaseError::fail(format!("verify said {other:?}"))),
            },
        };
        prop_assert_eq!(
            actual,
            answer,
            "the verdict is left, that of the model right"
        );
        self.count(&format!("verify: {answer:?}"));
        if let Some(parts) = found {
            self.count_caveats(answer, &parts.caveats, client);
        }
        if let (Answer::Refused(InvalidCause::Replaced), Some(parts), true) =
            (answer, found, spec.revokes_on_reuse)
        {
            if !self.reference.is_reused_by_now(parts) {
                self.count("verify: reuse by a clock that was ahead");
                return Ok(());
            }
            let members = self.reference.lineage(ring, parts.lineage);
            if self
                .reference
                .revoke(&members, RevocationReason::KeyCompromise)
                > 0
            {
                self.count("verify: reuse ended the lineage");
            }
        }
        Ok(())
    }

    fn count_caveats(&mut self, answer: Answer, caveats: &Caveats, client: Client) {
        let count = caveats.iter().count();
        let met = caveats.iter().filter(|it| client.meets(it)).count();
        match answer {
            Answer::Accepted if count == 1 => self.count("verify: accepted with a caveat"),
            Answer::Accepted if count > 1 => self.count("verify: accepted with caveats"),
            Answer::Refused(InvalidCause::CaveatNotMet) if met > 0 => {
                self.count("verify: one caveat is met and another is not");
            }
            Answer::Refused(cause) if cause != InvalidCause::CaveatNotMet && met < count => {
                self.count("verify: refused for a cause before its caveats");
            }
            _ => {}
        }
    }

    fn invariant_10_accepted_within_its_interval(
        &self,
        key: &VerifiedKey,
        authority: Option<&Authority>,
    ) -> Check {
        let now = self.reference.now;
        prop_assert!(
            authority.is_some_and(|it| it.from <= now && now < it.until),
            "invariant 10: {} was accepted at {now} with {authority:?}",
            key.id()
        );
        let scopes = key.scopes().iter().map(str::to_owned).collect();
        let until = key.valid_until().map_or(u64::MAX, Timestamp::as_unix);
        let shown = authority.map(|it| (&*it.subject, &*it.realm, &it.scopes, it.until));
        prop_assert_eq!(
            Some((key.subject().as_str(), key.realm().as_str(), &scopes, until)),
            shown,
            "invariant 7: a positive verdict equals A(d, c)"
        );
        Ok(())
    }

    pub(super) fn begin(&mut self, at: At, read: Read, client: Client) -> Check {
        let (key, _, ring) = self.resolve(at);
        let plaintext = self.plaintext(key);
        let (code, presented) = (self.world.rings[ring].clone(), plaintext.clone());
        let mut future: Pin<Box<dyn Future<Output = Verdict>>> =
            Box::pin(async move { code.verify_with(presented.as_bytes(), client.facts()).await });
        let store = &self.world.stores[RINGS[ring].store];
        let (polled, release) = store.holding(read, || poll_once(&mut future));
        match (polled, release) {
            (Poll::Ready(verdict), None) => {
                let malformed = VerifyErrorKind::Invalid(InvalidCause::Malformed);
                let is_malformed = verdict.as_ref().is_err_and(|it| it.kind() == malformed);
                prop_assert!(
                    RINGS[ring].in_place || is_malformed,
                    "{verdict:?} without the store"
                );
                self.verdict_at_once((ring, &plaintext, client), &verdict)
            }
            (Poll::Pending, Some(release)) => {
                let found = self.find(ring, &plaintext);
                self.begun.push(Begun {
                    future,
                    release,
                    ring,
                    plaintext,
                    client,
                    at: self.reference.elapsed,
                    commit: self.ledger.commits,
                    read,
                    found,
                });
                Ok(())
            }
            (polled, _) => Err(TestCaseError::fail(format!(
                "a held look-up gave {polled:?}"
            ))),
        }
    }

    /// Polls a verification that is still held, and has not timed out.
    pub(super) fn wait(&mut self, pick: u8) -> Check {
        let count = self.begun.len().max(1);
        if let Some(begun) = self.begun.get_mut(usize::from(pick) % count) {
            let polled = poll_once(&mut begun.future);
            prop_assert!(polled.is_pending(), "{polled:?} from nowhere");
        }
        Ok(())
    }

    /// After time has passed, polls the verifications that waited for longer than they may, as an
    /// executor does if the timer wakes it.
    pub(super) fn invariant_9_a_wait_ends_with_the_bound(&mut self) -> Check {
        let elapsed = self.reference.elapsed;
        let over = |begun: &mut Begun| elapsed - begun.at >= LOOKUP_TIMEOUT;
        let ended: Vec<Begun> = self.begun.extract_if(.., over).collect();
        for mut begun in ended {
            let kind = match poll_once(&mut begun.future) {
                Poll::Ready(verdict) => Some(verdict.map(drop).map_err(|error| error.kind())),
                Poll::Pending => None,
            };
            prop_assert_eq!(
                kind,
                Some(Err(VerifyErrorKind::StoreUnavailable)),
                "invariant 9: after {} s there is no answer any more",
                elapsed - begun.at
            );
            self.count("verify: too late");
        }
        Ok(())
    }

    pub(super) fn release(&mut self, pick: u8) -> Check {
        if self.begun.is_empty() {
            return Ok(());
        }
        let index = usize::from(pick) % self.begun.len();
        let mut begun = self.begun.swap_remove(index);
        begun.release.send(()).unwrap();
        let commit = self.ledger.commits;
        let Poll::Ready(verdict) = poll_once(&mut begun.future) else {
            return Err(TestCaseError::fail("a released look-up gave no verdict"));
        };
        self.take_down(begun.ring)?;
        let waited = self.reference.elapsed - begun.at;
        prop_assert!(
            waited < LOOKUP_TIMEOUT,
            "invariant 9: an answer after {waited} s"
        );
        if let Ok(key) = &verdict {
            self.invariant_9_an_accept_began_before_the_revoke(begun.commit, key)?;
        }
        let (found, commit) = match begun.read {
            Read::First => (begun.found, begun.commit),
            Read::Last => (self.find(begun.ring, &begun.plaintext), commit),
        };
        self.count("verify: released in time");
        let presented = (begun.ring, &*begun.plaintext, begun.client);
        self.verdict(presented, &verdict, found.as_ref(), commit)
    }

    fn invariant_9_an_accept_began_before_the_revoke(
        &mut self,
        began: u64,
        key: &VerifiedKey,
    ) -> Check {
        if let Some(death) = self.ledger.lines[&key.id()].death() {
            prop_assert!(
                began < death,
                "invariant 9: {} died at commit {death}; a verification that began after commit \
                 {began} accepted it",
                key.id()
            );
            self.count("verify: accepted after a revoke that it began before");
        }
        Ok(())
    }
}
