//! One kind of refusal, prepared as far as requests do not differ.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use super::value::ascii;
use super::{Challenges, Detail, Head, Rejection, RejectionKind, StatusProfile, grpc};
use crate::middleware::{caching, problem};
use crate::verdict::{Identity, Refusal};

pub(crate) type Responder = dyn Fn(&Rejection) -> Response<Bytes> + Send + Sync;

/// One kind of refusal, except for what differs between requests.
pub(super) struct Answer {
    kind: RejectionKind,
    status: StatusCode,
    detail: Detail,
    challenges: &'static [HeaderValue],
    problem: Bytes,
    length: HeaderValue,
    grpc_message: HeaderValue,
}

impl Answer {
    pub(super) fn new(
        kind: RejectionKind,
        detail: Detail,
        status: StatusCode,
        challenges: &'static [HeaderValue],
    ) -> Self {
        let problem = Bytes::from(problem::json(status, detail.as_str()));
        Self::of_problem(kind, detail, status, challenges, problem)
    }

    /// The same, if its problem is known.
    pub(super) fn of_problem(
        kind: RejectionKind,
        detail: Detail,
        status: StatusCode,
        challenges: &'static [HeaderValue],
        problem: Bytes,
    ) -> Self {
        Self {
            kind,
            status,
            challenges,
            length: problem.len().into(),
            problem,
            grpc_message: ascii(grpc::percent_encode(detail.as_str())),
            detail,
        }
    }

    pub(super) fn problem(&self) -> Bytes {
        self.problem.clone()
    }

    /// The rejection of a request that was refused by this answer.
    #[inline]
    pub(super) fn rejection(&self, refusal: &Refusal) -> Rejection {
        Rejection {
            cause: refusal.cause(),
            source: refusal.failure().cloned(),
            ..self.rejection_of(refusal.identity())
        }
    }

    /// The same if there is no cause.
    #[inline]
    pub(super) fn rejection_of(&self, identity: Identity) -> Rejection {
        Rejection {
            kind: self.kind,
            status: self.status,
            detail: self.detail.clone(),
            cause: None,
            identity,
            source: None,
            challenges: Challenges::Kept(self.challenges),
            requirement: None,
            untold: false,
            is_answered: false,
        }
    }

    pub(super) fn respond(
        &self,
        mut rejection: Rejection,
        vary: &HeaderValue,
        responder: Option<&Responder>,
        request: Head<'_>,
    ) -> Response<Bytes> {
        let mut response = match (grpc::content_type(request), responder) {
            (Some(content_type), _) => {
                grpc::trailers_only(content_type, self.kind, self.grpc_message.clone(), vary)
            }
            (None, Some(responder)) => {
                rejection.is_answered = true;
                completed(responder(&rejection), rejection.challenges.as_slice(), vary)
            }
            (None, None) => {
                let problem = bodiless(self.problem.clone(), request);
                return rejection.problem(problem, &self.length, vary);
            }
        };
        *response.body_mut() = bodiless(std::mem::take(response.body_mut()), request);
        response.extensions_mut().insert(rejection);
        response
    }
}

/// The body, unless the method is `HEAD`: the headers are those of the response to `GET` (RFC 9110 §9.3.2), and a client of
/// HTTP/2 fails at a body.
#[inline]
fn bodiless(body: Bytes, request: Head<'_>) -> Bytes {
    if request.is_head() {
        Bytes::new()
    } else {
        body
    }
}

/// A user's refusal, completed with the mandatory fields. Its caching fields are replaced, because a
/// stored refusal would answer the holders of valid keys. Its length is stated, as in every refusal.
pub(super) fn completed(
    mut response: Response<Bytes>,
    challenges: &[HeaderValue],
    vary: &HeaderValue,
) -> Response<Bytes> {
    let unauthorized = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    if unauthorized && !headers.contains_key(header::WWW_AUTHENTICATE) {
        for challenge in challenges {
            headers.append(header::WWW_AUTHENTICATE, challenge.clone());
        }
    }
    caching::forbid_storing(headers);
    caching::vary_by(headers, vary.clone());
    // A response without content has no length (RFC 9110 §8.6).
    if response.status() != StatusCode::NO_CONTENT {
        let length = response.body().len();
        let stated = response.headers_mut().entry(header::CONTENT_LENGTH);
        stated.or_insert_with(|| length.into());
    }
    response
}

impl RejectionKind {
    /// The status of a kind that no profile changes.
    pub(super) fn status(self) -> StatusCode {
        StatusProfile::default().status(self)
    }
}
