//! A refused file grants nothing, but its removals apply.

use std::time::Duration;

use tower_api_key::store::StoreErrorKind::{self, Conflict, Corrupt};
use tower_api_key::{Grant, InvalidCause, KeyRing, ManualClock, ScopeSet, Timestamp};
use tower_api_key_file::FileStore;

use super::{Kept, Key};
use tower_api_key_test_support::folder::Folder;
use tower_api_key_test_support::support::{START, ring};

const REALM: &str = "realm = \"orders\"\n";

async fn three() -> (Kept, [Key; 3]) {
    let keys = [Key::mint().await, Key::mint().await, Key::mint().await];
    let text: String = keys.iter().map(Key::alice).collect();
    (Kept::new(&format!("{REALM}{text}")), keys)
}

fn refused(kept: &Kept, text: &str, kind: StoreErrorKind) -> String {
    let error = kept.reload(text).unwrap_err();
    assert_eq!(error.kind(), kind, "{error:?}");
    super::message_of(&error, &kept.path)
}

const LIVES: Result<&str, InvalidCause> = Ok("alice read write");

async fn verdicts(kept: &Kept, keys: &[Key; 3], expected: [Result<&str, InvalidCause>; 3]) {
    for (key, expected) in keys.iter().zip(expected) {
        assert_eq!(kept.verify(key).await, expected.map(str::to_owned));
    }
}

#[tokio::test]
async fn a_gain_holds_back_no_revocation_and_no_narrowing() {
    let (kept, keys) = three().await;
    let new = Key::mint().await;
    let gains = keys[0]
        .alice()
        .replace("\"write\"]", "\"write\", \"admin\"]");
    let narrow = keys[1]
        .alice()
        .replace("[\"read\", \"write\"]", "[\"read\"]");
    let text = format!("{REALM}{gains}{narrow}{}", new.alice());
    let message = refused(&kept, &text, Conflict);
    assert!(
        message.starts_with(", line 3: scopes: this key did not have all"),
        "{message}"
    );
    assert!(message.contains("; revoked anyway: 1 ("), "{message}");
    assert!(message.contains("; narrowed anyway: 1 ("), "{message}");
    let dead = Err(InvalidCause::Revoked);
    verdicts(&kept, &keys, [LIVES, Ok("alice read"), dead]).await;
    assert_eq!(kept.verify(&new).await, Err(InvalidCause::Unknown));
}

#[tokio::test]
async fn a_gain_holds_back_no_caveat() {
    let (kept, keys) = three().await;
    let gains = keys[0]
        .alice()
        .replace("\"write\"]", "\"write\", \"admin\"]");
    let restricted = keys[1]
        .alice()
        .replace("\"write\"]", "\"write\"]\ncaveats = [\"net=10.0.0.0/8\"]");
    let text = format!("{REALM}{gains}{restricted}{}", keys[2].alice());
    let message = refused(&kept, &text, Conflict);
    assert!(message.contains("; narrowed anyway: 1 ("), "{message}");
    let unmet = Err(InvalidCause::CaveatNotMet);
    verdicts(&kept, &keys, [LIVES, unmet, LIVES]).await;
}

#[tokio::test]
async fn a_field_that_cannot_be_read_holds_back_no_revocation() {
    for (good, bad) in [
        ("subject = \"alice\"", "subject = 7"),
        ("1900000000", "1900000000000"),
        ("scopes", "scope"),
    ] {
        let (kept, keys) = three().await;
        let text = format!(
            "{REALM}{}{}",
            keys[0].alice().replace(good, bad),
            keys[1].alice()
        );
        let message = refused(&kept, &text, Corrupt);
        assert!(message.contains("; revoked anyway: 1 ("), "{message}");
        verdicts(&kept, &keys, [LIVES, LIVES, Err(InvalidCause::Revoked)]).await;
    }
}

#[tokio::test]
async fn an_entry_without_a_name_may_be_any_missing_key_and_the_others_shrink() {
    let (kept, keys) = three().await;
    let nameless = keys[0].alice().replace(&keys[0].digest, "deadbeef");
    let ended = keys[1].alice().replace("1900000000", &START.to_string());
    let message = refused(&kept, &format!("{REALM}{nameless}{ended}"), Corrupt);
    assert!(message.contains("; narrowed anyway: 1 ("), "{message}");
    let rest = "; not revoked, because an entry has no readable digest: 2";
    assert!(message.ends_with(rest), "{message}");
    verdicts(&kept, &keys, [LIVES, Err(InvalidCause::Expired), LIVES]).await;
}

#[tokio::test]
async fn what_is_no_document_takes_nothing_away() {
    let (kept, keys) = three().await;
    let half = format!("{REALM}{}[[keys]]\ndigest = \"", keys[0].alice());
    for text in [
        "",
        "# nothing\n",
        "keys = 7",
        "keys = {}",
        REALM,
        &half,
        "\u{0}",
    ] {
        let message = refused(&kept, text, Corrupt);
        assert!(!message.contains("all the same"), "{message}");
        verdicts(&kept, &keys, [LIVES, LIVES, LIVES]).await;
    }
}

#[tokio::test]
async fn times_beyond_the_year_9999_and_lifetimes_beyond_100_years_are_refused() {
    async fn kind(ring: &KeyRing, grant: Grant) -> Option<tower_api_key::ErrorKind> {
        ring.issue(grant).await.err().map(|error| error.kind())
    }
    let ring = KeyRing::builder("acme")
        .realm("orders")
        .unlimited_lifetime()
        .build(tower_api_key::store::MemoryStore::new())
        .unwrap();
    let invalid = Some(tower_api_key::ErrorKind::InvalidLifetime);
    let grant = || Grant::new("alice");
    let last = Timestamp::LAST_YEAR;
    let beyond = Timestamp::from_unix(last.as_unix() + 1);
    assert_eq!(kind(&ring, grant().expires_at(last)).await, None);
    assert_eq!(kind(&ring, grant().expires_at(beyond)).await, invalid);
    assert_eq!(
        kind(&ring, grant().not_before(beyond).never_expires()).await,
        invalid
    );
    let years = std::time::Duration::from_hours(100 * 8766);
    assert_eq!(kind(&ring, grant().expires_in(years)).await, None);
    let longer = years + std::time::Duration::from_secs(1);
    assert_eq!(kind(&ring, grant().expires_in(longer)).await, invalid);
    assert_eq!(
        kind(&self::ring(), grant().expires_in(longer)).await,
        invalid
    );
}

/// An entry beyond the store's limits is refused like one that gains rights, at the start and later.
#[tokio::test]
async fn r04_r33_a_file_grants_no_more_than_the_store_may() {
    let key = Key::mint().await;
    let text = format!("{REALM}{}", key.alice());
    let never = text.replace("expires_at = 1900000000", "never_expires = true");
    let folder = Folder::new();
    let path = folder.path().join("keys.toml");
    let days = |days: u64| Duration::from_hours(24 * days);
    let options = || {
        FileStore::options()
            .unwatched()
            .clock(ManualClock::new(START))
    };
    let beyond = "expires_at: the longest lifetime of this store is 24h from now";
    let scopes = |text: &str| text.parse::<ScopeSet>().unwrap();
    for (options, text, refusal) in [
        (options(), &never, None),
        (options().max_lifetime(days(2_000)), &text, None),
        (options().max_lifetime(days(1)), &text, Some(beyond)),
        (options().max_lifetime(days(1)), &never, Some(beyond)),
        (
            options().grantable_scopes(scopes("read write")),
            &text,
            None,
        ),
        (
            options().grantable_scopes(scopes("read")),
            &text,
            Some("scopes: this store grants only read"),
        ),
    ] {
        super::write(&path, text);
        let opened = options.open(&path).map(drop).map_err(|error| {
            assert_eq!(error.kind(), Conflict);
            super::message_of(&error, &path)
        });
        let expected = refusal.map_or(Ok(()), |refusal| Err(format!(", line 3: {refusal}")));
        assert_eq!(opened, expected);
    }

    // If the clock fails, no lifetime is short enough.
    super::write(&path, &text);
    let broken = FileStore::options()
        .unwatched()
        .clock(ManualClock::new(Timestamp::MAX));
    let error = broken.max_lifetime(days(2_000)).open(&path).unwrap_err();
    assert_eq!(error.kind(), Conflict);
}

/// A key that has expired does not count, and each subject is counted separately.
#[tokio::test]
async fn r04_a_subject_holds_no_more_keys_of_a_file_than_the_store_lets_it() {
    let keys = [Key::mint().await, Key::mint().await, Key::mint().await];
    let expired = keys[1].alice().replace("1900000000", "1790000000");
    let bob = keys[1].alice().replace("alice", "bob");
    let text = |entries: &[&str]| format!("{REALM}{}", entries.concat());
    let [first, second, third] = keys.each_ref().map(Key::alice);
    let folder = Folder::new();
    let path = folder.path().join("keys.toml");
    let entry_lines = first.lines().count();
    for (limit, text, refused_at) in [
        (2, text(&[&first, &second]), None),
        (1, text(&[&first, &bob]), None),
        (1, text(&[&first, &expired]), None),
        (1, text(&[&first, &second]), Some(3 + entry_lines)),
        (2, text(&[&first, &expired, &third]), None),
        (
            2,
            text(&[&first, &second, &third]),
            Some(3 + 2 * entry_lines),
        ),
    ] {
        super::write(&path, &text);
        let options = FileStore::options()
            .unwatched()
            .clock(ManualClock::new(START))
            .max_keys_per_subject(limit);
        let opened = options.open(&path).map(drop).map_err(|error| {
            assert_eq!(error.kind(), Conflict);
            super::message_of(&error, &path)
        });
        let expected = refused_at.map_or(Ok(()), |line| {
            Err(format!(
                ", line {line}: subject: this store lets a subject hold {limit} keys"
            ))
        });
        assert_eq!(opened, expected, "{text}");
    }
}
