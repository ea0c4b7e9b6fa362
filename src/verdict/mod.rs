//! What an attempt to authenticate came to, without HTTP.

pub(crate) mod refusal;
pub(crate) mod verified;
