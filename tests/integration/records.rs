//! The state of a record at a time, to the second.

use tower_api_key::{
    KeyDigest, KeyRecord, KeyRecordParts, KeyState, Realm, Revocation, RevocationReason, Timestamp,
};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

/// A key that is valid from 100 and expires at 200, except for the test's changes.
fn record(edit: impl FnOnce(&mut KeyRecordParts)) -> KeyRecord {
    let id = "keykeykey001".parse().unwrap();
    let mut parts = KeyRecordParts::new(
        id,
        Realm::new("orders").unwrap(),
        KeyDigest::from_bytes([7; 32]),
        "alice".parse().unwrap(),
        at(90),
    );
    parts.not_before = at(100);
    parts.expires_at = Some(at(200));
    edit(&mut parts);
    parts.into()
}

fn revoked(parts: &mut KeyRecordParts, seconds: u64, reason: RevocationReason) {
    let at = at(seconds);
    parts.revocation = Some(Revocation::new(at, reason));
}

#[track_caller]
fn assert_states<const N: usize>(record: &KeyRecord, states: [(u64, KeyState); N]) {
    for (seconds, state) in states {
        assert_eq!(record.state_at(at(seconds)), state, "at {seconds}");
        let live = state == KeyState::Live;
        assert_eq!(record.is_live_at(at(seconds)), live, "at {seconds}");
    }
}

#[test]
fn invariant_10_a_key_lives_from_its_start_until_just_before_its_end() {
    let expiring = record(|_| {});
    assert_states(
        &expiring,
        [
            (0, KeyState::NotYetValid),
            (99, KeyState::NotYetValid),
            (100, KeyState::Live),
            (199, KeyState::Live),
            (200, KeyState::Expired),
            (u64::MAX, KeyState::Expired),
        ],
    );
    assert_eq!(expiring.valid_until(), at(200));
    assert_eq!(expiring.ended_at(), Some(at(200)));

    let rotated = record(|parts| parts.grace_ends_at = Some(at(150)));
    assert_states(
        &rotated,
        [
            (99, KeyState::NotYetValid),
            (149, KeyState::Live),
            (150, KeyState::Replaced),
            (200, KeyState::Replaced),
        ],
    );
    assert_eq!(rotated.ended_at(), Some(at(150)));

    let endless = record(|parts| parts.expires_at = None);
    assert_states(
        &endless,
        [
            (100, KeyState::Live),
            (u64::MAX - 1, KeyState::Live),
            (u64::MAX, KeyState::Expired),
        ],
    );
    assert_eq!(endless.valid_until(), Timestamp::MAX);
    assert_eq!(endless.ended_at(), None);
}

#[test]
fn a_key_whose_end_has_passed_before_its_start_is_over() {
    let never = record(|parts| parts.grace_ends_at = Some(at(95)));
    assert_states(
        &never,
        [
            (94, KeyState::NotYetValid),
            (95, KeyState::Replaced),
            (100, KeyState::Replaced),
        ],
    );
}

#[test]
fn a_revoked_key_is_revoked_at_any_time() {
    let dead = record(|parts| revoked(parts, 120, RevocationReason::KeyCompromise));
    assert_states(
        &dead,
        [
            (0, KeyState::Revoked),
            (100, KeyState::Revoked),
            (119, KeyState::Revoked),
            (200, KeyState::Revoked),
        ],
    );
    assert_eq!(dead.valid_until(), at(0));
    assert_eq!(dead.ended_at(), Some(at(120)));
}

#[test]
fn a_key_is_replaced_when_it_was_superseded_or_its_grace_is_over() {
    let rotated = record(|parts| parts.grace_ends_at = Some(at(150)));
    let superseded = record(|parts| revoked(parts, 120, RevocationReason::Superseded));
    let cut_short = record(|parts| {
        parts.grace_ends_at = Some(at(150));
        revoked(parts, 120, RevocationReason::PrivilegeWithdrawn);
    });
    let cut_for_another = record(|parts| {
        parts.grace_ends_at = Some(at(150));
        revoked(parts, 120, RevocationReason::Superseded);
    });
    let revoked = record(|parts| revoked(parts, 120, RevocationReason::KeyCompromise));
    for (record, seconds, replaced) in [
        (&rotated, 149, false),
        (&rotated, 150, true),
        (&superseded, 120, true),
        (&superseded, 0, true),
        (&cut_short, 149, false),
        (&cut_short, 150, true),
        (&cut_for_another, 149, false),
        (&cut_for_another, 150, true),
        (&revoked, 200, false),
        (&record(|_| {}), 200, false),
    ] {
        let now = at(seconds);
        assert_eq!(record.is_replaced_at(now), replaced, "{record:?} at {now}");
    }
}
