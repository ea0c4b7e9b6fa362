//! Rotating keys without an outage.
//!
//! A rotation gives a holder a new secret with the same authority. For a while, the grace period, both
//! secrets work, so that the holder can change over at a convenient time.
//!
//! **A rotation may shorten the lifetime.** The new key lives as long as the old one was to live, but no
//! longer than the ring grants, which is 90 days unless its
//! [`max_lifetime`](crate::KeyRingBuilder::max_lifetime) says otherwise. So if another ring issued a key
//! of 365 days, or one without end, it becomes a key of 90 days, without an error. Compare the
//! [`expires_at`](crate::KeyRecord::expires_at) of both records, or build every ring that rotates with
//! the limits of the ring that issues.
//!
//! # One rotation
//!
//! The clock here is set by hand, with the feature `testing`. A service leaves it out.
//!
//! ```
//! use std::time::Duration;
//! use tower_api_key::{
//!     ErrorKind, Grant, Issued, KeyRing, ManualClock, Timestamp, store::MemoryStore,
//! };
//!
//! const HOUR: Duration = Duration::from_secs(60 * 60);
//!
//! async fn works(ring: &KeyRing, key: &Issued) -> bool {
//!     ring.verify(key.secret().expose().as_bytes()).await.is_ok()
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
//! let ring = KeyRing::builder("acme").clock(clock.clone()).build(MemoryStore::new())?;
//! let old = ring.issue(Grant::new("billing").scopes(["orders:read"])).await?;
//!
//! let new = ring.rotate(old.record().id(), 6 * HOUR).await?;
//! assert_eq!(new.record().scopes(), old.record().scopes());
//! assert!(works(&ring, &old).await && works(&ring, &new).await);
//!
//! // One rotation at a time: of a lineage, at most two keys are live.
//! let again = ring.rotate(new.record().id(), 6 * HOUR).await;
//! assert_eq!(again.unwrap_err().kind(), ErrorKind::InGrace);
//!
//! clock.advance(6 * HOUR);
//! assert!(!works(&ring, &old).await && works(&ring, &new).await);
//! # Ok::<(), tower_api_key::Error>(())
//! # }).unwrap();
//! ```
//!
//! The new key's authority is copied from the old one's record: a rotation neither adds nor removes a
//! scope. To change scopes, see [`privilege`](super::privilege).
//!
//! # Choosing lifetime and grace period
//!
//! - **Lifetime.** It counts from the rotation. Rotate well before the end: after 60 of 90 days, if a
//!   rotation goes wrong, there is a month left to repair it. The grace period is of no use beyond the
//!   old key's expiry, which it never moves.
//! - **Grace period.** As long as the holder's slowest change of configuration takes, with room for a
//!   failed one. It is also how long a stolen old secret still works, so no longer. A ring grants at
//!   most 24 hours unless its [`max_grace`](crate::KeyRingBuilder::max_grace) says otherwise.
//!
//! # Before a key ends
//!
//! A key that nobody rotates ends, and its client with it. Two things help in time, for the two who can act.
//!
//! - **The operator of the service.** [`upkeep`](crate::KeyRing::upkeep) reports [`ExpiresSoon`](crate::EventKind::ExpiresSoon) to
//!   the ring's observer 30 days, 7 days and 1 day before the expiry, or at the
//!   [steps](crate::KeyRingBuilder::expiry_notices) that you choose: once for each key and step over all processes. It says
//!   nothing of a key that was rotated or revoked. Send the holder a mail from there. A process that dies at that moment loses
//!   the event. If no mail may be missed, send it [from the history](super::history#notices-of-expiry).
//! - **The machine of the holder.** With [`lifetime_headers`](crate::ApiKeyLayer::lifetime_headers), the response to a key in its
//!   last week has `Sunset`, and the response to a key in its grace period has `Deprecation` too. A client that logs them shows its
//!   operator what no mail reaches. Document that both are about the key.
//!
//! ```
//! use std::time::Duration;
//! # use tower_api_key::{Grant, KeyRing, ManualClock, Timestamp, store::MemoryStore};
//! use tower_api_key::{ApiKeyLayer, EventKind, observer_fn};
//!
//! # const HOUR: Duration = Duration::from_secs(60 * 60);
//! const DAY: Duration = Duration::from_secs(24 * 60 * 60);
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
//! let (sender, mails) = std::sync::mpsc::channel();
//! let ring = KeyRing::builder("acme")
//!     .observer(observer_fn(move |event| {
//!         if let (EventKind::ExpiresSoon { step, .. }, Some(subject)) = (event.kind(), event.subject()) {
//!             let _ = sender.send(format!("{subject}: a key ends within {} days", step.as_secs() / 86_400));
//!         }
//!     }))
//! #   .clock(clock.clone())
//!     .build(MemoryStore::new())?;
//! ring.issue(Grant::new("billing").expires_in(90 * DAY)).await?;
//! // A service spawns it.
//! let mut upkeep = Box::pin(ring.upkeep());
//! let layer = ApiKeyLayer::new(ring).lifetime_headers(7 * DAY);
//!
//! # let mut turn = || drop(upkeep.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())));
//! # turn();
//! # clock.advance(60 * DAY);
//! # turn();
//! // Sixty days later:
//! assert_eq!(mails.try_iter().collect::<Vec<_>>(), ["billing: a key ends within 30 days"]);
//! # clock.advance(29 * DAY);
//! # turn();
//! // On the last day, after the service was down for a month:
//! assert_eq!(mails.try_iter().collect::<Vec<_>>(), ["billing: a key ends within 1 days"]);
//! # Ok::<(), tower_api_key::Error>(())
//! # }).unwrap();
//! ```
//!
//! # What the holder does
//!
//! 1. Ask for the new key: from an administrator, or at a route of yours that calls
//!    [`rotate`](crate::KeyRing::rotate) with the [`id`](crate::VerifiedKey::id) of the key that
//!    authenticated the request. Call it in a separate task, so that a client that hangs up does not
//!    [leave it in doubt](crate::KeyRing#when-a-change-is-in-doubt).
//! 2. Store the new key, and use it in every instance.
//! 3. Make one request with the new key before the grace period is over.
//!
//! The new secret exists once, in the return value. If it is lost on its way, the old key cannot be
//! rotated again. [`issue`](crate::KeyRing::issue) a key with the same scopes while the old one works,
//! and revoke the lineage of the lost one once that key is in use.
//!
//! # Is anyone left on the old key?
//!
//! A ring that [tracks last use](crate::KeyRingBuilder::track_last_use) can answer that while there is
//! still time to call. [`upkeep`](crate::KeyRing::upkeep), spawned once, writes the uses to the store.
//! The example does it by hand.
//!
//! ```
//! # use std::time::Duration;
//! # use tower_api_key::{Grant, KeyRing, KeyState, ManualClock, Timestamp, store::MemoryStore};
//! use tower_api_key::store::ListQuery;
//!
//! # const HOUR: Duration = Duration::from_secs(60 * 60);
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
//! let ring = KeyRing::builder("acme")
//!     .track_last_use()
//! #   .clock(clock.clone())
//!     .build(MemoryStore::new())?;
//! let old = ring.issue(Grant::new("billing")).await?;
//! let new = ring.rotate(old.record().id(), 6 * HOUR).await?;
//!
//! # clock.advance(HOUR);
//! // An hour later, an instance that nobody thought of.
//! ring.verify(old.secret().expose().as_bytes()).await?;
//! ring.record_uses().await?;
//!
//! // The lineage, old and new. Ids are random: the generation tells which came first.
//! let mut keys = ring.list(&ListQuery::new().lineage(old.record().lineage())).await?.complete()?;
//! keys.sort_by_key(|key| key.generation());
//! let [before, after] = &keys[..] else { panic!("two keys") };
//! assert_eq!(after.id(), new.record().id());
//! assert_eq!(before.grace_ends_at(), after.issued_at().checked_add(6 * HOUR));
//! # assert_eq!(before.state_at(after.issued_at()), KeyState::Live);
//!
//! let late = ring.last_used(before.id()).await?;
//! assert!(late > Some(after.issued_at()), "someone still uses the old key");
//! assert_eq!(ring.last_used(after.id()).await?, None, "and nobody the new one");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! If no client is left, you need not wait for the end of the grace period:
//! [`revoke`](crate::KeyRing::revoke) the old key as
//! [`Superseded`](crate::RevocationReason::Superseded). A client that was overlooked is then refused,
//! but until its grace period would have ended it does not count as one that comes back.
//!
//! # When a secret has leaked
//!
//! Then there is no grace period: [`rotate_now`](crate::KeyRing::rotate_now) ends the old key, and all
//! others of its lineage that still work, in the commit that adds the new one. The holder is locked out
//! until it has the new secret. It also ends a rotation that is under way: call it with the id of the
//! newest key.
//!
//! ```
//! use tower_api_key::{Grant, InvalidCause, KeyRing, VerifyErrorKind, store::MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
//! let leaked = ring.issue(Grant::new("billing")).await?;
//! let new = ring.rotate_now(leaked.record().id()).await?;
//!
//! let refused = ring.verify(leaked.secret().expose().as_bytes()).await.unwrap_err();
//! assert_eq!(refused.kind(), VerifyErrorKind::Invalid(InvalidCause::Replaced));
//! assert!(ring.verify(new.secret().expose().as_bytes()).await.is_ok());
//! # Ok::<(), tower_api_key::Error>(())
//! # }).unwrap();
//! ```
//!
//! # An old secret that comes back
//!
//! If a key that another has replaced is presented after its end, the client is forgotten or a thief. It
//! sees the same 401 as for any invalid key. The ring's [`Observer`](crate::Observer) receives
//! [`Reuse`](crate::EventKind::Reuse), with the key's id and subject.
//!
//! With [`revoke_lineage_on_reuse`](crate::KeyRingBuilder::revoke_lineage_on_reuse), the ring also
//! revokes all live keys of the lineage. If a thief rotated a stolen key, the thief loses the new one.
//! The price: any forgotten instance ends the new key too, and anyone who finds an old secret in a
//! backup can do so at will. After `rotate_now` and after a regrant, which have no grace period, the
//! holder's next request with the old secret is enough: hand out the new one before that request is
//! made, or do without this option. It fits secrets that one program holds and rotates by itself. It
//! does not fit a key in ten configuration files.
//!
//! ```
//! # use std::time::Duration;
//! # use tower_api_key::{Grant, KeyRing, ManualClock, Timestamp, store::MemoryStore};
//! # const HOUR: Duration = Duration::from_secs(60 * 60);
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
//! let ring = KeyRing::builder("acme")
//!     .revoke_lineage_on_reuse()
//! #   .clock(clock.clone())
//!     .build(MemoryStore::new())?;
//! let old = ring.issue(Grant::new("robot")).await?;
//! let new = ring.rotate(old.record().id(), HOUR).await?;
//!
//! # clock.advance(HOUR);
//! // The grace period is over, and the old secret comes back: both are dead.
//! assert!(ring.verify(old.secret().expose().as_bytes()).await.is_err());
//! assert!(ring.verify(new.secret().expose().as_bytes()).await.is_err());
//! # Ok::<(), tower_api_key::Error>(())
//! # }).unwrap();
//! ```
//!
//! # How long dead keys are kept
//!
//! A dead key's record stays for the ring's [`retention`](crate::KeyRingBuilder::retention), by default
//! 30 days. That is how long its return is known as reuse, and how long you can read the lineage. Later,
//! it is an unknown key. [`purge`](crate::KeyRing::purge) removes older records, and
//! [`upkeep`](crate::KeyRing::upkeep) purges once an hour. Without either, dead records pile up.
//!
//! ```
//! # use std::time::Duration;
//! # use tower_api_key::{Grant, KeyRing, ManualClock, Timestamp, store::MemoryStore};
//! use tower_api_key::RevocationReason;
//!
//! # const DAY: Duration = Duration::from_secs(24 * 60 * 60);
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
//! let ring = KeyRing::builder("acme")
//!     .retention(7 * DAY)
//! #   .clock(clock.clone())
//!     .build(MemoryStore::new())?;
//! let id = ring.issue(Grant::new("billing")).await?.record().id();
//! ring.revoke(id, RevocationReason::CessationOfOperation).await?;
//! assert_eq!(ring.purge().await?, 0);
//!
//! # clock.advance(7 * DAY);
//! // A week later.
//! assert_eq!(ring.purge().await?, 1);
//! assert!(ring.get(id).await?.is_none());
//! # Ok::<(), tower_api_key::Error>(())
//! # }).unwrap();
//! ```
