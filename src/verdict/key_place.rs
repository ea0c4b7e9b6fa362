//! Where keys do not belong.

use super::RejectionKind;

/// Where a key of the ring stood that does not belong there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyPlace {
    /// The target of the request: path, query or authority. With the feature `axum` also the part
    /// of the path that `Router::nest` strips.
    Uri,
    /// `Referer`. The request is refused only if the key is the one that it presents, because
    /// anyone can make a link.
    Referer,
    /// A header in which a proxy hands on a URL: `Forwarded`, `X-Original-URI`,
    /// `X-Original-URL`, `X-Forwarded-Uri`, and the like.
    ForwardedUrl,
    /// `Authorization`, under a scheme that the layer does not accept, or without one.
    Authorization,
    /// Any other header. Only an [optional](crate::ApiKeyLayer::optional) layer looks there, and
    /// only if the request presents no credential.
    OtherHeader,
}

impl KeyPlace {
    pub(crate) const ALL: [Self; 5] = [
        Self::Uri,
        Self::Referer,
        Self::ForwardedUrl,
        Self::Authorization,
        Self::OtherHeader,
    ];

    /// The place as a `snake_case` word, for logs and metrics. The words are stable: a change of
    /// one is a breaking change.
    ///
    /// ```
    /// use tower_api_key::KeyPlace;
    ///
    /// assert_eq!(KeyPlace::ForwardedUrl.as_str(), "forwarded_url");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uri => "uri",
            Self::Referer => "referer",
            Self::ForwardedUrl => "forwarded_url",
            Self::Authorization => "authorization",
            Self::OtherHeader => "other_header",
        }
    }

    pub(crate) const fn rejection(self) -> RejectionKind {
        match self {
            Self::Uri | Self::Referer | Self::ForwardedUrl => RejectionKind::KeyInUrl,
            Self::Authorization | Self::OtherHeader => RejectionKind::KeyMisplaced,
        }
    }

    /// The message to the client. `carriers` says where keys belong.
    pub(crate) fn detail(self, carriers: &str) -> String {
        match self {
            Self::Uri => "API key in URL: send it in a header, and replace this key".to_owned(),
            Self::Referer => {
                "API key in Referer: send it in a header, and replace this key".to_owned()
            }
            Self::ForwardedUrl => {
                format!("API key in a forwarded URL: send it in {carriers}, and replace this key")
            }
            Self::Authorization => format!("API key in Authorization: send it in {carriers}"),
            Self::OtherHeader => format!("API key in another header: send it in {carriers}"),
        }
    }
}
