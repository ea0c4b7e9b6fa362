//! Requests with no key, with the right one, and with wrong ones.

use http::Uri;
use http::header::HeaderMap;

use super::case::Expected;
use super::error::MatrixError;
use super::plan::{Plan, Target};
use super::presented::{place_of, with_keys};
use super::row::Row;
use crate::access::scope_set::ScopeSet;
use crate::middleware::guard::routes::Access;
use crate::verdict::RejectionKind;

impl Plan<'_, '_> {
    /// Requests without a key, with the right one, with two, and with keys that are not valid.
    pub(super) async fn keys_to(&mut self, target: &Target<'_>) -> Result<(), MatrixError> {
        let nobody = match target.route.access() {
            Access::Public => Expected::Passes,
            Access::AnyKey | Access::Scopes(_) => Expected::Refused(RejectionKind::Missing),
        };
        self.add(target, (Row::NoKey, ""), HeaderMap::new(), nobody);
        let ambiguous = target.refused(RejectionKind::Ambiguous);
        let sources = &self.settings.sources;
        for (ring, of) in self.keys.all().iter().enumerate() {
            let valid = self.keys.valid(ring, &target.scopes).await?;
            let expired = self.keys.expired(ring, &target.scopes).await?;
            let revoked = self.keys.revoked(ring, &target.scopes).await?;
            let invalid = [
                (Row::MalformedKey, Some(self.keys.malformed(ring, &valid))),
                (Row::UnknownKey, Some(self.keys.unknown(ring, &valid)?)),
                (Row::ExpiredKey, expired),
                (Row::RevokedKey, revoked),
            ];
            for source in sources {
                let detail = format!("realm {}, in {}", of.realm(), place_of(source));
                let right = self.keys.fresh(ring, &target.scopes).await?;
                let headers = with_keys([(source, &*right)]);
                self.add(target, (Row::RightKey, &detail), headers, Expected::Passes);
                let headers = with_keys([(source, &*valid), (source, &*valid)]);
                self.add(target, (Row::TwoKeys, &detail), headers, ambiguous);
                for (row, key) in &invalid {
                    let Some(key) = key else { continue };
                    let headers = with_keys([(source, &**key)]);
                    let expected = target.refused(RejectionKind::Invalid);
                    self.add(target, (*row, &detail), headers, expected);
                }
            }
            if let [first, .., last] = &sources[..] {
                let headers = with_keys([(first, &*valid), (last, &*valid)]);
                let detail = format!("realm {}, in two places", of.realm());
                self.add(target, (Row::TwoKeys, &detail), headers, ambiguous);
            }
        }
        Ok(())
    }

    /// Keys with some of the scopes.
    pub(super) async fn scopes_to(&mut self, target: &Target<'_>) -> Result<(), MatrixError> {
        let Access::Scopes(requirement) = target.route.access() else {
            return Ok(());
        };
        for scopes in some_of(&target.scopes) {
            let is_met = requirement.is_met_by(&scopes);
            let held = if scopes.is_empty() {
                "no scope"
            } else {
                scopes.as_str()
            };
            for (ring, of) in self.keys.all().iter().enumerate() {
                let (key, expected) = if is_met {
                    (self.keys.fresh(ring, &scopes).await?, Expected::Passes)
                } else {
                    let lacking = Expected::Refused(RejectionKind::InsufficientScope);
                    (self.keys.valid(ring, &scopes).await?, lacking)
                };
                let headers = with_keys([(&self.settings.sources[0], &*key)]);
                let detail = format!("realm {}, {held}", of.realm());
                self.add(target, (Row::MissingScope, &detail), headers, expected);
            }
        }
        Ok(())
    }

    /// A valid key in the query, with and without the same key in its place. Only a key with a shape is recognised there. Any
    /// other is no credential, so nothing but a success is a fault.
    pub(super) async fn urls_to(&mut self, target: &Target<'_>) -> Result<(), MatrixError> {
        for (ring, of) in self.keys.all().iter().enumerate() {
            let expected = match target.route.access() {
                _ if of.have_a_shape() => target.refused(RejectionKind::KeyInUrl),
                Access::Public => continue,
                Access::AnyKey | Access::Scopes(_) => Expected::NoSuccess,
            };
            let key = self.keys.valid(ring, &target.scopes).await?;
            let text = format!("{}?key={key}", target.path);
            let Ok(uri) = text.parse::<Uri>() else {
                let problem = format!("{}: {} takes no query", target.route, target.path);
                return Err(MatrixError::untried(problem));
            };
            let mut places = vec![("by itself", HeaderMap::new())];
            if of.have_a_shape() {
                let both = with_keys([(&self.settings.sources[0], &*key)]);
                places.push(("and in its place", both));
            }
            for (place, headers) in places {
                let detail = format!("realm {}, {place}", of.realm());
                self.add_to(target, &uri, (Row::KeyInUrl, &detail), headers, expected);
            }
        }
        Ok(())
    }
}

/// No scope, each by itself, and all but each.
fn some_of(scopes: &ScopeSet) -> Vec<ScopeSet> {
    let each: Vec<&str> = scopes.iter().collect();
    let mut some = vec![ScopeSet::empty()];
    for one in &each {
        let others = each.iter().filter(|it| *it != one).copied();
        let sets = [ScopeSet::new([*one]).ok(), ScopeSet::new(others).ok()];
        some.extend(sets.into_iter().flatten());
    }
    some.retain(|it| it != scopes);
    some.sort_unstable();
    some.dedup();
    some
}
