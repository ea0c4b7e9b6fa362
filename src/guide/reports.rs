//! Reports for operators: keys that need attention, that end soon, that are unused, or that have a scope.
//!
//! # What needs attention
//!
//! [`KeyRing::report`](crate::KeyRing::report) judges every key that is not over, page by page. It needs the memory of one page,
//! and blocks no writer, for any number of keys:
//!
//! ```
//! use tower_api_key::report::{Finding, ReportQuery};
//! use tower_api_key::{Error, KeyRing};
//!
//! async fn print_report(ring: &KeyRing) -> Result<(), Error> {
//!     let mut query = ReportQuery::new();
//!     loop {
//!         let page = ring.report(&query).await?;
//!         for key in page.keys() {
//!             let record = key.view().record();
//!             for finding in key.findings() {
//!                 println!("{} of {}: {}", record.id(), record.subject(), finding.kind());
//!             }
//!         }
//!         for unreadable in page.unreadable() {
//!             eprintln!("{:?} cannot be read: {}", unreadable.id(), unreadable.error());
//!         }
//!         match page.next() {
//!             Some(next) => query = query.after(next),
//!             None => return Ok(()),
//!         }
//!     }
//! }
//! # use tower_api_key::{Grant, store::MemoryStore};
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let ring = KeyRing::builder("acme").unlimited_lifetime().build(MemoryStore::new())?;
//! # ring.issue(Grant::new("alice").never_expires()).await?;
//! # let page = ring.report(&ReportQuery::new()).await?;
//! # assert_eq!(page.keys()[0].findings(), [Finding::NoExpiry]);
//! # print_report(&ring).await
//! # }).unwrap();
//! ```
//!
//! From a shell, `tower-api-key audit` prints each finding and the command that mends it. Its exit code is 8 if there is a
//! finding, so that it can be a step of CI:
//!
//! | [`Finding`](crate::report::Finding) | what mends it | command |
//! |---|---|---|
//! | `never_used`: no use is known within 30 days | end the key | `revoke ID` |
//! | `unused`: the last use is 90 days ago | end the key, or leave it out (`--ignore unused`) | `revoke ID` |
//! | `no_expiry` | a new key with the same rights, and with an end if the ring has a longest lifetime | `rotate ID` |
//! | `expiring`: it ends within 14 days, and was not replaced | a new key with the same rights | `rotate ID` |
//! | `used_after_replacement` | its holder has to take up the new key, which `--json` names. After that, end the old one | `revoke ID` |
//! | `scopes_never_exercised`: scopes that no request needed in 90 days | take them away. If no scope of the key was exercised, look first: the code of the service may read the scopes by itself | `narrow ID --scope=KEPT`, `show ID` |
//! | `new_network`: the first use from a network within 30 days, by a key that was in use before | ask its holder. If they were not there, `revoke ID --reason key_compromise`; if they were, leave it | `show ID` |
//!
//! If the rights of the holder are to be others, [`regrant`](crate::KeyRing::regrant) takes the place of `rotate`, and
//! [`narrow`](crate::KeyRing::narrow) takes scopes away from a key that stays.
//!
//! A ring lists its keys by state, by scope, by the start of their ids, by the time in which they end
//! and by the time for which they were not used. In SQLite and Postgres each of these has an index: a
//! page of a hundred out of a million keys takes less than 50 ms, whether many keys meet the filter or
//! few (`cargo bench -p tower-api-key-tests --bench stores --all-features -- --lists`). A report on a million keys takes some
//! two seconds in SQLite and some three in Postgres, in pages that block no writer. In Postgres all of that holds once
//! autovacuum has analysed the table, within a minute of an import of many keys. `ANALYZE tower_api_keys` does it at once.
//!
//! # What keys are used for
//!
//! The last two findings need rings that collect it, in every service of the realm:
//! [`track_scope_use`](crate::KeyRingBuilder::track_scope_use) notes the scopes by which a key met a
//! [`Requirement`](crate::Requirement), and [`track_networks`](crate::KeyRingBuilder::track_networks) the network of each client,
//! an IPv4 /24 or an IPv6 /48. Requests mark it in memory, and [`upkeep`](crate::KeyRing::upkeep) adds it to the store.
//!
//! ```
//! use std::net::{IpAddr, SocketAddr};
//! use std::time::Duration;
//!
//! use http::Extensions;
//! use tower_api_key::report::{Finding, ReportQuery};
//! use tower_api_key::{ApiKeyLayer, ClientAddress, KeyRing};
//! # use http::{HeaderValue, Request, Response};
//! # use http_body_util::Full;
//! # use tower::{Layer, ServiceExt};
//! # use tower_api_key::{Grant, ManualClock, Timestamp, store::MemoryStore};
//!
//! # const DAY: Duration = Duration::from_secs(24 * 60 * 60);
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
//! # let store = MemoryStore::new();
//! let ring = KeyRing::builder("acme").unlimited_lifetime();
//! let ring = ring.track_last_use().track_scope_use().track_networks();
//! # let ring = ring.clock(clock.clone());
//! let ring = ring.build(store)?;
//! let peer = |extensions: &Extensions| extensions.get::<SocketAddr>().map(SocketAddr::ip);
//! // A layer over a ring that tracks networks does not build without a source of addresses.
//! let layer = ApiKeyLayer::new(ring.clone())
//!     .client_address(ClientAddress::peer(peer))
//!     .require("orders:read");
//!
//! # let grant = Grant::new("alice").scopes("orders:read orders:write").expires_in(365 * DAY);
//! # let issued = ring.issue(grant).await?;
//! # let inner = tower::service_fn(|_: Request<()>| async {
//! #     Ok::<_, std::convert::Infallible>(Response::new(Full::<bytes::Bytes>::default()))
//! # });
//! # let service = layer.layer(inner);
//! # let send = async |address: &str| {
//! #     let mut request = Request::new(());
//! #     let value = HeaderValue::from_str(issued.secret().expose()).unwrap();
//! #     request.headers_mut().insert("x-api-key", value);
//! #     let address: IpAddr = address.parse().unwrap();
//! #     request.extensions_mut().insert(SocketAddr::new(address, 4711));
//! #     assert_eq!(service.clone().oneshot(request).await.unwrap().status(), 200);
//! #     ring.record_uses().await.unwrap();
//! # };
//! # send("203.0.113.9").await;
//! # clock.advance(91 * DAY);
//! # send("198.51.100.7").await;
//! // After 91 days in which the key read orders, and today from somewhere else:
//! let page = ring.report(&ReportQuery::new()).await?;
//! let [key] = page.keys() else { unreachable!() };
//! for finding in key.findings() {
//!     match finding {
//!         Finding::ScopesNeverExercised { scopes, .. } => {
//!             let kept = key.view().record().scopes().difference(scopes);
//!             assert_eq!(kept.as_str(), "orders:read");
//!             ring.narrow(key.view().record().id(), &kept).await?;
//!         }
//!         Finding::NewNetwork { network, .. } => {
//!             assert_eq!(network.to_string(), "198.51.100.0/24");
//!         }
//!         _ => {}
//!     }
//! }
//! # assert_eq!(key.findings().len(), 2);
//! # assert_eq!(ring.report(&ReportQuery::new()).await?.keys()[0].findings().len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! What counts, and what does not:
//!
//! - A scope counts if a requirement was met with it, of a layer, a table of routes, a guard, or
//!   [`VerifiedKey::require`](crate::VerifiedKey::require). Of `any`, each part that the key meets counts. A requirement that
//!   was not met counts for nothing.
//! - Scopes are a finding if the first and the last tracked use are 90 days apart. A job that needs a scope once a year looks like
//!   one that never does: leave the finding out (`--ignore scopes_never_exercised`), or ask for a year
//!   (`--never-exercised-for 366d`).
//! - A new key begins with nothing, also one that a rotation has put in the place of another.
//! - The store keeps the 16 networks that a key was used from most recently, each with its first and its last use. One that was
//!   dropped and comes back is new. A client that moves is often new: leave the finding out for such services.
//! - A network may be personal data. It is removed with the record of the key, at the end of the
//!   [retention](crate::KeyRingBuilder::retention), and earlier by an `UPDATE` of the application on the table
//!   `api_key_usage` (SQLite) or `tower_api_key_usage` (Postgres). `tower-api-key copy` takes it along.
//!
//! # The report of a Monday
//!
//! Keys that end within 14 days must be rotated before they do. Keys that were not used for 90 days are
//! probably forgotten, and can be revoked.
//!
//! ```
//! use std::time::Duration;
//! use tower_api_key::store::ListQuery;
//! use tower_api_key::{Error, KeyRing, KeyView};
//!
//! const DAY: Duration = Duration::from_secs(24 * 60 * 60);
//!
//! /// Every key that a query asks for, page by page, each with its last use.
//! async fn report(ring: &KeyRing, query: ListQuery) -> Result<Vec<KeyView>, Error> {
//!     let mut query = query.limit(1_000);
//!     let mut lines = Vec::new();
//!     loop {
//!         let page = ring.list(&query).await?;
//!         for unreadable in page.unreadable() {
//!             // A damaged record may be of any key: it belongs into every report.
//!             eprintln!("{:?} cannot be read: {}", unreadable.id(), unreadable.error());
//!         }
//!         lines.extend(ring.views(page.records()).await?);
//!         match page.next() {
//!             Some(next) => query = query.after(next),
//!             None => return Ok(lines),
//!         }
//!     }
//! }
//!
//! # use tower_api_key::{Grant, ManualClock, Timestamp, store::MemoryStore};
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
//! let ring = KeyRing::builder("acme").unlimited_lifetime().track_last_use();
//! # let ring = ring.clock(clock.clone());
//! let ring = ring.build(MemoryStore::new())?;
//! let forgotten = ring.issue(Grant::new("alice").expires_in(365 * DAY)).await?;
//! let ending = ring.issue(Grant::new("bob").expires_in(100 * DAY)).await?;
//! # clock.advance(91 * DAY);
//! // 91 days later, bob's key is in use.
//! ring.verify(ending.secret().expose().as_bytes()).await?;
//! ring.record_uses().await?;
//!
//! let soon = report(&ring, ListQuery::new().expiring_within(14 * DAY)).await?;
//! assert_eq!(soon.len(), 1);
//! assert_eq!(soon[0].record().subject(), "bob");
//!
//! let unused = report(&ring, ListQuery::new().unused_for(90 * DAY)).await?;
//! assert_eq!(unused.len(), 1);
//! assert_eq!(unused[0].record().id(), forgotten.record().id());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! Both filters pass over keys that are over. If a key was never used, the time counts from its issue.
//! The uses come from rings that [track](crate::KeyRingBuilder::track_last_use) them and run their
//! [upkeep](crate::KeyRing::upkeep). Without that, every key seems unused.
//!
//! From a shell, with an exit code of 5 if a record cannot be read:
//!
//! ```sh
//! tower-api-key list --expiring-within 14d
//! tower-api-key list --unused-for 90d
//! tower-api-key list --unused-for 90d --json | jq -r '.[].id'
//! ```
//!
//! A service that runs reports keys that end soon by itself, as events: see [`rotating`](super::rotating#before-a-key-ends).
//!
//! # Other questions
//!
//! | question | [`ListQuery`](crate::store::ListQuery) | command |
//! |---|---|---|
//! | who can write orders now? | `.scope(scope).state(KeyState::Live)` | `list --scope orders:write --state live` |
//! | what was issued last? | `.newest_first().limit(20)` | `list --newest-first --limit 20` |
//! | which old keys still work? | `.in_grace()` | `list --state in_grace` |
//! | which key is the one in this log? | `.id_prefix("9fQ2")` | `list --id-prefix 9fQ2` |
//! | who revoked that one? | [`HistoryQuery`](crate::store::HistoryQuery), see [`history`](super::history) | `history 9fQ2…` |
//! | what was revoked? | `.state(KeyState::Revoked)` | `list --state revoked` |
//!
//! # Pages
//!
//! A page says where the next begins. If a key is issued meanwhile, no other key moves from one page to
//! another: each key that is there all the time is shown once. The command line writes that place to
//! standard error (`more keys: continue with --after PLACE`) if there is a `--limit`.
