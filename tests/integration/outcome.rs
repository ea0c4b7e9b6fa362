//! The possible outcomes of a request, word for word, and the assertion of one.

use http::{Method, Request};
use tower::Layer;
use tower_api_key::{ApiKeyLayer, Rejection, RejectionKind};

use crate::support::{Inner, Whole, send};

/// The outcome of a request: the status, the kind of the refusal, and its text.
pub(crate) type Outcome = (u16, Option<RejectionKind>, &'static str);

pub(crate) const PASSES: Outcome = (200, None, "");
pub(crate) const MISSING: Outcome = (401, Some(RejectionKind::Missing), "API key missing");
pub(crate) const INVALID: Outcome = (401, Some(RejectionKind::Invalid), "Invalid API key");
pub(crate) const REPEATED: Outcome = (
    400,
    Some(RejectionKind::Ambiguous),
    "Ambiguous API key: the header is repeated",
);
pub(crate) const SEVERAL: Outcome = (
    400,
    Some(RejectionKind::Ambiguous),
    "Ambiguous API key: several headers carry one",
);
pub(crate) const TWIN: Outcome = (
    400,
    Some(RejectionKind::Ambiguous),
    "Ambiguous API key: a header differs from the expected one only in _ and -",
);
pub(crate) const NAMED: Outcome = (
    400,
    Some(RejectionKind::Ambiguous),
    "Ambiguous API key: Connection names the header",
);
pub(crate) const IN_URI: Outcome = (
    400,
    Some(RejectionKind::KeyInUrl),
    "API key in URL: send it in a header, and replace this key",
);
pub(crate) const IN_REFERER: Outcome = (
    400,
    Some(RejectionKind::KeyInUrl),
    "API key in Referer: send it in a header, and replace this key",
);

// Of layers that read `x-api-key` alone.
pub(crate) const IN_FORWARDED_URL: Outcome = (
    400,
    Some(RejectionKind::KeyInUrl),
    "API key in a forwarded URL: send it in x-api-key, and replace this key",
);
pub(crate) const IN_AUTHORIZATION: Outcome = (
    400,
    Some(RejectionKind::KeyMisplaced),
    "API key in Authorization: send it in x-api-key",
);
pub(crate) const IN_ANOTHER_HEADER: Outcome = (
    400,
    Some(RejectionKind::KeyMisplaced),
    "API key in another header: send it in x-api-key",
);

/// Sends a request through this layer, asserts its outcome, and that the inner service was called
/// if and only if the request passed.
pub(crate) async fn check(
    layer: &ApiKeyLayer,
    request: Request<()>,
    expected: Outcome,
) -> (Whole, Inner) {
    let inner = Inner::new();
    let is_head = request.method() == Method::HEAD;
    let sent = format!("{request:?}");
    let response = send(&layer.layer(inner.clone()), request).await;

    let detail = response.rejection.as_ref().map_or("", Rejection::detail);
    let outcome = (response.status.as_u16(), response.kind(), detail);
    assert_eq!(outcome, expected, "{sent}");
    assert_eq!(inner.calls(), usize::from(expected == PASSES), "{sent}");
    if expected == PASSES {
        assert_eq!(response.body, "inner", "{sent}");
    } else if is_head {
        assert_eq!(response.body, "", "{sent}");
    } else {
        assert_eq!(response.json()["status"], expected.0, "{sent}");
        assert_eq!(response.json()["detail"], expected.2, "{sent}");
    }
    (response, inner)
}
