//! When a user's privilege changes.
//!
//! A secret's authority is fixed when it is issued, and only shrinks. So there are two questions:
//! does the user gain or lose, and does the holder need a new secret for it?
//!
//! | what happens | call | the old secret |
//! |---|---|---|
//! | the user gains scopes | [`regrant`](crate::KeyRing::regrant) | dead at once; the new one has the new scopes |
//! | the user loses some | [`narrow`](crate::KeyRing::narrow) | keeps working, with fewer scopes |
//! | the user's row says so, and no one calls | [`owners`](crate::KeyRingBuilder::owners) | has the scopes that its owner has now |
//! | the user loses all, or is gone | [`revoke_subject`](crate::KeyRing::revoke_subject) | dead at once |
//! | a visitor logs in | [`promote`](crate::KeyRing::promote) | dead at once; the new one is of another ring |
//! | nothing, but the secret is old | [`rotate`](crate::KeyRing::rotate) | see [`rotating`](super::rotating) |
//!
//! The next request sees each of these changes, on the other nodes of a fleet of replicas once they have pulled. A request that was authenticated before keeps its
//! [`VerifiedKey`](crate::VerifiedKey) to its end.
//!
//! # Why more privilege needs a new secret
//!
//! Before a login it is not known who else has a secret. A stranger may have planted it, a proxy may
//! have logged it, a colleague may have lent it. If it were widened in place, all of them would gain
//! what the user gains: that is session fixation. With a new secret, only the client that received it
//! has the privilege.
//!
//! # In one commit with your own change
//!
//! Each of these is a separate commit, after or before that of your own table. With `PostgresStore` both
//! are one: `InTransaction::join` does it in your transaction, and functions of the schema do it in a
//! trigger on your table, for programs that do not know this crate. The guide of the package
//! `tower-api-key-postgres` has both.
//!
//! # The user gains scopes
//!
//! ```
//! use tower_api_key::{ErrorKind, Grant, KeyRing, store::MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
//! let reader = ring.issue(Grant::new("alice").scopes(["orders:read"])).await?;
//! let id = reader.record().id();
//!
//! // Nothing widens a key in place.
//! let wider = "orders:read orders:write".parse()?;
//! let refused = ring.narrow(id, &wider).await.unwrap_err();
//! assert_eq!(refused.kind(), ErrorKind::WouldWiden);
//!
//! let grant = Grant::new("alice").scopes(wider);
//! let writer = ring.regrant(id, grant).await?;
//! assert!(ring.verify(reader.secret().expose().as_bytes()).await.is_err());
//! let key = ring.verify(writer.secret().expose().as_bytes()).await?;
//! assert!(key.scopes().contains("orders:write"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! Both happen in one commit, so there is no moment at which both work, and no grace period. Ask for the
//! regrant at a place where the holder can take the new secret. Re-authenticate the user first, as for a
//! change of password.
//!
//! Only this lineage changes. The user's other keys keep what they had.
//!
//! # The user loses scopes
//!
//! Change your own table of permissions first, so that no new key is issued by the old one. Then shrink
//! the key:
//!
//! ```
//! use tower_api_key::{Grant, KeyRing, store::MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
//! let issued = ring.issue(Grant::new("alice").scopes(["orders:read", "admin"])).await?;
//!
//! ring.narrow(issued.record().id(), &"orders:read".parse()?).await?;
//! let key = ring.verify(issued.secret().expose().as_bytes()).await?;
//! assert_eq!(key.scopes().as_str(), "orders:read");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! The holder keeps its secret. If another key of the lineage is in its grace period, it is dead in the
//! same commit, because it would keep what was withdrawn.
//!
//! That is one key. If a user has several, `revoke_subject` ends all of them, and the user fetches new
//! keys. A loop of your own over [`list`](crate::KeyRing::list) has to cope with keys that are rotated
//! while it runs: list again until there is nothing left to narrow.
//!
//! # The user is gone
//!
//! ```
//! use tower_api_key::{Grant, KeyRing, RevocationReason, store::MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
//! ring.issue(Grant::new("alice")).await?;
//! let laptop = ring.issue(Grant::new("alice").label("laptop")).await?;
//!
//! let ended = ring.revoke_subject("alice", RevocationReason::AffiliationChanged).await?;
//! assert_eq!(ended, 2);
//! assert!(ring.verify(laptop.secret().expose().as_bytes()).await.is_err());
//! # Ok::<(), tower_api_key::Error>(())
//! # }).unwrap();
//! ```
//!
//! It ends every key of the subject in this realm whose `issue` had returned when you called it. It does
//! not keep your code from issuing another, so change your own table first. A subject with keys in
//! several realms needs a call on each ring.
//!
//! # A visitor logs in
//!
//! Keys that anyone can have come from a separate ring. It caps their scopes and their lifetime,
//! whatever a bug in the handler asks for. It is another realm, so such a key is unknown to every layer
//! of the real ring.
//!
//! ```
//! use std::time::Duration;
//! use tower_api_key::{ErrorKind, Grant, KeyRing, store::MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let store = MemoryStore::new();
//! let visitors = KeyRing::builder("visit")
//!     .max_lifetime(Duration::from_secs(15 * 60))
//!     .grantable_scopes(["cart"])
//!     .build(store.clone())?;
//! let customers = KeyRing::builder("acme").build(store)?;
//!
//! let greedy = visitors.issue(Grant::new("visitor").scopes(["orders:read"])).await;
//! assert_eq!(greedy.unwrap_err().kind(), ErrorKind::ScopeNotGrantable);
//!
//! let temporary = visitors.issue(Grant::new("visitor").scopes(["cart"])).await?;
//! // The password was right.
//! let grant = Grant::new("alice").scopes(["orders:read"]);
//! let real = customers.promote(&visitors, temporary.record().id(), grant).await?;
//!
//! assert!(visitors.verify(temporary.secret().expose().as_bytes()).await.is_err());
//! assert!(customers.verify(real.secret().expose().as_bytes()).await.is_ok());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! If both rings use one store, the two happen in one commit: give the rings clones of one store value
//! for that. The same file or database opened twice counts as two stores. Spawn the visitors'
//! [`upkeep`](crate::KeyRing::upkeep) with a short [`retention`](crate::KeyRingBuilder::retention), and
//! limit the rate of requests to the route that hands out temporary keys, or strangers fill the store.
//! `examples/signup.rs` has all of it.
//!
//! # Connections that last
//!
//! A WebSocket or a stream is authenticated once, when it opens. Race it against
//! [`watch`](crate::KeyRing::watch), so that it ends with its key:
//!
//! ```
//! use tokio::sync::mpsc::{self, Receiver};
//! use tower_api_key::{Error, Grant, KeyRing, KeyState, RevocationReason, Watch, store::MemoryStore};
//!
//! /// Hands on messages for as long as the key is good, and says what it was worth in the end.
//! async fn connection(mut messages: Receiver<&str>, mut key: Watch) -> Result<KeyState, Error> {
//!     loop {
//!         tokio::select! {
//!             state = &mut key => return state,
//!             Some(message) = messages.recv() => println!("{message}"),
//!         }
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
//! let id = ring.issue(Grant::new("alice")).await?.record().id();
//!
//! let (sender, messages) = mpsc::channel(8);
//! sender.send("hello").await?;
//! let connection = connection(messages, ring.watch(id));
//! let (state, revoked) =
//!     tokio::join!(connection, ring.revoke(id, RevocationReason::KeyCompromise));
//! revoked?;
//! assert_eq!(state?, KeyState::Revoked);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! A watch ends when the key expires, when its grace period is over, and when it is revoked, for example
//! by a regrant. With [owners](crate::Owners) it ends too if the owner is refused. It does not end when the key loses scopes. If a
//! connection does more than one thing, it calls [`verify_again`](crate::KeyRing::verify_again) before each. `examples/events.rs` has a
//! complete example on axum.
//!
//! # Rights that live in your own table
//!
//! If a user is demoted, locked or suspended by a change of your own table, by programs that do not know this crate, a
//! ring can ask that table at each verdict: [`KeyRingBuilder::owners`](crate::KeyRingBuilder::owners). A key then has at most the
//! scopes that its owner has at that moment. It costs a look-up for each request, which can bring the row of the user
//! along for the handler ([`VerifiedKey::principal`](crate::VerifiedKey::principal)). [`Owners`](crate::Owners) has an example.
//!
//! The ceiling takes away and never adds: to gain more than it was issued with, the user still needs a new
//! secret.
//!
//! # Telling someone
//!
//! An [`Observer`](crate::Observer) on the ring receives an event for every change that the ring made,
//! and for every request that an [`ApiKeyLayer`](crate::ApiKeyLayer) over it admits or refuses. A
//! [`RequireScopeLayer`](crate::RequireScopeLayer) knows no ring: give it a separate observer, or use
//! [`ApiKeyLayer::require`](crate::ApiKeyLayer::require). An observer runs in the middle of both, so it
//! hands events on and never waits:
//!
//! ```
//! use std::sync::mpsc::sync_channel;
//! use tower_api_key::{observer_fn, EventKind, Grant, KeyRing, RevocationReason, store::MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let (sender, audit) = sync_channel(1024);
//! let ring = KeyRing::builder("acme")
//!     .observer(observer_fn(move |event| {
//!         // Drops the event if the reader is too far behind.
//!         let _ = sender.try_send((event.kind(), event.key_id()));
//!     }))
//!     .build(MemoryStore::new())?;
//! let old = ring.issue(Grant::new("alice")).await?.record().id();
//! let new = ring.regrant(old, Grant::new("alice").scopes(["admin"])).await?.record().id();
//!
//! let heard: Vec<_> = audit.try_iter().collect();
//! let reason = RevocationReason::Superseded;
//! assert_eq!(heard.len(), 3);
//! assert!(heard.contains(&(EventKind::Issued, Some(old))));
//! assert!(heard.contains(&(EventKind::Revoked { reason }, Some(old))));
//! assert!(heard.contains(&(EventKind::Regranted { replaced: old }, Some(new))));
//! # Ok::<(), tower_api_key::Error>(())
//! # }).unwrap();
//! ```
