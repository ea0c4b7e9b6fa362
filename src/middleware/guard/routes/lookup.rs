//! Which route answers a request, by its path or by the pattern that a router has matched.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use http::Method;
use matchit::InsertError;

use super::methods::{Methods, Refused};
use super::{path, pattern};
use crate::support::mixing::MixingHasher;

/// The places of routes in their table.
#[derive(Debug, Clone, Default)]
pub(super) struct Lookup {
    patterns: Vec<Pattern>,
    by_path: matchit::Router<usize>,
    /// The author of a service chooses the patterns, never a client.
    by_pattern: HashMap<Box<str>, usize, BuildHasherDefault<MixingHasher>>,
}

#[derive(Debug, Clone)]
struct Pattern {
    methods: Methods,
    /// How much of a path that it matches is its own text and need not be read again.
    literal: usize,
}

impl Lookup {
    /// Adds a route, or returns why it cannot be. No method means all that have no route of their own.
    pub(super) fn insert(
        &mut self,
        method: Option<&Method>,
        pattern: &str,
        route: usize,
    ) -> Result<(), String> {
        let place = self.find_or_insert(pattern)?;
        let inserted = self.patterns[place].methods.insert(method, route);
        inserted.map_err(|refused| match refused {
            Refused::Taken => "it is named twice".to_owned(),
            Refused::Unknown => {
                "a table knows the methods GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH and TRACE"
                    .to_owned()
            }
        })
    }

    /// The place of a pattern's methods.
    fn find_or_insert(&mut self, pattern: &str) -> Result<usize, String> {
        if let Some(place) = self.by_pattern.get(pattern) {
            return Ok(*place);
        }
        pattern::check(pattern)?;
        let place = self.patterns.len();
        self.by_path
            .insert(pattern, place)
            .map_err(|error| match error {
                InsertError::Conflict { with } => format!("it clashes with {with}"),
                other => format!("it is no pattern: {other}"),
            })?;
        self.patterns.push(Pattern {
            methods: Methods::default(),
            literal: pattern::literal(pattern),
        });
        self.by_pattern.insert(pattern.into(), place);
        Ok(place)
    }

    /// Whether a path that no literal segment matches reaches this pattern.
    pub(super) fn is_reached(&self, pattern: &str) -> bool {
        // No literal segment of a pattern is as long as this value.
        let value = "~".repeat(self.by_pattern.keys().map(|it| it.len()).max().unwrap_or(1));
        let sample = pattern::sample(pattern, &value, &format!("{value}/{value}"));
        let reached = self.by_path.at(&sample).ok().map(|found| *found.value);
        reached.is_some() && reached == self.by_pattern.get(pattern).copied()
    }

    /// The route of a path, if it is canonical. An alias has none if the path that it stands for is of another pattern,
    /// because a program that decodes paths before it routes would take that.
    #[inline]
    pub(super) fn of_path(&self, method: &Method, path: &str) -> Option<usize> {
        let place = *self.by_path.at(path).ok()?.value;
        let pattern = self.patterns.get(place)?;
        let path = path::read_from(path, pattern.literal)?;
        if path.is_alias && *self.by_path.at(&path.normal()).ok()?.value != place {
            return None;
        }
        pattern.methods.of(method)
    }

    /// The route of a pattern.
    #[cfg(any(feature = "axum", feature = "openapi"))]
    #[inline]
    pub(super) fn of_pattern(&self, method: &Method, pattern: &str) -> Option<usize> {
        let place = *self.by_pattern.get(pattern)?;
        self.patterns.get(place)?.methods.of(method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATTERNS: [&str; 6] = ["/", "/a", "/a/{id}", "/a/{id}/a", "/{name}", "/a:/{*rest}"];
    /// What paths are made of here, of as many as this.
    const PARTS: [&str; 9] = ["/", "a", ".", ":", ";", "%3A", "%3a", "%2F", "%61"];
    const MOST: u32 = 6;

    #[test]
    fn r13_a_path_is_read_as_if_it_were_read_before_it_is_matched() {
        let mut lookup = Lookup::default();
        for (place, pattern) in PATTERNS.into_iter().enumerate() {
            lookup.insert(Some(&Method::GET), pattern, place).unwrap();
        }
        let at = |path: &str| lookup.by_path.at(path).ok().map(|found| *found.value);
        let (mut found, mut refused) = (0, 0);
        for number in 0..PARTS.len().pow(MOST) {
            let mut rest = number;
            let mut path = String::from("/");
            while rest > 0 {
                path.push_str(PARTS[rest % PARTS.len()]);
                rest /= PARTS.len();
            }
            let expected = path::read(&path).and_then(|read| {
                let route = at(read.text)?;
                (!read.is_alias || at(&read.normal()) == Some(route)).then_some(route)
            });
            assert_eq!(lookup.of_path(&Method::GET, &path), expected, "{path}");
            found += usize::from(expected.is_some());
            refused += usize::from(expected.is_none() && at(&path).is_some());
        }
        assert!(found > 10_000 && refused > 10_000, "{found}, {refused}");
    }
}
