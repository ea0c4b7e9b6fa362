//! The methods and traits of a type that is its own text, besides `FromStr` and `Display`.

macro_rules! text_type {
    ($($type:ty),+ $(,)?) => {$(
        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl TryFrom<&str> for $type {
            type Error = crate::error::Error;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
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
pub(crate) use text_type;
