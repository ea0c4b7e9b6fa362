//! Which route answers a request, by its path or by the pattern that a router has matched.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use http::Method;
use matchit::InsertError;

use super::methods::{Methods, Refused};
use super::path::Path;
use super::pattern;
use crate::support::mixing::MixingHasher;

/// The places of routes in their table.
#[derive(Debug, Clone, Default)]
pub(super) struct Lookup {
    /// One for each pattern.
    methods: Vec<Methods>,
    by_path: matchit::Router<usize>,
    /// The author of a service chooses the patterns, never a client.
    by_pattern: HashMap<Box<str>, usize, BuildHasherDefault<MixingHasher>>,
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
        let inserted = self.methods[place].insert(method, route);
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
        let place = self.methods.len();
        self.by_path
            .insert(pattern, place)
            .map_err(|error| match error {
                InsertError::Conflict { with } => format!("it clashes with {with}"),
                other => format!("it is no pattern: {other}"),
            })?;
        self.methods.push(Methods::default());
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

    /// The route of a canonical path. An alias has none if the path that it stands for is of another pattern, because
    /// a program that decodes paths before it routes would take that.
    #[inline]
    pub(super) fn of_path(&self, method: &Method, path: Path<'_>) -> Option<usize> {
        let place = *self.by_path.at(path.text).ok()?.value;
        if path.is_alias && !self.is_alias_at(path, place) {
            return None;
        }
        self.of_place(method, place)
    }

    #[cold]
    fn is_alias_at(&self, path: Path<'_>, place: usize) -> bool {
        let normal = path.normal();
        let found = self.by_path.at(&normal);
        found.is_ok_and(|found| *found.value == place)
    }

    /// The route of a pattern.
    #[cfg(any(feature = "axum", feature = "openapi"))]
    #[inline]
    pub(super) fn of_pattern(&self, method: &Method, pattern: &str) -> Option<usize> {
        self.of_place(method, *self.by_pattern.get(pattern)?)
    }

    #[inline]
    fn of_place(&self, method: &Method, place: usize) -> Option<usize> {
        self.methods.get(place)?.of(method)
    }
}
