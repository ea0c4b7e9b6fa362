//! Requests of trusted code for keys.

use std::time::Duration;

use crate::access::caveat::Caveats;
use crate::access::label::Label;
use crate::access::metadata::Metadata;
use crate::access::scope_set::ScopeSet;
use crate::access::subject::Subject;
use crate::error::{Error, ErrorKind};
use crate::time::Timestamp;

/// A request of trusted code to mint or to import a key.
///
/// The [`Subject`] is the caller's name for the holder of the key. Nothing in a request may choose it.
///
/// Each part is a text or a parsed value. If texts cannot be parsed, the operation that takes the grant
/// returns the error of the subject, or else of the first one, and does nothing.
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::Grant;
///
/// let grant = Grant::new("alice")
///     .scopes(["orders:read"])
///     .expires_in(Duration::from_secs(30 * 24 * 60 * 60))
///     .label("laptop");
/// ```
#[derive(Debug, Clone)]
pub struct Grant {
    pub(crate) subject: Result<Subject, ErrorKind>,
    pub(crate) scopes: ScopeSet,
    pub(crate) caveats: Caveats,
    pub(crate) lifetime: Lifetime,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) label: Option<Label>,
    pub(crate) metadata: Metadata,
    /// The first part that could not be parsed, after the subject.
    problem: Option<ErrorKind>,
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
    pub fn new<S>(subject: S) -> Self
    where
        S: TryInto<Subject>,
        S::Error: Into<Error>,
    {
        Self {
            subject: parsed(subject),
            scopes: ScopeSet::empty(),
            caveats: Caveats::none(),
            lifetime: Lifetime::Default,
            not_before: None,
            label: None,
            metadata: Metadata::none(),
            problem: None,
        }
    }

    /// The subject, if every part could be parsed.
    pub(crate) fn checked(&self) -> Result<&Subject, Error> {
        match (&self.subject, self.problem) {
            (&Err(kind), _) | (Ok(_), Some(kind)) => Err(kind.into()),
            (Ok(subject), None) => Ok(subject),
        }
    }

    /// Keeps the first error for the operation.
    fn kept<T>(&mut self, part: Result<T, ErrorKind>) -> Option<T> {
        kept(&mut self.problem, part)
    }

    /// Sets the scopes: a [`ScopeSet`], a text of scopes with single spaces between them, or a list of
    /// texts, each of which is one scope.
    #[must_use]
    pub fn scopes<S>(mut self, scopes: S) -> Self
    where
        S: TryInto<ScopeSet>,
        S::Error: Into<Error>,
    {
        if let Some(scopes) = self.kept(parsed(scopes)) {
            self.scopes = scopes;
        }
        self
    }

    /// Sets the restrictions of the key: [`Caveats`], a text of caveats with single spaces between them, or a
    /// list of texts, each of which is one caveat. A ring grants those that its
    /// [`grantable_caveats`](crate::KeyRingBuilder::grantable_caveats) name, and none that this version does
    /// not know.
    ///
    /// ```
    /// use tower_api_key::Grant;
    ///
    /// let grant = Grant::new("ci")
    ///     .scopes("deploy")
    ///     .caveats(["net=10.0.0.0/8,2001:db8::/32"]);
    /// ```
    #[must_use]
    pub fn caveats<C>(mut self, caveats: C) -> Self
    where
        C: TryInto<Caveats>,
        C::Error: Into<Error>,
    {
        if let Some(caveats) = self.kept(parsed(caveats)) {
            self.caveats = caveats;
        }
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

    /// Names the key for people.
    #[must_use]
    pub fn label<L>(mut self, label: L) -> Self
    where
        L: TryInto<Label>,
        L::Error: Into<Error>,
    {
        if let Some(label) = self.kept(parsed(label)) {
            self.label = Some(label);
        }
        self
    }

    /// Sets the application's own data about the key: a [`Metadata`], or an array or a map of names and
    /// values.
    ///
    /// ```
    /// use tower_api_key::Grant;
    ///
    /// let grant = Grant::new("alice").metadata([("team", "blue")]);
    /// ```
    #[must_use]
    pub fn metadata<M>(mut self, metadata: M) -> Self
    where
        M: TryInto<Metadata>,
        M::Error: Into<Error>,
    {
        if let Some(metadata) = self.kept(parsed(metadata)) {
            self.metadata = metadata;
        }
        self
    }
}

/// A text or a parsed value, parsed.
pub(crate) fn parsed<T, V>(value: V) -> Result<T, ErrorKind>
where
    V: TryInto<T>,
    V::Error: Into<Error>,
{
    value.try_into().map_err(|error| error.into().kind())
}

/// A part that could be parsed. The first error of a builder's parts is its problem.
pub(crate) fn kept<T>(problem: &mut Option<ErrorKind>, part: Result<T, ErrorKind>) -> Option<T> {
    part.map_err(|kind| problem.get_or_insert(kind)).ok()
}
