//! The statuses of refusals.

use http::StatusCode;

use super::RejectionKind;

/// The statuses for a missing and an invalid key.
///
/// A profile changes the status only. Headers, body and gRPC codes stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum StatusProfile {
    /// 401 for a missing and for an invalid key, as RFC 9110 §15.5.2 has it.
    #[default]
    Rfc9110,
    /// 401 for a missing key and 403 for an invalid one, as tutorials for that framework do.
    FastApi,
    /// 403 for both, as AWS API Gateway does.
    AwsGateway,
}

impl StatusProfile {
    pub(crate) fn status(self, kind: RejectionKind) -> StatusCode {
        match (kind, self) {
            (RejectionKind::Missing, Self::Rfc9110 | Self::FastApi)
            | (RejectionKind::Invalid, Self::Rfc9110) => StatusCode::UNAUTHORIZED,
            (RejectionKind::Missing, Self::AwsGateway)
            | (RejectionKind::Invalid, Self::FastApi | Self::AwsGateway)
            | (RejectionKind::InsufficientScope | RejectionKind::UnknownRoute, _) => {
                StatusCode::FORBIDDEN
            }
            (
                RejectionKind::Ambiguous | RejectionKind::KeyInUrl | RejectionKind::KeyMisplaced,
                _,
            ) => StatusCode::BAD_REQUEST,
            (RejectionKind::StoreUnavailable, _) => StatusCode::SERVICE_UNAVAILABLE,
            (RejectionKind::NotAuthenticated, _) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}
