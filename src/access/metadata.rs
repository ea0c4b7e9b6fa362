//! The application's own data about a key.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};

/// The application's own data about a key: names and values, up to 8 KiB in all, without U+0000. It is no
/// authority.
///
/// Clones share the entries.
///
/// ```
/// use tower_api_key::Metadata;
///
/// let metadata = Metadata::new([("team", "blue"), ("cost centre", "7")])?;
/// assert_eq!(metadata.get("team"), Some("blue"));
/// assert_eq!(metadata.iter().next(), Some(("cost centre", "7")));
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
// Most keys have none.
pub struct Metadata(Option<Arc<BTreeMap<String, String>>>);

static NONE: BTreeMap<String, String> = BTreeMap::new();

impl Metadata {
    /// The most bytes of all names and values.
    pub const MAX_LEN: usize = 8 * 1024;

    /// No entry.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Collects entries. Of several with one name, the last counts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidMetadata`] for more than 8 KiB, and for U+0000.
    pub fn new<N, V>(entries: impl IntoIterator<Item = (N, V)>) -> Result<Self, Error>
    where
        N: Into<String>,
        V: Into<String>,
    {
        let entries = entries.into_iter();
        entries
            .map(|(name, value)| (name.into(), value.into()))
            .collect::<BTreeMap<_, _>>()
            .try_into()
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries().get(name).map(String::as_str)
    }

    /// The entries, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let entries = self.entries().iter();
        entries.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn entries(&self) -> &BTreeMap<String, String> {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl TryFrom<BTreeMap<String, String>> for Metadata {
    type Error = Error;

    fn try_from(entries: BTreeMap<String, String>) -> Result<Self, Error> {
        let texts = || entries.iter().flat_map(|(name, value)| [name, value]);
        let fits = texts().all(|text| !text.contains('\0'))
            && texts().map(String::len).sum::<usize>() <= Self::MAX_LEN;
        match (fits, entries.is_empty()) {
            (false, _) => Err(ErrorKind::InvalidMetadata.into()),
            (true, true) => Ok(Self::none()),
            (true, false) => Ok(Self(Some(Arc::new(entries)))),
        }
    }
}

impl<N: Into<String>, V: Into<String>, const LEN: usize> TryFrom<[(N, V); LEN]> for Metadata {
    type Error = Error;

    fn try_from(entries: [(N, V); LEN]) -> Result<Self, Error> {
        Self::new(entries)
    }
}

impl From<&Self> for Metadata {
    fn from(parsed: &Self) -> Self {
        parsed.clone()
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.entries(), f)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Metadata {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.entries().serialize(serializer)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Metadata {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = BTreeMap::<String, String>::deserialize(deserializer)?;
        Self::try_from(entries).map_err(serde::de::Error::custom)
    }
}
