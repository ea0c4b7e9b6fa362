//! Whether one state of a key has no more authority than another, and what both have.

use super::{Gain, History, KeyRecord, Origin};
use crate::time::Timestamp;

/// # Order
///
/// A key's authority only shrinks. So of two records of one key, the later one is *within* the earlier one.
/// Every store and every tool that puts a record in the place of another asks this.
impl KeyRecord {
    /// Whether this is a record of the same key as `other`, with no more authority.
    ///
    /// ```
    /// use tower_api_key::{Gain, KeyDigest, KeyId, KeyRecord, KeyRecordParts, Realm, Timestamp};
    ///
    /// let id: KeyId = "4f9A7YqZr01m".parse()?;
    /// let (realm, digest) = (Realm::new("acme")?, KeyDigest::sha256(b"a key"));
    /// let mut parts = KeyRecordParts::new(id, realm, digest, "alice".parse()?, Timestamp::from_unix(9));
    /// parts.scopes = "read write".parse()?;
    /// let before = KeyRecord::from(parts.clone());
    /// parts.scopes = "read".parse()?;
    /// let after = KeyRecord::from(parts);
    ///
    /// assert!(after.is_within(&before));
    /// assert_eq!(before.gain_over(&after), Some(Gain::Scopes));
    /// assert_eq!(before.meet(&after), Some(after));
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    pub fn is_within(&self, other: &Self) -> bool {
        self.gain_over(other).is_none()
    }

    /// The first field in which this record has more authority than `other`, or is a record of another key.
    /// `None` if this one [is within](Self::is_within) the other.
    ///
    /// The version, the label and the metadata are no authority, and are not compared. Of two revoked
    /// records neither has a gain by its revocation.
    pub fn gain_over(&self, other: &Self) -> Option<Gain> {
        // Every field is named, so that a new one does not compile until it is judged here.
        let Self {
            digest,
            not_before,
            valid_until: _,
            scopes,
            origin,
            history: _,
            id,
            subject,
            label: _,
            flags: _,
        } = self;
        let Origin {
            realm,
            prefix,
            pepper_version,
        } = &**origin;
        let (ours, theirs) = (self.history(), other.history());
        let History {
            caveats,
            lineage,
            generation,
            version: _,
            issued_at,
            expires_at,
            grace_ends_at,
            revocation,
            metadata: _,
        } = &*ours;
        let from = &other.origin;
        let gains = [
            (Gain::Id, *id != other.id),
            (Gain::Realm, *realm != from.realm),
            (Gain::Digest, *digest != other.digest),
            (Gain::PepperVersion, *pepper_version != from.pepper_version),
            (Gain::Subject, *subject != other.subject),
            (Gain::Lineage, *lineage != theirs.lineage),
            (Gain::Generation, *generation != theirs.generation),
            (Gain::IssuedAt, *issued_at != theirs.issued_at),
            (Gain::Prefix, *prefix != from.prefix),
            (
                Gain::Revocation,
                revocation.is_none() && theirs.revocation.is_some(),
            ),
            (Gain::Scopes, !scopes.is_subset(&other.scopes)),
            (Gain::Caveats, !caveats.is_superset(&theirs.caveats)),
            (Gain::NotBefore, *not_before < other.not_before),
            (Gain::ExpiresAt, end(*expires_at) > end(theirs.expires_at)),
            (
                Gain::GraceEndsAt,
                end(*grace_ends_at) > end(theirs.grace_ends_at),
            ),
        ];
        gains
            .into_iter()
            .find_map(|(gain, is_so)| is_so.then_some(gain))
    }

    /// This record with the authority that both have. It is within both.
    ///
    /// `None` if they are records of different keys, or if the caveats of both are more than a set
    /// [may hold](crate::Caveats::MAX_LEN).
    pub fn meet(&self, other: &Self) -> Option<Self> {
        if self.gain_over(other).is_some_and(Gain::is_another_key) {
            return None;
        }
        let mut parts = self.to_parts();
        parts.scopes = self.scopes.intersection(&other.scopes);
        parts.caveats = self.caveats().union(other.caveats()).ok()?;
        parts.not_before = self.not_before.max(other.not_before);
        parts.expires_at = earlier(self.expires_at(), other.expires_at());
        parts.grace_ends_at = earlier(self.grace_ends_at(), other.grace_ends_at());
        parts.revocation = self.revocation().or(other.revocation());
        Some(parts.into())
    }
}

/// An end as it sorts: none at all is later than any time.
fn end(end: Option<Timestamp>) -> (bool, Option<Timestamp>) {
    (end.is_none(), end)
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    [one, other].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Caveats, KeyDigest, KeyId, KeyRecordParts, Realm, Revocation, RevocationReason, ScopeSet,
    };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn revoked(seconds: u64, reason: RevocationReason) -> Revocation {
        let at = at(seconds);
        Revocation::new(at, reason)
    }

    fn id(text: &str) -> KeyId {
        text.parse().unwrap()
    }

    /// A key in its grace period, with something to lose and to gain in every field.
    fn parts() -> KeyRecordParts {
        let (realm, digest) = (Realm::new("orders").unwrap(), KeyDigest::sha256(b"a"));
        let mut parts = KeyRecordParts::new(
            id("AAAAAAAAAAAA"),
            realm,
            digest,
            "alice".parse().unwrap(),
            at(10),
        );
        parts.scopes = "read write".parse().unwrap();
        parts.caveats = "moon=full".parse().unwrap();
        parts.not_before = at(20);
        parts.expires_at = Some(at(100));
        parts.grace_ends_at = Some(at(50));
        parts.pepper_version = Some(1);
        parts.prefix = Some("acme".parse().unwrap());
        parts
    }

    fn edited(edit: impl FnOnce(&mut KeyRecordParts)) -> KeyRecord {
        let mut parts = parts();
        edit(&mut parts);
        parts.into()
    }

    type Edit = fn(&mut KeyRecordParts);

    #[test]
    fn invariant_1_each_gain_is_found() {
        let before = KeyRecord::from(parts());
        let edits: [(Gain, Edit); 20] = [
            (Gain::Id, |it| it.id = id("BBBBBBBBBBBB")),
            (Gain::Realm, |it| it.realm = Realm::new("billing").unwrap()),
            (Gain::Digest, |it| it.digest = KeyDigest::sha256(b"b")),
            (Gain::PepperVersion, |it| it.pepper_version = None),
            (Gain::PepperVersion, |it| it.pepper_version = Some(2)),
            (Gain::Subject, |it| it.subject = "Alice".parse().unwrap()),
            (Gain::Lineage, |it| it.lineage = id("BBBBBBBBBBBB")),
            (Gain::Generation, |it| it.generation = 1),
            // A rotated key lives as long as the old one did, from its issue on.
            (Gain::IssuedAt, |it| it.issued_at = at(9)),
            (Gain::IssuedAt, |it| it.issued_at = at(11)),
            (Gain::Prefix, |it| it.prefix = None),
            (Gain::Scopes, |it| {
                it.scopes = "admin read write".parse().unwrap();
            }),
            (Gain::Scopes, |it| it.scopes = "admin".parse().unwrap()),
            (Gain::Caveats, |it| it.caveats = Caveats::none()),
            (Gain::Caveats, |it| {
                it.caveats = "moon=half".parse().unwrap();
            }),
            (Gain::NotBefore, |it| it.not_before = at(19)),
            (Gain::ExpiresAt, |it| it.expires_at = Some(at(101))),
            (Gain::ExpiresAt, |it| it.expires_at = None),
            (Gain::GraceEndsAt, |it| it.grace_ends_at = Some(at(51))),
            (Gain::GraceEndsAt, |it| it.grace_ends_at = None),
        ];
        for (gain, edit) in edits {
            let after = edited(edit);
            assert_eq!(after.gain_over(&before), Some(gain));
            assert!(!after.is_within(&before), "{gain}");
            let both = after.meet(&before);
            assert_eq!(both.is_none(), gain.is_another_key(), "{gain}");
            assert!(both.is_none_or(|it| it.is_within(&before)), "{gain}");
        }
    }

    #[test]
    fn invariant_2_a_revocation_that_is_gone_is_a_gain() {
        let reason = RevocationReason::KeyCompromise;
        let before = edited(|it| it.revocation = Some(revoked(30, reason)));
        let after = KeyRecord::from(parts());
        assert_eq!(after.gain_over(&before), Some(Gain::Revocation));
        assert_eq!(after.meet(&before), Some(before.clone()));
        assert!(before.is_within(&after));

        let other = edited(|it| it.revocation = Some(revoked(31, RevocationReason::Superseded)));
        assert!(other.is_within(&before) && before.is_within(&other));
        // A dead key gains nothing either.
        let wider = edited(|it| {
            it.revocation = Some(revoked(30, reason));
            it.scopes = "admin".parse().unwrap();
        });
        assert_eq!(wider.gain_over(&before), Some(Gain::Scopes));
    }

    #[test]
    fn less_is_within() {
        let before = KeyRecord::from(parts());
        let edits: [Edit; 9] = [
            |_| {},
            |it| it.scopes = ScopeSet::empty(),
            |it| it.scopes = "write".parse().unwrap(),
            |it| it.caveats = "moon=full net=10.0.0.0/8".parse().unwrap(),
            |it| it.not_before = at(21),
            |it| it.expires_at = Some(at(99)),
            |it| it.grace_ends_at = Some(at(0)),
            |it| it.revocation = Some(revoked(30, RevocationReason::Unspecified)),
            |it| {
                it.version = 7;
                it.label = Some("laptop".parse().unwrap());
                it.metadata = crate::Metadata::new([("team", "blue")]).unwrap();
            },
        ];
        for edit in edits {
            let after = edited(edit);
            assert_eq!(after.gain_over(&before), None, "{after:?}");
            assert_eq!(after.meet(&before), Some(after));
        }
        // The first end that is set.
        let endless = edited(|it| (it.expires_at, it.grace_ends_at) = (None, None));
        assert!(before.is_within(&endless));
        assert_eq!(endless.meet(&before), Some(before));
    }

    #[test]
    fn caveats_that_no_set_can_hold_have_no_meet() {
        let long = |letter: &str| {
            let texts: Vec<String> = (0..3)
                .map(|number| format!("{number}={}", letter.repeat(1_000)))
                .collect();
            edited(|it| it.caveats = texts.join(" ").parse().unwrap())
        };
        assert_eq!(long("a").meet(&long("b")), None);
        assert_eq!(long("a").meet(&long("a")), Some(long("a")));
    }
}
