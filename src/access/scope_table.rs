//! The scopes of a set as a table, in which a scope is found.

use super::mark::Mark;

/// The scopes of a set that is not empty.
pub(super) struct ScopeTable {
    pub(super) text: Box<str>,
    /// A table with open addressing, of a power of two of places, at least half of them free.
    pub(super) places: Box<[Option<Place>]>,
}

/// A scope of the text.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) mark: Mark,
    pub(super) start: u32,
}

impl ScopeTable {
    pub(super) fn of(text: Box<str>, count: usize) -> Self {
        let mut places = vec![None; (2 * count).next_power_of_two()].into_boxed_slice();
        let last = places.len() - 1;
        let mut start = 0;
        for scope in text.as_bytes().split(|&byte| byte == b' ') {
            if let (Some(mark), Ok(start)) = (Mark::of(scope), u32::try_from(start)) {
                let mut at = mark.place() & last;
                while places[at].is_some() {
                    at = (at + 1) & last;
                }
                places[at] = Some(Place { mark, start });
            }
            start += scope.len() + 1;
        }
        Self { text, places }
    }

    #[allow(
        clippy::inline_always,
        reason = "a call would cost more than the comparison"
    )]
    #[inline(always)]
    pub(super) fn contains<'a>(&self, mark: &Mark, scope: impl Fn() -> &'a str) -> bool {
        self.place_of(mark, scope).is_some()
    }

    /// The place of a scope in the table.
    #[allow(
        clippy::inline_always,
        reason = "a call would cost more than the comparison"
    )]
    #[inline(always)]
    pub(super) fn place_of<'a>(&self, mark: &Mark, scope: impl Fn() -> &'a str) -> Option<usize> {
        let last = self.places.len() - 1;
        let mut at = mark.place();
        // Half of the places are free, so the search ends.
        while let Some(Some(place)) = self.places.get(at & last) {
            if place.mark == *mark && (mark.is_whole() || self.reads(*place, scope())) {
                return Some(at & last);
            }
            at += 1;
        }
        None
    }

    #[cold]
    fn reads(&self, place: Place, scope: &str) -> bool {
        self.text
            .get(place.start as usize..)
            .and_then(|text| text.get(..scope.len()))
            == Some(scope)
    }
}
