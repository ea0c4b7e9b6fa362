//! The ways to be refused, and the table of their responses.

use http::Request;
use tower::Layer;
use tower_api_key::{
    ApiKeyLayer, InvalidCause, KeyId, RejectionKind, RequireScopeLayer, RevocationReason,
    RouteTable, Source,
};

use crate::stores::{Outcome, scripted_ring};
use crate::support::{Inner, Whole, X_API_KEY, as_grpc, issue, request, send, with_key};

/// A way to be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Missing,
    RepeatedHeader,
    RepeatedAuthorization,
    SeveralCarriers,
    UnderscoreTwin,
    NamedInConnection,
    KeyInUri,
    KeyInReferer,
    KeyInForwardedUrl,
    KeyInAuthorization,
    Malformed,
    Revoked,
    LacksScope,
    UnknownRoute,
    StoreDown,
    GuardAlone,
}

impl Case {
    pub(super) const ALL: [Self; 16] = [
        Self::Missing,
        Self::RepeatedHeader,
        Self::RepeatedAuthorization,
        Self::SeveralCarriers,
        Self::UnderscoreTwin,
        Self::NamedInConnection,
        Self::KeyInUri,
        Self::KeyInReferer,
        Self::KeyInForwardedUrl,
        Self::KeyInAuthorization,
        Self::Malformed,
        Self::Revoked,
        Self::LacksScope,
        Self::UnknownRoute,
        Self::StoreDown,
        Self::GuardAlone,
    ];

    /// Kind, status and body.
    fn told(self) -> (RejectionKind, u16, &'static str) {
        match self {
            Self::Missing => (
                RejectionKind::Missing,
                401,
                r#"{"title":"Unauthorized","status":401,"detail":"API key missing"}"#,
            ),
            Self::RepeatedHeader | Self::RepeatedAuthorization => (
                RejectionKind::Ambiguous,
                400,
                r#"{"title":"Bad Request","status":400,"detail":"Ambiguous API key: the header is repeated"}"#,
            ),
            Self::SeveralCarriers => (
                RejectionKind::Ambiguous,
                400,
                r#"{"title":"Bad Request","status":400,"detail":"Ambiguous API key: several headers carry one"}"#,
            ),
            Self::UnderscoreTwin => (
                RejectionKind::Ambiguous,
                400,
                r#"{"title":"Bad Request","status":400,"detail":"Ambiguous API key: a header differs from the expected one only in _ and -"}"#,
            ),
            Self::NamedInConnection => (
                RejectionKind::Ambiguous,
                400,
                r#"{"title":"Bad Request","status":400,"detail":"Ambiguous API key: Connection names the header"}"#,
            ),
            Self::KeyInUri => (
                RejectionKind::KeyInUrl,
                400,
                r#"{"title":"Bad Request","status":400,"detail":"API key in URL: send it in a header, and replace this key"}"#,
            ),
            Self::KeyInReferer => (
                RejectionKind::KeyInUrl,
                400,
                r#"{"title":"Bad Request","status":400,"detail":"API key in Referer: send it in a header, and replace this key"}"#,
            ),
            Self::KeyInForwardedUrl => (
                RejectionKind::KeyInUrl,
                400,
                r#"{"title":"Bad Request","status":400,"detail":"API key in a forwarded URL: send it in x-api-key or Authorization: Bearer, and replace this key"}"#,
            ),
            Self::KeyInAuthorization => (
                RejectionKind::KeyMisplaced,
                400,
                r#"{"title":"Bad Request","status":400,"detail":"API key in Authorization: send it in x-api-key or Authorization: Bearer"}"#,
            ),
            Self::Malformed | Self::Revoked => (
                RejectionKind::Invalid,
                401,
                r#"{"title":"Unauthorized","status":401,"detail":"Invalid API key"}"#,
            ),
            Self::LacksScope => (
                RejectionKind::InsufficientScope,
                403,
                r#"{"title":"Forbidden","status":403,"detail":"Insufficient scope: expected orders:write"}"#,
            ),
            Self::UnknownRoute => (
                RejectionKind::UnknownRoute,
                403,
                r#"{"title":"Forbidden","status":403,"detail":"Unknown route"}"#,
            ),
            Self::StoreDown => (
                RejectionKind::StoreUnavailable,
                503,
                r#"{"title":"Service Unavailable","status":503,"detail":"Key store unavailable"}"#,
            ),
            Self::GuardAlone => (
                RejectionKind::NotAuthenticated,
                500,
                r#"{"title":"Internal Server Error","status":500,"detail":"Authentication layer missing"}"#,
            ),
        }
    }

    /// The complete expected response.
    pub(super) fn expected(self) -> Expected {
        let (kind, status, body) = self.told();
        let vary = match self {
            Self::GuardAlone => "*",
            _ => "x-api-key, authorization",
        };
        let mut headers = vec![
            ("content-type", "application/problem+json"),
            ("cache-control", "no-store"),
            ("vary", vary),
        ];
        let challenges: &[&str] = match kind {
            RejectionKind::Missing => &["ApiKey realm=\"orders\"", "Bearer realm=\"orders\""],
            RejectionKind::Invalid => &[
                "ApiKey realm=\"orders\", error=\"invalid_token\"",
                "Bearer realm=\"orders\", error=\"invalid_token\"",
            ],
            RejectionKind::InsufficientScope => {
                &["ApiKey realm=\"orders\", error=\"insufficient_scope\", scope=\"orders:write\""]
            }
            _ => &[],
        };
        headers.extend(challenges.iter().map(|value| ("www-authenticate", *value)));
        if kind == RejectionKind::StoreUnavailable {
            headers.push(("retry-after", "1"));
        }
        headers.sort_unstable();
        Expected {
            kind,
            status,
            headers,
            body,
            cause: match self {
                Self::Malformed => Some(InvalidCause::Malformed),
                Self::Revoked => Some(InvalidCause::Revoked),
                _ => None,
            },
            proves_key: matches!(self, Self::Revoked | Self::LacksScope | Self::UnknownRoute),
            names_key: matches!(
                self,
                Self::KeyInUri
                    | Self::KeyInReferer
                    | Self::KeyInForwardedUrl
                    | Self::KeyInAuthorization
                    | Self::StoreDown
            ),
        }
    }

    /// Whether the responder of an authenticating layer can see it.
    pub(super) fn reaches_responder(self) -> bool {
        self != Self::GuardAlone
    }

    /// A request that presents a key in this way.
    fn request(self, key: &str) -> Request<()> {
        let bearer = format!("Bearer {key}");
        match self {
            Self::Missing => Request::new(()),
            Self::RepeatedHeader => request([("x-api-key", key), ("x-api-key", key)]),
            Self::RepeatedAuthorization => {
                request([("authorization", &bearer), ("authorization", &bearer)])
            }
            Self::SeveralCarriers => request([("x-api-key", key), ("authorization", &bearer)]),
            Self::UnderscoreTwin => request([("x-api-key", key), ("x_api_key", key)]),
            Self::NamedInConnection => request([("x-api-key", key), ("connection", "x-api-key")]),
            Self::KeyInReferer => request([
                ("x-api-key", key.to_owned()),
                ("referer", format!("https://acme.test/?key={key}")),
            ]),
            Self::KeyInForwardedUrl => request([("x-original-uri", format!("/?key={key}"))]),
            Self::KeyInAuthorization => request([("authorization", format!("token {key}"))]),
            Self::KeyInUri => {
                let mut request = Request::new(());
                *request.uri_mut() = format!("/orders?key={key}").parse().unwrap();
                request
            }
            Self::Malformed => with_key("nonsense"),
            Self::Revoked
            | Self::LacksScope
            | Self::UnknownRoute
            | Self::StoreDown
            | Self::GuardAlone => with_key(key),
        }
    }
}

/// The values that a test compares with a response.
pub(super) struct Expected {
    pub(super) kind: RejectionKind,
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: &'static str,
    pub(super) cause: Option<InvalidCause>,
    /// Whether the rejection names the key that was issued, and a digest has proven it.
    pub(super) proves_key: bool,
    /// Whether it names the key by what the request claims.
    pub(super) names_key: bool,
}

impl Expected {
    /// The proven and the claimed id of a rejection of this key.
    pub(super) fn names(&self, id: KeyId) -> (Option<KeyId>, Option<KeyId>) {
        (self.proves_key.then_some(id), self.names_key.then_some(id))
    }
}

/// Refuses a request in this way, through a layer that `options` may change further. Returns the
/// response, and the id of the key in question.
pub(super) async fn refused(
    case: Case,
    grpc: bool,
    options: impl FnOnce(ApiKeyLayer) -> ApiKeyLayer,
) -> (Whole, KeyId) {
    let (ring, _, store) = scripted_ring();
    let issued = issue(&ring, "orders:read").await;
    let id = issued.record().id();
    if case == Case::Revoked {
        ring.revoke(id, RevocationReason::KeyCompromise)
            .await
            .unwrap();
    }
    if case == Case::StoreDown {
        store.answer(Outcome::Error);
    }
    let mut request = case.request(issued.secret().expose());
    if grpc {
        request = as_grpc(request, "application/grpc");
    }
    let inner = Inner::new();
    let response = if case == Case::GuardAlone {
        let guard = RequireScopeLayer::new("orders:write");
        send(&guard.layer(inner.clone()), request).await
    } else {
        let layer =
            ApiKeyLayer::new(ring).sources([Source::header(X_API_KEY).unwrap(), Source::bearer()]);
        let layer = if case == Case::UnknownRoute {
            let table = RouteTable::builder().get("/orders", "orders:read");
            layer.routes(table.build().unwrap())
        } else {
            layer.require("orders:write")
        };
        send(&options(layer).layer(inner.clone()), request).await
    };
    assert_eq!(inner.calls(), 0, "{case:?}");
    (response, id)
}
