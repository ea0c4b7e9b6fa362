//! The output of every type that held the key, and the data that a store can reveal.

use std::sync::{Arc, Mutex};

use http::HeaderValue;
use tower::{Layer, Service, ServiceExt};
use tower_api_key::store::{KeyStore, ListQuery, Lookup, MemoryStore};
use tower_api_key::{ApiKeyLayer, Grant, KeyRing, RequireScopeLayer, RevocationReason};

use super::{Canary, Evidence, ring_at, ring_over};
use crate::ring::stores::Tapped;
use crate::support::{Inner, START, X_API_KEY, request};

#[tokio::test]
async fn r06_debug_of_every_type_hides_the_key() {
    let canary = Canary::new().await;
    let (key, ring) = (canary.key(), canary.ring());
    let mut evidence = Evidence::default();
    let record = canary.issued.record();
    let verified = ring.verify(key.as_bytes()).await.unwrap();
    evidence.debug("issued", &canary.issued);
    evidence.debug("secret", canary.issued.secret());
    evidence.debug("record", record);
    evidence.debug("parts", &record.to_parts());
    evidence.debug("digest", record.digest());
    evidence.debug("id", &record.id());
    evidence.add("id", record.id().to_string());
    evidence.debug("verified", &verified);
    evidence.debug("ring", &ring);
    evidence.add("scanner", ring.scanner_pattern());
    evidence.debug("store", &canary.store);
    evidence.debug("listed", &ring.list(&ListQuery::new()).await.unwrap());
    evidence.debug("got", &ring.get(record.id()).await.unwrap());
    evidence.debug("found", &canary.store.find(ring.realm(), record.digest()));
    evidence.debug("layer", &ApiKeyLayer::new(ring.clone()));
    evidence.debug("service", &ApiKeyLayer::new(ring.clone()).layer(()));
    evidence.debug("guard service", &RequireScopeLayer::new("read").layer(()));
    let expected = format!("SecretKey(acme_{}_…)", record.id());
    assert_eq!(format!("{:?}", canary.issued.secret()), expected);
    assert_eq!(evidence.leaks(key), [""; 0]);

    let future = ApiKeyLayer::new(ring.clone())
        .layer(Inner::new())
        .call(request([(X_API_KEY, key)]));
    evidence.debug("future", &future);
    evidence.debug("accepted", &future.await.unwrap());
    let refused = ApiKeyLayer::new(ring.clone())
        .require("write")
        .layer(Inner::new());
    let refused = refused.oneshot(request([(X_API_KEY, key)])).await.unwrap();
    evidence.debug("refused", &refused);
    let header = HeaderValue::from_str(key).unwrap();
    assert_eq!(
        Evidence(vec![("x".into(), format!("{header:?}").into())])
            .leaks(key)
            .len(),
        1
    );
    assert_eq!(evidence.leaks(key), [""; 0]);

    // R35: nor do they show the digest, with which a weak imported key can be found.
    let digest = record.digest().as_bytes();
    assert_eq!(evidence.digests(digest), [""; 0]);
    let parts = Evidence(vec![("x".into(), format!("{digest:?}").into())]);
    assert_eq!(parts.digests(digest), ["x"]);
}

#[cfg(feature = "serde")]
#[tokio::test]
async fn r35_what_serialises_for_people_has_no_digest() {
    let canary = Canary::new().await;
    let (record, ring) = (canary.issued.record(), canary.ring());
    let mut evidence = Evidence::default();
    let mut json = |from: &str, text: serde_json::Result<String>| evidence.add(from, text.unwrap());
    json("view", serde_json::to_string(&ring.view(record.clone())));
    json("id", serde_json::to_string(&record.id()));
    json("realm", serde_json::to_string(record.realm()));
    json("scopes", serde_json::to_string(record.scopes()));
    json("time", serde_json::to_string(&record.issued_at()));
    assert_eq!(evidence.digests(record.digest().as_bytes()), [""; 0]);
    assert_eq!(evidence.leaks(canary.key()), [""; 0]);

    // Only the form for the store has it.
    let parts = serde_json::to_string(&record.to_parts()).unwrap();
    let parts = Evidence(vec![("parts".into(), parts.into())]);
    assert_eq!(parts.digests(record.digest().as_bytes()), ["parts"]);
}

#[tokio::test]
async fn r06_no_error_holds_the_key() {
    let canary = Canary::new().await;
    let (key, ring) = (canary.key(), canary.ring());
    let mut evidence = Evidence::default();
    let importing = KeyRing::builder("acme")
        .accept_imports()
        .build(MemoryStore::new())
        .unwrap();
    let alice = || Grant::new("alice").expires_in(std::time::Duration::from_hours(24));
    let errors = [
        importing
            .import_plaintext(alice(), &format!("{key},"))
            .await,
        importing
            .import_insecure_plaintext(alice(), &format!("{key} "))
            .await,
        importing.import_plaintext(Grant::new(""), key).await,
        importing
            .import_plaintext(Grant::new(format!("{key}\n")), key)
            .await,
        ring.import_plaintext(alice(), key).await,
        importing
            .import_plaintext(alice(), key)
            .await
            .and(importing.import_plaintext(alice(), key).await),
    ]
    .map(|outcome| outcome.map(|_| ()).unwrap_err());
    let parsed = [
        key.parse::<tower_api_key::KeyId>().map(|_| ()).unwrap_err(),
        key.parse::<tower_api_key::KeyDigest>()
            .map(|_| ())
            .unwrap_err(),
        key.parse::<RevocationReason>().map(|_| ()).unwrap_err(),
        format!("{key} ")
            .parse::<tower_api_key::Scope>()
            .map(|_| ())
            .unwrap_err(),
        format!("{key}\"")
            .parse::<tower_api_key::Realm>()
            .map(|_| ())
            .unwrap_err(),
        KeyRing::builder(key)
            .build(MemoryStore::new())
            .map(|_| ())
            .unwrap_err(),
    ];
    for error in errors.iter().chain(&parsed) {
        evidence.debug("error", error);
        evidence.add("error", error.to_string());
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            evidence.debug("source", &error);
            evidence.add("source", error.to_string());
            source = error.source();
        }
    }
    for presented in [key.to_owned(), format!("{key}x"), key.to_lowercase()] {
        let other = ring_at(&MemoryStore::new(), START);
        let error = other
            .verify(presented.as_bytes())
            .await
            .map(|_| ())
            .unwrap_err();
        evidence.debug("verify error", &error);
        evidence.add("verify error", error.to_string());
    }
    assert_eq!(evidence.leaks(key), [""; 0]);
}

#[tokio::test]
async fn r06_a_store_that_panics_with_all_it_knows_does_not_know_the_key() {
    let canary = Canary::new().await;
    let panics = Arc::new(Mutex::new(Evidence::default()));
    let texts = Arc::clone(&panics);
    // Other tests may panic meanwhile. Their messages go the usual way as well.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        texts.lock().unwrap().add("panic", panic.to_string());
        usual(panic);
    }));
    for later in [false, true] {
        let panicking = Tapped::new(&canary.store).on_find(move |store, realm, digest| {
            let known = format!("a store in ruins: {store:?} {realm:?} {digest:?}");
            assert!(later, "{known}");
            Lookup::Pending(Box::pin(async move { panic!("{known}") }))
        });
        let ring = ring_over(panicking, START);
        let error = ring
            .verify(canary.key().as_bytes())
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error.to_string(), "key store unavailable");
    }
    // The hook needs the lock if one of these fails.
    let panics = std::mem::take(&mut *panics.lock().unwrap());
    let ruins =
        |(_, text): &&(String, Vec<u8>)| String::from_utf8_lossy(text).contains("a store in ruins");
    assert_eq!(panics.0.iter().filter(ruins).count(), 2);
    assert_eq!(panics.leaks(canary.key()), [""; 0]);
}
