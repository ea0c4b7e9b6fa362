//! A key that gets another label and other metadata.

use tower_api_key::{Description, ErrorKind, Grant, KeyRecordParts, Metadata, RevocationReason};

use super::{DAY, House, MINUTE, verdict};

fn texts() -> Description {
    Description::new()
        .label("desk")
        .metadata([("team", "blue"), ("cost centre", "7")])
}

#[tokio::test]
async fn invariant_1_a_description_changes_label_and_metadata_alone() {
    let house = House::new();
    let ring = house.recorded("orders", |builder| builder);
    let grant = Grant::new("alice").scopes(["read"]).label("laptop");
    let issued = ring.issue(grant).await.unwrap();
    let rotated = ring.rotate(issued.id(), MINUTE).await.unwrap();
    house.changes();

    let before = ring.get(issued.id()).await.unwrap().unwrap();
    let described = ring.describe(issued.id(), texts()).await.unwrap();
    let [change] = &house.changes()[..] else {
        panic!("a description is one commit");
    };
    assert_eq!(change.writes().len(), 1, "its lineage is left as it is");
    let mut expected: KeyRecordParts = before.to_parts();
    expected.label = Some("desk".parse().unwrap());
    expected.metadata = Metadata::new([("cost centre", "7"), ("team", "blue")]).unwrap();
    expected.version += 1;
    assert_eq!(described.to_parts(), expected);
    assert_eq!(ring.get(issued.id()).await.unwrap(), Some(described));
    assert_eq!(verdict(&ring, &issued).await, Ok("read".to_owned()));
    let key = ring.verify(issued.secret().expose().as_bytes()).await;
    assert_eq!(key.unwrap().label().unwrap(), "desk");

    let other = ring.get(rotated.id()).await.unwrap().unwrap();
    assert_eq!(other.label().unwrap(), "laptop");
    let cleared = Description::new().no_label();
    let cleared = ring.describe(issued.id(), cleared).await.unwrap();
    assert_eq!((cleared.label(), cleared.metadata().len()), (None, 2));
    let cleared = Description::new().metadata(Metadata::none());
    let cleared = ring.describe(issued.id(), cleared).await.unwrap();
    assert!(cleared.metadata().is_empty());
}

#[tokio::test]
async fn a_description_that_changes_nothing_is_no_commit() {
    let house = House::new();
    let ring = house.recorded("orders", |builder| builder);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let described = ring.describe(issued.id(), texts()).await.unwrap();
    house.changes();
    for same in [
        texts(),
        Description::new(),
        Description::new().label("desk"),
    ] {
        let record = ring.describe(issued.id(), same).await.unwrap();
        assert_eq!(record, described);
    }
    assert_eq!(house.changes().len(), 0);
}

#[tokio::test]
async fn invariant_2_the_record_of_a_dead_key_is_described_and_stays_dead() {
    let house = House::new();
    let ring = house.ring("orders", |builder| builder);
    let revoked = ring.issue(Grant::new("alice")).await.unwrap();
    let expired = ring
        .issue(Grant::new("alice").expires_in(MINUTE))
        .await
        .unwrap();
    let reason = RevocationReason::KeyCompromise;
    ring.revoke(revoked.id(), reason).await.unwrap();
    house.clock.advance(DAY);
    for issued in [&revoked, &expired] {
        let before = verdict(&ring, issued).await.unwrap_err();
        let described = ring.describe(issued.id(), texts()).await.unwrap();
        assert_eq!(described.label().unwrap(), "desk");
        assert_eq!(verdict(&ring, issued).await, Err(before));
    }
    let record = ring.get(revoked.id()).await.unwrap().unwrap();
    assert_eq!(record.revocation().unwrap().reason, reason);
}

#[tokio::test]
async fn a_description_that_cannot_be_parsed_changes_nothing() {
    let house = House::new();
    let ring = house.ring("orders", |builder| builder);
    let elsewhere = house.ring("billing", |builder| builder);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let label = ErrorKind::InvalidLabel;
    let metadata = ErrorKind::InvalidMetadata;
    let long = "x".repeat(9_000);
    for (description, kind) in [
        (Description::new().label("a\nb"), label),
        (Description::new().label("a\nb").label("desk"), label),
        (
            Description::new().label("a\nb").metadata([("a", "\0")]),
            label,
        ),
        (texts().metadata([("a", "\0")]), metadata),
        (texts().metadata([("a", long)]), metadata),
    ] {
        let text = tower_api_key::Error::from(kind).to_string();
        let outcome = ring.describe(issued.id(), description);
        house.assert_refused(outcome, kind, &text).await;
    }
    let text = tower_api_key::Error::from(ErrorKind::NotFound).to_string();
    let outcome = elsewhere.describe(issued.id(), texts());
    house
        .assert_refused(outcome, ErrorKind::NotFound, &text)
        .await;
}
