//! The keys of a request that are in wrong places.

use http::header;

use super::leak::{Strays, is_url_header, target_parts};
use super::{Presented, Sighting, Sources};
use crate::key::format::Format;
use crate::middleware::head::RequestHead;
use crate::verdict::{KeyPlace, Refusal};

impl Sources {
    /// A leak is reported regardless of other errors in the request, and of their order.
    #[cold]
    pub(super) fn with_strays<'sources, 'request>(
        &'sources self,
        request: &'request impl RequestHead,
        format: &Format,
        credential: Result<Option<Presented<'sources, 'request>>, Refusal>,
    ) -> Sighting<'sources, 'request> {
        let presented = match &credential {
            Ok(Some(presented)) => Some(presented.token),
            _ => None,
        };
        let strays = self.strays(request, format, &|key| presented == Some(key));
        Sighting {
            credential: match strays.refused {
                Some((place, id)) => Err(Refusal::Misplaced(place, id)),
                None => credential,
            },
            reported: strays.reported,
        }
    }

    /// The keys of a ring that are in wrong places, before the credential is found: for a layer of several
    /// rings.
    #[cold]
    pub(crate) fn strays_of(&self, request: &impl RequestHead, format: &Format) -> Strays {
        let headers = request.headers();
        self.strays(request, format, &|key| {
            headers.iter().any(|(name, value)| {
                let value = value.as_bytes();
                if *name == header::AUTHORIZATION {
                    let presented = self.authorization.credential(value);
                    presented.is_some_and(|presented| presented.token == key)
                } else {
                    value == key && self.headers.contains(name)
                }
            })
        })
    }

    /// The keys of a ring that are in wrong places.
    #[cold]
    fn strays(
        &self,
        request: &impl RequestHead,
        format: &Format,
        is_presented: &dyn Fn(&[u8]) -> bool,
    ) -> Strays {
        let mut strays = Strays::default();
        for part in target_parts(request) {
            strays.note(KeyPlace::Uri, part, format, |_| true);
        }
        for (name, value) in request.headers() {
            let value = value.as_bytes();
            if *name == header::REFERER {
                // A link that a stranger made must not disable a valid key.
                strays.note(KeyPlace::Referer, value, format, is_presented);
            } else if is_url_header(name) {
                strays.note(KeyPlace::ForwardedUrl, value, format, |_| true);
            } else if *name == header::AUTHORIZATION
                && let credential = self.authorization.credential(value)
                && credential.is_none_or(|credential| credential.has_other_scheme)
            {
                strays.note(KeyPlace::Authorization, value, format, |_| true);
            }
        }
        strays
    }
}
