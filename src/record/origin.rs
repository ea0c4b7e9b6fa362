//! What the keys of one ring have in common.

use crate::access::realm::Realm;
use crate::key::KeyPrefix;

/// Where a key comes from. The records in memory share it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(super) realm: Realm,
    pub(super) prefix: Option<KeyPrefix>,
    pub(super) pepper_version: Option<u32>,
}
