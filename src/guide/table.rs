//! From your own table: a service that has tokens already.
//!
//! | the table of tokens | what to take |
//! |---|---|
//! | stays, and your code mints and ends its keys | a [`Verifier`](crate::Verifier) over it |
//! | goes, and its keys live on | a [`KeyRing`](crate::KeyRing), into which each key moves when it is first presented |
//! | goes, and its keys can be read in a batch | [`import_many`](crate::KeyRing::import_many), see [`moving`](super::moving) |
//!
//! In each case the rights of the users can stay in their own table: see
//! [`privilege`](super::privilege#rights-that-live-in-your-own-table).
//!
//! # The table stays
//!
//! A [`Verifier`](crate::Verifier) needs one look-up: the row of a digest. It has no operation that writes. An
//! [`ApiKeyLayer`](crate::ApiKeyLayer) takes it in the place of a ring, and everything about requests is the same: sources,
//! refusals, scopes, guards, caches, events. `tower_api_key_contract::table_contract` tests your look-up.
//!
//! | the table has | the digest is | the look-up |
//! |---|---|---|
//! | SHA-256 of the token | the column | `WHERE token_hash = $1` |
//! | SHA-256 in hexadecimal | the column, as text | `WHERE token_hash = encode($1, 'hex')` |
//! | the token itself | that of an index: `CREATE UNIQUE INDEX ON tokens (sha256(convert_to(token, 'UTF8')))` | `WHERE sha256(convert_to(token, 'UTF8')) = $1` |
//! | another hash | none: the keys have to [move](#the-table-goes) | – |
//!
//! Give the digest of the row back with the key, not the one that was asked for: the verifier compares all of its
//! bytes. The id of a key is that of its row, [`KeyId::from_number`](crate::KeyId::from_number). It is in events and
//! logs. If the tokens have a form of their own, such as a prefix and a length, tell it the verifier
//! ([`form`](crate::VerifierBuilder::form)): a flood of other texts does not reach the database.
//!
//! # The table goes
//!
//! Two ways lead a key into a ring when it is first presented. If the ring asks, that is one setting,
//! [`unknown_keys`](crate::KeyRingBuilder::unknown_keys), and every request is bounded for you. If your own code finds the old row, it
//! calls [`import_or_get`](crate::KeyRing::import_or_get):
//!
//! ```
//! use std::collections::BTreeMap;
//! use tower_api_key::{Error, Grant, KeyRing, OldKey, VerifiedKey, store::MemoryStore};
//!
//! /// The old table, from a token to its owner.
//! type OldTable = BTreeMap<String, String>;
//!
//! async fn authenticate(
//!     ring: &KeyRing,
//!     old_table: &mut OldTable,
//!     presented: &str,
//! ) -> Result<Option<VerifiedKey>, Error> {
//!     // The ring comes first. A key that it knows has moved, whatever became of it.
//!     if let Ok(key) = ring.verify(presented.as_bytes()).await {
//!         return Ok(Some(key));
//!     }
//!     let Some(owner) = old_table.get(presented) else { return Ok(None) };
//!     let grant = Grant::new(owner.as_str()).scopes("sync").never_expires();
//!     ring.import_or_get(grant, &OldKey::plaintext(presented)).await?;
//!     // The key is in the ring now, and the old row ends.
//!     old_table.remove(presented);
//!     // The ring decides: the key may have been revoked there before.
//!     Ok(ring.verify(presented.as_bytes()).await.ok())
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ring = KeyRing::builder("acme")
//!     .accept_imports()
//!     .unlimited_lifetime()
//!     .build(MemoryStore::new())?;
//! let presented = "k-4f9A7YqZr01mLw8Vx6pTe2Nd";
//! let mut old_table = OldTable::from([(presented.to_owned(), "alice".to_owned())]);
//!
//! let key = authenticate(&ring, &mut old_table, presented).await?.unwrap();
//! assert_eq!(key.subject(), "alice");
//! assert!(old_table.is_empty());
//! assert!(authenticate(&ring, &mut old_table, presented).await?.is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # How the old row ends
//!
//! **A row that stays revives its key.** The ring knows a revoked or expired key for as long as it keeps the
//! record, which is for the [`retention`](crate::KeyRingBuilder::retention). After a [purge](crate::KeyRing::purge) the key is
//! unknown, and a row that still has it would be imported anew, as a live key. So the row ends by one of these:
//!
//! - Delete it, or set its token to null, after `import_or_get` has returned, whether the key
//!   [was there](crate::Imported::was_present) or not. If the program stops in between, the next request finds the
//!   record and ends the row. Never delete it before: a failed import would lose the key.
//! - If it must stay, for a foreign key or for a report, let it no longer match: a column `moved_at` that the
//!   look-up requires to be null.
//! - A ring that [asks](crate::UnknownKeys) purges nothing, so its rows may stay until the last old key has ended.
//!   Remove the setting and the rows together then.
//!
//! Code of yours that ends a key in the old table, such as a page with a button, has to
//! [revoke](crate::KeyRing::revoke_subject) in the ring as well from the first day on. A key that has moved does not hear of its
//! row.
//!
//! # A login that mints
//!
//! If each login issues a key, and a user may have a few, [`issue_replacing_oldest`](crate::KeyRing::issue_replacing_oldest) ends the
//! oldest one in the commit that adds the new one:
//!
//! ```
//! use tower_api_key::{Error, Grant, Issued, KeyRing, store::MemoryStore};
//!
//! async fn log_in(sessions: &KeyRing, user: &str) -> Result<Issued, Error> {
//!     sessions.issue_replacing_oldest(Grant::new(user).scopes("sync")).await
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let sessions = KeyRing::builder("acme").max_keys_per_subject(1).build(MemoryStore::new())?;
//! let first = log_in(&sessions, "alice").await?;
//! log_in(&sessions, "alice").await?;
//! assert!(sessions.verify(first.secret().expose().as_bytes()).await.is_err());
//! # Ok::<(), Error>(())
//! # }).unwrap();
//! ```
//!
//! # A registry, before and after
//!
//! `examples/adopt/registry` in the repository has a service in two forms: with the few lines of authentication that it had, and with
//! this crate over the same tables. An extractor authenticates, clients send a raw token in `Authorization`, tokens are rows with a
//! SHA-256, and users have flags. The same tests pass over both. The second also passes
//! `testing::Matrix`, with keys that the test [gives](super::testing#the-whole-stack).
//!
//! 58 lines are new, and 32 are gone:
//!
//! ```diff
//! -//! A registry with its own authentication: an extractor reads the token from a raw `Authorization`, as the
//! -//! protocol of its clients has it.
//! +//! A registry with this crate, over the tables that it had: an extractor reads the token from a raw `Authorization`,
//! +//! as its clients send it.
//! +use std::sync::Arc;
//!  use axum::Router;
//!  use axum::http::request::Parts;
//! -use axum::http::{StatusCode, header};
//! +use axum::response::Response;
//!  use axum::routing::{delete, get, put};
//! -use sha2::{Digest, Sha256};
//! +use tower_api_key::store::TableKey;
//! +use tower_api_key::{
//! +    ApiKeyLayer, Authenticated, Authenticator, Error, KeyDigest, KeyId, Owner, Principal,
//! +    Rejection, Requirement, ResponseGuardLayer, Source, Subject, VerifiedKey, Verifier,
//! +};
//! -use super::tables::{Down, Tables, Token, User};
//! +use super::tables::{Tables, User};
//! -pub fn app(tables: Tables) -> Router {
//! -    Router::new()
//! +pub fn app(tables: Tables) -> Result<Router, Error> {
//! +    let keys = ApiKeyLayer::new(verifier(tables)?).sources([Source::authorization_raw()]);
//! +    Ok(Router::new()
//!          .route("/me", get(me))
//!          .route("/summary", get(summary))
//! -        .with_state(tables)
//! +        .layer(ResponseGuardLayer::new())
//! +        .with_state(keys.authenticator()))
//!  struct Caller {
//! -    token: Token,
//! -    user: User,
//! +    token: VerifiedKey,
//! +    user: Arc<User>,
//! -impl FromRequestParts<Tables> for Caller {
//! -    type Rejection = StatusCode;
//! +impl FromRequestParts<Authenticator> for Caller {
//! +    type Rejection = Response;
//! -    async fn from_request_parts(parts: &mut Parts, tables: &Tables) -> Result<Self, StatusCode> {
//! -        let text = parts.headers.get(header::AUTHORIZATION);
//! -        let text = text.ok_or(StatusCode::UNAUTHORIZED)?;
//! -        let hash = Sha256::digest(text.as_bytes()).into();
//! -        let token = tables.token(&hash).await.map_err(unavailable)?;
//! -        let token = token.ok_or(StatusCode::UNAUTHORIZED)?;
//! -        let user = tables.user(token.user_id).await.map_err(unavailable)?;
//! -        let user = user.filter(|user| !user.is_locked);
//! -        let user = user.ok_or(StatusCode::UNAUTHORIZED)?;
//! +    async fn from_request_parts(parts: &mut Parts, keys: &Authenticator) -> Result<Self, Response> {
//! +        let Authenticated(token) = Authenticated::from_request_parts(parts, keys).await?;
//! +        let Principal(user) = Principal::from_request_parts(parts, keys).await?;
//!          Ok(Self { token, user })
//!  impl Caller {
//! -    fn require(&self, scope: &str) -> Result<(), StatusCode> {
//! -        let is_granted = self.token.scopes.split(' ').any(|it| it == scope);
//! -        let is_allowed = scope != "remove" || self.user.is_admin;
//! -        if is_granted && is_allowed {
//! -            return Ok(());
//! -        }
//! -        Err(StatusCode::FORBIDDEN)
//! +    fn require(&self, scope: &str) -> Result<(), Rejection> {
//! +        let scope = Requirement::scope(scope).expect("a scope");
//! +        self.token.require(&scope)
//! -fn unavailable(_: Down) -> StatusCode {
//! -    StatusCode::SERVICE_UNAVAILABLE
//! +pub fn verifier(tables: Tables) -> Result<Verifier, Error> {
//! +    let tokens = tables.clone();
//! +    Verifier::builder("registry")
//! +        .owners(move |id: Subject| {
//! +            let users = tables.clone();
//! +            async move {
//! +                let user = users.user(id.as_str().parse()?).await?;
//! +                let Some(user) = user.filter(|user| !user.is_locked) else {
//! +                    return Ok(None);
//! +                };
//! +                let ceiling = if user.is_admin {
//! +                    "publish remove"
//! +                } else {
//! +                    "publish"
//! +                };
//! +                Ok(Some(Owner::within(ceiling.parse()?).principal(user)))
//! +            }
//! +        })
//! +        .build(move |hash: KeyDigest| {
//! +            let tokens = tokens.clone();
//! +            async move {
//! +                let token = tokens.token(hash.as_bytes()).await?;
//! +                Ok(token.map(|token| {
//! +                    let (id, hash) = (
//! +                        KeyId::from_number(token.id),
//! +                        KeyDigest::from_bytes(token.hash),
//! +                    );
//! +                    TableKey::new(id, hash, token.user_id.to_string()).scopes(token.scopes)
//! +                }))
//! +            }
//! +        })
//! -async fn publish(caller: Caller) -> Result<String, StatusCode> {
//! +async fn publish(caller: Caller) -> Result<String, Rejection> {
//!      caller.require("publish")?;
//! -async fn remove(caller: Caller) -> Result<String, StatusCode> {
//! +async fn remove(caller: Caller) -> Result<String, Rejection> {
//!      caller.require("remove")?;
//! ```
//!
//! What the lines bring: a token in two headers or under another scheme is refused, no cache answers one
//! caller with another's response, refusals have challenges and problem details, look-ups are bounded in time and number,
//! and an observer receives every outcome.
