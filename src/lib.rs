//! API keys for any tower service.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod auth;
pub mod guard;
pub mod store;

mod body;
mod clock;
mod credential;
mod digest;
mod error;
#[cfg(feature = "axum")]
mod extract;
mod format;
mod lifecycle;
mod realm;
mod record;
pub mod rejection;
mod ring;
mod scope;
mod secret;
#[cfg(feature = "serde")]
mod serde_text;
mod verified;

#[cfg(feature = "serde")]
pub(crate) use serde_text::serde_text;

pub use auth::ApiKeyLayer;
pub use body::Body;
#[cfg(feature = "testing")]
pub use clock::ManualClock;
pub use clock::{Clock, SystemClock, Timestamp};
pub use credential::Source;
pub use digest::{KeyDigest, Pepper};
pub use error::{Error, ErrorKind};
pub use format::KeyId;
pub use guard::RequireScopeLayer;
pub use realm::Realm;
pub use record::{Grant, KeyRecord, KeyRecordParts, KeyState, Revocation, RevocationReason};
pub use rejection::{Rejection, RejectionKind, StatusProfile};
pub use ring::{Issued, KeyRing, RingBuilder};
pub use scope::{IntoRequirement, Requirement, Scope, ScopeSet};
pub use secret::SecretKey;
pub use verified::{InvalidCause, VerifiedKey, VerifyError, VerifyErrorKind};
