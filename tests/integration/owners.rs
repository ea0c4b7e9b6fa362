//! Rights that live in the application's own table: the ceiling of a key's owner.

mod watched;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use tower::Layer;
use tower_api_key::store::{BoxFuture, KeyStore, MemoryStore, StoreErrorKind};
use tower_api_key::{
    ApiKeyLayer, ErrorKind, Facts, Grant, InvalidCause, KeyRing, KeyRingBuilder, ManualClock,
    Owner, OwnerAnswer, Pepper, RejectionKind, RevocationReason, SecretKey, Subject, VerifiedKey,
    VerifyErrorKind,
};

use crate::events::Later;
use crate::support::{Inner, ObservedStore, START, issue, key, poll_once, send, with_key};

/// What the table says of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Within(&'static str),
    Unrestricted,
    Refused,
    Fails,
    Panics,
    Never,
}

/// The application's table, with one row for all users.
#[derive(Clone)]
struct Table {
    row: Arc<Mutex<Says>>,
    questions: Arc<AtomicUsize>,
}

/// The row of a user, as a handler needs it.
#[derive(Debug, PartialEq, Eq)]
struct User(String);

impl Table {
    fn new(says: Says) -> Self {
        Self {
            row: Arc::new(Mutex::new(says)),
            questions: Arc::default(),
        }
    }

    fn set(&self, says: Says) {
        *self.row.lock().unwrap() = says;
    }

    fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }

    fn owners(&self) -> impl Fn(Subject) -> BoxFuture<'static, OwnerAnswer> + Send + Sync + use<> {
        let table = self.clone();
        move |subject: Subject| {
            table.questions.fetch_add(1, Ordering::SeqCst);
            let says = *table.row.lock().unwrap();
            Box::pin(async move {
                tokio::task::yield_now().await;
                let owner = match says {
                    Says::Within(ceiling) => Owner::within(ceiling.parse()?),
                    Says::Unrestricted => Owner::unrestricted(),
                    Says::Refused => return Ok(None),
                    Says::Fails => return Err("the table of users is gone".into()),
                    Says::Panics => panic!("a bug in the application"),
                    Says::Never => std::future::pending().await,
                };
                Ok(Some(owner.principal(User(subject.to_string()))))
            })
        }
    }
}

fn builder(table: &Table) -> (KeyRingBuilder, ManualClock) {
    let clock = ManualClock::new(START);
    let builder = KeyRing::builder("acme").realm("orders");
    (builder.clock(clock.clone()).owners(table.owners()), clock)
}

fn ring_over(table: &Table, store: impl KeyStore) -> KeyRing {
    builder(table).0.build(store).unwrap()
}

async fn scopes(ring: &KeyRing, key: &str) -> Result<String, VerifyErrorKind> {
    let verdict = ring.verify(key.as_bytes()).await;
    let verdict = verdict.map(|key| key.scopes().to_string());
    verdict.map_err(|error| error.kind())
}

const REFUSED: VerifyErrorKind = VerifyErrorKind::Invalid(InvalidCause::OwnerRefused);

/// Every way by which a ring comes to a verdict: in memory, from a store that answers at once or later, by an
/// earlier pepper at once or later, and of a key that is moved when it is presented.
async fn every_way(table: &Table) -> Vec<(&'static str, KeyRing, String)> {
    const OLD: &str = "k7.Zr01mLw8Vx6pTe2NdUu71Bc9XyQw33r";
    let pepper = |version| Pepper::new(version, vec![u8::try_from(version).unwrap(); 32]).unwrap();
    let mut ways = Vec::new();
    for (name, store) in [
        (
            "in memory",
            Arc::new(MemoryStore::new()) as Arc<dyn KeyStore>,
        ),
        ("at once", Arc::new(ObservedStore::new())),
        ("later", Arc::new(ObservedStore::new().answering_later())),
    ] {
        let ring = ring_over(table, Arc::clone(&store));
        let minted = key(&ring, "read write").await;
        ways.push((name, ring, minted));

        let issuing = builder(table).0.pepper(pepper(1)).realm("peppered");
        let issuing = issuing.build(Arc::clone(&store)).unwrap();
        let peppered = key(&issuing, "read write").await;
        let rotated = builder(table).0.pepper(pepper(2)).earlier_pepper(pepper(1));
        let rotated = rotated.realm("peppered").build(Arc::clone(&store)).unwrap();
        ways.push((name, rotated, peppered));

        let moving = builder(table).0.unlimited_lifetime();
        let moving = moving.unknown_keys(|_: SecretKey| async {
            let grant = Grant::new("alice").scopes("read write").never_expires();
            Ok(Some(grant.into()))
        });
        let moving = moving.realm("moved").build(Arc::new(Later {
            store: Arc::clone(&store),
        }));
        // The digest of a key is in one realm of a store.
        if name != "later" {
            ways.push((name, moving.unwrap(), OLD.to_owned()));
        }
    }
    ways
}

#[tokio::test]
async fn r01_a_ceiling_takes_away_by_every_way_to_a_verdict_and_adds_nothing() {
    let table = Table::new(Says::Unrestricted);
    for (way, ring, key) in every_way(&table).await {
        table.set(Says::Unrestricted);
        assert_eq!(scopes(&ring, &key).await.unwrap(), "read write", "{way}");
        for (ceiling, left) in [
            ("read", "read"),
            ("admin write", "write"),
            ("admin", ""),
            ("admin read write", "read write"),
        ] {
            table.set(Says::Within(ceiling));
            assert_eq!(scopes(&ring, &key).await.unwrap(), left, "{way}");
            let presented = ring.verify(key.as_bytes()).await.unwrap();
            assert_eq!(presented.principal(), Some(&User("alice".to_owned())));
            assert_eq!(presented.principal::<String>(), None);
        }
        table.set(Says::Refused);
        assert_eq!(scopes(&ring, &key).await, Err(REFUSED), "{way}");
        for says in [Says::Fails, Says::Panics] {
            table.set(says);
            let unavailable = Err(VerifyErrorKind::StoreUnavailable);
            assert_eq!(scopes(&ring, &key).await, unavailable, "{way}");
        }
    }
}

#[tokio::test]
async fn r01_no_key_waits_for_the_promotion_of_its_owner() {
    let table = Table::new(Says::Within("read"));
    let (builder, _) = builder(&table);
    let ring = builder.accept_imports().build(MemoryStore::new()).unwrap();
    let wide = || Grant::new("alice").scopes("read write");
    let day = Duration::from_hours(24);
    let old = "k7.Zr01mLw8Vx6pTe2NdUu71Bc9XyQw33r";
    let id = issue(&ring, "read").await.id();
    let refused = async |expected: ErrorKind| {
        let import = || wide().expires_in(day);
        let many = [(import().into(), tower_api_key::OldKey::plaintext(old))];
        let errors = [
            ring.issue(wide()).await.unwrap_err(),
            ring.regrant(id, wide()).await.unwrap_err(),
            ring.import_plaintext(import(), old).await.unwrap_err(),
            ring.import_many(many).await.unwrap().remove(0).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), expected);
        }
    };
    refused(ErrorKind::ScopeNotGrantable).await;
    table.set(Says::Refused);
    refused(ErrorKind::OwnerRefused).await;
    table.set(Says::Within("read write"));
    ring.regrant(id, wide()).await.unwrap();
}

/// The application changes the user and the key in one transaction, which the owners do not see.
#[tokio::test]
async fn a_transaction_issues_beyond_the_ceiling_of_before_and_accepts_nothing_beyond_it() {
    let table = Table::new(Says::Within("read"));
    let store = MemoryStore::new();
    let ring = ring_over(&table, store.clone());
    let mut unannounced = tower_api_key::Unannounced::new();
    let within = ring.over(store, &mut unannounced);
    let before = table.questions();
    let issued = within.issue(Grant::new("alice").scopes("read write")).await;
    let key = issued.unwrap().into_secret();
    assert_eq!(table.questions(), before);
    for ring in [&within, &ring] {
        assert_eq!(scopes(ring, key.expose()).await.unwrap(), "read");
    }
    table.set(Says::Within("read write"));
    assert_eq!(scopes(&ring, key.expose()).await.unwrap(), "read write");
}

#[tokio::test]
async fn the_grantable_scopes_of_the_ring_count_beside_the_ceiling() {
    let table = Table::new(Says::Within("read write"));
    let ring = builder(&table).0.grantable_scopes("read admin");
    let ring = ring.build(MemoryStore::new()).unwrap();
    for (scope, expected) in [("read", None), ("write", Some(())), ("admin", Some(()))] {
        let issued = ring.issue(Grant::new("alice").scopes(scope)).await;
        let refused = issued.err().map(|error| error.kind());
        assert_eq!(refused, expected.map(|()| ErrorKind::ScopeNotGrantable));
    }
}

#[tokio::test]
async fn r25_a_refused_owner_gets_the_response_of_an_unknown_key() {
    let table = Table::new(Says::Within("read"));
    let ring = ring_over(&table, MemoryStore::new());
    let (read, inner) = (key(&ring, "read").await, Inner::new());
    let service = ApiKeyLayer::new(ring.clone())
        .require("read")
        .layer(inner.clone());
    assert_eq!(send(&service, with_key(&read)).await.status, StatusCode::OK);
    let user = inner.last().extensions.get::<VerifiedKey>().cloned();
    assert_eq!(user.unwrap().principal(), Some(&User("alice".to_owned())));

    table.set(Says::Within("write"));
    let demoted = send(&service, with_key(&read)).await;
    assert_eq!(demoted.kind(), Some(RejectionKind::InsufficientScope));
    assert_eq!(demoted.status, StatusCode::FORBIDDEN);
    assert_eq!(
        demoted.values("www-authenticate"),
        ["ApiKey realm=\"orders\", error=\"insufficient_scope\", scope=\"read\""]
    );

    table.set(Says::Refused);
    let refused = send(&service, with_key(&read)).await;
    let rejection = refused.rejection.as_ref().unwrap();
    assert_eq!(rejection.cause(), Some(InvalidCause::OwnerRefused));
    let unknown = key(&crate::support::ring(), "read").await;
    let unknown = send(&service, with_key(&unknown)).await;
    assert_eq!(unknown.kind(), Some(RejectionKind::Invalid));
    assert_eq!(
        (refused.status, &refused.headers, &refused.body),
        (unknown.status, &unknown.headers, &unknown.body)
    );

    table.set(Says::Fails);
    let failed = send(&service, with_key(&read)).await;
    assert_eq!(failed.status, StatusCode::SERVICE_UNAVAILABLE);
    let rejection = failed.rejection.unwrap();
    let store = std::error::Error::source(&rejection).unwrap();
    let cause = store.source().unwrap().to_string();
    assert_eq!(cause, "the table of users is gone");
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn no_question_is_asked_about_a_key_that_its_record_refuses() {
    let table = Table::new(Says::Unrestricted);
    let ring = ring_over(&table, MemoryStore::new());
    let revoked = issue(&ring, "read").await;
    ring.revoke(revoked.id(), RevocationReason::KeyCompromise)
        .await
        .unwrap();
    let before = table.questions();
    let unknown = key(&crate::support::ring(), "read").await;
    for key in [revoked.secret().expose(), &unknown, "nonsense"] {
        scopes(&ring, key).await.unwrap_err();
    }
    assert_eq!(table.questions(), before);
    let live = key(&ring, "read").await;
    let before = table.questions();
    scopes(&ring, &live).await.unwrap();
    assert_eq!(table.questions(), before + 1);
}

#[tokio::test]
async fn r20_a_table_that_never_answers_is_a_503_within_the_bound_and_takes_no_more_places() {
    let table = Table::new(Says::Unrestricted);
    let (builder, clock) = builder(&table);
    let ring = builder.max_pending_lookups(2).build(MemoryStore::new());
    let ring = ring.unwrap();
    let key = key(&ring, "read").await;
    table.set(Says::Never);
    let mut waiting: Vec<_> = (0..2)
        .map(|_| Box::pin(ring.verify(key.as_bytes())))
        .collect();
    for verdict in &mut waiting {
        assert!(poll_once(verdict).is_pending());
    }
    let beyond = ring.verify(key.as_bytes()).await.unwrap_err();
    assert_eq!(beyond.kind(), VerifyErrorKind::StoreUnavailable);
    let source = std::error::Error::source(&beyond).unwrap();
    let source = source.downcast_ref::<tower_api_key::store::StoreError>();
    assert_eq!(source.unwrap().kind(), StoreErrorKind::Overloaded);
    assert!(beyond.key_id().is_some(), "the key itself was proven");

    clock.advance(Duration::from_secs(2));
    for verdict in waiting {
        let error = verdict.await.unwrap_err();
        assert_eq!(error.kind(), VerifyErrorKind::StoreUnavailable);
    }
    table.set(Says::Unrestricted);
    ring.verify(key.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_key_whose_owner_is_refused_is_not_used() {
    let table = Table::new(Says::Unrestricted);
    let store = MemoryStore::new();
    let ring = builder(&table).0.track_last_use().build(store.clone());
    let ring = ring.unwrap();
    let issued = issue(&ring, "read").await;
    let used = async || {
        ring.record_uses().await.unwrap();
        store.last_uses(ring.realm(), &[issued.id()]).await.unwrap()[0]
    };
    for says in [Says::Refused, Says::Fails] {
        table.set(says);
        scopes(&ring, issued.secret().expose()).await.unwrap_err();
        assert_eq!(used().await, None, "{says:?}");
    }
    table.set(Says::Within("write"));
    scopes(&ring, issued.secret().expose()).await.unwrap();
    assert_eq!(used().await, Some(START));
}

#[tokio::test]
async fn r32_a_stream_that_asks_again_has_the_scopes_of_now_and_no_replaced_key_is_reported() {
    for later in [false, true] {
        let table = Table::new(Says::Unrestricted);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let events = Arc::clone(&heard);
        let (builder, _) = builder(&table);
        let builder = builder.observer(tower_api_key::observer_fn(
            move |event: &tower_api_key::Event<'_>| events.lock().unwrap().push(event.kind()),
        ));
        let store = if later {
            ObservedStore::new().answering_later()
        } else {
            ObservedStore::new()
        };
        let ring = builder.build(store).unwrap();
        let issued = issue(&ring, "read write").await;
        let presented = issued.secret().expose().as_bytes();
        let key = ring.verify(presented).await.unwrap();
        table.set(Says::Within("read"));
        let again = ring.verify_again(&key, Facts::none()).await.unwrap();
        assert_eq!(again.scopes().as_str(), "read");
        // No verdict builds on another: what a ceiling took is there again, and no more.
        table.set(Says::Within("admin read write"));
        let again = ring.verify_again(&again, Facts::none()).await.unwrap();
        assert_eq!(again.scopes().as_str(), "read write");
        table.set(Says::Refused);
        let refused = ring.verify_again(&key, Facts::none()).await.unwrap_err();
        assert_eq!(refused.kind(), REFUSED);
        table.set(Says::Unrestricted);
        ring.rotate_now(issued.id()).await.unwrap();
        let replaced = VerifyErrorKind::Invalid(InvalidCause::Replaced);
        let refused = ring.verify_again(&key, Facts::none()).await.unwrap_err();
        assert_eq!(refused.kind(), replaced);
        let reuse = tower_api_key::EventKind::Reuse;
        assert!(!heard.lock().unwrap().contains(&reuse));
        assert_eq!(ring.verify(presented).await.unwrap_err().kind(), replaced);
        assert!(heard.lock().unwrap().contains(&reuse));
    }
}
