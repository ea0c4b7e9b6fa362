//! The texts that a description gives to a key.

use crate::access::label::Label;
use crate::access::metadata::Metadata;
use crate::error::{Error, ErrorKind};
use crate::lifecycle::grant::{kept, parsed};

/// A label and metadata for a key, for [`KeyRing::describe`](crate::KeyRing::describe). What it does not
/// name stays as it is.
///
/// Label and metadata are no authority: no verdict depends on them.
///
/// Each part is a text or a parsed value. If texts cannot be parsed, the operation returns the error of the
/// first one, and does nothing.
///
/// ```
/// use tower_api_key::Description;
///
/// let renamed = Description::new().label("build server");
/// let cleared = Description::new().no_label().metadata([("team", "blue")]);
/// # let _ = (renamed, cleared);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a description does nothing until it is passed to `describe`"]
pub struct Description {
    label: NewLabel,
    /// `None` to keep that of the key.
    metadata: Option<Metadata>,
    /// The first part that could not be parsed.
    problem: Option<ErrorKind>,
}

/// The label of a key after its description.
#[derive(Debug, Clone, Default)]
enum NewLabel {
    #[default]
    Kept,
    Removed,
    Text(Label),
}

impl Description {
    /// Changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the key for people.
    pub fn label<L>(mut self, label: L) -> Self
    where
        L: TryInto<Label>,
        L::Error: Into<Error>,
    {
        if let Some(label) = kept(&mut self.problem, parsed(label)) {
            self.label = NewLabel::Text(label);
        }
        self
    }

    /// Removes the label.
    pub fn no_label(mut self) -> Self {
        self.label = NewLabel::Removed;
        self
    }

    /// Replaces all metadata of the key: a [`Metadata`], or an array or a map of names and values.
    /// [`Metadata::none`] removes it.
    ///
    /// ```
    /// use tower_api_key::{Description, Metadata};
    ///
    /// let moved = Description::new().metadata([("team", "green")]);
    /// let none = Description::new().metadata(Metadata::none());
    /// # let _ = (moved, none);
    /// ```
    pub fn metadata<M>(mut self, metadata: M) -> Self
    where
        M: TryInto<Metadata>,
        M::Error: Into<Error>,
    {
        if let Some(metadata) = kept(&mut self.problem, parsed(metadata)) {
            self.metadata = Some(metadata);
        }
        self
    }

    /// The description, if every part could be parsed.
    pub(crate) fn checked(&self) -> Result<&Self, Error> {
        match self.problem {
            Some(kind) => Err(kind.into()),
            None => Ok(self),
        }
    }

    /// The label of a key that has this one.
    pub(super) fn label_over<'a>(&'a self, label: Option<&'a Label>) -> Option<&'a Label> {
        match &self.label {
            NewLabel::Kept => label,
            NewLabel::Removed => None,
            NewLabel::Text(label) => Some(label),
        }
    }

    /// The metadata of a key that has these.
    pub(super) fn metadata_over<'a>(&'a self, metadata: &'a Metadata) -> &'a Metadata {
        self.metadata.as_ref().unwrap_or(metadata)
    }
}
