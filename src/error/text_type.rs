//! The traits of types that are parsed from a text, besides `FromStr` and `Display`.
//!
//! `tests/integration/text_types.rs` has the table of all of them.

/// A type that has an `as_str`.
macro_rules! shown_text {
    ($($type:ty),+ $(,)?) => {$(
        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }
    )+};
}
pub(crate) use shown_text;

/// A type that is parsed from a text.
macro_rules! parsed_text {
    ($($type:ty),+ $(,)?) => {$(
        impl TryFrom<&str> for $type {
            type Error = crate::error::Error;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl TryFrom<&String> for $type {
            type Error = crate::error::Error;

            fn try_from(text: &String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl TryFrom<String> for $type {
            type Error = crate::error::Error;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
    )+};
}
pub(crate) use parsed_text;

/// A type that is its own text.
macro_rules! text_type {
    ($($type:ty),+ $(,)?) => {$(
        crate::shown_text!($type);
        crate::parsed_text!($type);

        impl From<&$type> for $type {
            fn from(parsed: &$type) -> Self {
                parsed.clone()
            }
        }
    )+};
}
pub(crate) use text_type;

/// As [`text_type`], for a set that is also made of a list of texts, each of which is one of its members.
macro_rules! set_type {
    ($($type:ty),+ $(,)?) => {$(
        impl<T: AsRef<str>, const LEN: usize> TryFrom<[T; LEN]> for $type {
            type Error = crate::error::Error;

            fn try_from(texts: [T; LEN]) -> Result<Self, Self::Error> {
                Self::new(texts)
            }
        }

        impl<T: AsRef<str>, const LEN: usize> TryFrom<&[T; LEN]> for $type {
            type Error = crate::error::Error;

            fn try_from(texts: &[T; LEN]) -> Result<Self, Self::Error> {
                Self::new(texts)
            }
        }

        impl<T: AsRef<str>> TryFrom<&[T]> for $type {
            type Error = crate::error::Error;

            fn try_from(texts: &[T]) -> Result<Self, Self::Error> {
                Self::new(texts)
            }
        }

        impl<T: AsRef<str>> TryFrom<Vec<T>> for $type {
            type Error = crate::error::Error;

            fn try_from(texts: Vec<T>) -> Result<Self, Self::Error> {
                Self::new(texts)
            }
        }

        impl<T: AsRef<str>> TryFrom<&Vec<T>> for $type {
            type Error = crate::error::Error;

            fn try_from(texts: &Vec<T>) -> Result<Self, Self::Error> {
                Self::new(texts)
            }
        }
    )+};
}
pub(crate) use set_type;

/// As [`text_type`], for a type that is ordered and hashed as its text, so that a map of it is asked by a text.
macro_rules! borrowed_text {
    ($($type:ty),+ $(,)?) => {$(
        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }
    )+};
}
pub(crate) use borrowed_text;

/// As [`text_type`], for a type that is compared with texts.
macro_rules! compared_text {
    ($($type:ty),+ $(,)?) => {$(
        impl PartialEq<str> for $type {
            fn eq(&self, text: &str) -> bool {
                self.as_str() == text
            }
        }

        impl PartialEq<String> for $type {
            fn eq(&self, text: &String) -> bool {
                self.as_str() == text
            }
        }

        impl PartialEq<&str> for $type {
            fn eq(&self, text: &&str) -> bool {
                self.as_str() == *text
            }
        }
    )+};
}
pub(crate) use compared_text;
