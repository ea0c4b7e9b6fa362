//! The methods that a table knows.

use http::Method;

/// The methods of RFC 9110 §9.3 and `PATCH` (RFC 5789), without `CONNECT`, whose requests have no path.
pub(crate) const METHODS: [Method; 8] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::OPTIONS,
    Method::PATCH,
    Method::TRACE,
];
const GET: usize = 0;
const HEAD: usize = 1;

/// The place of a method in [`METHODS`]. `None` for a method that no route has.
#[inline]
fn place(method: &Method) -> Option<usize> {
    Some(match *method {
        Method::GET => GET,
        Method::HEAD => HEAD,
        Method::POST => 2,
        Method::PUT => 3,
        Method::DELETE => 4,
        Method::OPTIONS => 5,
        Method::PATCH => 6,
        Method::TRACE => 7,
        _ => return None,
    })
}

/// Which route answers each method of a path, by the place of the route in its table.
#[derive(Debug, Clone, Default)]
pub(super) struct Methods {
    named: [Option<usize>; METHODS.len()],
    of_any: Option<usize>,
    /// What follows from those.
    answers: [Option<usize>; METHODS.len()],
}

impl Methods {
    /// Adds a route for a method, or for all that have none of their own. Returns the route that is there.
    pub(super) fn insert(&mut self, method: Option<&Method>, route: usize) -> Result<(), Refused> {
        let entry = match method {
            None => &mut self.of_any,
            Some(method) => match place(method) {
                Some(place) => &mut self.named[place],
                None => return Err(Refused::Unknown),
            },
        };
        if entry.is_some() {
            return Err(Refused::Taken);
        }
        *entry = Some(route);
        // `HEAD` is answered by the route of `GET` if it has none of its own, as routers do (RFC 9110 §9.3.2).
        self.answers = self.named;
        self.answers[HEAD] = self.named[HEAD].or(self.named[GET]);
        for answer in &mut self.answers {
            *answer = answer.or(self.of_any);
        }
        Ok(())
    }

    /// The route that answers a method.
    #[inline]
    pub(super) fn of(&self, method: &Method) -> Option<usize> {
        self.answers[place(method)?]
    }
}

/// Why a route is not added.
pub(super) enum Refused {
    Unknown,
    Taken,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_has_a_place_of_its_own() {
        for (index, method) in METHODS.iter().enumerate() {
            assert_eq!(place(method), Some(index));
        }
        assert_eq!(place(&Method::CONNECT), None);
        assert_eq!(place(&Method::from_bytes(b"get").unwrap()), None);
    }
}
