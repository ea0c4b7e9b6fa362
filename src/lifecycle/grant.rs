//! Requests of trusted code for keys.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::access::caveat::Caveats;
use crate::access::scope_set::ScopeSet;
use crate::error::Error;
use crate::time::Timestamp;

/// A request of trusted code to mint or to import a key.
///
/// The subject is the caller's name for the holder of the key: 1 to 256 bytes without control
/// characters, format characters (bidirectional controls among them) and `=` at the start. Nothing in a
/// request may choose it.
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::Grant;
///
/// let grant = Grant::new("alice")
///     .scopes(["orders:read"])?
///     .expires_in(Duration::from_secs(30 * 24 * 60 * 60))
///     .label("laptop");
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Grant {
    pub(crate) subject: String,
    pub(crate) scopes: ScopeSet,
    pub(crate) caveats: Caveats,
    pub(crate) lifetime: Lifetime,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) label: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// How long a key is to live, from the moment it is issued or becomes valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// 90 days, or as long as the ring allows if that is shorter.
    Default,
    For(Duration),
    Until(Timestamp),
    Never,
}

impl Grant {
    /// A key for this subject, with no scope, that lives for 90 days, or as long as the ring grants if
    /// that is shorter.
    pub fn new(subject: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            scopes: ScopeSet::empty(),
            caveats: Caveats::none(),
            lifetime: Lifetime::Default,
            not_before: None,
            label: None,
            metadata: BTreeMap::new(),
        }
    }

    pub(crate) fn subject_name(&self) -> &str {
        &self.subject
    }

    /// Sets the scopes, parsing each text.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidScope`](crate::ErrorKind::InvalidScope) when one of them is not a scope.
    pub fn scopes<I>(self, scopes: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Ok(self.scope_set(ScopeSet::new(scopes)?))
    }

    /// Sets the scopes from a parsed set.
    #[must_use]
    pub fn scope_set(mut self, scopes: ScopeSet) -> Self {
        self.scopes = scopes;
        self
    }

    /// Sets the restrictions of the key, parsing each text. A ring grants those that its
    /// [`grantable_caveats`](crate::KeyRingBuilder::grantable_caveats) name.
    ///
    /// ```
    /// use tower_api_key::Grant;
    ///
    /// let grant = Grant::new("ci")
    ///     .scopes(["deploy"])?
    ///     .caveats(["net=10.0.0.0/8,2001:db8::/32"])?;
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidCaveat`](crate::ErrorKind::InvalidCaveat) if one of them is not a
    /// [`Caveat`](crate::Caveat) that this version knows.
    pub fn caveats<I>(self, caveats: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Ok(self.caveat_set(Caveats::new(caveats)?))
    }

    /// Sets the restrictions from a parsed set.
    #[must_use]
    pub fn caveat_set(mut self, caveats: Caveats) -> Self {
        self.caveats = caveats;
        self
    }

    /// Lets the key live this long, in whole seconds, from now or from its not-before. The second
    /// that has begun counts, so that a key for 2 s may end after little more than one. More than
    /// 100 years are refused. [`never_expires`](Self::never_expires) sets no end.
    #[must_use]
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.lifetime = Lifetime::For(lifetime);
        self
    }

    /// Lets the key live until just before this moment, up to the end of the year 9999.
    #[must_use]
    pub fn expires_at(mut self, end: Timestamp) -> Self {
        self.lifetime = Lifetime::Until(end);
        self
    }

    /// Lets the key live until it is revoked. Only a ring built with
    /// [`unlimited_lifetime`](crate::KeyRingBuilder::unlimited_lifetime) grants that.
    #[must_use]
    pub fn never_expires(mut self) -> Self {
        self.lifetime = Lifetime::Never;
        self
    }

    /// Keeps the key invalid before this moment. The ring's longest lifetime counts from now all
    /// the same: a later start leaves less of it.
    #[must_use]
    pub fn not_before(mut self, start: Timestamp) -> Self {
        self.not_before = Some(start);
        self
    }

    /// Names the key for people: up to 256 bytes, with the characters that a subject may have.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds an entry to the application's own data about the key: up to 8 KiB in all, including names,
    /// without U+0000.
    #[must_use]
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }
}
