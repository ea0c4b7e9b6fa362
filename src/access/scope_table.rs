//! The scopes of a set as a table, in which a scope is found.

use super::mark::{Mark, ShortMark};

/// The scopes of a set that is not empty.
pub(super) struct ScopeTable {
    pub(super) text: Box<str>,
    /// A table with open addressing, of a power of two of places, at least half of them free.
    pub(super) places: Box<[Place]>,
    /// By which of the [ways](Mark::place) the scopes are placed.
    way: u32,
}

/// A scope of the text.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) mark: Mark,
    pub(super) start: u32,
}

impl Place {
    const FREE: Self = Self {
        mark: Mark::NONE,
        start: 0,
    };
}

impl ScopeTable {
    pub(super) fn of(text: Box<str>, count: usize) -> Self {
        let mut end = 0;
        let scopes = text.as_bytes().split(|&byte| byte == b' ');
        let scopes: Vec<Place> = scopes
            .filter_map(|scope| {
                let start = u32::try_from(end).ok()?;
                end += scope.len() + 1;
                Mark::of(scope).map(|mark| Place { mark, start })
            })
            .collect();
        let mut places = vec![Place::FREE; (2 * count).next_power_of_two()].into_boxed_slice();
        let last = places.len() - 1;
        let way = way_without_collision(&scopes, last).unwrap_or(0);
        for scope in scopes {
            let mut at = scope.mark.place(way) & last;
            while !places[at].mark.is_none() {
                at = (at + 1) & last;
            }
            places[at] = scope;
        }
        Self { text, places, way }
    }

    /// Whether each of these is where its search begins. If not, it may be in the set all the same.
    #[inline]
    pub(super) fn has_first(&self, scopes: &[ShortMark]) -> bool {
        let last = self.places.len() - 1;
        // Without a branch for each.
        let difference = scopes.iter().fold(0, |difference, scope| {
            let place = &self.places[scope.place(self.way) & last];
            difference | scope.difference(&place.mark)
        });
        difference == 0
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
        let mut at = mark.place(self.way);
        // Half of the places are free, so the search ends.
        while let Some(place) = self.places.get(at & last)
            && !place.mark.is_none()
        {
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

/// The way by which the search for each of these begins at a place of its own, if there is one. It is not looked for if the scopes are
/// many, because then there hardly is.
fn way_without_collision(scopes: &[Place], last: usize) -> Option<u32> {
    let last_bit = u32::try_from(last).ok().filter(|&last| last < u64::BITS)?;
    (0..=u32::BITS - last_bit.count_ones()).find(|&way| {
        let mut taken = 0_u64;
        scopes.iter().all(|scope| {
            let bit = 1 << (scope.mark.place(way) & last);
            let is_free = taken & bit == 0;
            taken |= bit;
            is_free
        })
    })
}
