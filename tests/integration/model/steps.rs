//! The effect of each operation, and the invariants that new keys must keep by themselves.

use std::time::Duration;

use proptest::prelude::*;
use tower_api_key::{Error, ErrorKind, Issued, KeyDigest, KeyId, Timestamp};

use super::operations::{At, Digest, Lifetime, Operation, Wish};
use super::predict::Reasons;
use super::reference::{Birth, Succession};
use super::rings::RINGS;
use super::run::Run;
use super::shrinking::Asked;
use super::{Check, now};
use crate::support::START;

impl Run<'_> {
    pub(super) fn step(&mut self, operation: &Operation) -> Check {
        self.perform(operation)?;
        prop_assert_eq!(self.world.conflicts(), 0, "a conflict with nobody");
        self.settle()
    }

    pub(super) fn perform(&mut self, operation: &Operation) -> Check {
        match *operation {
            Operation::Issue(ring, ref wish) => self.issue(ring.into(), wish),
            Operation::ImportPlaintext(ring, ref wish, text, weak) => {
                self.import_plaintext(ring.into(), wish, text, weak)
            }
            Operation::ImportDigest(ring, ref wish, digest) => {
                self.import_digest(ring.into(), wish, digest)
            }
            Operation::Rotate(at, grace) => self.rotate(at, Some(grace)),
            Operation::RotateAtOnce(at) => self.rotate(at, None),
            Operation::Regrant(at, ref wish) => self.promote(at, None, wish),
            Operation::Promote(at, into, ref wish) => self.promote(at, Some(into.into()), wish),
            Operation::Race(rival, at, ref operation) => self.race(rival, at, operation),
            Operation::Narrow(at, cut) => self.narrow(at, cut),
            Operation::Describe(at, number) => self.describe(at, number),
            Operation::Revoke(at, reason) => self.revoke(at, reason),
            Operation::RevokeLineage(at, reason) => self.revoke_lineage(at, reason),
            Operation::RevokeSubject(ring, subject, reason) => {
                self.revoke_subject(ring.into(), subject, reason)
            }
            Operation::Purge(ring) => self.purge(ring.into()),
            Operation::RecordUses(ring) => {
                now(self.world.rings[usize::from(ring)].record_uses()).unwrap();
                self.reference.record_uses(ring.into());
                Ok(())
            }
            Operation::Look(ring, page) => self.look(ring.into(), page),
            Operation::Verify(at, client) => self.verify(at, client),
            Operation::VerifyAll(ring, client) => self.verify_all(ring.into(), client),
            Operation::Begin(at, read, client) => self.begin(at, read, client),
            Operation::Release(pick) => self.release(pick),
            Operation::Wait(pick) => self.wait(pick),
            Operation::Watch(at) => {
                self.watch(at);
                Ok(())
            }
            Operation::PollWatches => self.poll_watches(),
            Operation::Advance(duration) => {
                self.world.clock.advance(duration);
                let seconds = duration.as_secs();
                self.reference.now = self.reference.now.saturating_add(seconds);
                self.reference.elapsed += seconds;
                self.invariant_9_a_wait_ends_with_the_bound()
            }
            Operation::SetBy(seconds) => {
                self.set(self.reference.now.saturating_add_signed(seconds));
                Ok(())
            }
            Operation::SetToStart => {
                self.set(START.as_unix());
                Ok(())
            }
            Operation::SetToEnd(before) => {
                self.set(u64::MAX - before);
                Ok(())
            }
        }
    }

    fn set(&mut self, time: u64) {
        self.world.clock.set(Timestamp::from_unix(time));
        self.reference.now = time;
    }

    fn issue(&mut self, ring: usize, wish: &Wish) -> Check {
        let grant = wish.grant(ring, self.reference.now);
        let issued = now(self.world.rings[ring].issue(grant));
        let commits = self.take_down(ring)?;
        let birth = self
            .reference
            .birth(ring, self.reference.horizon(ring), wish, &[], None);
        if let Some((issued, birth)) = self.agree("issue", issued, birth, commits)? {
            prop_assert_eq!(commits, 1, "an issue is one commit");
            self.bear_minted(birth, &issued)?;
        }
        Ok(())
    }

    /// An import as wished. Its digest may be taken, or the import may be refused for other reasons.
    fn import(
        &self,
        ring: usize,
        wish: &Wish,
        text: &str,
        more: &Reasons,
    ) -> Result<Birth, Reasons> {
        if !RINGS[ring].accepts_imports {
            return Err(vec![ErrorKind::ImportRefused]);
        }
        let digest = KeyDigest::sha256(text.as_bytes());
        let taken =
            self.reference.keys.iter().any(|key| {
                !key.purged && key.store == RINGS[ring].store && key.parts.digest == digest
            });
        let mut reasons = more.clone();
        if matches!(wish.lifetime, Lifetime::Default) {
            reasons.push(ErrorKind::ExpiryNotSaid);
        }
        if taken {
            reasons.push(ErrorKind::Duplicate);
        }
        match self
            .reference
            .birth(ring, self.reference.horizon(ring), wish, &[], None)
        {
            Ok(birth) if reasons.is_empty() => return Ok(birth),
            Ok(_) => {}
            Err(others) => reasons.extend(others),
        }
        // An end in the past has its own reason.
        if matches!(wish.lifetime, Lifetime::Until(_))
            && reasons.contains(&ErrorKind::InvalidLifetime)
        {
            reasons.push(ErrorKind::KeyExpired);
        }
        Err(reasons)
    }

    fn import_plaintext(&mut self, ring: usize, wish: &Wish, text: &str, weak: bool) -> Check {
        let grant = wish.grant(ring, self.reference.now);
        let code = &self.world.rings[ring];
        let (what, record) = if weak {
            (
                "import_insecure_plaintext",
                now(code.import_insecure_plaintext(grant, text)),
            )
        } else {
            ("import_plaintext", now(code.import_plaintext(grant, text)))
        };
        let commits = self.take_down(ring)?;
        let mut reasons = Reasons::new();
        if text.is_empty() || text.contains([' ', ',']) {
            reasons.push(ErrorKind::InvalidPlaintext);
        } else if text == "guessable1234" && !weak {
            reasons.push(ErrorKind::WeakPlaintext);
        }
        let birth = self.import(ring, wish, text, &reasons);
        if let Some((record, birth)) = self.agree(what, record, birth, commits)? {
            self.bear(birth, &record, text)?;
        }
        Ok(())
    }

    fn import_digest(&mut self, ring: usize, wish: &Wish, digest: Digest) -> Check {
        let text = match digest {
            Digest::New(text) => text.to_owned(),
            Digest::Of(target) => match self.target(target) {
                Some(key) => self.reference.keys[key].plaintext.clone(),
                None => return Ok(()),
            },
        };
        let grant = wish.grant(ring, self.reference.now);
        let digest = KeyDigest::sha256(text.as_bytes());
        let record = now(self.world.rings[ring].import_digest(grant, digest));
        let commits = self.take_down(ring)?;
        let birth = self.import(ring, wish, &text, &Reasons::new());
        if let Some((record, birth)) = self.agree("import_digest", record, birth, commits)? {
            self.bear(birth, &record, &text)?;
        }
        Ok(())
    }

    fn rotate(&mut self, at: At, grace: Option<Duration>) -> Check {
        let (key, id, ring) = self.resolve(at);
        let issued = match grace {
            Some(grace) => now(self.world.rings[ring].rotate(id, grace)),
            None => now(self.world.rings[ring].rotate_now(id)),
        };
        self.settle_the_rival()?;
        let before = self.ledger.commits;
        let commits = self.take_down(ring)?;
        self.rotated((key, id, ring), grace, issued, before, commits)
    }

    /// Checks a rotation whose commits are those after `before`.
    pub(super) fn rotated(
        &mut self,
        (key, id, ring): Asked,
        grace: Option<Duration>,
        issued: Result<Issued, Error>,
        before: u64,
        commits: u64,
    ) -> Check {
        let what = grace.map_or("rotate_now", |_| "rotate");
        let succession = self.reference.rotation(ring, key, grace);
        if let Some((issued, succession)) = self.agree(what, issued, succession, commits)? {
            prop_assert_eq!(commits, 1, "invariant 5: a rotation is one commit");
            self.invariant_5_none_in_its_grace_is_replaced(id, before)?;
            let new = issued.record().id();
            let caveats = &succession.birth.caveats;
            if !caveats.iter().all(|it| RINGS[ring].grants_caveat(it)) {
                self.count("rotate: with caveats that the ring does not grant");
            } else if !caveats.is_empty() {
                self.count(&format!("{what}: with caveats"));
            }
            self.invariants_5_and_14_rotate_keeps_scopes_and_caveats(id, new, before)?;
            self.invariant_5_grace_ends_at_is_the_earliest(ring, id, &succession, grace)?;
            self.succeed(ring, succession, &issued)?;
        }
        Ok(())
    }

    fn succeed(&mut self, from: usize, succession: Succession, issued: &Issued) -> Check {
        self.reference.end_for(from, &succession);
        self.bear_minted(succession.birth, issued)
    }

    fn invariants_5_and_14_rotate_keeps_scopes_and_caveats(
        &self,
        old: KeyId,
        new: KeyId,
        before: u64,
    ) -> Check {
        let authority =
            |id: KeyId, commit| self.ledger.lines.get(&id).and_then(|line| line.at(commit));
        let (new, old) = (authority(new, self.ledger.commits), authority(old, before));
        prop_assert_eq!(
            new.map(|it| &it.scopes),
            old.map(|it| &it.scopes),
            "invariant 5: A(d′).scopes = A(d).scopes"
        );
        prop_assert_eq!(
            new.map(|it| &it.caveats),
            old.map(|it| &it.caveats),
            "invariant 14: A(d′).caveats = A(d).caveats"
        );
        Ok(())
    }

    /// Its authority was cut at a rotation, which has already replaced it.
    fn invariant_5_none_in_its_grace_is_replaced(&self, id: KeyId, before: u64) -> Check {
        let authority = self.ledger.lines[&id].at(before);
        prop_assert!(
            authority.is_some_and(|authority| !authority.in_grace),
            "invariant 5: {id} was replaced, and was {authority:?}"
        );
        Ok(())
    }

    fn invariant_5_grace_ends_at_is_the_earliest(
        &self,
        ring: usize,
        id: KeyId,
        succession: &Succession,
        grace: Option<Duration>,
    ) -> Check {
        let record = &self.ledger.snapshots()[RINGS[ring].store][&id];
        let now = u128::from(self.reference.now);
        let expiry = self.reference.keys[succession.old].parts.expires_at;
        let ends = grace.map(|grace| {
            [
                now + u128::from(grace.as_secs()),
                now + u128::from(RINGS[ring].max_grace),
                expiry.map_or(u128::MAX, |end| u128::from(end.as_unix())),
            ]
        });
        prop_assert_eq!(
            record.grace_ends_at().map(|end| u128::from(end.as_unix())),
            ends.into_iter().flatten().min(),
            "invariant 5: grace_ends_at(d) = min(now+g, now+G, expiry(d))"
        );
        Ok(())
    }

    fn promote(&mut self, at: At, into: Option<usize>, wish: &Wish) -> Check {
        let (key, id, from) = self.resolve(at);
        let ring = into.unwrap_or(from);
        let grant = wish.grant(ring, self.reference.now);
        let (what, issued) = match into {
            None => ("regrant", now(self.world.rings[ring].regrant(id, grant))),
            Some(_) if RINGS[ring].store == RINGS[from].store => {
                let rings = &self.world.rings;
                ("promote", now(rings[ring].promote(&rings[from], id, grant)))
            }
            Some(_) => {
                let rings = &self.world.rings;
                (
                    "promote apart",
                    now(rings[ring].promote(&rings[from], id, grant)),
                )
            }
        };
        let rival_came = self.settle_the_rival()?;
        let before = self.ledger.commits;
        let commits = self.take_down(from)?;
        let mut succession = self.reference.promotion(from, key, ring, wish);
        let shared = RINGS[ring].store == RINGS[from].store;
        // Over two stores it asks for room after it has read the key, and the rival came with the question.
        if rival_came
            && !shared
            && let Err(reasons) = &mut succession
        {
            reasons.extend(self.reference.lack_of_room(ring, wish));
        }
        if let Some((issued, succession)) = self.agree(what, issued, succession, commits)? {
            let expected = if shared { 1 } else { 2 };
            prop_assert_eq!(
                commits,
                expected,
                "invariant 3: a regrant is one commit in a store"
            );
            self.invariant_5_none_in_its_grace_is_replaced(id, before)?;
            let new = issued.record();
            if !succession.birth.caveats.is_empty() {
                self.count(&format!("{what}: with caveats"));
            }
            self.invariant_3_never_both_live(new.lineage(), new.id(), before)?;
            self.succeed(from, succession, &issued)?;
        }
        Ok(())
    }

    /// At no commit of a regrant is the new key live while another of its lineage is live, and in
    /// the end none of the others is.
    fn invariant_3_never_both_live(&self, lineage: KeyId, new: KeyId, before: u64) -> Check {
        for commit in before + 1..=self.ledger.commits {
            let born = self.ledger.lines[&new].at(commit).is_some();
            for (other, line) in self.ledger.lineage(lineage) {
                prop_assert!(
                    other == new || !born || line.at(commit).is_none(),
                    "invariant 3: {other} lives beside {new}, by which it was regranted"
                );
            }
        }
        let born = self.ledger.lines[&new].latest().is_some();
        prop_assert!(born, "invariant 3: the regranted key is not there");
        Ok(())
    }
}
