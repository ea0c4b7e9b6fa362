//! Requests that reach a handler in another way than by the route: by another method, or another spelling of the path.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};

use super::case::Expected;
use super::error::MatrixError;
use super::plan::{Plan, Target};
use super::presented::with_keys;
use super::row::Row;
use crate::access::scope_set::ScopeSet;
use crate::middleware::guard::routes::methods::METHODS;
use crate::middleware::guard::routes::{Access, Route};

const OVERRIDES: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
];

impl Plan<'_, '_> {
    /// The right key with a header that names another method. The handler of the route is to answer all the same.
    pub(super) async fn overrides_to(&mut self, target: &Target<'_>) -> Result<(), MatrixError> {
        if *target.route.access() == Access::Public {
            return Ok(());
        }
        for name in OVERRIDES {
            for method in METHODS.iter().filter(|method| **method != target.method) {
                let Ok(value) = HeaderValue::from_str(method.as_str()) else {
                    continue;
                };
                let detail = format!("{name}: {method}");
                let right = self.keys.fresh(0, &target.scopes).await?;
                let mut headers = with_keys([(&self.settings.sources[0], &*right)]);
                headers.insert(name.clone(), value);
                let row = (Row::MethodOverride, &*detail);
                self.add(target, row, headers, Expected::Passes);
            }
        }
        Ok(())
    }

    /// Other spellings of the path.
    pub(super) async fn spellings_of(&mut self, target: &Target<'_>) -> Result<(), MatrixError> {
        // A public route for the rest of a path, such as one for files, serves these spellings too.
        let is_open =
            |route: &Route| *route.access() == Access::Public && route.pattern().contains("{*");
        let mut routes = self.settings.table.routes().iter();
        if *target.route.access() == Access::Public || routes.any(is_open) {
            return Ok(());
        }
        let needs_scopes = is_closed_without_scopes(target.route);
        for spelling in spellings(&target.path) {
            let Ok(uri) = Uri::builder().path_and_query(&*spelling).build() else {
                continue;
            };
            let what = (Row::OtherSpelling, &*spelling);
            self.closed(target, (&target.method, &uri), what, needs_scopes)
                .await?;
        }
        Ok(())
    }

    /// The methods that the table does not name for this pattern.
    pub(super) async fn methods_beside(&mut self, target: &Target<'_>) -> Result<(), MatrixError> {
        let table = &self.settings.table;
        let mut of_pattern = table
            .routes()
            .iter()
            .filter(|it| it.pattern() == target.route.pattern());
        let all_need_scopes = of_pattern.all(is_closed_without_scopes);
        for method in METHODS {
            let row = match method {
                Method::HEAD => Row::Head,
                Method::OPTIONS => Row::Options,
                _ => Row::OtherMethod,
            };
            let needs_scopes = match table.find(&method, &target.uri) {
                None => all_need_scopes,
                // What the table says of GET, it says of HEAD.
                Some(route) if is_get(route) && method == Method::HEAD => {
                    if *route.access() == Access::Public {
                        continue;
                    }
                    is_closed_without_scopes(route)
                }
                Some(_) => continue,
            };
            if row == Row::Options && self.settings.answers_preflights {
                continue;
            }
            let what = (row, method.as_str());
            self.closed(target, (&method, &target.uri), what, needs_scopes)
                .await?;
        }
        Ok(())
    }

    /// A request that may not succeed without a key, nor, if scopes are needed, with a key that has none.
    async fn closed(
        &mut self,
        target: &Target<'_>,
        (method, uri): (&Method, &Uri),
        (row, what): (Row, &str),
        needs_scopes: bool,
    ) -> Result<(), MatrixError> {
        let mut presented = vec![("no key", HeaderMap::new())];
        if needs_scopes {
            let key = self.keys.valid(0, &ScopeSet::empty()).await?;
            let headers = with_keys([(&self.settings.sources[0], &*key)]);
            presented.push(("a key with no scope", headers));
        }
        for (key, headers) in presented {
            let detail = format!("{what}, {key}");
            self.add_to(target, uri, (row, &detail), headers, Expected::NoSuccess);
            if let Some(case) = self.cases.last_mut() {
                case.method = method.clone();
            }
        }
        Ok(())
    }
}

fn is_get(route: &Route) -> bool {
    route.method() == Some(&Method::GET)
}

fn is_closed_without_scopes(route: &Route) -> bool {
    matches!(route.access(), Access::Scopes(_))
}

/// Other spellings that some programs read as this path.
fn spellings(path: &str) -> Vec<String> {
    let mut spellings = vec![
        format!("/{path}"),
        format!("/.{path}"),
        format!("/x/..{path}"),
        format!("/%2e{path}"),
        format!("{path};x"),
        format!("{path}%2f"),
    ];
    // The first letter in its percent-encoding.
    if let Some(letter) = path
        .as_bytes()
        .get(1)
        .filter(|it| it.is_ascii_alphanumeric())
    {
        spellings.push(format!("/%{letter:02x}{}", &path[2..]));
    }
    spellings
}
