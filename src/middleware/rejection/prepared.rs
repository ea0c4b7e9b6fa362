//! Refusals whose responses are prepared when a layer is built.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::header::HeaderValue;
use http::response::Parts;
use http::{Extensions, Response, StatusCode};

use super::answer::Answer;
use super::value::problem_headers;
use super::{Detail, Rejection, RejectionKind};
use crate::middleware::kept_values::kept_value;
use crate::middleware::problem;
use crate::support::kept::kept;

/// An answer with its headers, for a refusal of which nothing in them differs between requests.
pub(crate) struct Prepared {
    pub(super) answer: Answer,
    /// That of the response.
    head: Parts,
}

/// A refusal by everything that its response depends on.
type Known = (&'static str, u16, &'static str, Vec<&'static [u8]>);

impl Prepared {
    /// Keeps it for the lifetime of the process, once for all layers with the same one, so that a refused request counts no
    /// reference to it. It is for what the program configures, which is little.
    pub(super) fn kept(
        kind: RejectionKind,
        detail: String,
        status: StatusCode,
        challenges: &'static [HeaderValue],
        vary: &'static HeaderValue,
    ) -> &'static Self {
        static KEPT: Mutex<BTreeMap<Known, &'static Prepared>> = Mutex::new(BTreeMap::new());
        let detail: &'static str = kept(detail);
        let values = challenges.iter().chain([vary]).map(HeaderValue::as_bytes);
        let known = (kind.as_str(), status.as_u16(), detail, values.collect());
        let mut all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(known).or_insert_with(|| {
            let problem: &'static str = kept(problem::json(status, detail));
            let length = kept_value(problem.len().to_string());
            let (mut head, ()) = Response::new(()).into_parts();
            head.status = status;
            head.headers = problem_headers(kind, challenges, vary, &length);
            let detail = Detail::Static(detail);
            let problem = Bytes::from_static(problem.as_bytes());
            let answer = Answer::of_problem(kind, detail, status, challenges, problem);
            Box::leak(Box::new(Self { answer, head }))
        })
    }
}

/// A refusal of one request, which becomes its response where that is asked for, so that the response is not moved.
///
/// It is two pointers, so that a call returns it in registers: what is read right after it was written in other parts waits
/// until it is through to the cache.
pub(crate) struct Refused {
    prepared: &'static Prepared,
    /// Those of the response.
    extensions: Extensions,
}

impl Refused {
    #[inline]
    pub(super) fn new(prepared: &'static Prepared, rejection: Rejection) -> Self {
        let mut extensions = Extensions::new();
        extensions.insert(rejection);
        Self {
            prepared,
            extensions,
        }
    }

    /// The response, with the rejection in its extensions. It has no body if the method is `HEAD`: the headers are those of the
    /// response to `GET` (RFC 9110 §9.3.2), and a client of HTTP/2 fails at a body.
    #[cold]
    #[inline(never)]
    pub(crate) fn respond<B>(self, is_head: bool, body: impl FnOnce(Bytes) -> B) -> Response<B> {
        let problem = if is_head {
            Bytes::new()
        } else {
            self.prepared.answer.problem()
        };
        let mut head = self.prepared.head.clone();
        head.extensions = self.extensions;
        Response::from_parts(head, body(problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::kept_values::kept_values;

    #[test]
    fn a_refusal_is_kept_once_for_all_layers() {
        let kept = |detail: &str, realm: &str| {
            let challenges = kept_values(vec![format!("ApiKey realm=\"{realm}\"")]);
            let vary = &kept_values(vec!["x-api-key".to_owned()])[0];
            let kind = RejectionKind::Missing;
            Prepared::kept(
                kind,
                detail.to_owned(),
                StatusCode::UNAUTHORIZED,
                challenges,
                vary,
            )
        };
        let first = kept("kept once", "a");
        assert!(std::ptr::eq(first, kept("kept once", "a")));
        assert!(!std::ptr::eq(first, kept("kept twice", "a")));
        assert!(!std::ptr::eq(first, kept("kept once", "b")));
        let of_b = kept("kept once", "b").head.headers.get("www-authenticate");
        assert_eq!(of_b.unwrap(), "ApiKey realm=\"b\"");
    }
}
