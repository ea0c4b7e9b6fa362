//! The result of an attempt to authenticate, without HTTP.

mod caller;
mod identity;
mod invalid_cause;
mod key_place;
mod refusal;
mod rejection_kind;
mod scheme;
mod verified_key;
mod verify_error;

pub use caller::Caller;
pub(crate) use identity::Identity;
pub use invalid_cause::InvalidCause;
pub use key_place::KeyPlace;
pub(crate) use refusal::{Ambiguity, Denial, Refusal};
pub use rejection_kind::RejectionKind;
pub(crate) use scheme::Scheme;
pub use verified_key::VerifiedKey;
pub use verify_error::{VerifyError, VerifyErrorKind};
