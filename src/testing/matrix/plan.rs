//! The requests of a matrix, to one route after the other.

use http::header::HeaderMap;
use http::{Method, Uri};

use super::case::{Case, Expected};
use super::error::MatrixError;
use super::keys::Keys;
use super::row::Row;
use super::settings::Settings;
use crate::access::scope_set::ScopeSet;
use crate::middleware::guard::routes::methods::METHODS;
use crate::middleware::guard::routes::{Access, Route};
use crate::verdict::RejectionKind;

/// The requests so far.
pub(super) struct Plan<'a, 'k> {
    pub(super) settings: &'a Settings,
    pub(super) keys: &'a mut Keys<'k>,
    pub(super) cases: Vec<Case>,
}

/// A route, and a request to it.
pub(super) struct Target<'a> {
    place: usize,
    pub(super) route: &'a Route,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) uri: Uri,
    /// Every scope that the route mentions. A key with all of them meets its requirement.
    pub(super) scopes: ScopeSet,
}

impl<'a, 'k> Plan<'a, 'k> {
    pub(super) fn new(settings: &'a Settings, keys: &'a mut Keys<'k>) -> Self {
        Self {
            settings,
            keys,
            cases: Vec::new(),
        }
    }

    pub(super) async fn cases(mut self) -> Result<Vec<Case>, MatrixError> {
        let routes = self.settings.table.routes();
        if routes.is_empty() {
            return Err(MatrixError::untried("the table names no route".to_owned()));
        }
        if self.settings.sources.is_empty() {
            let problem = "the matrix has no place for a key".to_owned();
            return Err(MatrixError::untried(problem));
        }
        for (place, route) in routes.iter().enumerate() {
            let target = self.target(place, route)?;
            self.keys_to(&target).await?;
            self.scopes_to(&target).await?;
            self.urls_to(&target).await?;
            self.overrides_to(&target).await?;
            self.spellings_of(&target).await?;
            // Once for each pattern.
            let mut earlier = routes.iter().take(place);
            if earlier.all(|it| it.pattern() != route.pattern()) {
                self.methods_beside(&target).await?;
            }
        }
        Ok(self.cases)
    }

    fn target(&self, place: usize, route: &'a Route) -> Result<Target<'a>, MatrixError> {
        let table = &self.settings.table;
        let path = self.settings.path_of(route.pattern());
        let uri: Uri = path.parse().map_err(|_| {
            MatrixError::untried(format!("{route}: {path} is no path: set its parameters"))
        })?;
        let reaches = |method: &&Method| {
            let found = table.find(method, &uri);
            found.is_some_and(|found| std::ptr::eq(found, route))
        };
        let method = match route.method() {
            Some(method) => Some(method).filter(reaches),
            None => METHODS.iter().find(reaches),
        };
        let Some(method) = method.cloned() else {
            let problem = format!("{route}: no request reaches it at {path}: set its parameters");
            return Err(MatrixError::untried(problem));
        };
        Ok(Target {
            place,
            route,
            method,
            scopes: match route.access() {
                Access::Public | Access::AnyKey => ScopeSet::empty(),
                Access::Scopes(requirement) => requirement.mentioned(),
            },
            path,
            uri,
        })
    }

    /// Adds a request to the route.
    pub(super) fn add(
        &mut self,
        target: &Target<'_>,
        (row, detail): (Row, &str),
        headers: HeaderMap,
        expected: Expected,
    ) {
        self.add_to(target, &target.uri, (row, detail), headers, expected);
    }

    /// Adds a request to another URI than that of the route.
    pub(super) fn add_to(
        &mut self,
        target: &Target<'_>,
        uri: &Uri,
        (row, detail): (Row, &str),
        headers: HeaderMap,
        expected: Expected,
    ) {
        self.cases.push(Case {
            route: target.place,
            row,
            detail: detail.to_owned(),
            method: target.method.clone(),
            target: uri.clone(),
            headers,
            expected,
        });
    }
}

impl Target<'_> {
    /// A refusal for this reason. A public route may stand outside every layer.
    pub(super) fn refused(&self, kind: RejectionKind) -> Expected {
        match self.route.access() {
            Access::Public => Expected::RefusedOrPasses(kind),
            Access::AnyKey | Access::Scopes(_) => Expected::Refused(kind),
        }
    }
}
