//! What brings the record of a target nearer to that of a source.

use tower_api_key::store::Write;
use tower_api_key::{Gain, KeyRecord, Revocation};

/// How far a version is counted up. A database lets a version rise by one at a time, so each step is a
/// commit.
const MOST_VERSIONS: u64 = 100;

/// The next thing to do for a record.
#[derive(Debug)]
pub(super) enum Step {
    /// The target has the record, in the same state or in a later one.
    There,
    Write(Box<Write>),
    Revoke(Revocation),
    /// The target keeps what it has, for this reason.
    Differs(&'static str),
}

/// The step from the record that the target has, if it has one, to that of the source. `is_shrunk` is
/// whether this run has taken authority from it already.
///
/// A key only ever shrinks, so of two states of one key the smaller one is the later one, whatever the
/// versions say.
pub(super) fn step(source: &KeyRecord, there: Option<&KeyRecord>, is_shrunk: bool) -> Step {
    let Some(there) = there else {
        return Step::Write(Box::new(Write::new(source.clone())));
    };
    if source.digest() != there.digest() {
        return Step::Differs("another key of the target has its id");
    }
    if let (Some(revocation), None) = (source.revocation(), there.revocation()) {
        return Step::Revoke(revocation);
    }
    if let Some(field) = fixed(source, there) {
        return Step::Differs(field);
    }
    if let (None, Some(_)) = (source.revocation(), there.revocation()) {
        return Step::There;
    }
    if !there.is_within(source) {
        return match there.meet(source) {
            Some(both) => next(there, &both),
            None => {
                Step::Differs("the caveats of both records together are too long for one record")
            }
        };
    }
    let is_behind = there.version() < source.version();
    let can_follow = source.version().saturating_sub(there.version()) <= MOST_VERSIONS;
    if source.is_within(there) || is_shrunk {
        let is_described_alike =
            source.label() == there.label() && source.metadata() == there.metadata();
        return match (is_behind, is_described_alike) {
            (true, same) if can_follow || !same => next(there, &described(there, source)),
            (false, false) if source.version() == there.version() => {
                Step::Differs("its label or metadata is different in the target")
            }
            _ => Step::There,
        };
    }
    if is_behind && there.revocation().is_none() {
        return Step::Differs(
            "it has a higher version and more authority than the record of the target; a copy \
             never adds authority to a key",
        );
    }
    Step::There
}

/// The record of the target with the label and the metadata of the source, which are no authority. The
/// databases take their change by itself, so the target has shrunk before.
fn described(there: &KeyRecord, source: &KeyRecord) -> KeyRecord {
    let mut parts = there.to_parts();
    parts.label = source.label().cloned();
    parts.metadata = source.metadata().clone();
    parts.into()
}

fn next(there: &KeyRecord, record: &KeyRecord) -> Step {
    let write = Write::next(there, |parts| *parts = record.to_parts());
    Step::Write(Box::new(write))
}

/// A field that a database never changes, and that is not the same in both.
fn fixed(source: &KeyRecord, there: &KeyRecord) -> Option<&'static str> {
    if let Some(gain) = source.gain_over(there).filter(|gain| gain.is_another_key()) {
        return Some(match gain {
            Gain::Realm => "its realm is different in the target",
            Gain::Subject => "its subject is different in the target",
            Gain::PepperVersion => "its pepper version is different in the target",
            Gain::Lineage | Gain::Generation => {
                "its lineage or generation is different in the target"
            }
            Gain::IssuedAt => "its issued-at is different in the target",
            Gain::Prefix => "its prefix is different in the target",
            _ => "another key of the target has its id",
        });
    }
    if source.not_before() != there.not_before() {
        return Some("its not-before is different in the target");
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tower_api_key::store::Expected;
    use tower_api_key::{KeyDigest, KeyRecordParts, Realm, RevocationReason, Timestamp};

    use super::*;

    fn parts(version: u64, scopes: &str) -> KeyRecordParts {
        let id = "AAAAAAAAAAAA".parse().unwrap();
        let (realm, at) = (Realm::new("orders").unwrap(), Timestamp::from_unix(1));
        let mut parts = KeyRecordParts::new(
            id,
            realm,
            KeyDigest::sha256(b"a"),
            "alice".parse().unwrap(),
            at,
        );
        parts.scopes = scopes.parse().unwrap();
        parts.expires_at = Some(Timestamp::from_unix(100));
        parts.version = version;
        parts
    }

    /// The target's record after all steps, and the reason that ended them, if there was one.
    fn settled(
        source: &KeyRecordParts,
        there: &KeyRecordParts,
    ) -> (KeyRecordParts, Option<&'static str>) {
        let source = KeyRecord::from(source.clone());
        let mut there: Arc<KeyRecord> = there.clone().into();
        let mut is_shrunk = false;
        loop {
            match step(&source, Some(&there), is_shrunk) {
                Step::There => return (there.to_parts(), None),
                Step::Differs(why) => return (there.to_parts(), Some(why)),
                Step::Write(write) => {
                    let Write {
                        record, expected, ..
                    } = *write;
                    assert_eq!(expected, Expected::Version(there.version()));
                    assert_eq!(record.version(), there.version() + 1);
                    is_shrunk = true;
                    there = record;
                }
                Step::Revoke(revocation) => {
                    let mut parts = there.to_parts();
                    parts.revocation = Some(revocation);
                    parts.version += 1;
                    there = parts.into();
                }
            }
        }
    }

    #[test]
    fn invariant_1_of_two_states_the_target_gets_the_smaller_and_never_a_larger() {
        let caveat = |mut parts: KeyRecordParts, text: &str| {
            parts.caveats = text.parse().unwrap();
            parts
        };
        let end = |mut parts: KeyRecordParts, at| {
            parts.expires_at = at;
            parts
        };
        let replaced = |mut parts: KeyRecordParts| {
            parts.grace_ends_at = Some(Timestamp::from_unix(50));
            parts
        };
        let net = "net=10.0.0.0/8";
        let late = Some(Timestamp::from_unix(101));
        for (source, there, left) in [
            (parts(1, "r w"), parts(1, "r w"), Some(parts(1, "r w"))),
            (parts(4, "r"), parts(1, "r w"), Some(parts(4, "r"))),
            // Only the number is higher.
            (parts(3, "r"), parts(1, "r"), Some(parts(3, "r"))),
            // The target is ahead.
            (parts(1, "r w"), parts(2, "r"), Some(parts(2, "r"))),
            // A keys file has no versions.
            (parts(1, "r"), parts(2, "r w"), Some(parts(3, "r"))),
            // Each was narrowed by itself.
            (parts(4, "r x"), parts(2, "r w"), Some(parts(4, "r"))),
            (
                caveat(parts(2, "r"), net),
                parts(1, "r"),
                Some(caveat(parts(2, "r"), net)),
            ),
            (
                replaced(parts(2, "r")),
                parts(1, "r"),
                Some(replaced(parts(2, "r"))),
            ),
            // Wider by hand.
            (parts(2, "r w"), parts(1, "r"), None),
            (parts(2, "r"), caveat(parts(1, "r"), net), None),
            (end(parts(2, "r"), late), parts(1, "r"), None),
            (end(parts(2, "r"), None), parts(1, "r"), None),
            (parts(2, "r"), replaced(parts(1, "r")), None),
        ] {
            let (now, why) = settled(&source, &there);
            assert_eq!(why.is_some(), left.is_none(), "{source:?} {there:?}");
            assert_eq!(now, left.unwrap_or(there), "{source:?}");
            let again = settled(&source, &now);
            assert_eq!(again, (now, why), "a second run changes nothing");
        }
    }

    #[test]
    fn label_and_metadata_are_those_of_the_newer_version() {
        let labelled = |mut parts: KeyRecordParts, label: &str| {
            parts.label = label.parse().ok();
            parts.metadata = tower_api_key::Metadata::new([("of", label)]).unwrap();
            parts
        };
        let differs = Some("its label or metadata is different in the target");
        for (source, there, left, why) in [
            ((2, "r", "new"), (1, "r", "old"), (2, "r", "new"), None),
            ((1, "r", "old"), (2, "r", "new"), (2, "r", "new"), None),
            ((2, "r", "one"), (2, "r", "two"), (2, "r", "two"), differs),
            // It shrinks first, because a database takes either change by itself.
            ((3, "r", "new"), (1, "r w", "old"), (3, "r", "new"), None),
            ((1, "r w", "old"), (3, "r", "new"), (3, "r", "new"), None),
            ((1, "r", "one"), (1, "r w", "two"), (2, "r", "two"), None),
            // A version that is too far to follow.
            ((900, "r", "new"), (1, "r", "old"), (2, "r", "new"), None),
        ] {
            let of = |(version, scopes, label): (u64, &str, &str)| {
                labelled(parts(version, scopes), label)
            };
            let (source, left) = (of(source), of(left));
            assert_eq!(settled(&source, &of(there)), (left.clone(), why));
            assert_eq!(settled(&source, &left), (left, why), "a second run");
        }
    }

    #[test]
    fn invariant_2_a_revocation_of_either_side_is_for_good() {
        let revoked = |mut parts: KeyRecordParts| {
            parts.revocation = Some(Revocation::new(
                Timestamp::from_unix(7),
                RevocationReason::KeyCompromise,
            ));
            parts
        };
        let there = revoked(parts(2, "r"));
        for source in [parts(1, "r"), parts(9, "r w"), revoked(parts(1, "r w"))] {
            assert_eq!(settled(&source, &there), (there.clone(), None));
        }
        // Whatever the version, and whatever else differs.
        let mut source = revoked(parts(1, "r"));
        assert_eq!(
            settled(&source, &parts(8, "r")),
            (revoked(parts(9, "r")), None)
        );
        source.subject = "bob".parse().unwrap();
        let (now, why) = settled(&source, &parts(8, "r"));
        assert_eq!(now, revoked(parts(9, "r")));
        assert_eq!(why, Some("its subject is different in the target"));
        source.digest = KeyDigest::sha256(b"b");
        let (now, why) = settled(&source, &parts(8, "r"));
        assert_eq!(now, parts(8, "r"), "this is another key");
        assert_eq!(why, Some("another key of the target has its id"));
    }

    #[test]
    fn a_version_at_the_end_of_the_column_is_not_followed() {
        let mut source = parts(u64::MAX, "r");
        assert_eq!(settled(&source, &parts(1, "r")), (parts(1, "r"), None));
        source.version = 101;
        assert_eq!(settled(&source, &parts(1, "r")).0.version, 101);
    }
}
