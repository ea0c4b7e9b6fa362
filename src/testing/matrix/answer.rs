//! An answer, as far as a matrix sees it.

use std::fmt;

use http::header::HeaderName;
use http::{Response, StatusCode};

use crate::key::shape::redact_keys;
use crate::middleware::rejection::Rejection;
use crate::verdict::RejectionKind;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The answer to a request.
pub(super) enum Answer {
    Response {
        status: StatusCode,
        /// The code of a trailers-only response.
        grpc: Option<i32>,
        rejection: Option<RejectionKind>,
    },
    /// The service failed.
    Failure(String),
}

impl Answer {
    /// Its text has none of the keys that the test gave.
    pub(super) fn of<R, E: fmt::Debug>(outcome: Result<Response<R>, E>, given: &[String]) -> Self {
        match outcome {
            Ok(response) => {
                let code = response.headers().get(GRPC_STATUS);
                Self::Response {
                    status: response.status(),
                    grpc: code.and_then(|code| code.to_str().ok()?.parse().ok()),
                    rejection: response.extensions().get().map(Rejection::kind),
                }
            }
            // The error of a client may contain the request, and a request of the matrix has keys in its URL.
            Err(error) => {
                let text = redact_keys(&format!("{error:?}")).into_owned();
                let hidden = given
                    .iter()
                    .fold(text, |text, key| text.replace(key, "(a key)"));
                Self::Failure(hidden)
            }
        }
    }

    pub(super) fn rejection(&self) -> Option<RejectionKind> {
        match self {
            Self::Response { rejection, .. } => *rejection,
            Self::Failure(_) => None,
        }
    }

    /// Whether a handler seems to have answered. A path with a parameter may name something that there is not.
    pub(super) fn passes(&self, has_parameter: bool) -> bool {
        let Self::Response {
            status,
            grpc,
            rejection: None,
        } = self
        else {
            return false;
        };
        match *status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED => {
                false
            }
            StatusCode::NOT_FOUND => has_parameter,
            status => {
                // 7, 12 and 16: permission denied, unimplemented, unauthenticated.
                !status.is_server_error() && !matches!(grpc, Some(7 | 12 | 16))
            }
        }
    }

    /// Whether it is a success, whoever answered.
    pub(super) fn is_success(&self) -> bool {
        match self {
            Self::Response {
                status,
                grpc,
                rejection: None,
            } => status.is_success() && grpc.unwrap_or(0) == 0,
            Self::Response { .. } | Self::Failure(_) => false,
        }
    }

    /// Whether it refuses a request for this reason. If other answers of the stack have a [`Rejection`], one
    /// over HTTP needs it too.
    pub(super) fn refuses(&self, kind: RejectionKind, has_rejections: bool) -> bool {
        let Self::Response {
            status,
            grpc,
            rejection,
        } = self
        else {
            return false;
        };
        let is_refusal =
            status.is_client_error() || status.is_server_error() || grpc.is_some_and(|it| it != 0);
        match rejection {
            Some(rejection) => *rejection == kind && is_refusal,
            None => match grpc {
                // A status that a handler makes of a rejection has no extensions.
                Some(code) => *code == code_of(kind),
                None => !has_rejections && statuses_of(kind).contains(status),
            },
        }
    }
}

/// The statuses of a refusal in any profile of statuses.
fn statuses_of(kind: RejectionKind) -> &'static [StatusCode] {
    match kind {
        RejectionKind::Missing | RejectionKind::Invalid => {
            &[StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN]
        }
        RejectionKind::InsufficientScope | RejectionKind::UnknownRoute => &[StatusCode::FORBIDDEN],
        RejectionKind::Ambiguous | RejectionKind::KeyInUrl | RejectionKind::KeyMisplaced => {
            &[StatusCode::BAD_REQUEST]
        }
        RejectionKind::StoreUnavailable => &[StatusCode::SERVICE_UNAVAILABLE],
        RejectionKind::NotAuthenticated => &[StatusCode::INTERNAL_SERVER_ERROR],
    }
}

/// The code of a refusal to a gRPC client.
fn code_of(kind: RejectionKind) -> i32 {
    crate::testing::refusal::rejection(kind).grpc_code()
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response {
                status,
                grpc,
                rejection,
            } => {
                f.write_str(status.as_str())?;
                if let Some(code) = grpc {
                    write!(f, " (gRPC {code})")?;
                }
                match rejection {
                    Some(kind) => write!(f, " {}", kind.as_str()),
                    None => Ok(()),
                }
            }
            Self::Failure(error) => write!(f, "an error of the service: {error}"),
        }
    }
}
